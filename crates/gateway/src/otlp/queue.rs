// SPDX-License-Identifier: BSD-3-Clause
//! Spans that wait to be sent, and their bound.
//!
//! # Invariants
//!
//! 1. At most `max` spans wait. One more is dropped and counted; so is each after the end.
//! 2. The task is notified of the first span, of a batch and of the end, and of no other. A batch is at most half of what
//!    may wait, so that there is room while it is sent.

use std::sync::Arc;

use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::stats::{SpanResult, Stats};

/// So many spans are sent in one request, at most.
const BATCH_SPANS_MAX: usize = 512;

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Notify,
    spans_max: usize,
    batch_spans: usize,
    stats: Arc<Stats>,
}

#[derive(Debug, Default)]
struct Waiting {
    spans: Vec<Span>,
    is_closed: bool,
}

impl Queue {
    pub(super) fn new(spans_max: usize, stats: Arc<Stats>) -> Self {
        let batch_spans = BATCH_SPANS_MAX.min(spans_max / 2);
        Self { waiting: Mutex::default(), changed: Notify::new(), spans_max, batch_spans, stats }
    }

    pub(super) fn push(&self, span: Span) {
        let mut waiting = self.waiting.lock();
        if waiting.is_closed || waiting.spans.len() >= self.spans_max {
            drop(waiting);
            return self.count(SpanResult::NoRoom, 1);
        }
        waiting.spans.push(span);
        let count = waiting.spans.len();
        drop(waiting);
        if count == 1 || count == self.batch_spans {
            self.changed.notify_one();
        }
    }

    /// The next spans, the oldest first.
    pub(super) fn take(&self) -> Vec<Span> {
        let mut waiting = self.waiting.lock();
        let count = waiting.spans.len().min(BATCH_SPANS_MAX);
        let rest = waiting.spans.split_off(count);
        std::mem::replace(&mut waiting.spans, rest)
    }

    pub(super) fn is_closed(&self) -> bool {
        self.waiting.lock().is_closed
    }

    pub(super) fn close(&self) {
        self.waiting.lock().is_closed = true;
        self.changed.notify_one();
    }

    /// Drops what is left.
    pub(super) fn give_up(&self) {
        let left = std::mem::take(&mut self.waiting.lock().spans);
        self.count(SpanResult::Failed, left.len());
    }

    /// Completes when there is a span, or no more will come.
    pub(super) async fn filled(&self) {
        self.until(|waiting| !waiting.spans.is_empty()).await;
    }

    /// Completes when there is a batch, or no more will come.
    pub(super) async fn has_batch(&self) {
        self.until(|waiting| waiting.spans.len() >= self.batch_spans).await;
    }

    /// Completes when no more will come.
    pub(super) async fn closed(&self) {
        self.until(|_| false).await;
    }

    async fn until(&self, is_there: impl Fn(&Waiting) -> bool) {
        loop {
            // A notification that comes before the wait is kept.
            let is_over = {
                let waiting = self.waiting.lock();
                waiting.is_closed || is_there(&waiting)
            };
            if is_over {
                return;
            }
            self.changed.notified().await;
        }
    }

    pub(super) fn count(&self, result: SpanResult, spans: usize) {
        self.stats.count_spans(result, spans as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_span_without_room_is_dropped_and_counted() {
        let stats = Arc::<Stats>::default();
        let queue = Queue::new(3, Arc::clone(&stats));
        for name in ["a", "b", "c", "d"] {
            queue.push(Span { name: name.to_owned(), ..Span::default() });
        }
        queue.filled().await;
        let names = |spans: Vec<Span>| spans.into_iter().map(|it| it.name).collect::<String>();
        assert_eq!(names(queue.take()), "abc");
        assert_eq!(stats.spans().find(|(name, _)| *name == "no_room"), Some(("no_room", 1)));
        queue.push(Span::default());
        queue.close();
        queue.push(Span::default());
        queue.closed().await;
        queue.give_up();
        assert!(queue.take().is_empty());
        assert_eq!(stats.spans().find(|(name, _)| *name == "no_room"), Some(("no_room", 2)));
        assert_eq!(stats.spans().find(|(name, _)| *name == "failed"), Some(("failed", 1)));
    }

    #[tokio::test]
    async fn batches_have_a_bound() {
        let queue = Queue::new(2 * BATCH_SPANS_MAX, Arc::default());
        for _ in 0..=BATCH_SPANS_MAX {
            queue.push(Span::default());
        }
        queue.has_batch().await;
        assert_eq!(queue.take().len(), BATCH_SPANS_MAX);
        assert_eq!(queue.take().len(), 1);
    }
}
