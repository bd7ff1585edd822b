//! `GET /openapi.json`: what this server answers to, for programs that make clients, tests and pages of it.
//!
//! The document is kept by hand in `messages/openapi`, a file for each part of the interface, and put
//! together here. Only problems are not written out there: an operation names their codes in `x-problems`,
//! and the answers follow from these. Tests hold the document and the routes together.

use super::embedded;
use axum::{http::HeaderMap, response::Response};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

/// Each is a part of the document. A test sees to it that they can be read.
const PIECES: [&str; 11] = [
    include_str!("../../openapi/document.json"),
    include_str!("../../openapi/pipe.json"),
    include_str!("../../openapi/streams.json"),
    include_str!("../../openapi/subscriptions.json"),
    include_str!("../../openapi/conversations.json"),
    include_str!("../../openapi/messages.json"),
    include_str!("../../openapi/receipts.json"),
    include_str!("../../openapi/webhooks.json"),
    include_str!("../../openapi/access.json"),
    include_str!("../../openapi/socket.json"),
    include_str!("../../openapi/operation.json"),
];

const PROBLEMS: &str = include_str!("../../openapi/problems.json");

/// Where an operation names the codes of its problems.
const NAMES: &str = "x-problems";

/// What can happen to every request.
const ANY: &str = "@any";

static DOCUMENT: LazyLock<Vec<u8>> =
    LazyLock::new(|| serde_json::to_vec(&document()).unwrap_or_default());

/// The document. Like the paths of a server that everybody may try, it is public.
pub(super) async fn show(headers: HeaderMap) -> Response {
    embedded::answer(&headers, "application/json", &DOCUMENT)
}

fn document() -> Value {
    let mut document = Value::Null;
    for piece in PIECES {
        merge(&mut document, serde_json::from_str(piece).unwrap_or_default());
    }
    document["info"]["version"] = crate::VERSION.into();
    let problems: Problems = serde_json::from_str(PROBLEMS).unwrap_or_default();
    let (own, subscription) = problems.all();
    document["components"]["schemas"]["Problem"]["properties"]["code"]["enum"] = json!(own);
    let of_subscriptions = &mut document["components"]["schemas"]["SubscriptionProblem"];
    of_subscriptions["properties"]["error"]["properties"]["code"]["enum"] = json!(subscription);
    let paths = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in paths.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        problems.write_out(operation);
    }
    document
}

/// Puts a part to what there is.
fn merge(document: &mut Value, piece: Value) {
    match (document, piece) {
        (Value::Object(document), Value::Object(piece)) => {
            for (name, value) in piece {
                merge(document.entry(name).or_insert(Value::Null), value);
            }
        }
        (document, piece) => *document = piece,
    }
}

/// The codes of all problems.
#[derive(Default, Deserialize)]
struct Problems {
    /// By status.
    codes: BTreeMap<String, Vec<String>>,
    /// Those that come together have a name, which begins with `@` where it is used.
    groups: BTreeMap<String, Vec<String>>,
}

impl Problems {
    /// All codes, and then those of the protocol of subscriptions, which has capital letters.
    fn all(&self) -> (BTreeSet<&str>, BTreeSet<&str>) {
        self.codes.values().flatten().map(String::as_str).partition(|code| !is_of_protocol(code))
    }

    /// The answers of an operation that are problems, in place of their names.
    fn write_out(&self, operation: &mut Value) {
        let Some(names) = operation.as_object_mut().and_then(|members| members.remove(NAMES))
        else {
            return;
        };
        let mut answers = BTreeMap::new();
        for name in names.as_array().into_iter().flatten().filter_map(Value::as_str).chain([ANY]) {
            self.find(name, &mut answers);
        }
        for (status, codes) in answers {
            operation["responses"][status] = answer(status, &codes);
        }
    }

