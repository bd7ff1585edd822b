//! What one client makes of the frames that it gets: its conversations, through every break.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value};

use super::super::wire::{Event, Frame, FrameKind, Kind, Receipt, position};
use super::{Entry, Fault, Seen, Truth};

/// How often somebody was added to a conversation again, as far as it was asked for. Whoever has been
/// removed more often than that must see nothing more.
#[derive(Debug, Default)]
pub struct Access(AtomicU64);

impl Access {
    /// They are about to be added again.
    pub fn allow(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn allows(&self, ends: u64) -> bool {
        ends <= self.0.load(Ordering::SeqCst)
    }
}

/// A conversation as one client has it.
#[derive(Debug)]
pub struct Room {
    /// Its log.
    pub seen: Seen,
    /// What anybody has seen of it.
    pub truth: Arc<Truth>,
    /// Whether this user may see it.
    pub access: Arc<Access>,
    /// How far others have come, as frames tell: delivered, read.
    receipts: BTreeMap<String, (u64, u64)>,
    /// How far others have come, as events imply: whoever sends has read what was before.
    implied: BTreeMap<String, u64>,
    /// The server says that the user takes part, so there is a subscription or will be one.
    pub is_member: bool,
    /// There is a subscription on this connection.
    pub is_open: bool,
    /// It has brought everything that there was.
    pub is_caught_up: bool,
    /// The user has just come in, and the subscription will begin at the beginning.
    has_entered: bool,
    /// The subscription could not begin just now.
    pub is_put_off: bool,
}

/// All conversations of one client.
#[derive(Debug)]
pub struct Inbox {
    rooms: BTreeMap<String, Room>,
}

impl Inbox {
    /// A client of `user` that has seen nothing of these conversations.
    pub fn new(
        user: &str,
        rooms: impl IntoIterator<Item = (String, Arc<Truth>, Arc<Access>)>,
    ) -> Self {
        let room = |(name, truth, access)| {
            let (receipts, implied, seen) = (BTreeMap::new(), BTreeMap::new(), Seen::new(user));
            let room = Room {
                seen,
                truth,
                access,
                receipts,
                implied,
                is_member: false,
                is_open: false,
                is_caught_up: false,
                has_entered: false,
                is_put_off: false,
            };
            (name, room)
        };
        Self { rooms: rooms.into_iter().map(room).collect() }
    }

    /// Its conversations.
    pub fn rooms(&self) -> &BTreeMap<String, Room> {
        &self.rooms
    }

    /// A new connection: it has no subscription yet.
    pub fn connect(&mut self) {
        for room in self.rooms.values_mut() {
            (room.is_member, room.has_entered) = (false, false);
            (room.is_open, room.is_caught_up, room.is_put_off) = (false, false, false);
        }
    }

    /// Where to go on, as `follow` wants it.
    pub fn from(&self) -> Map<String, Value> {
        let known = self.rooms.iter().filter(|(_, room)| room.seen.at() > 0);
        known.map(|(name, room)| (name.clone(), room.seen.offset().into())).collect()
    }

    /// Takes a frame, and tells what is wrong with it.
    pub fn take(&mut self, frame: &Frame<'_>) -> Vec<Fault> {
        let name = match frame.kind {
            FrameKind::Following => return self.following(frame),
            FrameKind::Conversation | FrameKind::Receipts => frame.name().unwrap_or_default(),
            FrameKind::Subscribed | FrameKind::Data | FrameKind::CaughtUp | FrameKind::Error => {
                match frame.sub.as_deref() {
                    Some(sub) => sub,
                    // It answers a request, and says nothing of what is followed.
                    None => return Vec::new(),
                }
            }
            _ => return Vec::new(),
        };
        let Some(room) = self.rooms.get_mut(name) else {
            let text = format!("{:?} of {name:?}", frame.kind);
            return vec![Fault::new("a frame of a conversation of others", text)];
        };
        let offset = frame.offset.as_deref().unwrap_or_default();
        let faults = match frame.kind {
            FrameKind::Conversation => {
                (room.is_member, room.has_entered) = (true, true);
                Vec::new()
            }
            FrameKind::Receipts => room.take_receipts(&frame.receipts),
            FrameKind::Subscribed => room.begin(offset),
            FrameKind::Data => room.data(frame, offset),
            FrameKind::CaughtUp => {
                room.is_caught_up = true;
                room.seen.stands(offset).into_iter().collect()
            }
            _ => room.end(frame, offset),
        };
        let at = |fault: Fault| Fault { text: format!("{name}: {}", fault.text), ..fault };
        faults.into_iter().map(at).collect()
    }

