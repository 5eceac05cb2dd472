// SPDX-License-Identifier: BSD-3-Clause
//! What the handles of a channel share: closing, notes, counters.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use becket_chan::{Builder, Limits, Overflow, Token, timer};
use bytes::Bytes;
use futures_lite::future::or;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, OnceCell, Semaphore, watch};

use crate::counters::Counters;
use crate::engine::{Engine, Subscription};
use crate::error::{CloseError, OpenError};
use crate::limits::{Stop, at_most, within};
use crate::names::Names;
use crate::options::{Kind, Options};
use crate::publish::{Answer, only_if_open};

/// How long an attempt waits for the server's answer before it is repeated.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an operation whose limit has passed waits for the outcome of what it transmitted.
pub(crate) const OUTCOME_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause before a request is repeated that was not answered, or that the server could not serve.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// The pause before a waiting operation tries again without a note.
pub(crate) const SLOW_RETRY: Duration = Duration::from_secs(1);
/// The first pause after a note of a close that is not stored yet. The pauses grow, up to the slow retry.
const STORING_PAUSE: Duration = Duration::from_millis(1);
/// Notes that no sender waits for yet. More are dropped, the oldest first: the waiting senders have
/// their own retry.
const NOTES_MAX: usize = 16;

pub(crate) struct Channel {
    pub(crate) engine: Engine,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) names: Arc<Names>,
    pub(crate) ack_wait: Duration,
    pub(crate) counters: Counters,
    /// Cancelled once the channel is known to be closed.
    pub(crate) closed: Token,
    end: OnceLock<End>,
    /// Notes for waiting senders: of room, or with the subject of a receiver that waits.
    pub(crate) notes: becket_chan::Receiver<Bytes>,
    noted: becket_chan::Sender<Bytes>,
    /// A note arrived: perhaps a message was acknowledged elsewhere.
    pub(crate) freed: Notify,
    /// Attempts in flight.
    pub(crate) in_flight: Semaphore,
    /// The prefix of the ids of this handle's messages.
    prefix: String,
    next: AtomicU64,
    /// Notes are received since the first operation had to wait: each note goes to every handle that receives them.
    listens: OnceCell<()>,
    /// Cancelled when the last handle is dropped.
    gone: Token,
}

/// The message on the gate.
#[derive(Debug, Serialize, Deserialize)]
struct End {
    id: String,
    reason: Option<String>,
    /// A sequence number of the stream. All values that were accepted have smaller ones.
    #[serde(skip)]
    sequence: u64,
}

impl Channel {
    pub(crate) async fn open(
        engine: &Engine,
        name: &str,
        kind: Kind,
        options: &Options,
    ) -> Result<Arc<Self>, OpenError> {
        let names = Arc::new(Names::new(&options.namespace, name, kind, options.replicas)?);
        let wanted = (name.to_owned(), kind, options.clone());
        let ack_wait = engine.prepare(&names, wanted).await?;
        let (noted, notes) = Builder::bounded(NOTES_MAX).overflow(Overflow::DropOldest).build();
        let inbox = engine.new_inbox();
        let channel = Arc::new(Self {
            engine: engine.clone(),
            name: name.to_owned(),
            kind,
            names,
            ack_wait,
            counters: Counters::default(),
            closed: Token::new(),
            end: OnceLock::new(),
            notes,
            noted,
            freed: Notify::new(),
            in_flight: Semaphore::new(options.in_flight_max),
            prefix: inbox.rsplit('.').next().unwrap_or_default().to_owned(),
            next: AtomicU64::new(0),
            listens: OnceCell::new(),
            gone: Token::new(),
        });
        // Subscribed before the gate is read: a close that the reading misses sends a note.
        let subscribed = engine.subscribe(channel.names.gate.clone()).await;
        let refused = |cause: String| OpenError::Server { what: "the notes of a channel", cause };
        let gate = subscribed.map_err(|error| refused(error.to_string()))?;
        let mut connects = engine.connects();
        connects.mark_unchanged();
        let gone = channel.gone.clone();
        engine.spawn(watch_gate(Arc::downgrade(&channel), gate, connects, gone));
        channel.look_at_gate().await.map_err(refused)?;
        Ok(channel)
    }

    /// Receives notes from now on. True: it did not before, so that a note may have been missed.
    pub(crate) async fn listen(self: &Arc<Self>) -> bool {
        let is_new = !self.listens.initialized();
        let subscribing = self.listens.get_or_try_init(async || {
            let room = self.engine.subscribe(self.names.room.clone()).await?;
            let gone = self.gone.clone();
            self.engine.spawn(pass_notes(Arc::downgrade(self), room, gone));
            Ok::<_, async_nats::SubscribeError>(())
        });
        if let Err(error) = subscribing.await {
            tracing::debug!(channel = self.name, %error, "no notes can be received");
            return false;
        }
        is_new
    }

    /// Passes a note to a sender that waits. Beyond the bound the oldest one is dropped; the channel has both ends.
    pub(crate) fn noted(&self, note: Bytes) {
        let _sent = self.noted.try_send(note);
    }

    /// An id for a message of this handle. No other message has it.
    pub(crate) fn next_id(&self) -> String {
        format!("{}-{}", self.prefix, self.next.fetch_add(1, Ordering::Relaxed))
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.end.get().is_some()
    }

