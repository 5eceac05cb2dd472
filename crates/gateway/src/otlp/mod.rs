// SPDX-License-Identifier: BSD-3-Clause
//! Spans of requests, exported by OTLP over HTTP with protobuf.
//!
//! ```text
//!   request ──▶ ServerSpan ─────────────────────────────────▶ ended with the answer's body ─┐
//!                 │ Context, in the request's extensions                                    │
//!                 └─▶ Child: a filter, a call, a server ─────▶ ended when it is dropped ────┤
//!                                                                                           ▼
//!                                          receiver ◀── POST ◀── task ◀── batch ◀── queue, with a bound
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | `settings` | what `[trace]` and the variables `OTEL_…` come to |
//! | `span` | the spans and what they show |
//! | `queue` | spans that wait, and their bound |
//! | `export` | the task that sends them |
//!
//! The messages are those of the crate `opentelemetry-proto`. Spans are made and sent here, since the project's own
//! exporter boxes a future per call, sleeps on a thread that serves requests before it tries again, and does not
//! say how many spans a receiver has rejected.
//!
//! # Invariants
//!
//! 1. A request never waits for spans: one goes into the queue, or is dropped and counted.
//! 2. Each span that was begun for a sampled trace is counted once: exported, or dropped and why.
//! 3. A trace that is not sampled costs a look at its header. It has no spans, and its children are not asked for any: the
//!    flag `sampled` of the header that goes on is the decision.
//! 4. Without spans nothing runs: the task waits for the first.

mod export;
mod queue;
mod settings;
mod span;

use std::net::IpAddr;
use std::sync::Arc;

use http::request::Parts;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::timeout;

use self::export::Exporter;
use self::queue::Queue;
use self::settings::{Sampler, Settings};
pub(crate) use self::span::{Child, Context, ServerSpan};
use crate::TARGET;
use crate::config::{Complaint, TraceConfig};
use crate::stats::Stats;
use crate::trace::{self, TraceId};

/// How long [`Tracer::finish`] waits for the receiver.
const FINISH_MAX: std::time::Duration = std::time::Duration::from_secs(3);

/// Whether spans can be exported as the configuration says.
pub(crate) fn check(config: Option<&TraceConfig>) -> Result<(), Complaint> {
    config.map_or(Ok(()), |config| settings(config).map(drop))
}

fn settings(config: &TraceConfig) -> Result<Option<Settings>, Complaint> {
    Settings::read(config, |name| std::env::var(name).ok())
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Tracer {
    queue: Arc<Queue>,
    sampler: Sampler,
    task: AbortHandle,
    /// Completes when the task has ended.
    ended: Mutex<Option<oneshot::Receiver<()>>>,
}

impl Tracer {
    /// Starts the task. `None` if no spans are to be exported.
    ///
    /// # Errors
    /// A setting or a variable is wrong.
    pub(crate) fn start(
        config: Option<&TraceConfig>,
        stats: &Arc<Stats>,
    ) -> Result<Option<Arc<Self>>, Complaint> {
        let Some(config) = config else { return Ok(None) };
        let Some(settings) = settings(config)? else { return Ok(None) };
        let queue = Arc::new(Queue::new(settings.queue_spans_max, Arc::clone(stats)));
        let sampler = settings.sampler;
        let (ends, ended) = oneshot::channel();
        let exporter = Exporter::new(settings, Arc::clone(&queue));
        let task = tokio::spawn(async move {
            exporter.run().await;
            // The receiver may have waited for too long.
            let _ = ends.send(());
        });
        let task = task.abort_handle();
        Ok(Some(Arc::new(Self { queue, sampler, task, ended: Mutex::new(Some(ended)) })))
    }

    /// Begins the span of a request, if its trace is sampled. The head's `traceparent` is that of the span from now on.
    pub(crate) fn begin(
        self: &Arc<Self>,
        head: &mut Parts,
        client: Option<IpAddr>,
        is_tls: bool,
    ) -> (Option<ServerSpan>, TraceId) {
        let parent = trace::find(&head.headers);
        let id = parent.map_or_else(TraceId::make, |parent| parent.trace);
        if !self.sampler.samples(id, parent) {
            if parent.is_none() {
                trace::put_root(&mut head.headers, id, trace::SpanId::make(), false);
            }
            return (None, id);
        }
        (Some(ServerSpan::begin(&self.queue, head, id, parent, client, is_tls)), id)
    }

    /// Sends what is in the queue; later spans are dropped.
    pub(crate) async fn finish(&self) {
        self.queue.close();
        let ended = self.ended.lock().take();
        if let Some(ended) = ended
            && timeout(FINISH_MAX, ended).await.is_err()
        {
            // What it had taken is counted as it is dropped.
            self.task.abort();
            self.queue.give_up();
            tracing::warn!(target: TARGET, "not all spans are exported");
        }
    }
}

impl Drop for Tracer {
    fn drop(&mut self) {
        self.queue.close();
    }
}
