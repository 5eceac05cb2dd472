// SPDX-License-Identifier: BSD-3-Clause
//! Spans at a receiver of OTLP: what they show, how they hang together, and that no request waits for them.

// The lints' leave for tests does not reach their helpers.
#![allow(clippy::expect_used, clippy::panic, clippy::unwrap_used)]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use becket_gateway::Gateway;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use parking_lot::Mutex;
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::common::kit::probe;
use crate::common::{BASE, config, get, metric, post, raw, request, send, soon, start, with};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

/// A receiver of OTLP over HTTP, with protobuf.
struct Receiver {
    addr: SocketAddr,
    seen: Arc<Seen>,
}

struct Seen {
    requests: Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>,
    /// A permit for each request that has come.
    came: Semaphore,
    /// What is answered, in this order; then 200.
    answers: Mutex<VecDeque<Response<Full<Bytes>>>>,
    /// A request is answered only with a permit.
    gate: Semaphore,
}

impl Receiver {
    async fn start(answers: Vec<Response<Full<Bytes>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let seen = Arc::new(Seen {
            requests: Mutex::default(),
            came: Semaphore::new(0),
            answers: Mutex::new(answers.into()),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        });
        let serving = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let seen = Arc::clone(&serving);
                let service = hyper::service::service_fn(move |request| {
                    let seen = Arc::clone(&seen);
                    async move { seen.answer(request).await }
                });
                let server = hyper::server::conn::http1::Builder::new();
                tokio::spawn(server.serve_connection(TokioIo::new(socket), service));
            }
        });
        Self { addr, seen }
    }

    /// All spans that have come, after the gateway has ended.
    async fn spans(&self, gateway: &Gateway) -> Vec<Span> {
        soon(gateway.drain(Duration::from_secs(20))).await;
        self.so_far()
    }

    fn so_far(&self) -> Vec<Span> {
        let requests = self.seen.requests.lock();
        let of_resource = requests.iter().flat_map(|(_, request)| &request.resource_spans);
        let of_scope = of_resource.flat_map(|it| &it.scope_spans);
        of_scope.flat_map(|it| it.spans.clone()).collect()
    }

    fn resource(&self) -> Resource {
        self.seen.requests.lock()[0].1.resource_spans[0].resource.clone().unwrap()
    }
}

impl Seen {
    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let (head, body) = request.into_parts();
        assert_eq!((head.method.as_str(), head.uri.path()), ("POST", "/v1/traces"));
        assert_eq!(head.headers["content-type"], "application/x-protobuf");
        let message = ExportTraceServiceRequest::decode(body.collect().await?.to_bytes());
        let answer = self.answers.lock().pop_front();
        let refuses = answer.as_ref().is_some_and(|answer| !answer.status().is_success());
        if !refuses {
            self.requests.lock().push((head.headers, message.expect("protobuf")));
        }
        self.came.add_permits(1);
        self.gate.acquire().await.unwrap().forget();
        Ok(answer.unwrap_or_default())
    }
}

fn status(status: u16) -> Response<Full<Bytes>> {
    Response::builder().status(status).body(Full::default()).unwrap()
}

async fn traced(receiver: SocketAddr, lines: &str, more: &str) -> Gateway {
    let text = format!(
        "{BASE}[trace]\nendpoint = \"http://{receiver}\"\n{lines}\n[plugins.kit]\nlinked = \
         \"kit\"\n[plugins.guard]\nlinked = \"guard\"\n{more}"
    );
    start(&text).await.unwrap_or_else(|error| panic!("{error}: {:?}", error.cause()))
}

fn named<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| span.name == name).collect();
    let names: Vec<_> = spans.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(found.len(), 1, "`{name}` in {names:?}");
    found[0]
}

fn value(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    Some(match found.value.as_ref().unwrap().value.as_ref().unwrap() {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        other => panic!("{other:?}"),
    })
}

fn shown(span: &Span, key: &str) -> String {
    value(&span.attributes, key).unwrap_or_else(|| panic!("`{key}` in {:?}", span.attributes))
}

