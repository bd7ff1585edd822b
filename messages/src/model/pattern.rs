//! Patterns over stream names, as subscriptions and grants use them.

use crate::limits::STREAM_NAME_BYTES_MAX;
use std::{fmt, str::FromStr};

/// A pattern over the `/`-separated segments of a stream name: `*` stands for one segment, `**` for
/// any number of them, none included; everything else for itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(Box<str>);

impl Pattern {
    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether `name` fits the whole pattern.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        // The two-pointer walk of wildcard matching: on a mismatch the last `**` takes one segment
        // more. Linear memory, quadratic time at worst.
        let pattern: Vec<&str> = self.0.split('/').collect();
        let segments: Vec<&str> = name.split('/').collect();
        let (mut at, mut segment, mut again) = (0, 0, None);
        while segment < segments.len() {
            match pattern.get(at) {
                Some(&"**") => {
                    again = Some((at + 1, segment));
                    at += 1;
                }
                Some(&part) if part == "*" || part == segments[segment] => {
                    at += 1;
                    segment += 1;
                }
                _ => match again {
                    Some((behind, taken)) => {
                        again = Some((behind, taken + 1));
                        (at, segment) = (behind, taken + 1);
                    }
                    None => return false,
                },
            }
        }
        pattern[at..].iter().all(|part| *part == "**")
    }

    /// Whether every name that fits `other` fits this one, as far as that can be told segment by
    /// segment: a no may be wrong, a yes is not.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let own: Vec<&str> = self.0.split('/').collect();
        let others: Vec<&str> = other.0.split('/').collect();
        // From the end: whether the rest of this one covers the rest of the other.
        let mut behind: Vec<bool> = vec![false; others.len() + 1];
        behind[others.len()] = true;
        for part in own.iter().rev() {
            let mut here = vec![false; others.len() + 1];
            here[others.len()] = *part == "**" && behind[others.len()];
            for (at, segment) in others.iter().enumerate().rev() {
                here[at] = match *part {
                    "**" => behind[at] || here[at + 1],
                    "*" => *segment != "**" && behind[at + 1],
                    part => part == *segment && behind[at + 1],
                };
            }
            behind = here;
        }
        behind[0]
    }

    /// What every name that fits begins with.
    #[must_use]
    pub fn literal_prefix(&self) -> &str {
        let mut end = 0;
        for part in self.0.split_inclusive('/') {
            match part.trim_end_matches('/') {
                // `a/**` also fits `a`, without the slash.
                "**" => return self.0[..end].trim_end_matches('/'),
                "*" => return &self.0[..end],
                _ => end += part.len(),
            }
        }
        &self.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let mixed = |part: &str| part.contains('*') && part != "*" && part != "**";
        if text.is_empty() || text.len() > STREAM_NAME_BYTES_MAX || text.split('/').any(mixed) {
            return Err(InvalidPattern);
        }
        Ok(Self(text.into()))
    }
}

/// Not a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a pattern has 1 to {STREAM_NAME_BYTES_MAX} bytes, and `*` or `**` only as a whole segment between slashes"
)]
pub struct InvalidPattern;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pattern(text: &str) -> Pattern {
        text.parse().expect("a pattern")
    }

    /// The definition, without thought of its cost.
    fn plainly(pattern: &[&str], name: &[&str]) -> bool {
        match (pattern, name) {
            ([], []) => true,
            (["**", rest @ ..], _) => (0..=name.len()).any(|taken| plainly(rest, &name[taken..])),
            (["*", rest @ ..], [_, others @ ..]) => plainly(rest, others),
            ([part, rest @ ..], [first, others @ ..]) => part == first && plainly(rest, others),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_agrees_with_the_definition(
            parts in prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "**"]), 1..6),
            segments in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..6),
        ) {
            let (pattern, name) = (pattern(&parts.join("/")), segments.join("/"));
            prop_assert_eq!(pattern.matches(&name), plainly(&parts, &segments));
            prop_assert!(!pattern.matches(&name) || name.starts_with(pattern.literal_prefix()));
        }

        #[test]
        fn what_is_covered_fits(
            own in prop::collection::vec(prop::sample::select(vec!["a", "*", "**"]), 1..5),
            other in prop::collection::vec(prop::sample::select(vec!["a", "b", "*", "**"]), 1..5),
            segments in prop::collection::vec(prop::sample::select(vec!["a", "b"]), 1..6),
        ) {
            let (own, other, name) = (pattern(&own.join("/")), pattern(&other.join("/")), segments.join("/"));
            prop_assert!(!(own.covers(&other) && other.matches(&name)) || own.matches(&name));
            prop_assert!(own.covers(&own) && pattern("**").covers(&own));
        }
    }

    #[test]
    fn stars_are_whole_segments() {
        for (text, yes, no) in [
            ("events/*", "events/a", "events/a/b"),
            ("events/**", "events", "event"),
            ("**", "a/b/c", "\0"),
            ("a/**/z", "a/b/c/z", "a/b"),
            ("*", "a", "a/b"),
        ] {
            assert!(pattern(text).matches(yes), "{text} {yes}");
            assert!(no == "\0" || !pattern(text).matches(no), "{text} {no}");
        }
        for bad in ["", "a*", "***", "a/b*c"] {
            assert_eq!(bad.parse::<Pattern>(), Err(InvalidPattern), "{bad}");
        }
    }

    #[test]
    fn a_grant_covers_what_is_narrower() {
        for (own, other, want) in [
            ("events/*", "events/a", true),
            ("events/*", "events/*", true),
            ("events/*", "events/**", false),
            ("events/**", "events/*/x", true),
            ("events/a", "events/*", false),
            ("a/**", "**", false),
        ] {
            assert_eq!(pattern(own).covers(&pattern(other)), want, "{own} {other}");
        }
    }

    #[test]
    fn hostile_patterns_are_matched_in_time() {
        let (text, name) = ("**/a/".repeat(80) + "b", "a/".repeat(250) + "c");
        assert!(!pattern(&text).matches(&name));
    }
}
