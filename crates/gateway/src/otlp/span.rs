// SPDX-License-Identifier: BSD-3-Clause
//! The spans of a request and what they show: OpenTelemetry's semantic conventions for HTTP, and `becket.…` for what
//! they do not name.
//!
//! | span | kind | its name | ends |
//! |---|---|---|---|
//! | the request | server | `GET /v1/*` | with the answer's body |
//! | a filter, in each phase | internal | `filter auth` | with its answer |
//! | a call, a stream, a WebSocket | internal | `plugin sample/echo` | with the answer, the stream |
//! | an attempt at a server | client | `GET` | with the body of the server's answer |
//!
//! A query is not shown: it may hold secrets. Nor is a byte of a body.

use std::fmt::Display;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use becket_host::{CallError, Entry, NrStatus, StreamError};
use http::header::{HOST, USER_AGENT};
use http::request::Parts;
use http::uri::Authority;
use http::{Extensions, HeaderMap, Method, StatusCode, Version};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode as SpanStatus;
use opentelemetry_proto::tonic::trace::v1::{Span, SpanFlags, Status};

use super::queue::Queue;
use super::settings::{number, text};
use crate::trace::{self, Parent, SpanId, TraceId};

/// The longest text of a client in a span; the rest is left out.
const TEXT_BYTES_MAX: usize = 1024;

/// The methods that have a name of their own in spans: RFC 9110 and PATCH. A client could make up any number of others.
const METHODS: [&str; 9] =
    ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"];

/// A sampled trace, and the span that children of the request have as their parent.
#[derive(Debug, Clone)]
pub(crate) struct Context(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    queue: Arc<Queue>,
    trace: TraceId,
    span: SpanId,
    /// The header `tracestate`.
    state: String,
}

impl Context {
    /// That of a request, if its trace is sampled.
    pub(crate) fn of(extensions: &Extensions) -> Option<&Self> {
        extensions.get()
    }
}

/// When something began, by the wall and by a clock that does not jump.
#[derive(Debug)]
struct Began(SystemTime, Instant);

impl Began {
    fn now() -> Self {
        Self(SystemTime::now(), Instant::now())
    }

    /// Its begin and its end, which is now, in nanoseconds.
    fn until_now(&self) -> (u64, u64) {
        let since = self.0.duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        (nanos(since), nanos(since + self.1.elapsed()))
    }
}

/// The span of a request; dropped, it ends.
#[derive(Debug)]
pub(crate) struct ServerSpan {
    context: Context,
    parent: Option<SpanId>,
    began: Began,
    method: &'static str,
    route: Option<String>,
    status: Option<StatusCode>,
    /// Of the answer's body.
    bytes: u64,
    attributes: Vec<KeyValue>,
}

impl ServerSpan {
    pub(super) fn begin(
        queue: &Arc<Queue>,
        head: &mut Parts,
        trace: TraceId,
        parent: Option<Parent>,
        client: Option<IpAddr>,
        is_tls: bool,
    ) -> Self {
        let span = SpanId::make();
        let state = match parent {
            Some(_) => trace::state(&head.headers),
            None => String::new(),
        };
        match parent {
            Some(_) => trace::put(&mut head.headers, trace, span, true),
            None => trace::put_root(&mut head.headers, trace, span, true),
        }
        let context = Context(Arc::new(Inner { queue: Arc::clone(queue), trace, span, state }));
        head.extensions.insert(context.clone());
        let (method, original) = known(&head.method);
        let mut attributes = vec![
            text("http.request.method", method),
            text("url.path", cut(head.uri.path())),
            text("url.scheme", if is_tls { "https" } else { "http" }),
            text("network.protocol.version", version(head.version)),
        ];
        attributes.extend(original.map(|name| text("http.request.method_original", cut(name))));
        if let Some(client) = client.map(|client| client.to_string()) {
            attributes.push(text("client.address", client.clone()));
            attributes.push(text("network.peer.address", client));
        }
        // HTTP/2 has the host in the URL.
        let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()?.parse().ok());
        if let Some(host) = head.uri.authority().cloned().or(host) {
            server(&mut attributes, &host);
        }
        let agent = head.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        attributes.extend(agent.map(|agent| text("user_agent.original", cut(agent))));
        let parent = parent.map(|parent| parent.span);
        let began = Began::now();
        Self { context, parent, began, method, route: None, status: None, bytes: 0, attributes }
    }

    /// The path of its route.
    pub(crate) fn routed(&mut self, path: Option<&str>) {
        self.route = path.map(str::to_owned);
    }

    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    pub(crate) fn add_bytes(&mut self, count: usize) {
        self.bytes += count as u64;
    }
}

