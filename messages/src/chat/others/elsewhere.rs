//! What is known of other nodes from what they say: who is there, and which messages grow.

use super::letter::{Growing, Statement};
use crate::model::Target;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// See the module.
#[derive(Default)]
pub(in crate::chat) struct Elsewhere {
    nodes: Mutex<BTreeMap<u32, Node>>,
    suspects: Mutex<HashMap<Target, Suspect>>,
}

/// What one node has said.
#[derive(Default)]
struct Node {
    heard_ms: u64,
    users: HashSet<Arc<str>>,
    growing: HashSet<Growing>,
    /// How many statements of it have come whole.
    statements: u64,
    /// The statement that is coming, and the part of it that comes next.
    coming: (u64, u32),
    coming_users: HashSet<Arc<str>>,
    coming_growing: HashSet<Growing>,
}

/// A message that grows and that nobody claims.
struct Suspect {
    since_ms: u64,
    /// How many statements had come of every node when it was first seen.
    statements: BTreeMap<u32, u64>,
}

/// Users who have come to a node, and who have gone.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Moved {
    pub came: Vec<Arc<str>>,
    pub went: Vec<Arc<str>>,
}

impl Elsewhere {
    fn nodes(&self) -> MutexGuard<'_, BTreeMap<u32, Node>> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node has said something at `now_ms`. Returns whether it is a new one.
    pub fn hear(&self, node: u32, now_ms: u64) -> bool {
        let mut nodes = self.nodes();
        let is_new = !nodes.contains_key(&node);
        nodes.entry(node).or_default().heard_ms = now_ms;
        is_new
    }

    /// `user` has come to a node, or has gone. Returns whether that was not known.
    pub fn person(&self, node: u32, user: &Arc<str>, online: bool) -> bool {
        let mut nodes = self.nodes();
        let node = nodes.entry(node).or_default();
        if online {
            node.coming_users.insert(user.clone());
            node.users.insert(user.clone())
        } else {
            node.coming_users.remove(user);
            node.users.remove(user)
        }
    }

    /// A part of a statement has come.
    pub(super) fn state(&self, node: u32, statement: Statement) -> Moved {
        let Statement { round, part, last, users, growing } = statement;
        let mut nodes = self.nodes();
        let node = nodes.entry(node).or_default();
        if part == 0 {
            node.coming = (round, 0);
            node.coming_users.clear();
            node.coming_growing.clear();
        }
        let is_next = node.coming == (round, part);
        node.coming.1 += 1;
        let mut moved = Moved::default();
        for user in users {
            if node.users.insert(user.clone()) {
                moved.came.push(user.clone());
            }
            node.coming_users.insert(user);
        }
        node.growing.extend(growing.iter().cloned());
        node.coming_growing.extend(growing);
        if !is_next {
            // Some of it was lost: the next one says it again.
            node.coming = (0, 0);
        } else if last {
            let present = std::mem::take(&mut node.coming_users);
            let before = std::mem::replace(&mut node.users, present);
            moved.went.extend(before.into_iter().filter(|user| !node.users.contains(user)));
            node.growing = std::mem::take(&mut node.coming_growing);
            node.statements += 1;
        }
        moved
    }

    /// A node is gone. Returns its users.
    pub fn forget(&self, node: u32) -> Vec<Arc<str>> {
        self.nodes().remove(&node).map(|node| node.users.into_iter().collect()).unwrap_or_default()
    }

    /// Nodes that were not heard since `before_ms`, and when they were heard last.
    pub fn silent(&self, before_ms: u64) -> Vec<(u32, u64)> {
        let nodes = self.nodes();
        let silent = nodes.iter().filter(|(_, node)| node.heard_ms < before_ms);
        silent.map(|(number, node)| (*number, node.heard_ms)).collect()
    }

    /// Those that are heard.
    pub fn numbers(&self) -> Vec<u32> {
        self.nodes().keys().copied().collect()
    }

