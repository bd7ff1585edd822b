//! What is told of subscriptions: the JSON documents of the wire.

use super::{Delivery, Hook, Keys, Link, Stage, Subscription, SubscriptionId};
use crate::{limits::WAKE_STREAMS_MAX, model::Offset};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;

/// The paths that are the server's own.
pub const ROOT: &str = "/v1/stream/__ds";

/// What stands for itself in a segment of a path (RFC 3986: unreserved).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A subscription.
#[derive(Clone, Debug, Serialize)]
pub struct Description {
    id: String,
    subscription_id: String,
    #[serde(flatten)]
    place: Option<Place>,
    r#type: &'static str,
    pattern: Option<String>,
    streams: Vec<Cursor>,
    webhook: Option<Webhook>,
    wake_stream: Option<String>,
    lease_ttl_ms: u64,
    created_at: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<String>,
    description: Option<String>,
}

/// Where a webhook of a conversation belongs.
#[derive(Clone, Debug, Serialize)]
struct Place {
    conversation: String,
    owner: String,
}

/// How far a stream is processed.
#[derive(Clone, Debug, Serialize)]
pub struct Cursor {
    path: String,
    link_type: &'static str,
    acked_offset: String,
}

/// A stream with something new.
#[derive(Clone, Debug, Serialize)]
pub struct Pending {
    #[serde(flatten)]
    cursor: Cursor,
    tail_offset: String,
    has_pending: bool,
}

#[derive(Clone, Debug, Serialize)]
struct Webhook {
    url: String,
    signing: Signing,
}

#[derive(Clone, Debug, Serialize)]
struct Signing {
    alg: &'static str,
    kid: String,
    jwks_url: String,
}

/// What a webhook is sent. It holds a token, so nothing prints it.
#[derive(Clone, Serialize)]
pub struct Notification {
    subscription_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    conversation: Option<String>,
    wake_id: String,
    generation: u64,
    streams: Vec<Pending>,
    callback_url: String,
    callback_token: String,
}

/// What stands in a wake stream.
#[derive(Clone, Debug, Serialize)]
pub struct WakeEvent {
    r#type: &'static str,
    subscription_id: String,
    stream: String,
    generation: u64,
    ts: u64,
}

/// What a worker is told that has claimed. It holds a token, so nothing prints it.
#[derive(Clone, Serialize)]
pub struct Claimed {
    wake_id: String,
    generation: u64,
    token: String,
    streams: Vec<Pending>,
    lease_ttl_ms: u64,
}

fn cursor(stream: impl ToString, link: &Link) -> Cursor {
    Cursor {
        path: stream.to_string(),
        link_type: if link.explicit { "explicit" } else { "glob" },
        acked_offset: link.acked.to_string(),
    }
}

fn pending(stream: impl ToString, link: &Link, tail: Offset) -> Pending {
    let has_pending = Link { tail, ..*link }.is_pending();
    Pending { cursor: cursor(stream, link), tail_offset: tail.to_string(), has_pending }
}

/// The subscription as it is, for somebody who reaches this server at `origin`.
#[must_use]
pub fn describe(
    id: &SubscriptionId,
    subscription: &Subscription,
    keys: &Keys,
    origin: &str,
) -> Description {
    let Subscription { config, state, links } = subscription;
    let (kind, webhook) = match &config.delivery {
        Delivery::PullWake(_) => ("pull-wake", None),
        Delivery::Webhook(url) => {
            let jwks_url = format!("{origin}{ROOT}/jwks.json");
            let signing = Signing { alg: "ed25519", kid: keys.kid().into(), jwks_url };
            ("webhook", Some(Webhook { url: url.clone(), signing }))
        }
    };
    let retry = match state.wake.as_ref().map(|wake| &wake.stage) {
        Some(Stage::Outgoing { failures: 1.., next_attempt_ms }) => Some(*next_attempt_ms),
        _ => None,
    };
    let (name, place) = match Hook::of(id) {
        Some(Hook { conversation, owner, name, .. }) => (name, Some(Place { conversation, owner })),
        None => (id.to_string(), None),
    };
    Description {
        id: name,
        subscription_id: id.to_string(),
        place,
        r#type: kind,
        pattern: config.pattern.as_ref().map(ToString::to_string),
        streams: links.iter().map(|(stream, link)| cursor(stream, link)).collect(),
        webhook,
        wake_stream: config.wake_stream().map(ToString::to_string),
        lease_ttl_ms: config.lease_ttl_ms,
        created_at: timestamp(state.created_ms),
        status: if retry.is_some() { "failed" } else { "active" },
        next_attempt_at: retry.map(timestamp),
        description: config.description.clone(),
    }
}