impl Drop for ServerSpan {
    fn drop(&mut self) {
        let mut attributes = mem::take(&mut self.attributes);
        let method = if self.method == OTHER { "HTTP" } else { self.method };
        let name = match &self.route {
            Some(route) => format!("{method} {route}"),
            None => method.to_owned(),
        };
        attributes.extend(self.route.take().map(|route| text("http.route", route)));
        let error = match self.status {
            Some(status) => {
                attributes.push(number("http.response.status_code", status.as_u16().into()));
                let size = i64::try_from(self.bytes).unwrap_or(i64::MAX);
                attributes.push(number("http.response.body.size", size));
                let is_error = status.is_server_error();
                is_error.then(|| (status.as_str().to_owned(), String::new()))
            }
            None => {
                Some(("client_left".to_owned(), "the client left before the answer".to_owned()))
            }
        };
        let inner = &self.context.0;
        let mut span = span(inner, inner.span, name, SpanKind::Server, &self.began);
        if let Some(parent) = self.parent {
            span.parent_span_id = parent.bytes().to_vec();
            span.flags |= SpanFlags::ContextIsRemoteMask as u32;
        }
        end(span, inner, attributes, error);
    }
}

/// The span of something that is done for a request; dropped, it ends.
#[derive(Debug)]
pub(crate) struct Child {
    context: Context,
    id: SpanId,
    name: String,
    kind: SpanKind,
    began: Began,
    attributes: Vec<KeyValue>,
    /// Its kind, and what it is.
    error: Option<(String, String)>,
}

impl Child {
    fn new(context: &Context, name: String, kind: SpanKind, attributes: Vec<KeyValue>) -> Self {
        let (context, id, began) = (context.clone(), SpanId::make(), Began::now());
        Self { context, id, name, kind, began, attributes, error: None }
    }

    /// The call of an entry, or the stream that it opens; the head's `traceparent` is that of this span from now on.
    pub(crate) fn call(head: &mut Parts, entry: &Entry) -> Option<Self> {
        let context = Context::of(&head.extensions)?;
        let (plugin, name) = (entry.plugin().name().to_owned(), entry.name());
        let attributes = vec![text("becket.plugin", plugin.as_str()), text("becket.entry", name)];
        let child =
            Self::new(context, format!("plugin {plugin}/{name}"), SpanKind::Internal, attributes);
        child.show(&mut head.headers);
        Some(child)
    }

    /// The call of a filter in one phase.
    pub(crate) fn filter(
        context: Option<&Context>,
        name: &str,
        phase: &'static str,
    ) -> Option<Self> {
        let attributes = vec![text("becket.filter", name), text("becket.filter.phase", phase)];
        Some(Self::new(context?, format!("filter {name}"), SpanKind::Internal, attributes))
    }

    /// An attempt to have another server answer; the first is number 0.
    pub(crate) fn attempt(head: &Parts, at: &Authority, attempt: u32) -> Option<Self> {
        let context = Context::of(&head.extensions)?;
        let (method, original) = known(&head.method);
        let mut attributes = vec![
            text("http.request.method", method),
            text("url.full", cut(&format!("http://{at}{}", head.uri.path()))),
            text("network.protocol.version", "1.1"),
        ];
        attributes.extend(original.map(|name| text("http.request.method_original", cut(name))));
        server(&mut attributes, at);
        if attempt > 0 {
            attributes.push(number("http.request.resend_count", attempt.into()));
        }
        let name = if method == OTHER { "HTTP" } else { method };
        Some(Self::new(context, name.to_owned(), SpanKind::Client, attributes))
    }

