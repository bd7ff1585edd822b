//! `GET /openapi.json`: it is there for everybody, and says of this server what is so.

mod common;

use common::{Setup, TestServer, request};
use http::{Method, StatusCode};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

const ROUTES: [&str; 2] =
    [include_str!("../src/http/mod.rs"), include_str!("../src/http/chat/mod.rs")];

/// What the server takes apart by itself.
const STREAMS: &str = include_str!("../src/http/protocol/mod.rs");
const SUBSCRIPTIONS: &str = include_str!("../src/http/subscriptions/path.rs");

/// Codes by status, as the document has them.
const PROBLEMS: &str = include_str!("../openapi/problems.json");

async fn document(server: &TestServer) -> Value {
    let answer = server.get("/openapi.json").await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "application/json"));
    answer.json()
}

/// Methods by path.
fn operations(document: &Value) -> BTreeMap<String, BTreeSet<String>> {
    let paths = document["paths"].as_object().expect("paths");
    let methods = |item: &Value| {
        let members =
            item.as_object().expect("an object").keys().filter(|key| *key != "parameters");
        members.map(|method| method.to_uppercase()).collect()
    };
    paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect()
}

#[tokio::test]
async fn it_is_public_and_costs_nothing_to_whoever_has_it() {
    let setup = Setup::new().await.env("AUTH_SECRET", "a secret of this test, and of nothing else");
    let server = setup.start().await;
    server.get("/v1/streams").await.problem(401, "missing_token");
    let answer = server.get("/openapi.json").await;
    let (etag, length) =
        (answer.header("etag").to_owned(), answer.header("content-length").to_owned());
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (200, "no-cache"));
    assert_eq!(answer.json()["openapi"], "3.1.0");
    let head = server.head("/openapi.json").await;
    assert_eq!((head.status.as_u16(), head.header("etag")), (200, &*etag));
    assert_eq!((head.header("content-length"), head.body.len()), (&*length, 0));
    let known = request(Method::GET, "/openapi.json", &[("if-none-match", &etag)], "".into());
    let known = server.send(known).await;
    assert_eq!((known.status.as_u16(), known.body.len()), (304, 0));
}

/// Without the names of its parameters.
fn shape(path: &str) -> String {
    let segments = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part });
    segments.collect::<Vec<_>>().join("/")
}

/// The literals of a source that stand right behind `words`.
fn literals<'a>(source: &'a str, words: &'a str) -> impl Iterator<Item = &'a str> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let behind = source.split(words).skip(1).map(str::trim_start);
    behind.filter_map(|text| text.strip_prefix('"')?.split('"').next())
}

/// All paths that the sources route.
fn routed() -> BTreeSet<String> {
    let mut paths: BTreeSet<String> =
        ROUTES.iter().flat_map(|source| literals(source, ".route(")).map(shape).collect();
    let root = literals(STREAMS, "const ROOT: &str =").next().expect("the root of streams");
    paths.insert(format!("{root}{{}}"));
    // One handler takes all of these apart.
    let subscriptions = format!("{root}__ds");
    paths.retain(|path| !path.starts_with(&subscriptions));
    let one = format!("{subscriptions}/subscriptions/{{}}");
    let below = literals(SUBSCRIPTIONS, "Some(").map(|action| format!("{one}/{action}"));
    paths.extend(below);
    paths.extend([format!("{one}/streams/{{}}"), format!("{subscriptions}/jwks.json"), one]);
    paths
}