    /// What a name stands for, by status: a group, a code, or one of the statuses of a code.
    fn find<'a>(&'a self, name: &'a str, found: &mut BTreeMap<&'a str, BTreeSet<&'a str>>) {
        if let Some(group) = name.strip_prefix('@') {
            self.groups.get(group).into_iter().flatten().for_each(|name| self.find(name, found));
            return;
        }
        let (only, code) = match name.split_once(' ') {
            Some((status, code)) => (Some(status), code),
            None => (None, name),
        };
        for (status, codes) in &self.codes {
            if only.is_none_or(|only| only == status) && codes.iter().any(|known| known == code) {
                found.entry(status).or_default().insert(code);
            }
        }
    }
}

fn is_of_protocol(code: &str) -> bool {
    code.starts_with(|first: char| first.is_ascii_uppercase())
}

/// The answer with this status, which has one of these codes.
fn answer(status: &str, codes: &BTreeSet<&str>) -> Value {
    let (protocol, own): (Vec<&str>, Vec<&str>) =
        codes.iter().copied().partition(|code| is_of_protocol(code));
    let words: Vec<String> = codes.iter().map(|code| format!("`{code}`")).collect();
    let mut answer = json!({"description": words.join(", "), "content": {}});
    if !own.is_empty() {
        answer["content"]["application/problem+json"]["schema"] = json!({
            "$ref": "#/components/schemas/Problem",
            "properties": {"code": {"enum": own}},
        });
    }
    if !protocol.is_empty() {
        answer["content"]["application/json"]["schema"] = json!({
            "$ref": "#/components/schemas/SubscriptionProblem",
            "properties": {"error": {"properties": {"code": {"enum": protocol}}}},
        });
    }
    let of_status = match status {
        "401" => &["WWW-Authenticate"][..],
        "426" => &["Upgrade"],
        "429" | "503" => &["Retry-After"],
        _ => &[],
    };
    let of_codes = codes.iter().flat_map(|code| helpers(code));
    for header in ["X-Request-Id"].iter().chain(of_status).chain(of_codes) {
        answer["headers"][header] = json!({"$ref": format!("#/components/headers/{header}")});
    }
    answer
}

/// The headers of a problem that say how to go on.
fn helpers(code: &str) -> &'static [&'static str] {
    match code {
        "stream_closed" => &["Stream-Next-Offset", "Stream-Closed", "Stream-Closed-Reason"],
        "offset_mismatch" | "offset_beyond_end" | "stream_too_long" | "trimmed" | "broken_off"
        | "body_timeout" => &["Stream-Next-Offset"],
        "producer_gap" => &["Producer-Expected-Seq", "Producer-Received-Seq"],
        "producer_fenced" => &["Producer-Epoch"],
        _ => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_piece_adds_something_of_its_own() {
        let count = |value: &Value| {
            let paths = value["paths"].as_object().map_or(0, Map::len);
            let components = value["components"].as_object();
            paths + components.into_iter().flat_map(Map::values).map(names).sum::<usize>()
        };
        let pieces = PIECES.map(|piece| serde_json::from_str(piece).expect("JSON"));
        assert_eq!(count(&document()), pieces.iter().map(count).sum::<usize>());
    }

    fn names(value: &Value) -> usize {
        value.as_object().map_or(0, Map::len)
    }

    #[test]
    fn every_problem_that_an_operation_names_is_known() {
        let problems: Problems = serde_json::from_str(PROBLEMS).expect("JSON");
        let pieces = PIECES.map(|piece| serde_json::from_str::<Value>(piece).expect("JSON"));
        let paths = pieces.iter().filter_map(|piece| piece["paths"].as_object());
        let operations = paths.flat_map(Map::values).filter_map(Value::as_object);
        let named = operations.flat_map(Map::values).filter_map(|operation| operation.get(NAMES));
        let named =
            named.flat_map(|names| names.as_array().expect("an array")).filter_map(Value::as_str);
        for name in named.chain(problems.groups.values().flatten().map(String::as_str)) {
            let mut found = BTreeMap::new();
            problems.find(name, &mut found);
            assert!(!found.is_empty(), "{name}");
            let is_code = !name.starts_with('@');
            assert!(!is_code || found.len() == 1, "{name} has several statuses: say which");
        }
    }
}
