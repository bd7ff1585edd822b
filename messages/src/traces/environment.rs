//! What the environment says of traces (OpenTelemetry specification, "Environment Variable Specification" and
//! "OTLP Exporter Configuration"). What a variable for traces says goes before what one for everything says.

use crate::limits::SPAN_EXPORT_WAIT_MS;
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use opentelemetry::{Key, KeyValue};
use opentelemetry_sdk::Resource;
use percent_encoding::percent_decode_str;
use std::{env, time::Duration};

/// What the server is called where nothing else is said.
const SERVICE: &str = "messages";

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

/// Why there can be no traces as the environment asks for them.
#[derive(Debug, thiserror::Error)]
pub enum TracesError {
    /// A variable has a value that this server can do nothing with.
    #[error("{name} is {value:?}; this server takes {takes}")]
    Value {
        /// The variable.
        name: &'static str,
        /// What it has.
        value: String,
        /// What it may have.
        takes: &'static str,
    },
    /// What is in it may be secret, and is not said.
    #[error("{0} is no list of name=value, separated by commas")]
    Headers(&'static str),
    /// There is no TLS.
    #[error("traces cannot be exported: {0}")]
    Tls(#[from] rustls::Error),
}

/// Whether the environment names a collector, and nothing against it.
pub(super) fn is_wanted() -> Result<bool, TracesError> {
    let is_off = variable("OTEL_SDK_DISABLED").is_some_and(|it| it.eq_ignore_ascii_case("true"));
    if is_off || first([TRACES_ENDPOINT, ENDPOINT]).is_none() {
        return Ok(false);
    }
    match variable("OTEL_TRACES_EXPORTER").as_deref() {
        Some("none") => return Ok(false),
        None | Some("otlp") => {}
        Some(other) => return Err(refused("OTEL_TRACES_EXPORTER", other, "otlp and none")),
    }
    let protocols = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
    let compressions = ["OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"];
    for (names, takes) in [(protocols, "http/protobuf"), (compressions, "none")] {
        match first(names) {
            Some((name, value)) if value != takes => return Err(refused(name, &value, takes)),
            _ => {}
        }
    }
    Ok(true)
}

/// Where the collector is. To an address for everything, the path for traces is added.
pub(super) fn endpoint() -> Result<Uri, TracesError> {
    let (name, value) = first([TRACES_ENDPOINT, ENDPOINT]).unwrap_or((ENDPOINT, String::new()));
    let full = match name {
        ENDPOINT => format!("{}/v1/traces", value.trim_end_matches('/')),
        _ => value.clone(),
    };
    let uri = full.parse::<Uri>().ok();
    let is_http = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    uri.filter(is_http).ok_or_else(|| refused(name, &value, "an address with http:// or https://"))
}

/// What is sent along.
pub(super) fn headers() -> Result<HeaderMap, TracesError> {
    let mut headers = HeaderMap::new();
    for name in ["OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"] {
        let list = variable(name).unwrap_or_default();
        for pair in list.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
            let (key, value) = header(pair).ok_or(TracesError::Headers(name))?;
            headers.insert(key, value);
        }
    }
    Ok(headers)
}

fn header(pair: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = pair.split_once('=')?;
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    let mut value = HeaderValue::from_str(&value).ok()?;
    value.set_sensitive(true);
    Some((name.trim().parse().ok()?, value))
}

/// How long the collector may take, with all that is tried again.
pub(super) fn wait() -> Result<Duration, TracesError> {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    let Some((name, text)) = first(names) else {
        return Ok(Duration::from_millis(SPAN_EXPORT_WAIT_MS));
    };
    let ms = text.parse().ok().filter(|ms| *ms > 0);
    ms.map(Duration::from_millis).ok_or_else(|| refused(name, &text, "milliseconds"))
}

/// What the spans are of.
pub(super) fn resource() -> Resource {
    let found = Resource::builder().build();
    let name = found.get(&Key::new("service.name")).map(|name| name.to_string());
    let named = name.is_some_and(|name| !name.starts_with("unknown_service"));
    let builder = Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")));
    if named { builder.build() } else { builder.with_service_name(SERVICE).build() }
}

/// The first of two variables that says something.
fn first(names: [&'static str; 2]) -> Option<(&'static str, String)> {
    names.into_iter().find_map(|name| Some((name, variable(name)?)))
}

/// A variable that is not empty: an empty one is as if it were not there, says the specification.
fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}

fn refused(name: &'static str, value: &str, takes: &'static str) -> TracesError {
    TracesError::Value { name, value: value.to_owned(), takes }
}