    /// Everything that there will be a subscription to.
    fn following(&mut self, frame: &Frame<'_>) -> Vec<Fault> {
        let mut strange = Vec::new();
        for standing in &frame.conversations {
            match self.rooms.get_mut(&standing.name) {
                Some(room) => room.is_member = true,
                None => strange.push(&standing.name),
            }
        }
        let fault = |name| Fault::new("a conversation of others is followed", name);
        strange.into_iter().map(fault).collect()
    }
}

impl Room {
    /// Whether everything up to a position has come, and these marks of others: delivered, read.
    pub fn has_all(&self, position: u64, marks: &BTreeMap<String, (u64, u64)>) -> bool {
        let knows =
            |(user, mark): (&String, &(u64, u64))| self.mark(user).is_none_or(|m| m == *mark);
        self.is_caught_up && self.seen.at() >= position && marks.iter().all(knows)
    }

    /// How far somebody has come: delivered, read. None where the conversation is too large to tell.
    pub fn mark(&self, user: &str) -> Option<(u64, u64)> {
        if self.receipts.is_empty() {
            return None;
        }
        let (delivered, read) = self.receipts.get(user).copied().unwrap_or_default();
        let implied = self.implied.get(user).copied().unwrap_or_default();
        Some((delivered.max(implied), read.max(implied)))
    }

    fn begin(&mut self, offset: &str) -> Vec<Fault> {
        let twice = self.is_open.then(|| Fault::new("subscribed twice", offset));
        (self.is_open, self.is_caught_up) = (true, false);
        let entered = std::mem::take(&mut self.has_entered);
        twice.into_iter().chain(self.seen.begin(offset, entered)).collect()
    }

    fn data(&mut self, frame: &Frame<'_>, offset: &str) -> Vec<Fault> {
        let mut faults = Vec::new();
        if !self.is_open {
            let text = format!("up to {offset}");
            faults.push(Fault::new("content without a subscription", text));
        }
        for message in &frame.messages {
            if !self.access.allows(self.seen.ends()) {
                let text = format!("behind position {}: {}", self.seen.at(), message.get());
                faults.push(Fault::new("delivered behind the end of access", text));
            }
            faults.extend(self.seen.take(&self.truth, message.get()).err());
            self.imply();
        }
        faults.extend(self.seen.stands(offset));
        faults
    }

    /// What the last event says of how far somebody has come.
    fn imply(&mut self) {
        let Some(Entry { event, .. }) = self.seen.last() else {
            return;
        };
        let Event { kind, source, user, position, .. } = event;
        let who = match (kind, user) {
            (Kind::Message, _) => source,
            (Kind::Join, Some(user)) => user,
            _ => return,
        };
        let known = self.implied.entry(who.clone()).or_default();
        *known = (*known).max(*position);
    }

    /// The subscription is over.
    fn end(&mut self, frame: &Frame<'_>, offset: &str) -> Vec<Fault> {
        // What was before is in the database; who has caught up needs it no more.
        if frame.status == Some(503) && !(self.is_open && self.is_caught_up) {
            (self.is_open, self.is_put_off) = (false, true);
            return Vec::new();
        }
        let was_open = std::mem::take(&mut self.is_open);
        self.is_member = false;
        let code = frame.code.as_deref().unwrap_or_default();
        let right = match code {
            // One that comes back too late for its end gets none of it.
            "access_ended" | "not_a_participant" if !was_open => true,
            "access_ended" => self.seen.has_ended() && position(offset) == Some(self.seen.at()),
            _ => false,
        };
        let text = || format!("at {}: {offset} {}", self.seen.at(), frame.problem());
        let fault = (!right).then(|| Fault::new("a subscription ended wrongly", text()));
        fault.into_iter().collect()
    }