    /// Of messages that grow at `now_ms` and that nobody here lets grow, those that none of the nodes
    /// that are `alive` has claimed for `wait_ms`: each has said twice everything that it lets grow.
    pub fn orphans(
        &self,
        found: Vec<Target>,
        alive: &[u32],
        now_ms: u64,
        wait_ms: u64,
    ) -> Vec<Target> {
        let nodes = self.nodes();
        let is_claimed = |target: &Target| {
            nodes.values().any(|node| node.growing.contains(&Growing::from(target)))
        };
        let statements: BTreeMap<u32, u64> =
            nodes.iter().map(|(number, node)| (*number, node.statements)).collect();
        let mut suspects = self.suspects.lock().unwrap_or_else(PoisonError::into_inner);
        let mut before = std::mem::take(&mut *suspects);
        let mut orphans = Vec::new();
        for target in found {
            if is_claimed(&target) {
                continue;
            }
            let suspect = before
                .remove(&target)
                .unwrap_or_else(|| Suspect { since_ms: now_ms, statements: statements.clone() });
            let has_stated = |node: &u32| {
                let since = suspect.statements.get(node).copied().unwrap_or(0);
                statements.get(node).is_some_and(|now| *now >= since + 2)
            };
            let waited = now_ms >= suspect.since_ms + wait_ms;
            if waited && alive.iter().all(has_stated) {
                orphans.push(target.clone());
            }
            suspects.insert(target, suspect);
        }
        orphans
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(round: u64, part: u32, last: bool, users: &[&str]) -> Statement {
        let users = users.iter().map(|user| Arc::from(*user)).collect();
        Statement { round, part, last, users, growing: Vec::new() }
    }

    fn names(users: &[&str]) -> Vec<Arc<str>> {
        users.iter().map(|user| Arc::from(*user)).collect()
    }

    #[test]
    fn only_a_whole_statement_says_who_has_gone() {
        let elsewhere = Elsewhere::default();
        let moved = elsewhere.state(1, statement(1, 0, true, &["alice", "bob"]));
        assert_eq!(moved, Moved { came: names(&["alice", "bob"]), went: vec![] });
        let moved = elsewhere.state(1, statement(2, 0, false, &["alice"]));
        assert_eq!(moved, Moved::default());
        // Part 1 is lost.
        let moved = elsewhere.state(1, statement(2, 2, true, &["carol"]));
        assert_eq!(moved, Moved { came: names(&["carol"]), went: vec![] });
        let moved = elsewhere.state(1, statement(3, 0, false, &["alice"]));
        assert_eq!(moved, Moved::default());
        assert!(elsewhere.person(1, &"dave".into(), true), "comes in between");
        let moved = elsewhere.state(1, statement(3, 1, true, &["carol"]));
        assert_eq!(moved, Moved { came: vec![], went: names(&["bob"]) });
        let mut left = elsewhere.forget(1);
        left.sort();
        assert_eq!(left, names(&["alice", "carol", "dave"]));
    }

    #[test]
    fn a_message_is_an_orphan_when_all_who_live_have_said_so_twice() {
        let elsewhere = Elsewhere::default();
        let target = Target { conversation: "team".into(), position: 7 };
        let look = |now_ms| elsewhere.orphans(vec![target.clone()], &[1, 2], now_ms, 30);
        let state = |node, round, growing: &[&Target]| {
            let growing = growing.iter().map(|target| Growing::from(*target)).collect();
            let none = statement(round, 0, true, &[]);
            let _ = elsewhere.state(node, Statement { growing, ..none });
        };
        assert_eq!(look(0), []);
        state(1, 1, &[]);
        state(1, 2, &[]);
        assert_eq!(look(40), [], "the other one has said nothing");
        state(2, 1, &[&target]);
        state(2, 2, &[&target]);
        assert_eq!(look(80), [], "it is claimed");
        state(2, 3, &[]);
        assert_eq!(look(100), [], "seen anew");
        for round in 4..6 {
            state(1, round, &[]);
            assert_eq!(look(200), []);
            state(2, round, &[]);
        }
        assert_eq!(look(129), [], "not long enough");
        assert_eq!(look(130), std::slice::from_ref(&target));
        assert_eq!(elsewhere.orphans(vec![], &[1, 2], 131, 30), []);
        assert_eq!(look(200), [], "seen anew");
    }
}
