//! What was answered stays, whatever happens to the server: a random play with crashes in it, after
//! which everybody is shown what they were shown before. `CRASH_SEED` plays another one.

use crate::{
    common::{Answer, Setup, TestServer, noise},
    users::{User, start},
};
use http::Method;
use serde_json::{Value, json};

crate::on_both_databases!(everything_that_was_answered_stays);

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const ROUNDS: usize = 3;
const STEPS: usize = 60;

/// Numbers that are the same every time.
struct Dice(std::vec::IntoIter<u8>);

impl Dice {
    fn new(seed: u64) -> Self {
        // No step takes more than five numbers of two bytes.
        Self(noise(seed, ROUNDS * STEPS * 12).into_iter())
    }

    fn pick(&mut self, most: u64) -> u64 {
        let mut byte = || u64::from(self.0.next().expect("enough of them"));
        (byte() << 8 | byte()) % most
    }
}

/// What each of these targets shows each user who may see it.
async fn shown(server: &TestServer, targets: &[&str]) -> Vec<(String, Answer)> {
    let mut all = Vec::new();
    for name in USERS {
        let user = server.user(name);
        for target in targets {
            let answer = user.raw(Method::GET, target, &[], "").await;
            all.push((format!("{name} {target}"), answer));
        }
    }
    all
}

/// What is known without the tables, so that nothing is written into them to show it.
async fn beside_the_tables(server: &TestServer) -> Vec<(String, Answer)> {
    shown(
        server,
        &["events", "participants", "participants?state=banned", "receipts", "export"]
            .map(|part| format!("/conversations/team/{part}"))
            .each_ref()
            .map(String::as_str),
    )
    .await
}

/// And what is only known with them.
async fn in_the_tables(server: &TestServer, last: u64) -> Vec<(String, Answer)> {
    let own = [
        "/conversations",
        "/conversations?state=invited",
        "/unread",
        "/inbox/messages",
        "/search?q=word",
    ];
    let team = ["", "/messages", "/pins", "/search?q=word"]
        .map(|part| format!("/conversations/team{part}"));
    let message =
        |at: u64| ["", "/history", "/reactions"].map(|part| format!("/messages/team:{at}{part}"));
    let messages = (2..=last).step_by(7).flat_map(message);
    let targets: Vec<String> =
        own.map(str::to_owned).into_iter().chain(team).chain(messages).collect();
    shown(server, &targets.iter().map(String::as_str).collect::<Vec<_>>()).await
}

/// Both say the same of everything.
fn same(before: &[(String, Answer)], after: &[(String, Answer)]) {
    assert_eq!(before.len(), after.len());
    // A problem also says what its request is called.
    let said = |answer: &Answer| answer.text().replace(answer.header("x-request-id"), "");
    for ((target, one), (_, other)) in before.iter().zip(after) {
        assert_eq!((one.status, said(one)), (other.status, said(other)), "{target}");
    }
}

/// One thing that somebody tries to do. It may be refused, but it may not fail.
async fn step(user: &User<'_>, dice: &mut Dice, last: &mut u64) {
    let mut pick = |most: u64| dice.pick(most);
    let other = USERS[pick(4) as usize];
    let message = format!("team:{}", 2 + pick((*last).max(2)));
    let txn = format!("txn-{}", pick(20));
    let (method, target, body) = match pick(16) {
        0..4 => (
            Method::POST,
            "/conversations/team/messages".into(),
            json!({"text": format!("word {last}"), "mentions": [other]}),
        ),
        4 => (Method::PUT, format!("/conversations/team/messages/{txn}"), json!({"text": "word"})),
        5 => (
            Method::PATCH,
            format!("/messages/{message}"),
            json!({"text": format!("word and {last}")}),
        ),
        6 => (Method::DELETE, format!("/messages/{message}"), Value::Null),
        7 => (Method::PUT, format!("/messages/{message}/reactions/a{}", pick(3)), Value::Null),
        8 => (Method::DELETE, format!("/messages/{message}/reactions/a{}", pick(3)), Value::Null),
        9 => (Method::PUT, "/conversations/team/read".into(), json!({"position": pick(*last + 2)})),
        10 => (Method::PUT, "/conversations/team/delivered".into(), json!({})),
        11 => (Method::PUT, format!("/conversations/team/pins/{message}"), Value::Null),
        12 => (Method::POST, format!("/inbox/{other}/messages"), json!({"text": "word to you"})),
        13 => (
            Method::POST,
            "/conversations/team/messages".into(),
            json!({"text": "word", "thread": message}),
        ),
        14 => match pick(5) {
            0 => (Method::DELETE, format!("/conversations/team/participants/{other}"), Value::Null),
            1 => (
                Method::PUT,
                format!("/conversations/team/bans/{other}"),
                json!({"until": pick(2) * 9_999_999_999_999}),
            ),
            2 => (Method::PUT, format!("/conversations/team/mutes/{other}"), json!({"until": 5})),
            _ => (
                Method::PUT,
                format!("/conversations/team/participants/{other}"),
                json!({"role": (["member", "moderator"][pick(2) as usize])}),
            ),
        },
        _ => (Method::POST, "/conversations/team/join".into(), Value::Null),
    };
    let answer = user.send(method, &target, body).await;
    assert!(answer.status.as_u16() < 500, "{target}: {answer:?}");
    if answer.status == 200
        && let Some(position) = answer.json()["position"].as_u64()
    {
        *last = position;
    }
}

async fn everything_that_was_answered_stays(setup: Setup) {
    let seed = std::env::var("CRASH_SEED").map_or(3, |text| text.parse().expect("a number"));
    let mut dice = Dice::new(seed);
    // Nothing is in the tables but what somebody waits for.
    let mut server = start(setup.with(&["--flush-interval-ms", "600000"])).await;
    let settings = json!({"join": "open", "history": "since_join"});
    server.user("alice").begin("team", &["bob"], settings).await;
    let mut last = 1;
    for _ in 0..ROUNDS {
        for _ in 0..STEPS {
            let user = server.user(USERS[dice.pick(4) as usize]);
            step(&user, &mut dice, &mut last).await;
        }
        let before = beside_the_tables(&server).await;
        server = server.crash().await;
        same(&before, &beside_the_tables(&server).await);
        let tables = in_the_tables(&server, last).await;
        server = server.crash().await;
        same(&tables, &in_the_tables(&server, last).await);
        same(&before, &beside_the_tables(&server).await);
    }
}
