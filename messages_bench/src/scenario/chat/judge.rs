//! Looks at everything when it is over: what the clients have, what a client gets that comes anew,
//! and what requests are answered.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Context as _;
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::known::{
    Conversation, Drafts, Entry, Fault, Inbox, Logs, compare, erased, judge_deed, judge_drafts,
};
use super::person::Person;
use super::rest::Rest;
use super::run::{Head, Heads, Run};
use super::socket::Socket;
use super::wire::{Event, Frame, Message, Receipt, Standing};
use crate::client::{Endpoint, Failure};
use crate::dialect::Patience;
use crate::limits;

/// Messages in one answer.
const PAGE: usize = 1000;

/// Where each conversation ends, as requests tell.
pub async fn heads(run: &Run) -> anyhow::Result<Heads> {
    let mut rest = Rest::new(run.endpoint(0), &run.tokens.of(&run.cast.host()))?;
    let mut heads = Heads::new();
    for room in run.cast.rooms() {
        let name = run.cast.room(room);
        let base = format!("/conversations/{name}");
        let Standing { position, .. } = rest.get(&base).await?;
        let marks: Vec<Receipt> = rest.get(&format!("{base}/receipts")).await?;
        let marks = marks.into_iter().map(|r| (r.participant, (r.delivered, r.read))).collect();
        heads.insert(name, Head { position, marks });
    }
    Ok(heads)
}

/// Judges everything.
pub async fn judge(run: &Arc<Run>, people: &[Person], heads: &Heads) -> anyhow::Result<()> {
    let whole = |room| (run.cast.room(room), run.truths[room].log());
    let whole: Logs = run.cast.rooms().map(whole).collect();
    let drafts: Drafts = people.iter().flat_map(sent).collect();
    run.faults.add_all("the log", judge_drafts(&drafts, &whole));
    for person in people {
        let judged =
            person.deeds.iter().filter_map(|deed| judge_deed(deed, &whole[&deed.conversation]));
        run.faults.add_all(&person.user, judged);
    }
    let mut folds = BTreeMap::new();
    for node in 0..run.endpoints.len() {
        let of_node = look(run, node, heads, &whole);
        folds = of_node.await.with_context(|| format!("looking at node {node}"))?;
    }
    for (number, person) in people.iter().enumerate() {
        copies(run, person, &folds);
        standing(run, run.endpoint(number), person, &folds).await?;
    }
    marks(run, people, &folds, heads);
    Ok(())
}

/// Looks at all conversations as one node has them.
async fn look(
    run: &Arc<Run>,
    node: usize,
    heads: &Heads,
    whole: &Logs,
) -> anyhow::Result<BTreeMap<String, Conversation>> {
    let fresh = fresh(run, run.endpoint(node), heads).await?;
    let mut rest = Rest::new(run.endpoint(node), &run.tokens.of(&run.cast.host()))?;
    let mut folds = BTreeMap::new();
    for (name, room) in fresh.rooms() {
        let (folded, faults) = Conversation::of(events(room.seen.log()));
        run.faults.add_all(name, faults);
        run.faults.add_all(name, erased(&folded, &whole[name], room.seen.log()));
        requests(run, &mut rest, name, &folded, room.seen.log()).await?;
        folds.insert(name.clone(), folded);
    }
    Ok(folds)
}

fn sent(person: &Person) -> impl Iterator<Item = (u64, (&str, &super::known::Draft))> {
    let user = person.outbox.user();
    person.outbox.drafts().iter().map(move |(number, draft)| (*number, (user, draft)))
}

fn events(log: &[Arc<Entry>]) -> impl Iterator<Item = &Event> {
    log.iter().map(|entry| &entry.event)
}

/// A client that has never been there before reads everything from the beginning.
async fn fresh(run: &Arc<Run>, endpoint: &Endpoint, heads: &Heads) -> anyhow::Result<Inbox> {
    let host = run.cast.host();
    let rooms = run
        .cast
        .rooms()
        .map(|room| (run.cast.room(room), Arc::clone(&run.truths[room]), Arc::default()));
    let mut inbox = Inbox::new(&host, rooms);
    let token = run.tokens.of(&host);
    let mut socket = Socket::open(endpoint, &token, Patience::default()).await?;
    socket.send(&json!({"type": "follow", "id": 1, "from": {}, "default": "-1"})).await?;
    let has_all = |inbox: &Inbox| {
        let none = BTreeMap::new();
        inbox.rooms().iter().all(|(name, room)| room.has_all(heads[name].position, &none))
    };
    let read = async {
        while !has_all(&inbox) {
            let text = socket.next().await?;
            let frame: Frame<'_> = serde_json::from_str(&text)?;
            run.faults.add_all("a fresh client", inbox.take(&frame));
        }
        anyhow::Ok(())
    };
    match timeout(limits::SETTLE, read).await {
        Ok(read) => read?,
        Err(_) => run.faults.add("a fresh client", Fault::new("gets not everything", "in time")),
    }
    Ok(inbox)
}

