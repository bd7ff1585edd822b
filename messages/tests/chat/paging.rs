//! Reading messages: every parameter alone and with others, against a list.

use crate::{
    common::Setup,
    users::{id, start},
};
use proptest::{
    collection::vec,
    option::of,
    prelude::*,
    sample::select,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Value, json};

crate::on_both_databases!(pages_are_what_a_list_says);

/// Queries for each database.
const QUERIES: usize = 300;

/// What a query asks for.
#[derive(Clone, Debug, Default)]
struct Query {
    limit: Option<u64>,
    before: Option<u64>,
    after: Option<u64>,
    around: Option<u64>,
    offset: Option<u64>,
    ordering: Option<&'static str>,
    source: Option<&'static str>,
    reply_to: Option<u64>,
    thread: Option<u64>,
    /// The time of the message at this place of the list.
    created: Option<usize>,
    /// Positions are given as ids.
    as_ids: bool,
}

fn query() -> impl Strategy<Value = Query> {
    let place = || of(0..45_u64);
    let words = (of(select(vec!["asc", "desc"])), of(select(vec!["alice", "bob", "eve"])));
    let rare =
        |range: std::ops::Range<u64>| prop_oneof![5 => Just(None), 1 => range.prop_map(Some)];
    let places = (of(1..12_u64), place(), place(), rare(1..45), of(0..5_u64));
    let filters =
        (rare(2..20), rare(2..20), prop_oneof![9 => Just(None), 1 => (0..30_usize).prop_map(Some)]);
    (places, words, filters, any::<bool>()).prop_map(|(places, words, filters, as_ids)| {
        let (limit, before, after, around, offset) = places;
        let ((ordering, source), (reply_to, thread, created)) = (words, filters);
        Query {
            limit,
            before,
            after,
            around,
            offset,
            ordering,
            source,
            reply_to,
            thread,
            created,
            as_ids,
        }
    })
}

impl Query {
    fn text(&self, all: &[Value]) -> String {
        let place =
            |at: u64| if self.as_ids && at > 0 { format!("team:{at}") } else { at.to_string() };
        let message = |at: u64| format!("team:{at}");
        let created = self.created.and_then(|at| all.get(at)).map(|one| one["created"].to_string());
        let parameters = [
            ("limit", self.limit.map(|limit| limit.to_string())),
            ("before", self.before.map(place)),
            ("after", self.after.map(place)),
            ("around", self.around.map(place)),
            ("offset", self.offset.map(|offset| offset.to_string())),
            ("ordering", self.ordering.map(str::to_owned)),
            ("source", self.source.map(str::to_owned)),
            ("reply_to", self.reply_to.map(message)),
            ("thread", self.thread.map(message)),
            ("created", created),
        ];
        let given = parameters.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let given: Vec<String> = given.map(|(name, value)| format!("{name}={value}")).collect();
        format!("?{}", given.join("&"))
    }

    /// The positions that a list of `all` says.
    fn model(&self, all: &[Value]) -> Vec<u64> {
        let at = |one: &Value| one["position"].as_u64().expect("a position");
        let is = |one: &Value, member: &str, want: u64| one[member] == format!("team:{want}");
        let created = self.created.and_then(|at| all.get(at)).map(|one| one["created"].clone());
        let found = all
            .iter()
            .filter(|one| self.source.is_none_or(|source| one["source"] == source))
            .filter(|one| self.reply_to.is_none_or(|want| is(one, "reply_to", want)))
            .filter(|one| created.as_ref().is_none_or(|created| one["created"] == *created))
            .filter(|one| match self.thread {
                Some(thread) => is(one, "thread", thread),
                // Whoever looks for something special finds it in threads, too.
                None => {
                    one.get("thread").is_none() || self.source.is_some() || self.reply_to.is_some()
                }
            });
        let after = self.after.unwrap_or(0);
        let mut found: Vec<u64> = found
            .map(at)
            .filter(|at| *at > after && self.before.is_none_or(|before| *at < before))
            .collect();
        let limit = self.limit.unwrap_or(1000) as usize;
        let skip = self.offset.unwrap_or(0) as usize;
        let descending = self.ordering == Some("desc");
        if let Some(around) = self.around {
            let half = limit.div_ceil(2);
            let (mut before, behind): (Vec<u64>, Vec<u64>) =
                found.iter().partition(|at| **at <= around);
            before.reverse();
            let mut page: Vec<u64> = before.into_iter().take(half).collect();
            page.reverse();
            page.extend(behind.into_iter().take(limit - half));
            if descending {
                page.reverse();
            }
            return page;
        }
        if descending {
            found.reverse();
        }
        found.into_iter().skip(skip).take(limit).collect()
    }
}

async fn pages_are_what_a_list_says(setup: Setup) {
    let server = start(setup).await;
    let [alice, bob] = server.users(["alice", "bob"]);
    alice.begin("team", &["bob"], json!({})).await;
    for turn in 2..40_u64 {
        let user = if turn % 3 == 0 { &bob } else { &alice };
        let mut body = json!({"text": format!("message {turn}")});
        if turn % 4 == 0 {
            body["reply_to"] = format!("team:{}", turn / 2).into();
        }
        if turn % 5 == 0 && turn > 10 {
            body["thread"] = format!("team:{}", 2 + turn % 3).into();
        }
        if turn % 7 == 0 {
            // What is no message has a position, too.
            user.put("/messages/team:2/reactions/x", Value::Null).await;
        }
        user.post("/conversations/team/messages", body).await;
    }
    let mut all = Vec::new();
    for event in alice.events("team").await {
        if event["type"] == "message" {
            all.push(alice.get(&format!("/messages/{}", id(&event))).await);
        }
    }
    assert_eq!(all.len(), 38);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[7; 32]);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let queries = vec(query(), QUERIES).new_tree(&mut runner).expect("queries").current();
    for query in queries.iter().filter(|query| query.around.is_none() || query.offset.is_none()) {
        let text = query.text(&all);
        let got = alice.messages("team", &text).await;
        let positions: Vec<u64> =
            got.iter().map(|one| one["position"].as_u64().expect("a position")).collect();
        // The time is one of the parameters: there may be several of the same.
        assert_eq!(positions, query.model(&all), "{text}");
        assert!(got.iter().all(|one| all.contains(one)), "{text}: {got:?}");
    }
}