    fn take_receipts(&mut self, receipts: &[Receipt]) -> Vec<Fault> {
        let mut faults = Vec::new();
        for Receipt { participant, delivered, read } in receipts {
            let known = self.receipts.entry(participant.clone()).or_default();
            if *delivered < known.0 || *read < known.1 || read > delivered {
                let when = if self.is_caught_up { "live" } else { "when coming back" };
                let now = (delivered, read);
                let text = format!("{participant} from {known:?} to {now:?}, told {when}");
                faults.push(Fault::new("a mark went back", text));
            }
            *known = (known.0.max(*delivered), known.1.max(*read));
        }
        faults
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = r#"{"type":"subscribed","sub":"team","conversation":"team","offset":"0000000000000000_0000000000000000"}"#;
    const LEAVE: &str = r#"{"type":"data","sub":"team","offset":"0000000000000003_0000000000000030","messages":[{"type":"message","position":1},{"type":"message","position":2},{"type":"leave","position":3,"user":"bob"}]}"#;
    const MORE: &str = r#"{"type":"data","sub":"team","offset":"0000000000000004_0000000000000040","messages":[{"type":"message","position":4}]}"#;
    const CAUGHT_UP: &str =
        r#"{"type":"caught_up","sub":"team","offset":"0000000000000000_0000000000000000"}"#;
    const END: &str = r#"{"type":"error","sub":"team","code":"access_ended","offset":"0000000000000003_0000000000000030"}"#;
    const ENTER: &str = r#"{"type":"conversation","conversation":{"name":"team"}}"#;

    fn inbox() -> (Inbox, Arc<Access>) {
        let access = Arc::new(Access::default());
        let room = ("team".to_owned(), Arc::new(Truth::default()), Arc::clone(&access));
        (Inbox::new("bob", [room]), access)
    }

    fn take(inbox: &mut Inbox, frames: &[&str]) -> Vec<&'static str> {
        let read = |text: &&str| {
            let frame: Frame = serde_json::from_str(text).expect("a frame");
            inbox.take(&frame)
        };
        frames.iter().flat_map(read).map(|fault| fault.kind).collect()
    }

    #[test]
    fn access_ends_at_a_position() {
        let (mut inbox, _) = inbox();
        assert!(take(&mut inbox, &[BEGIN, LEAVE, END]).is_empty());
        assert_eq!(take(&mut inbox, &[MORE])[0], "content without a subscription");
        let (mut inbox, _) = self::inbox();
        assert_eq!(take(&mut inbox, &[BEGIN, LEAVE, MORE]), ["delivered behind the end of access"]);
        let (mut inbox, _) = self::inbox();
        assert_eq!(take(&mut inbox, &[BEGIN, END]), ["a subscription ended wrongly"]);
    }

    #[test]
    fn only_who_has_not_caught_up_may_be_put_off() {
        const LATER: &str =
            r#"{"type":"error","sub":"team","status":503,"code":"redis_unavailable"}"#;
        let (mut inbox, _) = inbox();
        assert!(take(&mut inbox, &[LATER]).is_empty());
        assert!(inbox.rooms()["team"].is_put_off);
        inbox.connect();
        assert!(!inbox.rooms()["team"].is_put_off);
        assert!(take(&mut inbox, &[BEGIN, LATER]).is_empty());
        inbox.connect();
        let faults = take(&mut inbox, &[BEGIN, CAUGHT_UP, LATER]);
        assert_eq!(faults, ["a subscription ended wrongly"]);
    }

    #[test]
    fn whoever_is_added_again_begins_anew() {
        let (mut inbox, access) = inbox();
        assert!(take(&mut inbox, &[BEGIN, LEAVE, END]).is_empty());
        access.allow();
        assert!(take(&mut inbox, &[ENTER, BEGIN, LEAVE, MORE]).is_empty());
        assert_eq!(inbox.rooms()["team"].seen.at(), 4);
        assert_eq!(inbox.from()["team"], "0000000000000004_0000000000000040");
    }

    #[test]
    fn a_break_is_mended_without_gap_and_repetition() {
        let (mut inbox, access) = inbox();
        access.allow();
        assert!(take(&mut inbox, &[BEGIN, LEAVE]).is_empty());
        inbox.connect();
        assert_eq!(take(&mut inbox, &[BEGIN]), ["a subscription begins elsewhere"]);
        assert_eq!(take(&mut inbox, &[BEGIN]), ["subscribed twice"]);
        inbox.connect();
        assert_eq!(take(&mut inbox, &[MORE])[0], "content without a subscription");
    }

    #[test]
    fn marks_never_go_back() {
        let (mut inbox, _) = inbox();
        let marks = |delivered, read| {
            format!(
                r#"{{"type":"receipts","conversation":"team","receipts":[{{"participant":"al","delivered":{delivered},"read":{read}}}]}}"#
            )
        };
        assert!(take(&mut inbox, &[&marks(3, 2), &marks(3, 3)]).is_empty());
        assert_eq!(take(&mut inbox, &[&marks(4, 2)]), ["a mark went back"]);
        let message = LEAVE.replace(r#""position":2"#, r#""position":2,"source":"cy""#);
        assert!(take(&mut inbox, &[BEGIN, &message]).is_empty());
        let room = &inbox.rooms()["team"];
        assert_eq!((room.mark("al"), room.mark("cy")), (Some((4, 3)), Some((2, 2))));
    }

    #[test]
    fn conversations_of_others_are_not_shown() {
        let frame = ENTER.replace("team", "others");
        assert_eq!(take(&mut inbox().0, &[&frame]), ["a frame of a conversation of others"]);
    }
}
