//! Spans reach a collector, those that should and nothing secret with them; and a server does not care
//! whether there is one.

mod common;

use bytes::Bytes;
use common::{Setup, TestServer, eventually, protocol::at, request, webhook::Webhook};
use http::Method;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message;
use std::collections::BTreeMap;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const CALLER: &str = "b7ad6b7169203331";
const TO: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";

/// What a collector has got.
#[derive(Default)]
struct Got {
    spans: Vec<Span>,
    resource: BTreeMap<String, String>,
    raw: Vec<u8>,
}

impl Got {
    /// Takes what comes until a span of this name is there.
    async fn until(&mut self, collector: &mut Webhook, name: &str) -> Span {
        loop {
            if let Some(span) = self.spans.iter().find(|span| span.name == name) {
                return span.clone();
            }
            self.take(&collector.call().await.body);
        }
    }

    fn take(&mut self, body: &Bytes) {
        self.raw.extend(body);
        let request = ExportTraceServiceRequest::decode(body.clone()).expect("protobuf of OTLP");
        for of_resource in request.resource_spans {
            self.resource.extend(said(&of_resource.resource.expect("a resource").attributes));
            let scopes = of_resource.scope_spans.into_iter();
            self.spans.extend(scopes.flat_map(|scope| scope.spans));
        }
    }
}