fn is_error(span: &Span) -> bool {
    span.status.as_ref().is_some_and(|status| status.code == SpanStatus::Error as i32)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn span_id(traceparent: &str) -> String {
    traceparent.split('-').nth(2).unwrap_or_default().to_owned()
}

async fn counted(gateway: &Gateway, result: &str) -> f64 {
    let line = format!("becket_trace_spans_total{{result=\"{result}\"}}");
    metric(gateway, &line).await.expect("the metric")
}

#[tokio::test]
async fn a_request_is_a_span_with_its_call_as_a_child() {
    let receiver = Receiver::start(Vec::new()).await;
    let lines = "service_name = \"edge\"\nheaders = { x-key = \"k1\" }";
    let gateway = traced(receiver.addr, lines, "").await;
    let asked = request("GET", "/kit/header?traceparent", b"");
    let asked = with(asked, "traceparent", &format!("00-{TRACE}-{PARENT}-01"));
    let asked = with(asked, "tracestate", "vendor=1");
    let seen = send(gateway.addr(), with(asked, "user-agent", "probe/1")).await.text().to_owned();
    let spans = receiver.spans(&gateway).await;
    assert_eq!(spans.len(), 2);
    let root = named(&spans, "GET /kit/header");
    assert_eq!(root.kind, SpanKind::Server as i32);
    assert_eq!((hex(&root.trace_id).as_str(), hex(&root.parent_span_id).as_str()), (TRACE, PARENT));
    assert_eq!((root.trace_state.as_str(), root.flags & 0x3ff), ("vendor=1", 0x301));
    for (key, wanted) in [
        ("http.request.method", "GET"),
        ("http.route", "/kit/header"),
        ("http.response.status_code", "200"),
        ("http.response.body.size", "55"),
        ("url.path", "/kit/header"),
        ("url.scheme", "http"),
        ("network.protocol.version", "1.1"),
        ("client.address", "127.0.0.1"),
        ("server.address", "localhost"),
        ("user_agent.original", "probe/1"),
    ] {
        assert_eq!(shown(root, key), wanted, "{key}");
    }
    assert!(!is_error(root));
    let call = named(&spans, "plugin kit/header");
    assert_eq!(call.kind, SpanKind::Internal as i32);
    assert_eq!((&call.trace_id, &call.parent_span_id), (&root.trace_id, &root.span_id));
    assert_eq!(
        (shown(call, "becket.plugin"), shown(call, "becket.entry")),
        ("kit".into(), "header".into())
    );
    // The plugin's own spans are children of the call.
    assert_eq!(seen, format!("00-{TRACE}-{}-01", hex(&call.span_id)));
    let times = |span: &Span| (span.start_time_unix_nano, span.end_time_unix_nano);
    let ((began, ended), (from, to)) = (times(root), times(call));
    assert!(began > 1_700_000_000_000_000_000 && began <= from && from <= to && to <= ended);
    let resource = receiver.resource().attributes;
    assert_eq!(value(&resource, "service.name").as_deref(), Some("edge"));
    assert_eq!(receiver.seen.requests.lock()[0].0["x-key"], "k1");
}

#[tokio::test]
async fn a_trace_without_a_parent_begins_here() {
    let receiver = Receiver::start(Vec::new()).await;
    let gateway = traced(receiver.addr, "", "").await;
    let asked = with(request("GET", "/kit/header?traceparent", b""), "traceparent", "malformed");
    let asked = with(asked, "tracestate", "of=another");
    let seen = send(gateway.addr(), asked).await.text().to_owned();
    assert_eq!(get(gateway.addr(), "/nothing").await.status, StatusCode::NOT_FOUND);
    post(gateway.addr(), "/kit/status?2", b"no").await;
    let head = "BREW /kit/about HTTP/1.1\r\nhost: a:1\r\nconnection: close\r\n\r\n";
    raw(gateway.addr(), head.as_bytes()).await;
    let spans = receiver.spans(&gateway).await;
    let root = named(&spans, "GET /kit/header");
    assert!(root.parent_span_id.is_empty() && root.trace_state.is_empty());
    assert_eq!(root.flags & 0x3ff, 0x101);
    assert!(seen.contains(&hex(&root.trace_id)), "{seen}");
    // No route, so nothing of the path is in the name.
    let lost = named(&spans, "GET");
    assert_eq!(shown(lost, "http.response.status_code"), "404");
    assert_eq!((shown(lost, "url.path"), is_error(lost)), ("/nothing".into(), false));
    let refused = named(&spans, "plugin kit/status");
    assert!(is_error(refused) && refused.trace_id != root.trace_id);
    assert_eq!(shown(refused, "error.type"), "Invalid");
    assert!(!is_error(named(&spans, "POST /kit/status")));
    let other = named(&spans, "HTTP /kit/about");
    assert_eq!(shown(other, "http.request.method"), "_OTHER");
    assert_eq!(shown(other, "http.request.method_original"), "BREW");
    assert_eq!(
        (shown(other, "server.address"), shown(other, "server.port")),
        ("a".into(), "1".into())
    );
}

#[tokio::test]
async fn filters_and_servers_are_children_too() {
    let receiver = Receiver::start(Vec::new()).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = server.local_addr().unwrap();
    let (sends, mut sent) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((socket, _)) = server.accept().await {
            let sends = sends.clone();
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let _ = sends.send(request.headers()["traceparent"].to_str().unwrap().to_owned());
                async { Ok::<_, hyper::Error>(status(418)) }
            });
            let server = hyper::server::conn::http1::Builder::new();
            tokio::spawn(server.serve_connection(TokioIo::new(socket), service));
        }
    });
    let route = format!(
        "[[routes]]\nprefix = \"/v1\"\nfilters = [\"guard.outer\"]\nupstream = [\"http://{closed}\", \
         \"http://{at}\"]\n"
    );
    let gateway = traced(receiver.addr, "", &route).await;
    let answer = get(gateway.addr(), "/v1/x?secret").await;
    assert_eq!(answer.status.as_u16(), 418, "{}", answer.text());
    let spans = receiver.spans(&gateway).await;
    let root = named(&spans, "GET /v1*");
    assert!(spans.iter().all(|span| span.trace_id == root.trace_id));
    let children = || spans.iter().filter(|span| span.parent_span_id == root.span_id);
    assert_eq!(children().count(), spans.len() - 1);
    let phases: Vec<_> = children()
        .filter(|span| span.name == "filter guard.outer")
        .map(|span| (shown(span, "becket.filter.phase"), shown(span, "becket.filter.result")))
        .collect();
    let continued = |phase: &str| (phase.to_owned(), "continue".to_owned());
    assert_eq!(phases, [continued("request"), continued("response")]);
    let attempts: Vec<_> = children().filter(|span| span.kind == SpanKind::Client as i32).collect();
    let [failed, answered] = *attempts else { panic!("{attempts:?}") };
    assert_eq!((shown(failed, "error.type"), is_error(failed)), ("connection".into(), true));
    assert_eq!(shown(answered, "http.request.resend_count"), "1");
    assert_eq!(shown(answered, "http.response.status_code"), "418");
    assert_eq!(shown(answered, "server.port"), at.port().to_string());
    assert_eq!(shown(answered, "url.full"), format!("http://{at}/v1/x"));
    assert_eq!((shown(answered, "error.type"), is_error(root)), ("418".into(), false));
    assert_eq!(span_id(&soon(sent.recv()).await.unwrap()), hex(&answered.span_id));
}

