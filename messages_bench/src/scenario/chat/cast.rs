//! Who is in which conversation.

use super::super::Context;

/// Of so many members of a conversation, one comes and goes.
const DRIFT: usize = 3;

/// Conversations and people.
#[derive(Clone, Debug)]
pub struct Cast {
    prefix: String,
    rooms: usize,
    people: usize,
    members: usize,
}

impl Cast {
    /// So many conversations with so many members each, of so many people.
    pub fn new(ctx: &Context, rooms: usize, people: usize, members: usize) -> Self {
        let prefix = ctx.nonce.clone();
        Self {
            prefix,
            rooms: rooms.max(1),
            people: people.max(1),
            members: members.min(people).max(1),
        }
    }

    /// The numbers of the conversations.
    pub fn rooms(&self) -> std::ops::Range<usize> {
        0..self.rooms
    }

    /// The numbers of the people.
    pub fn people(&self) -> std::ops::Range<usize> {
        0..self.people
    }

    /// What a conversation is called.
    pub fn room(&self, room: usize) -> String {
        format!("chat-{}-{room}", self.prefix)
    }

    /// What somebody is called.
    pub fn person(&self, person: usize) -> String {
        format!("p{person}-{}", self.prefix)
    }

    /// Whoever made all conversations, takes part in all, and looks after them.
    pub fn host(&self) -> String {
        format!("host-{}", self.prefix)
    }

    /// Who is in a conversation at the beginning, beside the host.
    pub fn members(&self, room: usize) -> impl Iterator<Item = usize> {
        (0..self.members).map(move |at| (room * self.members + at) % self.people)
    }

    /// Those of them who are removed and added again.
    pub fn drifters(&self, room: usize) -> impl Iterator<Item = usize> {
        self.members(room).skip(DRIFT - 1).step_by(DRIFT)
    }

    /// Those of them who stay.
    pub fn steady(&self, room: usize) -> impl Iterator<Item = usize> {
        let stays = |(at, _): &(usize, usize)| at % DRIFT != DRIFT - 1;
        self.members(room).enumerate().filter(stays).map(|(_, person)| person)
    }

    /// The conversations of each of the people.
    pub fn rooms_of_all(&self) -> Vec<Vec<usize>> {
        let mut all = vec![Vec::new(); self.people];
        for room in self.rooms() {
            self.members(room).for_each(|person| all[person].push(room));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Filler;
    use tokio::time::Instant;

    #[test]
    fn everybody_is_somewhere_and_nobody_twice() {
        let filler = Box::leak(Box::new(Filler::new()));
        let ctx = Context { seed: 1, nonce: "x".into(), epoch: Instant::now(), filler };
        let cast = Cast::new(&ctx, 8, 20, 7);
        for room in cast.rooms() {
            let mut members: Vec<_> = cast.members(room).collect();
            let mut split: Vec<_> = cast.steady(room).chain(cast.drifters(room)).collect();
            members.sort_unstable();
            split.sort_unstable();
            assert_eq!(members, split);
            members.dedup();
            assert_eq!(members.len(), 7);
        }
        let all = cast.rooms_of_all();
        assert_eq!(all.iter().map(Vec::len).sum::<usize>(), 56);
        assert!(all.iter().all(|rooms| !rooms.is_empty()));
    }
}
