//! Anything at all, on every route: never an error of the server, always a problem document that says
//! what is wrong. `FUZZ_CASES` sends more, `FUZZ_SEED` other ones.

use crate::{
    common::Setup,
    routes::{ROUTES, method},
    users::start,
};
use http::Method;
use proptest::{
    prelude::*,
    sample::select,
    strategy::ValueTree,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use serde_json::{Map, Value, json};

crate::on_both_databases!(no_request_is_an_error_of_the_server);

/// Requests for each route.
const CASES: u64 = 12;

/// Members that mean something somewhere, and one that does not.
const MEMBERS: &[&str] = &[
    "text",
    "reply_to",
    "thread",
    "txn",
    "mentions",
    "attachments",
    "meta",
    "participants",
    "title",
    "name",
    "settings",
    "role",
    "invite",
    "until",
    "reason",
    "position",
    "message",
    "source",
    "created",
    "rev",
    "on",
    "join",
    "history",
    "slow_secs",
    "reactions",
    "retention_secs",
    "permissions",
    "url",
    "x",
];

/// Texts that mean something somewhere.
const WORDS: &[&str] = &[
    "",
    "a",
    "\0",
    "team",
    "team:2",
    "team:3",
    "team:1",
    "team:18446744073709551615",
    "nowhere:1",
    "@all",
    "alice",
    "bob",
    "open",
    "since_join",
    "owner",
    "unique",
    "\u{1f600}\u{301}",
    "\n",
    "dm-x",
    "..",
    "%",
    "\"",
    "\\u0000",
    "-1",
    "99999999999999999999",
    "1",
    "now",
    "asc",
    "null",
    "0000000000000001_0000000000000001",
];

fn number(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |text| text.parse().expect("a number"))
}

fn word() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => select(WORDS).prop_map(str::to_owned),
        1 => ".{0,20}",
        1 => (1..3000_usize).prop_map(|len| "x".repeat(len)),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        5 => word().prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        2 => select(vec![json!(0), json!(-1), json!(1.5), json!(u64::MAX), json!(i64::MAX), json!(3)]),
        1 => Just(Value::Null),
        1 => any::<f64>().prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            object(inner),
        ]
    })
}

fn object(values: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let members = prop::collection::vec((select(MEMBERS), values), 0..5);
    members.prop_map(|members| {
        Value::Object(
            members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<Map<_, _>>(),
        )
    })
}

/// A body: mostly an object, of what is wanted and something else.
fn body(good: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let mixed = object(value()).prop_map(move |odd| {
        let mut body = if good.is_empty() { json!({}) } else { crate::routes::body(good) };
        if let (Some(body), Value::Object(odd)) = (body.as_object_mut(), odd) {
            body.extend(odd);
        }
        body.to_string().into_bytes()
    });
    prop_oneof![
        8 => mixed,
        2 => value().prop_map(|value| value.to_string().into_bytes()),
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Parameters, of which some are known somewhere.
fn query() -> impl Strategy<Value = String> {
    let names = vec![
        "limit", "before", "after", "around", "ordering", "source", "created", "reply_to",
        "thread", "offset", "q", "state", "from", "to", "reason", "live", "%00", "",
    ];
    let parameter =
        (select(names), word()).prop_map(|(name, value)| format!("{name}={}", encode(&value)));
    prop::collection::vec(parameter, 0..3).prop_map(|all| all.join("&"))
}

/// A target: with what belongs into its path, or something else there.
fn target(route: &'static str) -> impl Strategy<Value = String> {
    let fillers = prop::collection::vec(prop::option::weighted(0.3, word()), 3);
    (fillers, query()).prop_map(move |(fillers, query)| {
        let good = crate::routes::target(route, "team");
        let path = route.split('?').next().unwrap_or_default();
        let mut filled = good.split('?').next().unwrap_or_default().to_owned();
        let holes = path.split('/').enumerate().filter(|(_, part)| part.starts_with('{'));
        for ((at, _), filler) in holes.zip(fillers) {
            let mut parts: Vec<String> = filled.split('/').map(str::to_owned).collect();
            if let Some(filler) = filler {
                parts[at] = encode(&filler);
            }
            filled = parts.join("/");
        }
        // A live read would last.
        format!("{filled}?{query}").replace("live=now", "live=x")
    })
}

async fn no_request_is_an_error_of_the_server(setup: Setup) {
    let server = start(setup.with(&["--flush-interval-ms", "5"])).await;
    let [alice, bob, eve] = server.users(["alice", "bob", "eve"]);
    alice.begin("team", &["bob"], json!({})).await;
    alice.say("team", "hi").await;
    bob.say("team", "ho").await;
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&number("FUZZ_SEED", 1).to_le_bytes());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &seed);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut done = 0;
    for turn in 0..number("FUZZ_CASES", CASES) {
        for (word, route, good, ..) in ROUTES.iter().filter(|(word, route, ..)| {
            // What ends the conversation would end the play.
            (*word, *route) != ("DELETE", "/conversations/{name}")
        }) {
            let request = (target(route), body(good)).new_tree(&mut runner).expect("a request");
            let (target, body) = request.current();
            let body = if *word == "GET" { Vec::new() } else { body };
            let user = [&alice, &bob, &eve][turn as usize % 3];
            let answer = user.raw(method(word), &target, &[], body.clone()).await;
            let sent = format!("{word} {target} {:?}", String::from_utf8_lossy(&body));
            assert!(answer.status.as_u16() < 500, "{sent}: {answer:?}");
            done += u64::from(answer.status.is_success());
            if !answer.status.is_success() {
                assert_eq!(answer.header("content-type"), "application/problem+json", "{sent}");
                let problem = answer.json();
                assert!(
                    problem["code"].is_string() && problem["detail"] != "",
                    "{sent}: {problem}"
                );
            }
        }
    }
    assert!(done > 4 * number("FUZZ_CASES", CASES), "only {done} made sense");
    // And everything has come into the tables.
    for user in [&alice, &bob] {
        user.get("/unread").await;
        user.get("/conversations").await;
    }
    assert_eq!(alice.send(Method::GET, "/search?q=hi", Value::Null).await.status, 200);
}
