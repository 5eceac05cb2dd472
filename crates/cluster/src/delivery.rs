// SPDX-License-Identifier: BSD-3-Clause
//! A message until it is acknowledged.
//!
//! ```text
//!   HELD ──► ACKING ──► DONE
//!    │          └─ the request of the acknowledgement moves with the message. Dropped before its value was
//!    │             returned, the message goes back to the inbox: its acknowledgement is completed by whichever
//!    │             receive gets it next. Without a receiver it is handed back to the server: `hand_back`
//!    └─ dropped: requeued
//! ```
//!
//! A message that is held for longer than nine tenths of `ack_wait` is taken as the server's again: its
//! acknowledgement might cross its next delivery, and the server accepts late ones.

use std::collections::{HashSet, VecDeque};
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use becket_chan::{Token, timer};
use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::channel::{Channel, RETRY_PAUSE};
use crate::engine::Answering;
use crate::error::AckError;
use crate::hand_back;
use crate::limits::{at_most, within};
use crate::operation::{Ack, Operation};
use crate::options::Kind;
use crate::publish::answer;

/// Sequence numbers of acknowledged messages that a receiver remembers.
const REMEMBERED_MAX: usize = 4096;
/// How long an acknowledgement waits for its confirmation before it is repeated.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(2);

/// What the receivers of a process share, their task and their messages.
pub(crate) struct Home {
    pub(crate) channel: Arc<Channel>,
    /// Receives that wait.
    pub(crate) wanted: AtomicUsize,
    pub(crate) window: usize,
    /// Messages that no receive has returned yet.
    pub(crate) untaken: AtomicUsize,
    /// One of these numbers has changed.
    pub(crate) changed: Notify,
    /// Messages whose acknowledgement was transmitted, and whose value was not returned yet: the server may have none
    /// of them any more.
    unreturned: AtomicUsize,
    /// Cancelled when the last receiver is dropped.
    pub(crate) gone: Token,
    /// `None` once the last receiver is dropped: the messages in it hold this.
    inbox: Mutex<Option<becket_chan::Receiver<Delivery>>>,
    acknowledged: Mutex<Remembered>,
}

#[derive(Default)]
struct Remembered {
    order: VecDeque<u64>,
    set: HashSet<u64>,
}

impl Home {
    pub(crate) fn new(
        channel: Arc<Channel>,
        window: usize,
        inbox: becket_chan::Receiver<Delivery>,
    ) -> Self {
        Self {
            channel,
            wanted: AtomicUsize::new(0),
            window,
            untaken: AtomicUsize::new(0),
            changed: Notify::new(),
            unreturned: AtomicUsize::new(0),
            gone: Token::new(),
            inbox: Mutex::new(Some(inbox)),
            acknowledged: Mutex::default(),
        }
    }

    /// The last receiver is dropped.
    pub(crate) fn leave(&self) {
        // Dropped without the lock, which the messages in it take.
        let _inbox = self.inbox.lock().take();
        self.gone.cancel();
    }

    /// The number of messages that may be here without a receive.
    pub(crate) fn admitted(&self) -> usize {
        self.wanted.load(Ordering::SeqCst) + self.window
    }

    /// Whether the closed channel has no message any more. One that is held counts: it may be requeued. Of those that
    /// are acknowledged, this process counts its own until their values are returned.
    pub(crate) async fn is_drained(&self) -> bool {
        match self.channel.count().await {
            // In this order: what the server has not any more is counted here.
            Ok(count) => count == 0 && self.unreturned.load(Ordering::SeqCst) == 0,
            Err(error) => {
                tracing::debug!(channel = self.channel.name, error, "no answer");
                false
            }
        }
    }

    /// Whether this process has acknowledged the message: it arrives again, because an
    /// acknowledgement was lost.
    pub(crate) fn is_acknowledged(&self, sequence: u64) -> bool {
        self.acknowledged.lock().set.contains(&sequence)
    }

    fn forget(&self, sequence: u64) {
        let mut acknowledged = self.acknowledged.lock();
        if acknowledged.set.remove(&sequence) {
            acknowledged.order.retain(|kept| *kept != sequence);
        }
    }