#[tokio::test]
async fn every_path_and_method_is_documented_and_what_is_documented_is_there() {
    let server = Setup::new().await.start().await;
    let document = document(&server).await;
    let documented = operations(&document);
    assert_eq!(documented.keys().map(|path| shape(path)).collect::<BTreeSet<_>>(), routed());
    for (path, methods) in documented {
        let target = shape(&path).replace("{}", "x");
        let nonsense = "NONSENSE".parse().expect("a method");
        let answer = server.send(request(nonsense, &target, &[], "".into())).await;
        assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{path}");
        let allowed = answer.header("allow").split(',').map(str::trim);
        // Whatever is read can be asked for its head, and what is an alias of a change cannot.
        let read = &document["paths"][&path]["get"];
        let is_read = read.is_object() && read["deprecated"].is_null();
        assert_eq!(allowed.clone().any(|method| method == "HEAD"), is_read, "{path}");
        // OpenAPI has no CONNECT.
        let allowed = allowed.filter(|method| !["HEAD", "CONNECT"].contains(method));
        let methods = methods.iter().map(String::as_str).filter(|method| *method != "HEAD");
        assert!(
            allowed.collect::<BTreeSet<_>>() == methods.collect(),
            "{path}: {:?}",
            answer.headers
        );
    }
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let entries =
        fs::read_dir(dir).expect("a directory").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

/// The status that `words` end with, before the code of a problem: the name of one, or `None` for one
/// that is said elsewhere. Nothing if no code of a problem comes there.
fn status(words: &str) -> Option<Option<&str>> {
    let calls = ["new(", "problem(", "bad_request(", "malformed(", "let code ="];
    if calls.iter().any(|call| words.ends_with(call)) {
        return Some(None);
    }
    let word = words.strip_suffix(',')?.rsplit(['(', ' ', '\n']).next()?;
    match word.rsplit_once("::") {
        Some(("S" | "StatusCode", name)) => Some(Some(name)),
        _ => (word == "status").then_some(None),
    }
}

/// The codes of problems in a source, with the names of their statuses where these stand before them.
fn codes(source: &str) -> Vec<(Option<&str>, &str)> {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let mut found = Vec::new();
    let is_code = |text: &str| {
        text.bytes().all(|byte| byte == b'_' || byte.is_ascii_alphabetic()) && !text.is_empty()
    };
    for (place, _) in source.match_indices('"') {
        let text = source[place + 1..].split('"').next().unwrap_or_default();
        if let Some(status) = status(source[..place].trim_end()).filter(|_| is_code(text)) {
            found.push((status, text));
        }
    }
    found
}

fn number(name: &str) -> String {
    let known = (400..600).filter_map(|number| StatusCode::from_u16(number).ok());
    let mut named = known.filter(|status| {
        let reason = status.canonical_reason().unwrap_or_default();
        reason.to_uppercase().replace([' ', '-'], "_") == name
    });
    named.next().unwrap_or_else(|| panic!("{name} is no status")).as_u16().to_string()
}

#[tokio::test]
async fn every_problem_is_documented_and_what_is_documented_can_happen() {
    let server = Setup::new().await.start().await;
    let document = document(&server).await;
    let schemas = &document["components"]["schemas"];
    let own = &schemas["Problem"]["properties"]["code"]["enum"];
    let error = &schemas["SubscriptionProblem"]["properties"]["error"];
    let all = [own, &error["properties"]["code"]["enum"]];
    let all = all.into_iter().flat_map(|codes| codes.as_array().expect("codes"));
    let documented: BTreeSet<&str> = all.filter_map(Value::as_str).collect();

    let files = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/http"));
    let files: Vec<String> =
        files.iter().map(|file| fs::read_to_string(file).expect("a source")).collect();
    let found: BTreeSet<_> = files.iter().flat_map(|source| codes(source)).collect();
    assert_eq!(found.iter().map(|(_, code)| *code).collect::<BTreeSet<_>>(), documented);

    let problems: Value = serde_json::from_str(PROBLEMS).expect("JSON");
    for (status, code) in found {
        let Some(status) = status.map(number) else { continue };
        let known = problems["codes"][&status].as_array().expect("a status");
        assert!(known.iter().any(|known| known == code), "{status} {code}");
    }
}

/// Everything in the document that is an object with `properties`, with where it is.
fn objects<'a>(value: &'a Value, place: &str, found: &mut Vec<(String, &'a Value)>) {
    if value["properties"].is_object() {
        found.push((place.to_owned(), value));
    }
    let members = value.as_object().into_iter().flatten();
    members.for_each(|(name, value)| objects(value, &format!("{place}/{name}"), found));
    let elements = value.as_array().into_iter().flatten().enumerate();
    elements.for_each(|(index, value)| objects(value, &format!("{place}/{index}"), found));
}

/// What cannot be there and must be is nowhere; tools that make up values put it right in silence.
#[tokio::test]
async fn what_an_object_must_have_it_may_have() {
    let server = Setup::new().await.start().await;
    let document = document(&server).await;
    let mut found = Vec::new();
    objects(&document, "", &mut found);
    assert!(found.len() > 50);
    for (place, object) in found {
        let required = object["required"].as_array().into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            assert!(object["properties"][name].is_object(), "{place}: {name}");
        }
    }
}