    pub(crate) fn reason(&self) -> Option<Arc<str>> {
        self.end.get().and_then(|end| end.reason.as_deref().map(Arc::from))
    }

    /// Asks the server whether the channel is closed.
    pub(crate) async fn look_at_gate(&self) -> Result<bool, String> {
        if self.is_closed() {
            return Ok(true);
        }
        // Boxed, as the next one: a coroutine's stack would have to hold them in each operation.
        if let Some((sequence, record)) = Box::pin(self.engine.end(&self.names)).await? {
            let unread = |_| End { id: String::new(), reason: None, sequence };
            let end = serde_json::from_slice(&record).unwrap_or_else(unread);
            // A second one is the same record, read again.
            let is_news = self.end.set(End { sequence, ..end }).is_ok();
            // What was acknowledged before this sent no note, and a receiver elsewhere may wait for the channel to be
            // drained.
            if is_news && !self.kind.may_be_full() && self.counters.snapshot().receives > 0 {
                self.engine.post(&self.names.room, Bytes::new());
            }
            self.closed.cancel();
        }
        Ok(self.is_closed())
    }

    /// The number of messages on the server that this channel holds.
    pub(crate) async fn count(&self) -> Result<usize, String> {
        if self.kind == Kind::Rendezvous {
            return Ok(0);
        }
        let since = self.end.get().map_or(0, |end| end.sequence);
        Box::pin(self.engine.count(&self.names, since)).await
    }

    /// Puts a message on the gate. True: this call closed the channel.
    pub(crate) async fn close(
        &self,
        reason: Option<Arc<str>>,
        limits: Limits<'_>,
    ) -> Result<bool, CloseError> {
        if self.is_closed() {
            return Ok(false);
        }
        let stopped = |stop| match stop {
            Stop::Cancelled => CloseError::Cancelled,
            Stop::TimedOut => CloseError::TimedOut,
        };
        let reason = reason.map(|reason| (*reason).to_owned());
        let id = self.next_id();
        let record = serde_json::to_vec(&End { id: id.clone(), reason, sequence: 0 })
            .map_err(|error| CloseError::Unsupported(error.to_string().into()))?;
        let record = Bytes::from(record);
        loop {
            let headers = only_if_open(&self.names.gate, None);
            let request = self.engine.request(&self.names.gate, Some(headers), record.clone());
            let answered = within(limits, at_most(ANSWER_TIMEOUT, request)).await;
            let answer = answered.map_err(stopped)?.map(Answer::of_stream);
            // A stream of unlimited channels that is full has no room for the record either.
            let pause = if answer == Some(Answer::Full) { SLOW_RETRY } else { RETRY_PAUSE };
            match answer {
                // Closed: perhaps by an attempt of this call that got no answer.
                Some(Answer::Accepted { .. } | Answer::Closed) => {
                    let looked = within(limits, self.look_at_gate()).await.map_err(stopped)?;
                    if looked == Ok(true) {
                        return Ok(self.end.get().is_some_and(|found| found.id == id));
                    }
                }
                Some(Answer::Refused(cause)) => return Err(CloseError::Unsupported(cause)),
                Some(Answer::Full | Answer::Unavailable | Answer::Raced | Answer::Lost) | None => {}
            }
            within(limits, timer::sleep(pause)).await.map_err(stopped)?;
        }
    }
}

impl Drop for Channel {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

/// Passes notes on, until the channel's last handle is dropped.
async fn pass_notes(channel: Weak<Channel>, mut room: Subscription, gone: Token) {
    let next = async |room: &mut Subscription| {
        let gone = async {
            gone.cancelled().await;
            None
        };
        or(gone, room.next()).await
    };
    while let Some(note) = next(&mut room).await {
        let Some(channel) = channel.upgrade() else { return };
        channel.noted(note.payload);
        channel.freed.notify_one();
    }
}

/// Reads the gate when a message comes on its subject, and after each reconnection; until the channel's last handle is
/// dropped.
///
/// The message comes before servers with replicas have stored it, and the stream may have refused it: an empty gate is
/// read again, until the sender of the message would have repeated it.
async fn watch_gate(
    channel: Weak<Channel>,
    mut gate: Subscription,
    mut connects: watch::Receiver<u64>,
    gone: Token,
) {
    loop {
        // In this order, not at random: the lab repeats its runs.
        let mut storing = tokio::select! {
            biased;
            _ = gone.cancelled() => return,
            note = gate.next() => match note {
                Some(_) => ANSWER_TIMEOUT,
                None => return,
            },
            connected = connects.changed() => match connected {
                Ok(()) => Duration::ZERO,
                Err(_) => return,
            },
        };
        let mut pause = STORING_PAUSE;
        loop {
            let Some(channel) = channel.upgrade() else { return };
            match channel.look_at_gate().await {
                Ok(is_closed) if is_closed || storing.is_zero() => break,
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(
                        channel = channel.name,
                        error,
                        "whether it is closed is not known"
                    );
                    pause = SLOW_RETRY;
                }
            }
            drop(channel);
            timer::sleep(pause).await;
            storing = storing.saturating_sub(pause);
            pause = (2 * pause).min(SLOW_RETRY);
        }
    }
}