    fn remember(&self, sequence: u64) {
        let mut acknowledged = self.acknowledged.lock();
        let Remembered { order, set } = &mut *acknowledged;
        if set.insert(sequence) {
            order.push_back(sequence);
        }
        if order.len() > REMEMBERED_MAX
            && let Some(oldest) = order.pop_front()
        {
            set.remove(&oldest);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Held,
    Acking,
    Done,
}

/// A message that was received and not acknowledged yet. It dereferences to its bytes.
///
/// Dropped, it is requeued: the server delivers it again, to any receiver, perhaps behind newer
/// messages. The sender of a rendezvous then looks for another receiver.
#[must_use = "dropped, it is requeued"]
pub struct Delivery {
    value: Bytes,
    home: Arc<Home>,
    reply: String,
    sequence: u64,
    attempt: u64,
    expires: Instant,
    stage: Stage,
    acking: Option<Answering>,
    /// A receive has returned its value: should the message arrive again, it is a duplicate.
    is_received: bool,
    /// Its caller has the value, and acknowledges it: it goes back nowhere.
    is_returned: bool,
    /// Counted in `untaken`.
    is_untaken: bool,
}

impl Delivery {
    pub(crate) fn new(
        home: &Arc<Home>,
        value: Bytes,
        reply: String,
        (sequence, attempt): (u64, u64),
    ) -> Self {
        home.untaken.fetch_add(1, Ordering::SeqCst);
        if attempt > 1 {
            home.channel.counters.redelivered();
        }
        Self {
            value,
            reply,
            sequence,
            attempt,
            expires: home.channel.engine.now() + lease(home),
            stage: Stage::Held,
            acking: None,
            is_received: false,
            is_returned: false,
            is_untaken: true,
            home: home.clone(),
        }
    }

    /// The number of the message in its stream: the same each time it is delivered. 0 for a rendezvous.
    #[must_use]
    pub const fn sequence(&self) -> u64 {
        self.sequence
    }

    /// How many times it has been delivered, this one included.
    #[must_use]
    pub const fn attempt(&self) -> u64 {
        self.attempt
    }

    /// An operation that acknowledges the message, and returns its bytes once the server has confirmed
    /// that: it is not delivered again.
    ///
    /// # Errors
    ///
    /// When driven: see [`AckError`].
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completed, the message may be acknowledged or not; if not, it is delivered
    /// again after `ack_wait`. Limits end it with [`AckError::Unknown`].
    pub fn ack(mut self) -> Ack {
        self.taken();
        self.is_returned = true;
        Operation::new(move |limits| async move {
            match within(limits, self.confirm()).await {
                Ok(Ok(())) => Ok(self.value.clone()),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(AckError::Unknown),
            }
        })
    }

    /// Gives the message another `ack_wait` from now: for work that takes longer. Of no effect on a
    /// rendezvous.
    pub fn in_progress(&mut self) {
        if self.home.channel.kind != Kind::Rendezvous && !self.is_expired() {
            self.post(b"+WPI");
            self.expires = self.home.channel.engine.now() + lease(&self.home);
        }
    }

    /// Records that a receive has returned it.
    pub(crate) fn taken(&mut self) {
        if std::mem::replace(&mut self.is_untaken, false) {
            self.home.untaken.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// Puts it back in front of the inbox, for the next receive of this process. Without a receiver it is dropped.
    pub(crate) fn put_back(mut self) {
        let home = self.home.clone();
        let inbox = home.inbox.lock().clone();
        let Some(inbox) = inbox else { return };
        if !std::mem::replace(&mut self.is_untaken, true) {
            home.untaken.fetch_add(1, Ordering::SeqCst);
        }
        inbox.put_back(self);
        home.changed.notify_one();
    }

    /// Whether its acknowledgement was transmitted.
    pub(crate) fn is_acking(&self) -> bool {
        self.stage == Stage::Acking
    }

    /// Whether the server delivers it again.
    pub(crate) fn is_expired(&self) -> bool {
        self.stage == Stage::Held && self.home.channel.engine.now() >= self.expires
    }

    /// The value, received also if the acknowledgement was not confirmed.
    pub(crate) fn receive(mut self) -> Bytes {
        if !std::mem::replace(&mut self.is_received, true) {
            self.home.channel.counters.received(self.value.len());
        }
        self.value.clone()
    }

    /// What is needed to hand it back to the server: that is no receive.
    pub(crate) fn unreceived(mut self) -> Self {
        self.is_received = true;
        self
    }

    pub(crate) fn channel(&self) -> &Arc<Channel> {
        &self.home.channel
    }

    pub(crate) fn value(&self) -> &Bytes {
        &self.value
    }

    /// Leaves it to the server, which delivers it again.
    pub(crate) fn expire(mut self) {
        self.set(Stage::Done);
        self.home.channel.counters.expired();
    }

    /// Refuses it for good: the channel is closed.
    pub(crate) fn refuse(mut self, answer: &'static [u8]) {
        self.set(Stage::Done);
        self.post(answer);
    }

    /// Acknowledges it, and waits for the confirmation. May be dropped and called again. After an
    /// error of `Unknown` the value may be used: it would be received twice rather than not at all.
    pub(crate) async fn confirm(&mut self) -> Result<(), AckError> {
        if self.home.channel.kind == Kind::Rendezvous {
            if self.stage == Stage::Held {
                self.post(answer::TOOK);
                self.done();
            }
            return Ok(());
        }
        while self.stage != Stage::Done {
            if self.home.channel.engine.now() >= self.expires {
                let was_acking = self.is_acking();
                self.set(Stage::Done);
                self.home.channel.counters.expired();
                return Err(if was_acking { AckError::Unknown } else { AckError::Expired });
            }
            if self.stage == Stage::Held {
                self.home.remember(self.sequence);
                self.set(Stage::Acking);
            }
            let engine = &self.home.channel.engine;
            let ack = || engine.request(&self.reply, None, Bytes::from_static(b"+ACK"));
            let acking = self.acking.get_or_insert_with(ack);
            match at_most(CONFIRM_TIMEOUT, acking).await {
                Some(Ok(_)) => self.done(),
                Some(Err(_)) => {
                    self.acking = None;
                    timer::sleep(RETRY_PAUSE).await;
                }
                None => self.acking = None,
            }
        }
        Ok(())
    }

    fn set(&mut self, stage: Stage) {
        let was_acking = std::mem::replace(&mut self.stage, stage) == Stage::Acking;
        match (was_acking, stage == Stage::Acking) {
            (false, true) => self.home.unreturned.fetch_add(1, Ordering::SeqCst),
            (true, false) => self.home.unreturned.fetch_sub(1, Ordering::SeqCst),
            _ => return,
        };
    }

    fn done(&mut self) {
        self.set(Stage::Done);
        self.acking = None;
        let channel = &self.home.channel;
        if !std::mem::replace(&mut self.is_received, true) {
            channel.counters.received(self.value.len());
        }
        if channel.kind.may_be_full() || channel.is_closed() {
            channel.engine.post(&channel.names.room, Bytes::new());
        }
    }

    fn post(&self, answer: &'static [u8]) {
        self.home.channel.engine.post(&self.reply, Bytes::from_static(answer));
    }
}

/// How long a message belongs to its receiver.
fn lease(home: &Home) -> Duration {
    home.channel.ack_wait.mul_f64(0.9)
}

impl Delivery {
    /// What this is, so that nothing is left to do for its drop.
    fn take(&mut self) -> Self {
        Self {
            value: std::mem::take(&mut self.value),
            home: self.home.clone(),
            reply: std::mem::take(&mut self.reply),
            sequence: self.sequence,
            attempt: self.attempt,
            expires: self.expires,
            stage: std::mem::replace(&mut self.stage, Stage::Done),
            acking: self.acking.take(),
            is_received: std::mem::replace(&mut self.is_received, true),
            is_returned: self.is_returned,
            is_untaken: std::mem::replace(&mut self.is_untaken, false),
        }
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if self.is_acking() && !self.is_received && !self.is_returned {
            let has_receiver = self.home.inbox.lock().is_some();
            let taken = self.take();
            if has_receiver {
                taken.put_back();
            } else {
                hand_back::begin(taken);
            }
            return;
        }
        if self.stage == Stage::Held {
            let is_rendezvous = self.home.channel.kind == Kind::Rendezvous;
            self.post(if is_rendezvous { answer::REFUSED } else { b"-NAK" });
            self.home.channel.counters.requeued();
        }
        if !self.is_received {
            self.home.forget(self.sequence);
        }
        self.set(Stage::Done);
        self.taken();
        self.home.changed.notify_one();
    }
}

impl Deref for Delivery {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.value
    }
}

/// A payload is never printed: only its length is.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("bytes", &self.value.len())
            .field("sequence", &self.sequence)
            .field("attempt", &self.attempt)
            .field("stage", &self.stage)
            .finish_non_exhaustive()
    }
}
