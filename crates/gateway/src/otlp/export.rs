// SPDX-License-Identifier: BSD-3-Clause
//! The task that sends spans.
//!
//! # Invariants
//!
//! 1. One request is under way at a time. What comes meanwhile waits in the queue, up to its bound.
//! 2. What a receiver cannot take just now (no connection, 429, 502, 503, 504, no answer in time) is sent again, at
//!    most [`ATTEMPTS_MAX`] times, later each time, or when it says so. Anything else is not.
//! 3. After the end of the queue each batch is sent once.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use tokio::time::timeout;

use super::queue::Queue;
use super::settings::Settings;
use crate::TARGET;
use crate::repeats::Repeats;
use crate::stats::SpanResult;

/// How long spans wait for others.
const DELAY: Duration = Duration::from_secs(1);
/// The most attempts to send one batch.
const ATTEMPTS_MAX: u32 = 5;
/// The pause before the second attempt; each later one is twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// The longest pause that a receiver can ask for.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// The longest answer that is read.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// See the module's documentation.
pub(super) struct Exporter {
    settings: Settings,
    queue: Arc<Queue>,
    client: Client<HttpConnector, Full<Bytes>>,
    failures: Repeats,
}

/// Why a batch was not taken.
#[derive(Debug)]
enum Failure {
    /// Another attempt may succeed, after this time if the receiver says one.
    Passing(String, Option<Duration>),
    Lasting(String),
}

/// Spans that are being sent; counted as failed if the task is ended.
struct InHand<'a> {
    queue: &'a Queue,
    count: usize,
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.queue.count(SpanResult::Failed, self.count);
    }
}

impl InHand<'_> {
    /// This came of them, and of so many of them that.
    fn end(mut self, result: SpanResult, refused: usize) {
        let count = std::mem::take(&mut self.count);
        let refused = refused.min(count);
        self.queue.count(result, count - refused);
        self.queue.count(SpanResult::Refused, refused);
    }
}

impl Exporter {
    pub(super) fn new(settings: Settings, queue: Arc<Queue>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(settings.timeout));
        let client = Client::builder(TokioExecutor::new())
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(1)
            .build(connector);
        Self { settings, queue, client, failures: Repeats::default() }
    }

    pub(super) async fn run(self) {
        loop {
            self.queue.filled().await;
            // More of them in one request. It does not matter whether the time was up.
            let _ = timeout(DELAY, self.queue.has_batch()).await;
            let spans = self.queue.take();
            if !spans.is_empty() {
                self.send(spans).await;
            } else if self.queue.is_closed() {
                return;
            }
        }
    }

    async fn send(&self, spans: Vec<Span>) {
        let in_hand = InHand { queue: &self.queue, count: spans.len() };
        let body = Bytes::from(self.message(spans).encode_to_vec());
        let (mut pause, mut attempt) = (PAUSE, 1);
        let (result, error) = loop {
            let failure = match self.post(body.clone()).await {
                Ok(refused) => {
                    if let Some((_, text)) = refused.as_ref().filter(|(count, _)| *count > 0) {
                        self.warn("the receiver has rejected spans", text);
                    }
                    return in_hand
                        .end(SpanResult::Exported, refused.map_or(0, |(count, _)| count));
                }
                Err(failure) => failure,
            };
            let (error, after) = match failure {
                Failure::Lasting(error) => break (SpanResult::Refused, error),
                Failure::Passing(error, after) => (error, after),
            };
            if attempt == ATTEMPTS_MAX || self.queue.is_closed() {
                break (SpanResult::Failed, error);
            }
            self.warn("spans are not exported yet", &error);
            let _ = timeout(after.unwrap_or(pause).min(PAUSE_MAX), self.queue.closed()).await;
            pause *= 2;
            attempt += 1;
        };
        self.warn("spans are lost", &error);
        in_hand.end(result, 0);
    }

    fn message(&self, spans: Vec<Span>) -> ExportTraceServiceRequest {
        let scope = InstrumentationScope {
            name: TARGET.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let attributes = self.settings.resource.clone();
        let of_scope = ScopeSpans { scope: Some(scope), spans, schema_url: String::new() };
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: Some(Resource { attributes, ..Resource::default() }),
                scope_spans: vec![of_scope],
                schema_url: String::new(),
            }],
        }
    }

    /// How many spans the receiver has rejected, if some, and why.
    async fn post(&self, body: Bytes) -> Result<Option<(usize, String)>, Failure> {
        let wait = self.settings.timeout;
        timeout(wait, self.post_once(body)).await.unwrap_or_else(|_| {
            Err(Failure::Passing(format!("no answer within {} ms", wait.as_millis()), None))
        })
    }

    async fn post_once(&self, body: Bytes) -> Result<Option<(usize, String)>, Failure> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.settings.url.clone();
        let headers = request.headers_mut();
        headers.insert(
            USER_AGENT,
            const { HeaderValue::from_static(concat!("becket/", env!("CARGO_PKG_VERSION"))) },
        );
        headers.extend(self.settings.headers.clone());
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        let response = self.client.request(request).await.map_err(|error| {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                text = cause.to_string();
                source = cause.source();
            }
            Failure::Passing(text, None)
        })?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
        match head.status {
            status if status.is_success() => {
                // What is no message has no word of rejected spans.
                let answer = body.ok().map(http_body_util::Collected::to_bytes);
                let answer = answer.and_then(|it| ExportTraceServiceResponse::decode(it).ok());
                let partial = answer.and_then(|answer| answer.partial_success);
                Ok(partial
                    .map(|it| (usize::try_from(it.rejected_spans).unwrap_or(0), it.error_message)))
            }
            status @ (StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT) => {
                Err(Failure::Passing(status.to_string(), after(&head.headers)))
            }
            status => Err(Failure::Lasting(status.to_string())),
        }
    }

    #[cold]
    fn warn(&self, what: &'static str, error: &str) {
        if let Some(left_out) = self.failures.pass() {
            let receiver = self.settings.url.authority().map(|at| at.as_str());
            tracing::warn!(target: TARGET, receiver, error, not_logged = left_out, "{what}");
        }
    }
}

/// The pause that the receiver asks for.
fn after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}