fn said(attributes: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let pair = |attribute: &KeyValue| {
        let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
        (attribute.key.clone(), value.map(text).unwrap_or_default())
    };
    attributes.iter().map(pair).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn number(server: &TestServer, name: &str) -> Option<f64> {
    let answer = server.get("/metrics").await;
    let line = answer.text().lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    line.parse().ok()
}

/// A reader of `name` that belongs to a trace which is recorded, or is not.
async fn get(server: &TestServer, target: &str, flags: &str) -> u16 {
    let parent = format!("00-{TRACE}-{CALLER}-{flags}");
    let state = ("tracestate", "vendor=1");
    let headers = [("traceparent", &*parent), state, ("authorization", "Bearer hidden-token")];
    server.send(request(Method::GET, target, &headers, Bytes::new())).await.status.as_u16()
}

#[tokio::test]
async fn requests_have_spans_in_the_traces_of_their_callers() {
    let mut collector = Webhook::start().await;
    let setup = Setup::new().await.env(TO, &collector.url());
    let setup = setup.env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test");
    let setup = setup.env("OTEL_EXPORTER_OTLP_HEADERS", "x-key=for-the-collector");
    let server = setup.with(&["--flush-interval-ms", "20"]).start().await;
    server.create("a", "text/plain", "content").await;
    assert_eq!(get(&server, &at("a", "?offset=-1&hidden=query"), "01").await, 200);
    let mut got = Got::default();
    let read = got.until(&mut collector, "GET /v1/stream/{*name}").await;
    assert_eq!((hex(&read.trace_id), hex(&read.parent_span_id)), (TRACE.into(), CALLER.into()));
    assert_eq!(read.kind, SpanKind::Server as i32);
    assert_eq!((read.trace_state.as_str(), read.flags), ("vendor=1", 0x301));
    assert!(read.end_time_unix_nano >= read.start_time_unix_nano);
    let of_read = said(&read.attributes);
    for (name, value) in [
        ("http.request.method", "GET"),
        ("http.route", "/v1/stream/{*name}"),
        ("http.response.status_code", "200"),
        ("url.path", "/v1/stream/a"),
        ("network.protocol.version", "1.1"),
    ] {
        assert_eq!(of_read.get(name).map(String::as_str), Some(value), "{name}");
    }
    let created = got.until(&mut collector, "PUT /v1/stream/{*name}").await;
    assert!(created.parent_span_id.is_empty() && created.trace_id != read.trace_id);
    assert_eq!((created.trace_id.len(), created.span_id.len(), created.flags), (16, 8, 0x101));
    let flush = got.until(&mut collector, "flush").await;
    assert_eq!(said(&flush.attributes)["db.operation.batch.size"], "1");
    assert_eq!(get(&server, &at("none", ""), "01").await, 404);
    let mut refused = Got::default();
    let span = refused.until(&mut collector, "GET /v1/stream/{*name}").await;
    assert_eq!(said(&span.attributes)["error.type"], "stream_not_found");
    let status = span.status.unwrap_or_default();
    assert_eq!(
        status.code,
        StatusCode::Unset as i32,
        "a mistake of the client is none of the server"
    );
    assert_eq!(got.resource["service.name"], "messages");
    assert_eq!(got.resource["deployment.environment.name"], "test");
    assert!(!got.resource["service.version"].is_empty());
    let raw = String::from_utf8_lossy(&got.raw).into_owned();
    assert!(!raw.contains("hidden") && !raw.contains("for-the-collector"), "{raw}");
    let sent = async || {
        let exported = number(&server, "messages_spans_exported_total").await;
        exported.filter(|count| *count >= 4.0)
    };
    eventually("what was sent is counted", sent).await;
    assert_eq!(number(&server, "messages_spans_dropped_total").await, Some(0.0));
}

#[tokio::test]
async fn what_its_caller_does_not_record_has_no_span_and_a_stop_sends_the_rest() {
    let mut collector = Webhook::start().await;
    let setup = Setup::new().await.env(TO, &collector.url()).env("OTEL_SERVICE_NAME", "shop");
    let server = setup.start().await;
    assert_eq!(get(&server, "/healthz", "00").await, 200);
    assert_eq!(get(&server, "/readyz", "01").await, 200);
    server.stop().await;
    let mut got = Got::default();
    got.until(&mut collector, "GET /readyz").await;
    while collector.was_called() {
        got.take(&collector.call().await.body);
    }
    assert_eq!(got.resource["service.name"], "shop");
    assert!(!got.spans.iter().any(|span| span.name.contains("healthz")));
}

#[tokio::test]
async fn samplers_are_those_of_the_environment() {
    let collector = Webhook::start().await;
    let setup = Setup::new().await.env(TO, &collector.url());
    let server = setup.env("OTEL_TRACES_SAMPLER", "always_off").start().await;
    assert_eq!(get(&server, "/healthz", "01").await, 200);
    assert_eq!(number(&server, "messages_spans_exported_total").await, Some(0.0));
    server.stop().await;
    assert!(!collector.was_called());
}

#[tokio::test]
async fn there_are_no_traces_unless_they_can_be_had() {
    let collector = Webhook::start().await;
    for (name, value) in [
        ("OTEL_SDK_DISABLED", "true"),
        ("OTEL_TRACES_EXPORTER", "none"),
        ("OTEL_TRACES_EXPORTER", "zipkin"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "no pair"),
        (TO, "localhost:4318"),
        (TO, ""),
    ] {
        let setup = Setup::new().await.env(TO, &collector.url()).env(name, value);
        let server = setup.start().await;
        assert_eq!(get(&server, "/healthz", "01").await, 200);
        let spans = number(&server, "messages_spans_exported_total").await;
        assert_eq!(spans, None, "{name}={value}");
        server.stop().await;
    }
    assert!(!collector.was_called());
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_nothing_else() {
    let gone = Webhook::start().await.url();
    let setup = Setup::new().await.env(TO, &gone).env("OTEL_EXPORTER_OTLP_TIMEOUT", "100");
    let server = setup.start().await;
    server.create("a", "text/plain", "content").await;
    let lost = async || {
        let dropped = number(&server, "messages_spans_dropped_total").await;
        dropped.filter(|count| *count >= 1.0)
    };
    eventually("spans are lost", lost).await;
    assert_eq!(server.get(&at("a", "")).await.text(), "content");
    server.stop().await;
}

/// On the one thread that does all the work here.
#[tokio::test]
async fn a_collector_that_wants_to_be_asked_again_holds_up_nobody() {
    let mut collector = Webhook::start().await;
    collector.answer(503, &[("retry-after", "8")], "");
    let setup = Setup::new().await.env(TO, &collector.url()).env("TOKIO_WORKER_THREADS", "1");
    let server = setup.start().await;
    assert_eq!(server.get("/healthz").await.status, 200);
    collector.call().await;
    for _ in 0..3 {
        assert_eq!(server.get("/healthz").await.status, 200);
    }
    assert!(!collector.was_called(), "answers wait for the collector");
}

#[tokio::test]
async fn what_a_collector_cannot_take_just_now_it_gets_again() {
    let mut collector = Webhook::start().await;
    collector.answer(503, &[], "");
    let server = Setup::new().await.env(TO, &collector.url()).start().await;
    assert_eq!(server.get("/readyz").await.status, 200);
    let refused = collector.call().await.body;
    collector.answer(200, &[], "");
    assert_eq!(collector.call().await.body, refused);
    let sent = async || {
        let exported = number(&server, "messages_spans_exported_total").await;
        exported.filter(|count| *count >= 1.0)
    };
    eventually("what was sent again is counted", sent).await;
    assert_eq!(number(&server, "messages_spans_dropped_total").await, Some(0.0));
}

#[tokio::test]
async fn a_collector_has_as_long_as_the_environment_says() {
    let collector = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/v1/traces", collector.local_addr().expect("bound"));
    let setup = Setup::new().await.env(TO, &url).env("OTEL_EXPORTER_OTLP_TIMEOUT", "100");
    let server = setup.start().await;
    // It takes the connection and never says anything.
    let lost = async || {
        let dropped = number(&server, "messages_spans_dropped_total").await;
        dropped.filter(|count| *count >= 1.0)
    };
    eventually("spans are given up", lost).await;
}