#[tokio::test]
async fn a_span_lasts_as_long_as_the_stream_and_shows_a_client_that_left() {
    let receiver = Receiver::start(Vec::new()).await;
    let gateway = traced(receiver.addr, "", "").await;
    let frames = post(gateway.addr(), "/kit/count", b"3").await.body.len();
    let held = probe("otlp-left");
    let mut socket = tokio::net::TcpStream::connect(gateway.addr()).await.unwrap();
    let asked = b"GET /kit/gated HTTP/1.1\r\nhost: a\r\nx-test: otlp-left\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut socket, asked).await.unwrap();
    crate::common::kit::Probe::saw(&held.entered).await;
    drop(socket);
    crate::common::kit::Probe::saw(&held.left).await;
    let spans = receiver.spans(&gateway).await;
    let root = named(&spans, "POST /kit/count");
    assert_eq!(shown(root, "http.response.body.size"), frames.to_string());
    assert!(named(&spans, "plugin kit/count").end_time_unix_nano <= root.end_time_unix_nano);
    let left = named(&spans, "GET /kit/gated");
    assert_eq!((shown(left, "error.type"), is_error(left)), ("client_left".into(), true));
    assert_eq!(value(&left.attributes, "http.response.status_code"), None);
}

#[tokio::test]
async fn the_parent_decides_and_else_the_ratio() {
    let receiver = Receiver::start(Vec::new()).await;
    let gateway = traced(receiver.addr, "sample_ratio = 0", "").await;
    let asked = || request("GET", "/kit/header?traceparent", b"");
    let own = send(gateway.addr(), asked()).await.text().to_owned();
    assert!(own.len() == 55 && own.ends_with("-00"), "{own}");
    // What is not recorded here is no parent.
    let off = format!("00-{TRACE}-{PARENT}-00");
    assert_eq!(send(gateway.addr(), with(asked(), "traceparent", &off)).await.text(), off);
    let on = format!("00-{TRACE}-{PARENT}-01");
    assert_ne!(send(gateway.addr(), with(asked(), "traceparent", &on)).await.text(), on);
    let spans = receiver.spans(&gateway).await;
    assert_eq!(spans.len(), 2);
    assert!(spans.iter().all(|span| hex(&span.trace_id) == TRACE));
}