#[tokio::test]
async fn every_problem_says_what_the_request_is_called_and_so_does_the_document() {
    let server = Setup::new().await.start().await;
    let document = document(&server).await;
    let known = &document["components"]["schemas"]["Problem"]["properties"];
    let answer = server.get("/v1/stream/nothing").await;
    answer.problem(404, "stream_not_found");
    let members = answer.json();
    for name in members.as_object().expect("an object").keys() {
        assert!(known[name].is_object(), "{name}");
    }
    assert_eq!(members["request_id"], answer.header("x-request-id"));
    let responses = &document["paths"]["/v1/stream/{stream}"]["get"]["responses"];
    assert!(responses["404"]["headers"]["X-Request-Id"].is_object(), "{responses}");
}

/// By what the document says that one may come in: what each way in gets when it is tried.
#[tokio::test]
async fn a_signed_url_is_good_for_just_what_is_said() {
    let setup = Setup::new().await.env("AUTH_SECRET", "a secret of this test, and of nothing else");
    let server = setup.start().await;
    let made = setup.run(&["token", "--url", "/?id=x"]);
    let url = String::from_utf8(made.stdout).expect("a URL");
    let (_, signed) = url.trim().split_once("signed=").expect("a signature");
    let document = document(&server).await;
    let mut signable = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        let target = shape(path).replace("{}", "x");
        let query = if path == "/" { "id=x&" } else { "" };
        for (method, operation) in item.as_object().expect("operations") {
            // What needs nobody lets everybody in, and one more kind of token has nothing to do with URLs.
            let own = &operation["security"];
            let ways = if own.is_null() { &document["security"] } else { own };
            let ways = ways.as_array().expect("ways");
            if method == "parameters" || !ways.iter().any(|way| way["bearer"].is_array()) {
                continue;
            }
            let asked = format!("{target}?{query}signed={signed}");
            let asked =
                request(method.to_uppercase().parse().expect("a method"), &asked, &[], "".into());
            let answer = server.send(asked).await;
            let is_in = ![400, 401, 403, 426].contains(&answer.status.as_u16());
            let is_said = ways.iter().any(|way| way["signed"].is_array());
            assert_eq!(is_in, is_said, "{method} {path}: {}", answer.status);
            signable += usize::from(is_said);
        }
    }
    assert_eq!(signable, 4);
}

/// What helps to go on is in headers of refusals, and clients that are made from the document look for it there.
#[tokio::test]
async fn what_a_refusal_tells_in_headers_is_documented() {
    let server = Setup::new().await.start().await;
    let document = document(&server).await;
    let append = |headers: &[(&str, &str)]| {
        let text = ("content-type", "application/octet-stream");
        let headers = [&[text], headers].concat();
        server.send(request(Method::POST, "/v1/stream/x", &headers, "more".into()))
    };
    let by = |epoch, seq| [("producer-id", "p"), ("producer-epoch", epoch), ("producer-seq", seq)];
    server.put("/?id=x&close=false", "first").await;
    assert_eq!(append(&by("1", "0")).await.status, 200);
    let gap = append(&by("1", "7")).await;
    let fenced = append(&by("0", "0")).await;
    let mismatch = server.put("/?id=x&offset=1", "other").await;
    let beyond = server.get("/v1/stream/x?offset=0000000000000009_0000000000000099").await;
    server.put("/?id=x", "").await;
    let closed = append(&[]).await;
    for (answer, method, path, code, count) in [
        (gap, "post", "/v1/stream/{stream}", "producer_gap", 2),
        (fenced, "post", "/v1/stream/{stream}", "producer_fenced", 1),
        (mismatch, "put", "/", "offset_mismatch", 1),
        (beyond, "get", "/v1/stream/{stream}", "offset_beyond_end", 1),
        (closed, "post", "/v1/stream/{stream}", "stream_closed", 3),
    ] {
        answer.problem(answer.status.as_u16(), code);
        let said = &document["paths"][path][method]["responses"][answer.status.as_str()]["headers"];
        let said = said.as_object().expect("headers");
        let told = answer.headers.keys().map(|name| name.as_str());
        let told = told.filter(|name| name.starts_with("stream-") || name.starts_with("producer-"));
        let told: Vec<&str> = told.collect();
        assert_eq!(told.len(), count, "{code}: {told:?}");
        for name in told {
            assert!(said.keys().any(|said| said.eq_ignore_ascii_case(name)), "{code}: {name}");
        }
    }
}
