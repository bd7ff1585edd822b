//! Paths below `/v1/stream/__ds`. They are taken apart before they are decoded: a path of a stream
//! comes as one segment or as many, with its slashes encoded or not.

use crate::{
    model::StreamName,
    subscription::{ROOT, SubscriptionId, path},
};
use percent_encoding::percent_decode_str;

/// What a path leads to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// The public keys.
    Keys,
    /// A subscription, and what to do with it.
    Subscription(SubscriptionId, Action),
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Action {
    Itself,
    Streams,
    Stream(StreamName),
    Callback,
    Claim,
    Ack,
    Release,
}

impl Action {
    /// What may be done there.
    pub fn methods(&self) -> &'static str {
        match self {
            Self::Itself => "GET, HEAD, PUT, DELETE",
            Self::Stream(_) => "DELETE",
            Self::Streams | Self::Callback | Self::Claim | Self::Ack | Self::Release => "POST",
        }
    }
}

impl Target {
    /// Takes a path apart.
    pub fn parse(raw: &str) -> Option<Self> {
        let rest = raw.strip_prefix(ROOT)?.strip_prefix('/')?;
        if rest == "jwks.json" {
            return Some(Self::Keys);
        }
        let rest = rest.strip_prefix("subscriptions/")?;
        let (id, rest) = rest.split_once('/').map_or((rest, None), |(id, rest)| (id, Some(rest)));
        let id = decode(id)?;
        let action = match rest {
            None => Action::Itself,
            Some("streams") => Action::Streams,
            Some("callback") => Action::Callback,
            Some("claim") => Action::Claim,
            Some("ack") => Action::Ack,
            Some("release") => Action::Release,
            Some(rest) => Action::Stream(path(&decode(rest.strip_prefix("streams/")?)?).ok()?),
        };
        // The server tells its own ids only to those who report with the token of a wake.
        let id = if action == Action::Callback { SubscriptionId::kept(&id) } else { id.parse() };
        Some(Self::Subscription(id.ok()?, action))
    }
}

fn decode(text: &str) -> Option<String> {
    Some(percent_decode_str(text).decode_utf8().ok()?.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_taken_apart_before_they_are_decoded() {
        let parse = |rest: &str| Target::parse(&format!("/v1/stream/__ds{rest}"));
        let of = |id: &str, action| Some(Target::Subscription(id.parse().expect("an id"), action));
        let stream = |name: &str| Action::Stream(name.parse().expect("a name"));
        assert_eq!(parse("/jwks.json"), Some(Target::Keys));
        assert_eq!(parse("/subscriptions/a"), of("a", Action::Itself));
        assert_eq!(parse("/subscriptions/a%2Fclaim"), of("a/claim", Action::Itself));
        assert_eq!(parse("/subscriptions/%C3%A4%20b/claim"), of("ä b", Action::Claim));
        assert_eq!(parse("/subscriptions/streams/streams"), of("streams", Action::Streams));
        for text in ["x%2Fy", "x/y", "/x/y", "x/y/", "%2Fx%2fy"] {
            let found = parse(&format!("/subscriptions/a/streams/{text}"));
            assert_eq!(found, of("a", stream("x/y")), "{text}");
        }
        assert_eq!(parse("/subscriptions/a/streams/x%252Fy"), of("a", stream("x%2Fy")));
        let own = SubscriptionId::kept("__chat/h/x/1/y/z").expect("an id");
        let callback = parse("/subscriptions/__chat%2Fh%2Fx%2F1%2Fy%2Fz/callback");
        assert_eq!(callback, Some(Target::Subscription(own, Action::Callback)));
        for bad in [
            "/subscriptions/__chat%2Fh%2Fx%2F1%2Fy%2Fz",
            "/subscriptions/__chat%2Fh%2Fx%2F1%2Fy%2Fz/claim",
            "/subscriptions/__chat%2Fh%2Fx%2F1%2Fy%2Fz/ack",
            "/subscriptions/__chat%2Fh%2Fx%2F1%2Fy%2Fz/streams",
            "/subscriptions/a/streams/__chat%2Fc%2Fteam",
            "",
            "/",
            "x",
            "/jwks.json/",
            "/other",
            "/subscriptions",
            "/subscriptions/",
            "/subscriptions//claim",
            "/subscriptions/a/",
            "/subscriptions/a/other",
            "/subscriptions/a/claim/x",
            "/subscriptions/a/streams/",
            "/subscriptions/%FF",
            "/subscriptions/a/streams/__ds/x",
            "/subscriptions/%00",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
