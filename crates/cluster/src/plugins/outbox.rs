// SPDX-License-Identifier: BSD-3-Clause
//! What a host sends, in order: its callers' threads put it here and never wait.
//!
//! A call goes to the client at once, on its caller's thread, where nothing waits and the client has room: so nothing
//! that the thread sent before is overtaken ([`Outbox::is_empty`], [`publish_at_once`]).
//!
//! Calls and data are refused while the outbox is full. What ends or bounds something (cancellations,
//! credits, notes) always gets in: there is little of it for each call in hand.
//!
//! An outbox that ends is emptied first: notifications, which no caller awaits, are at the server then.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use async_nats::{Client, HeaderMap, Subject};
use bytes::Bytes;
use futures_lite::StreamExt as _;
use tokio::sync::mpsc;

/// Messages that the client does not have yet.
const MESSAGES_MAX: usize = 8192;
/// Their bytes.
const BYTES_MAX: usize = 64 << 20;

/// A message to be sent.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) subject: Subject,
    pub(super) reply: Option<Subject>,
    pub(super) headers: Option<HeaderMap>,
    pub(super) payload: Bytes,
    /// The call that it is; 0: something else.
    pub(super) call: u64,
}

impl Outgoing {
    pub(super) fn new(subject: Subject, payload: Bytes) -> Self {
        Self { subject, reply: None, headers: None, payload, call: 0 }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Outbox {
    /// `None`: nothing follows.
    queue: mpsc::UnboundedSender<Option<Outgoing>>,
    waiting: AtomicUsize,
    waiting_bytes: AtomicUsize,
    /// Something was refused.
    is_starved: AtomicBool,
}

impl Outbox {
    pub(super) fn new() -> (Self, mpsc::UnboundedReceiver<Option<Outgoing>>) {
        let (queue, outgoing) = mpsc::unbounded_channel();
        let outbox = Self {
            queue,
            waiting: AtomicUsize::new(0),
            waiting_bytes: AtomicUsize::new(0),
            is_starved: AtomicBool::new(false),
        };
        (outbox, outgoing)
    }

    /// Whether calls and data are refused. If so, [`Self::took`] says when they are not.
    pub(super) fn is_full(&self) -> bool {
        let is_full = || {
            self.waiting.load(Ordering::SeqCst) >= MESSAGES_MAX
                || self.waiting_bytes.load(Ordering::SeqCst) >= BYTES_MAX
        };
        if !is_full() {
            return false;
        }
        self.is_starved.store(true, Ordering::SeqCst);
        // It may have been emptied in between, and seen nothing starved.
        is_full()
    }

    /// Whether the client has all that was put here.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0
    }

    pub(super) fn push(&self, outgoing: Outgoing) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        self.waiting_bytes.fetch_add(outgoing.payload.len(), Ordering::SeqCst);
        // Closed: the load has ended.
        let _ = self.queue.send(Some(outgoing));
    }

    /// What is put there from now on is not sent.
    pub(super) fn end(&self) {
        // Closed: it has ended.
        let _ = self.queue.send(None);
    }

    /// The client has one, of so many bytes, or it is not sent. True: what was refused is taken now.
    pub(super) fn took(&self, bytes: usize) -> bool {
        let waiting = self.waiting.fetch_sub(1, Ordering::SeqCst) - 1;
        let waiting_bytes = self.waiting_bytes.fetch_sub(bytes, Ordering::SeqCst) - bytes;
        waiting <= MESSAGES_MAX / 2
            && waiting_bytes <= BYTES_MAX / 2
            && self.is_starved.swap(false, Ordering::SeqCst)
    }
}

/// Gives a message to the client. True: the client has it.
pub(super) async fn publish(client: &Client, outgoing: Outgoing) -> bool {
    let Outgoing { subject, reply, headers, payload, call: _ } = outgoing;
    let published = match (reply, headers) {
        (None, None) => client.publish(subject, payload).await,
        (None, Some(headers)) => client.publish_with_headers(subject, headers, payload).await,
        (Some(reply), None) => client.publish_with_reply(subject, reply, payload).await,
        (Some(reply), Some(headers)) => {
            client.publish_with_reply_and_headers(subject, reply, headers, payload).await
        }
    };
    if let Err(error) = &published {
        tracing::debug!(target: "becket::cluster", %error, "a message was not published");
    }
    published.is_ok()
}

/// Gives a message to the client, unless it would have to wait or refuses it: then false, and nothing was sent.
pub(super) fn publish_at_once(client: &Client, outgoing: Outgoing) -> bool {
    let published = pin!(publish(client, outgoing));
    published.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(true)
}

/// Returns when the server has done what it was sent before.
pub(super) async fn round_trip(client: &Client) -> Result<(), async_nats::Error> {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await?;
    client.publish(inbox, Bytes::new()).await?;
    answers.next().await;
    Ok(())
}
