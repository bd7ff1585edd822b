//! The console: a page at `/` for people with a browser. Its files are part of the program, so that it
//! needs nothing else, and it does everything through the same routes as any other client.
//!
//! The page holds what strangers have written, so a browser is told to run and load nothing but these
//! files, and to connect to nobody but this server.

use super::{App, embedded, problem::Problem, read};
use axum::{
    extract::{Path, State},
    http::{HeaderMap, HeaderName, HeaderValue, Uri, header},
    response::Response,
};

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src 'self' data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

/// What goes with every file.
const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

struct File {
    path: &'static str,
    body: &'static [u8],
}

macro_rules! files {
    ($($path:literal),* $(,)?) => {
        &[$(File { path: $path, body: include_bytes!(concat!("../../console/", $path)) }),*]
    };
}

const PAGE: &str = "index.html";

const FILES: &[File] = files![
    "api.js",
    "app.js",
    "console.css",
    "dom.js",
    "format.js",
    "icon.svg",
    "index.html",
    "nodes.js",
    "session.js",
    "socket.js",
    "theme.js",
    "chat/composer.js",
    "chat/conversation.js",
    "chat/dialogs.js",
    "chat/list.js",
    "chat/message.js",
    "chat/outbox.js",
    "chat/page.js",
    "chat/room.js",
    "chat/store.js",
    "chat/timeline.js",
    "health/chart.js",
    "health/metrics.js",
    "health/page.js",
    "streams/append.js",
    "streams/content.js",
    "streams/dialogs.js",
    "streams/list.js",
    "streams/rates.js",
    "streams/stream.js",
    "streams/view.js",
];

/// `GET /`: the page for those who want to look at one, and streams for everybody else.
pub(super) async fn front(
    State(app): State<App>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    if is_for_people(&uri, &headers) {
        return file(Path(PAGE.to_owned()), headers).await;
    }
    read::read(State(app), uri, headers).await
}

/// A file of the page. All of them are public: what they show is asked for with a token.
pub(super) async fn file(
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let file = FILES.iter().find(|file| file.path == path).ok_or_else(Problem::not_found)?;
    let mut response = embedded::answer(&headers, file.content_type(), file.body);
    let answer = response.headers_mut();
    answer.extend(HEADERS.map(|(name, value)| (name, HeaderValue::from_static(value))));
    if path == PAGE {
        answer.insert(header::VARY, HeaderValue::from_static("accept"));
    }
    Ok(response)
}

/// Whether a request is that of a browser for a page, and not for a stream.
fn is_for_people(uri: &Uri, headers: &HeaderMap) -> bool {
    let names_stream =
        uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("id=")));
    let accepted = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let mut types = accepted.flat_map(|types| types.split(','));
    let is_html = |part: &str| {
        part.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("text/html")
    };
    !names_stream && types.any(is_html)
}

impl File {
    fn content_type(&self) -> &'static str {
        match self.path.rsplit('.').next() {
            Some("html") => "text/html; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("svg") => "image/svg+xml",
            _ => "text/javascript; charset=utf-8",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::BTreeSet, fs, path::Path};

    fn wants_page(url: &str, accept: &'static str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(accept));
        is_for_people(&url.parse().expect("a URL"), &headers)
    }

    #[test]
    fn the_page_is_for_browsers_that_name_no_stream() {
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert!(wants_page("/", browser) && wants_page("/", "TEXT/HTML;q=0.5"));
        assert!(!wants_page("/?id=a", browser) && !wants_page("/?offset=1&id=a", browser));
        assert!(!wants_page("/", "*/*") && !wants_page("/", "application/json"));
        assert!(!is_for_people(&Uri::from_static("/"), &HeaderMap::new()));
    }

    fn names(dir: &Path, before: &str, found: &mut BTreeSet<String>) {
        for entry in fs::read_dir(dir).expect("a directory") {
            let entry = entry.expect("an entry");
            let name = format!("{before}{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() {
                names(&entry.path(), &format!("{name}/"), found);
            } else {
                found.insert(name);
            }
        }
    }

    #[test]
    fn every_file_of_the_page_is_served() {
        let mut there = BTreeSet::new();
        names(&Path::new(env!("CARGO_MANIFEST_DIR")).join("console"), "", &mut there);
        let served: BTreeSet<String> = FILES.iter().map(|file| file.path.to_owned()).collect();
        assert_eq!(there, served);
    }

    #[test]
    fn tags_tell_files_apart() {
        let tags: BTreeSet<String> = FILES.iter().map(|file| embedded::etag(file.body)).collect();
        assert_eq!(tags.len(), FILES.len());
    }
}