    /// Makes it the parent of what a request with these headers leads to.
    pub(crate) fn show(&self, headers: &mut HeaderMap) {
        trace::put(headers, self.context.0.trace, self.id, true);
    }

    /// What came of a call.
    pub(crate) fn called(&mut self, result: Result<NrStatus, &CallError>) {
        match result {
            Ok(status) if status.is_ok() => {}
            Ok(status) => {
                let name = status.name().unwrap_or("unknown");
                self.attributes.push(text("becket.status", name));
                self.failed(name, &format_args!("the plugin answered {status}"));
            }
            Err(error) => self.failed(of_call(error), error),
        }
    }

    /// A stream has failed.
    pub(crate) fn streamed(&mut self, error: &StreamError) {
        let kind = match error {
            StreamError::Failed { .. } => "failed",
            StreamError::DeadlineExceeded => "deadline",
            StreamError::Idle => "idle",
            StreamError::Unloaded => "unloaded",
            StreamError::PluginFailed => "plugin_failed",
            _ => "stream",
        };
        self.failed(kind, error);
    }

    /// What a filter has decided.
    pub(crate) fn result(&mut self, result: &'static str) {
        self.attributes.push(text("becket.filter.result", result));
    }

    /// The head of a server's answer.
    pub(crate) fn responded(&mut self, status: StatusCode) {
        self.attributes.push(number("http.response.status_code", status.as_u16().into()));
        if status.is_client_error() || status.is_server_error() {
            self.error = Some((status.as_str().to_owned(), String::new()));
        }
    }

    /// It failed: in which way, and the sentence for it.
    pub(crate) fn failed(&mut self, kind: &'static str, error: &dyn Display) {
        self.error = Some((kind.to_owned(), error.to_string()));
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let inner = &self.context.0;
        let mut span = span(inner, self.id, mem::take(&mut self.name), self.kind, &self.began);
        span.parent_span_id = inner.span.bytes().to_vec();
        end(span, inner, mem::take(&mut self.attributes), self.error.take());
    }
}

fn span(inner: &Inner, id: SpanId, name: String, kind: SpanKind, began: &Began) -> Span {
    let (start_time_unix_nano, end_time_unix_nano) = began.until_now();
    Span {
        trace_id: inner.trace.bytes().to_vec(),
        span_id: id.bytes().to_vec(),
        trace_state: inner.state.clone(),
        flags: u32::from(trace::SAMPLED) | SpanFlags::ContextHasIsRemoteMask as u32,
        name,
        kind: kind.into(),
        start_time_unix_nano,
        end_time_unix_nano,
        ..Span::default()
    }
}

fn end(
    mut span: Span,
    inner: &Inner,
    mut attributes: Vec<KeyValue>,
    error: Option<(String, String)>,
) {
    if let Some((kind, message)) = error {
        attributes.push(text("error.type", kind));
        span.status = Some(Status { code: SpanStatus::Error.into(), message });
    }
    span.attributes = attributes;
    inner.queue.push(span);
}

const OTHER: &str = "_OTHER";

/// A method's name in spans, and what it is if that is another one.
fn known(method: &Method) -> (&'static str, Option<&str>) {
    let found = METHODS.iter().find(|known| **known == method.as_str());
    found.map_or((OTHER, Some(method.as_str())), |name| (*name, None))
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}

fn server(attributes: &mut Vec<KeyValue>, at: &Authority) {
    attributes.push(text("server.address", cut(at.host())));
    if let Some(port) = at.port_u16() {
        attributes.push(number("server.port", port.into()));
    }
}

fn of_call(error: &CallError) -> &'static str {
    match error {
        CallError::Refused { .. } => "refused",
        CallError::DeadlineExceeded => "deadline",
        CallError::UnknownEntry(_) => "unknown_entry",
        CallError::Quota { .. } => "quota",
        CallError::PayloadTooLarge { .. } => "too_large",
        CallError::Quarantined => "quarantined",
        CallError::Unloaded => "unloaded",
        CallError::Crashed => "crashed",
        CallError::PluginFailed => "plugin_failed",
        _ => "call",
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(TEXT_BYTES_MAX)).unwrap_or_default()
}