/// The queue of a receiver that does not answer fills; requests go on, and each span is counted.
#[tokio::test]
async fn a_receiver_that_does_not_answer_holds_no_request_up() {
    let receiver = Receiver::start(Vec::new()).await;
    receiver.seen.gate.forget_permits(Semaphore::MAX_PERMITS);
    let gateway = traced(receiver.addr, "queue_spans_max = 64", "").await;
    let mut requests = 0.0;
    soon(async {
        while counted(&gateway, "no_room").await < 10.0 {
            assert_eq!(post(gateway.addr(), "/kit/echo", b"x").await.status, StatusCode::OK);
            requests += 1.0;
        }
    })
    .await;
    assert!(counted(&gateway, "exported").await == 0.0);
    receiver.seen.gate.add_permits(1_000_000);
    let dropped = counted(&gateway, "no_room").await;
    let spans = receiver.spans(&gateway).await.len() as f64;
    assert_eq!(spans + dropped, 2.0 * requests);
}

#[tokio::test]
async fn a_receiver_that_never_answers_does_not_hold_the_end_up() {
    let receiver = Receiver::start(Vec::new()).await;
    receiver.seen.gate.forget_permits(Semaphore::MAX_PERMITS);
    let gateway = traced(receiver.addr, "timeout_ms = 86400000", "").await;
    post(gateway.addr(), "/kit/echo", b"x").await;
    // Within the bound of a drain, which is less than the patience of `soon`.
    soon(gateway.drain(Duration::from_secs(20))).await;
    assert_eq!(receiver.so_far().len(), 2);
}

#[tokio::test]
async fn spans_are_sent_without_an_end_and_again_after_a_refusal_that_passes() {
    let receiver = Receiver::start(vec![status(503), status(429)]).await;
    let gateway = traced(receiver.addr, "", "").await;
    post(gateway.addr(), "/kit/echo", b"x").await;
    soon(receiver.seen.came.acquire_many(3)).await.unwrap().forget();
    assert_eq!(receiver.so_far().len(), 2);
    soon(async {
        while counted(&gateway, "exported").await < 2.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn what_the_receiver_rejects_is_counted() {
    let rejected = ExportTracePartialSuccess { rejected_spans: 1, error_message: "full".into() };
    let rejected = ExportTraceServiceResponse { partial_success: Some(rejected) };
    let partly = Response::new(Full::new(Bytes::from(rejected.encode_to_vec())));
    let receiver = Receiver::start(vec![partly, status(400)]).await;
    let gateway = traced(receiver.addr, "", "").await;
    for (round, results) in [(1, [1.0, 1.0]), (2, [1.0, 3.0])] {
        post(gateway.addr(), "/kit/echo", b"x").await;
        soon(receiver.seen.came.acquire()).await.unwrap().forget();
        let seen =
            async || [counted(&gateway, "exported").await, counted(&gateway, "refused").await];
        soon(async {
            while seen().await != results {
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert!(round <= 2);
    }
}

#[tokio::test]
async fn other_settings_are_those_of_the_next_start() {
    let receiver = Receiver::start(Vec::new()).await;
    let gateway = traced(receiver.addr, "", "").await;
    let next = format!("{BASE}[trace]\n[plugins.kit]\nlinked = \"kit\"\n");
    assert_eq!(gateway.reload(config(&next)).await.unwrap().needs_restart, ["trace"]);
}