/// What somebody has got is what there is, as far as they may see it.
fn copies(run: &Run, person: &Person, folds: &BTreeMap<String, Conversation>) {
    for (name, room) in person.inbox.rooms() {
        let (folded, faults) = Conversation::of(events(room.seen.log()));
        run.faults.add_all(&format!("{} in {name}", person.user), faults);
        let right = &folds[name];
        let takes_part = right.members.contains_key(&person.user);
        let text = || format!("{name} at {} of {}", folded.position, right.position);
        let kind = match (takes_part, folded == *right) {
            (true, false) => "a client has another state than a fresh one",
            (false, true) if !room.seen.has_ended() => "a client has more than it may see",
            _ => continue,
        };
        run.faults.add(&person.user, Fault::new(kind, text()));
    }
}

/// What requests tell of a conversation is what its log says.
async fn requests(
    run: &Run,
    rest: &mut Rest,
    name: &str,
    folded: &Conversation,
    log: &[Arc<Entry>],
) -> Result<(), Failure> {
    let base = format!("/conversations/{name}");
    let mut messages: Vec<Message> = Vec::new();
    loop {
        let after = messages.last().map_or(0, |message| message.position);
        let path = format!("{base}/messages?limit={PAGE}&after={after}");
        let page: Vec<Message> = rest.get(&path).await?;
        messages.extend_from_slice(&page);
        if page.len() < PAGE {
            break;
        }
    }
    run.faults.add_all(name, compare(folded, &messages, &run.cast.host()));
    let members: Vec<Participant> = rest.get(&format!("{base}/participants")).await?;
    let members = members.into_iter().map(|member| (member.participant, member.role)).collect();
    tells(run, name, "participants", &folded.members, &members);
    let pins: Vec<Message> = rest.get(&format!("{base}/pins")).await?;
    let pins = pins.into_iter().map(|message| message.position).collect();
    tells(run, name, "pins", &folded.pins, &pins);
    let export = rest.ask(Method::GET, &format!("{base}/export"), None).await?;
    if !export.text().lines().eq(log.iter().map(|entry| &*entry.raw)) {
        let text = format!("{} bytes of {} events", export.text().len(), log.len());
        run.faults.add(name, Fault::new("the export differs from the log", text));
    }
    let end: Standing = rest.get(&base).await?;
    tells(run, name, "end", &(folded.position, folded.n), &(end.position, end.n));
    Ok(())
}

#[derive(Deserialize)]
struct Participant {
    participant: String,
    role: String,
}

/// A request must tell what follows from the log.
fn tells<T: PartialEq + std::fmt::Debug>(run: &Run, place: &str, what: &str, log: &T, told: &T) {
    if log != told {
        let text = format!("{what}: the log {log:?}, the request {told:?}");
        run.faults.add(place, Fault::new("a request tells something else than the log", text));
    }
}

/// What is unread is what somebody finds behind their own mark.
async fn standing(
    run: &Run,
    endpoint: &Endpoint,
    person: &Person,
    folds: &BTreeMap<String, Conversation>,
) -> anyhow::Result<()> {
    let mut rest = Rest::new(endpoint, &run.tokens.of(&person.user))?;
    let told: Vec<Value> = rest.get("/unread").await?;
    let number = |of: &Value, member: &str| of[member].as_u64().unwrap_or(u64::MAX);
    let told = told.iter().map(|of| {
        let numbers = ["unread", "mentions", "position", "read"].map(|member| number(of, member));
        (of["conversation"].as_str().unwrap_or_default().to_owned(), numbers)
    });
    let told: BTreeMap<String, [u64; 4]> = told.collect();
    let own = person.inbox.rooms().keys().filter_map(|name| {
        let folded = &folds[name];
        folded.members.get(&person.user)?;
        let read = expected(person, name, folded).read;
        let (unread, mentions) = (folded.unread(read), folded.mentions(&person.user, read));
        Some((name.clone(), [unread, mentions, folded.position, read]))
    });
    let own = own.collect();
    tells(run, &person.user, "unread, mentions, position, read", &own, &told);
    Ok(())
}

/// The marks that somebody must have.
fn expected(person: &Person, name: &str, folded: &Conversation) -> Receipt {
    let own = folded.read_by(&person.user);
    let marks = person.marks.get(name).copied().unwrap_or_default();
    Receipt {
        participant: person.user.clone(),
        delivered: marks.expected_delivered(own),
        read: marks.expected_read(own),
    }
}

/// The marks of all are what they said, and what others were told of them.
fn marks(run: &Run, people: &[Person], folds: &BTreeMap<String, Conversation>, heads: &Heads) {
    for person in people {
        for (name, room) in person.inbox.rooms() {
            let (folded, told) = (&folds[name], &heads[name].marks);
            if !folded.members.contains_key(&person.user) {
                continue;
            }
            let Receipt { delivered, read, .. } = expected(person, name, folded);
            let known = told.get(&person.user).copied().unwrap_or_default();
            tells(run, &person.user, &format!("marks in {name}"), &(delivered, read), &known);
            let differs = |(user, mark): &(&String, &(u64, u64))| {
                room.mark(user).is_some_and(|known| known != **mark)
            };
            let differing = told.iter().filter(|(user, _)| folded.members.contains_key(*user));
            if let Some((user, mark)) = differing.into_iter().find(differs) {
                let known = room.mark(user);
                let text = format!("{name}: {user} has {mark:?}, frames told {known:?}");
                run.faults.add(&person.user, Fault::new("frames tell other marks", text));
            }
        }
    }
}