/// What the webhook of the present wake is sent.
#[must_use]
pub fn notify(
    id: &SubscriptionId,
    subscription: &Subscription,
    keys: &Keys,
    origin: &str,
) -> Option<Notification> {
    let Subscription { state, links, .. } = subscription;
    let wake = state.wake.as_ref()?;
    let streams = wake.marks.iter().filter_map(|mark| {
        let link = links.get(&mark.stream).filter(|link| link.life == Some(mark.life()))?;
        Some(pending(&mark.stream, link, mark.tail))
    });
    let segment = utf8_percent_encode(id.as_str(), SEGMENT);
    Some(Notification {
        subscription_id: id.to_string(),
        conversation: Hook::of(id).map(|hook| hook.conversation),
        wake_id: wake.id.clone(),
        generation: state.generation,
        streams: streams.collect(),
        callback_url: format!("{origin}{ROOT}/subscriptions/{segment}/callback"),
        callback_token: keys.token(id, state.incarnation, state.generation),
    })
}

/// The event of the present wake.
#[must_use]
pub fn announce(
    id: &SubscriptionId,
    subscription: &Subscription,
    now_ms: u64,
) -> Option<WakeEvent> {
    let mark = subscription.state.wake.as_ref()?.marks.first();
    Some(WakeEvent {
        r#type: "wake",
        subscription_id: id.to_string(),
        stream: mark.map(|mark| mark.stream.to_string()).unwrap_or_default(),
        generation: subscription.state.generation,
        ts: now_ms,
    })
}

/// What the worker is told that holds the present wake.
#[must_use]
pub fn claimed(id: &SubscriptionId, subscription: &Subscription, keys: &Keys) -> Option<Claimed> {
    let Subscription { config, state, links } = subscription;
    let streams = links.pending().take(WAKE_STREAMS_MAX);
    Some(Claimed {
        wake_id: state.wake.as_ref()?.id.clone(),
        generation: state.generation,
        token: keys.token(id, state.incarnation, state.generation),
        streams: streams.map(|(stream, link)| pending(stream, link, link.tail)).collect(),
        lease_ttl_ms: config.lease_ttl_ms,
    })
}

/// Milliseconds since the Unix epoch as a date and a time of day, in UTC.
fn timestamp(ms: u64) -> String {
    let (secs, ms) = (ms / 1000, ms % 1000);
    let (days, secs) = (secs / 86_400, secs % 86_400);
    // Years that begin in March have the leap day at their end. 719,468 days before the epoch
    // begins an era of 400 of them.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, later) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + later;
    let (hour, minute, second) = (secs / 3600, secs / 60 % 60, secs % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z")
}

#[cfg(test)]
mod tests {
    use super::timestamp;

    #[test]
    fn times_are_told_as_dates() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (951_868_800_000, "2000-03-01T00:00:00.000Z"),
            (1_778_324_210_007, "2026-05-09T10:56:50.007Z"),
            (4_107_542_399_000, "2100-02-28T23:59:59.000Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00.000Z"),
        ] {
            assert_eq!(timestamp(ms), text);
        }
    }
}
