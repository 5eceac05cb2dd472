// SPDX-License-Identifier: BSD-3-Clause
//! A send as an arm of a select.
//!
//! ```text
//!   select! { ready = arm.recv(), … } ──► attempt: one message, and its answer ──► over
//!              ▲                             │
//!              └── a note, or the slow ◄─────┘ refused: nothing was accepted
//!                  retry: a task waits
//! ```
//!
//! A message that was published cannot be withdrawn, so no attempt runs while the other arms may complete. The arm of
//! the select is a local channel that holds at most one [`Attempt`]: the permission to make one. The attempt itself
//! runs while nothing else of the select does, and has an answer before the select goes on.
//!
//! # Invariants
//!
//! 1. While the select waits, no attempt is in flight, and none has an unknown outcome.
//! 2. There is one `Attempt`, in the channel or with the caller, or one task that will make it; or the send is over.
//! 3. An `Attempt` that is not used, and was made by a note, goes to another waiting sender.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use becket_chan::{Limits, Token, bounded};
use bytes::Bytes;
use parking_lot::Mutex;

use crate::channel::Channel;
use crate::error::SendError;
use crate::limits::within;
use crate::operation::{Attempted, Operation};
use crate::publish::Answer;
use crate::sender::{Sending, Step};

/// The permission to attempt a send, from its [`SendArm`].
#[derive(Debug)]
#[must_use = "without an attempt nothing is sent"]
pub struct Attempt {
    /// The note that it was made by: empty, or the subject of a receiver of a rendezvous that waits.
    note: Option<Bytes>,
}

/// A send that takes part in selects. See [`Sender::arm`](crate::Sender::arm).
///
/// It dereferences to the local channel whose receive is the arm.
pub struct SendArm<'a> {
    channel: &'a Arc<Channel>,
    bytes: usize,
    /// `None`: an attempt has it, or it is over.
    sending: Mutex<Option<Sending>>,
    ready: becket_chan::Receiver<Attempt>,
    makes_ready: becket_chan::Sender<Attempt>,
    /// Cancelled when this is dropped.
    gone: Token,
}

impl<'a> SendArm<'a> {
    pub(crate) fn new(channel: &'a Arc<Channel>, value: Bytes) -> Self {
        let (makes_ready, ready) = bounded(1);
        // The first attempt waits for nothing. There is room for it.
        let _first = makes_ready.try_send(Attempt { note: None });
        Self {
            channel,
            bytes: value.len(),
            sending: Mutex::new(Some(channel.sending(value, None))),
            ready,
            makes_ready,
            gone: Token::new(),
        }
    }

    /// An operation that attempts the send: one round trip. `None`: nothing was accepted, the value is still here, and
    /// the arm is ready again once another attempt is worth it. Otherwise the send is over, and the arm is never ready
    /// again.
    ///
    /// An attempt whose answer is lost is repeated until one arrives, as in [`Sender::send`](crate::Sender::send): that
    /// takes as long as the server is away, and ends as [`SendError::Unknown`] after 100 s. A limit ends the send. On a
    /// rendezvous the answer comes once the receiver has returned the value.
    ///
    /// # Errors
    ///
    /// When driven: see [`SendError`]; it returns the value.
    ///
    /// # Cancel safety
    ///
    /// Dropped while the attempt is in flight, the value may have been accepted; the send is over, and counts as unknown.
    pub fn attempt(&self, ready: Attempt) -> Attempted<'_> {
        Operation::new(move |limits| async move {
            let mut sending = self.sending.lock().take()?;
            sending.called_by(ready.note);
            let result = self.try_to_send(sending, limits).await;
            if let Some(result) = &result {
                self.channel.counters.sent(self.bytes, result);
            }
            result
        })
    }

    /// The value, if the send is not over.
    #[must_use]
    pub fn into_inner(self) -> Option<Bytes> {
        self.sending.lock().take().map(Sending::into_inner)
    }

    async fn try_to_send(
        &self,
        mut sending: Sending,
        limits: Limits<'_>,
    ) -> Option<Result<(), SendError>> {
        loop {
            match self.channel.step(&mut sending, false, limits).await {
                Step::Over(result) => return Some(result),
                Step::Refused(_, Some(stop)) => return Some(Err(sending.stopped(stop))),
                // It may still be accepted: the other arms would not be the only ones that complete.
                Step::Refused(answer, None) if sending.is_doubtful() => {
                    let waited = self.channel.wait_for_room(sending.refused(), &answer, limits);
                    match waited.await {
                        Ok(note) => sending.called_by(note),
                        Err(stop) => return Some(Err(sending.stopped(stop))),
                    }
                }
                Step::Refused(answer, None) => {
                    let refusals = sending.refused();
                    *self.sending.lock() = Some(sending);
                    self.begin_to_wait(refusals, answer);
                    return None;
                }
            }
        }
    }

    fn begin_to_wait(&self, refusals: u32, answer: Answer) {
        let (channel, gone) = (self.channel.clone(), self.gone.clone());
        let (ready, makes_ready) = (self.ready.clone(), self.makes_ready.clone());
        self.channel.engine.spawn(async move {
            let waiting = channel.wait_for_room(refusals, &answer, Limits::none());
            let Ok(Ok(note)) = within(Limits::none().cancel_on(&gone), waiting).await else {
                return;
            };
            // There is room: invariant 2.
            let _made = makes_ready.try_send(Attempt { note });
            if gone.is_cancelled() {
                pass_on(&channel, &ready);
            }
        });
    }
}

/// Gives the note of an attempt that is not made to another waiting sender.
fn pass_on(channel: &Channel, ready: &becket_chan::Receiver<Attempt>) {
    if let Ok(Attempt { note: Some(note) }) = ready.try_recv() {
        channel.noted(note);
    }
}

impl Drop for SendArm<'_> {
    fn drop(&mut self) {
        self.gone.cancel();
        pass_on(self.channel, &self.ready);
    }
}

impl Deref for SendArm<'_> {
    type Target = becket_chan::Receiver<Attempt>;

    fn deref(&self) -> &becket_chan::Receiver<Attempt> {
        &self.ready
    }
}

impl fmt::Debug for SendArm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendArm")
            .field("channel", &self.channel.name)
            .field("bytes", &self.bytes)
            .field("is_ready", &!self.ready.is_empty())
            .finish_non_exhaustive()
    }
}
