// SPDX-License-Identifier: BSD-3-Clause
//! Sending.
//!
//! ```text
//!            ┌────────────────────────────────────────────────┐
//!            ▼                                                │ a note, or the slow retry
//!   attempt, with the id ──► full, or nothing accepts ──► wait for a note
//!     │    ▲      │  │
//!     │    └──────┘  └──► accepted · closed · refused
//!     │    no answer: the same id again
//!     ▼
//!   a limit passed: another second for the answer, then unknown
//! ```

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use becket_chan::{Limits, timer};
use bytes::Bytes;
use futures_lite::future::or;

use crate::arm::SendArm;
use crate::channel::{ANSWER_TIMEOUT, Channel, OUTCOME_TIMEOUT, RETRY_PAUSE, SLOW_RETRY};
use crate::counters::Snapshot;
use crate::error::SendError;
use crate::limits::{Stop, at_most, within};
use crate::operation::{Close, Operation, Send};
use crate::options::Kind;
use crate::publish::{Answer, only_if_open};
use crate::server::DUPLICATE_WINDOW;

/// A send one attempt of which had no answer is not repeated any more after this long.
pub(crate) const REPEATED_AT_MOST: Duration =
    DUPLICATE_WINDOW.saturating_sub(Duration::from_secs(20));
/// After this many refusals the slow retry is slower, and a rendezvous looks at the gate.
const REFUSALS_MANY: u32 = 5;
const SLOWER_RETRY: Duration = Duration::from_secs(5);

/// Sends into a channel. Clones send into the same channel and share its counters.
///
/// Thread safe. Dropping it does not close the channel, which others may use.
#[derive(Clone)]
pub struct Sender {
    channel: Arc<Channel>,
}

impl Sender {
    pub(crate) const fn new(channel: Arc<Channel>) -> Self {
        Self { channel }
    }

    /// An operation that sends `value`, waiting for room or for a receiver.
    ///
    /// Sends that one caller drives one after the other are accepted in that order; the order of
    /// those driven at the same time is not specified.
    ///
    /// # Errors
    ///
    /// When driven: see [`SendError`]; it returns the value.
    ///
    /// # Cancel safety
    ///
    /// Dropped while it waits for room, it has sent nothing. Dropped while an attempt is in flight,
    /// its value may have been accepted, and it counts as unknown; one with a limit ends with the
    /// outcome instead, as far as the server answers within another second.
    pub fn send(&self, value: impl Into<Bytes>) -> Send<'_> {
        self.sending(value.into(), None, false)
    }

    /// As [`send`](Self::send), with an id of the caller's choice: the server accepts one message of a
    /// channel with the same id within two minutes, and answers the others as if it had accepted
    /// them. So a receiver that passes results on, and may get its message again, sends each result
    /// once. On a rendezvous the id has no effect.
    ///
    /// # Errors
    ///
    /// As for [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As for [`send`](Self::send); sent again with the same id, it is accepted once.
    pub fn send_with_id(&self, value: impl Into<Bytes>, id: &str) -> Send<'_> {
        // The ids of a stream are those of all its channels.
        let id = format!("{}.{id}", self.channel.name);
        self.sending(value.into(), Some(id), false)
    }

    /// An operation that sends `value` if it is accepted at once: one attempt, one round trip. Of a
    /// rendezvous, one process with receivers is asked.
    ///
    /// # Errors
    ///
    /// When driven: [`SendError::WouldBlock`], or as for [`send`](Self::send).
    ///
    /// # Cancel safety
    ///
    /// As for [`send`](Self::send).
    pub fn try_send(&self, value: impl Into<Bytes>) -> Send<'_> {
        self.sending(value.into(), None, true)
    }

    /// A send for a [`select!`](becket_chan::select), together with operations of local channels and of others. Exactly
    /// one arm completes: an attempt to send is made while the select does not wait, and a select that waits has none in
    /// flight.
    ///
    /// ```no_run
    /// use becket_chan::select;
    ///
    /// # async fn example(
    /// #     tx: becket_cluster::Sender,
    /// #     local: becket_chan::Receiver<u32>,
    /// # ) -> Result<(), Box<dyn std::error::Error>> {
    /// let arm = tx.arm("value");
    /// loop {
    ///     select! {
    ///         ready = arm.recv() => if let Some(sent) = arm.attempt(ready?).await {
    ///             break sent?;
    ///         },
    ///         job = local.recv() => println!("meanwhile: {}", job?),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The arm is ready when an attempt is worth it: at once, and after a refusal with the next note, or with the slow
    /// retry of every send. The other arms wait for the attempt's answer, which takes a round trip, or as long as the
    /// server is away: [`SendArm::attempt`] has limits. Dropped, or left by the loop, the value is not sent.
    pub fn arm(&self, value: impl Into<Bytes>) -> SendArm<'_> {
        SendArm::new(&self.channel, value.into())
    }

    fn sending(&self, value: Bytes, id: Option<String>, is_try: bool) -> Send<'_> {
        Operation::new(move |limits| {
            let sending = self.channel.sending(value, id);
            self.channel.send(sending, is_try, limits)
        })
    }

    /// An operation that closes the channel for all: later sends fail, receivers get what was
    /// accepted before. True if this call closed it. A closed channel stays closed.
    ///
    /// A full stream of unlimited channels takes no record of the close: the operation then waits for
    /// room in it.
    ///
    /// # Errors
    ///
    /// When driven: see [`CloseError`](crate::CloseError).
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completed, the channel may be closed or not.
    pub fn close(&self) -> Close<'_> {
        Operation::new(move |limits| self.channel.close(None, limits))
    }

    /// As [`close`](Self::close), with a reason that all sides can read.
    pub fn close_with(&self, reason: impl Into<Arc<str>>) -> Close<'_> {
        let reason = Some(reason.into());
        Operation::new(move |limits| self.channel.close(reason, limits))
    }

    /// Whether the channel is known to be closed: by an operation of this process, or by a note.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.channel.is_closed()
    }

    /// The reason with which the channel was closed, if it is known to be and has one.
    #[must_use]
    pub fn closed_reason(&self) -> Option<Arc<str>> {
        self.channel.reason()
    }

    /// The kind of the channel.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.channel.kind
    }

    /// The exact counts of this process.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.channel.counters.snapshot()
    }
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender")
            .field("channel", &self.channel.name)
            .field("kind", &self.channel.kind)
            .field("closed", &self.is_closed())
            .finish_non_exhaustive()
    }
}

/// An attempt in flight. Dropped with its operation, it counts as unknown.
struct InFlight<'a>(Option<&'a Channel>);

impl InFlight<'_> {
    fn answered(mut self) {
        self.0 = None;
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        if let Some(channel) = self.0 {
            channel.counters.abandoned();
        }
    }
}

/// A send, between its attempts.
pub(crate) struct Sending {
    value: Bytes,
    id: String,
    /// A receiver of a rendezvous that waits.
    receiver: Option<String>,
    refusals: u32,
    /// Since when an attempt has had no answer.
    doubtful: Option<Instant>,
}

/// What became of an attempt.
pub(crate) enum Step {
    /// The send is over.
    Over(Result<(), SendError>),
    /// Nothing was accepted: there is no room, no receiver, or no server. With the limit that has passed.
    Refused(Answer, Option<Stop>),
}

impl Sending {
    pub(crate) fn into_inner(self) -> Bytes {
        self.value
    }

    /// Whether it is not known what became of an attempt: it may still be accepted.
    pub(crate) const fn is_doubtful(&self) -> bool {
        self.doubtful.is_some()
    }

    /// Counts a refusal, and returns their number.
    pub(crate) const fn refused(&mut self) -> u32 {
        self.refusals += 1;
        self.refusals
    }

    /// The next attempt follows a note, which may have the subject of a receiver that waits.
    pub(crate) fn called_by(&mut self, note: Option<Bytes>) {
        let subject = note.filter(|note| !note.is_empty());
        self.receiver = subject.and_then(|subject| String::from_utf8(subject.into()).ok());
    }

    /// The value; the send is over.
    fn take(&mut self) -> Bytes {
        std::mem::take(&mut self.value)
    }

    pub(crate) fn stopped(&mut self, stop: Stop) -> SendError {
        match self.doubtful {
            Some(_) => SendError::Unknown(self.take()),
            None => stop.of_send(self.take()),
        }
    }
}

/// What is rare is boxed: a future is as large as the largest that it may wait for, and each operation is allocated.
impl Channel {
    /// A send that has not begun.
    pub(crate) fn sending(&self, value: Bytes, id: Option<String>) -> Sending {
        let id = id.unwrap_or_else(|| self.next_id());
        Sending { value, id, receiver: None, refusals: 0, doubtful: None }
    }

    async fn send(
        self: &Arc<Self>,
        mut sending: Sending,
        is_try: bool,
        limits: Limits<'_>,
    ) -> Result<(), SendError> {
        let bytes = sending.value.len();
        let result = loop {
            if limits.is_cancelled() && !sending.is_doubtful() {
                break Err(SendError::Cancelled(sending.take()));
            }
            let answer = match self.step(&mut sending, is_try, limits).await {
                Step::Over(result) => break result,
                Step::Refused(_, Some(stop)) => break Err(sending.stopped(stop)),
                Step::Refused(_, None) if is_try => {
                    break Err(SendError::WouldBlock(sending.take()));
                }
                Step::Refused(answer, None) => answer,
            };
            match Box::pin(self.wait_for_room(sending.refused(), &answer, limits)).await {
                Ok(note) => sending.called_by(note),
                Err(stop) => break Err(sending.stopped(stop)),
            }
        };
        self.counters.sent(bytes, &result);
        result
    }

    /// Attempts until one has an answer.
    pub(crate) async fn step(
        self: &Arc<Self>,
        sending: &mut Sending,
        is_try: bool,
        limits: Limits<'_>,
    ) -> Step {
        if let Kind::Unlimited { bytes_max } = self.kind
            && sending.value.len() as u64 > bytes_max
        {
            let cause = format!("{} bytes, and the stream holds {bytes_max}", sending.value.len());
            let (value, cause) = (sending.take(), cause.into());
            return Step::Over(Err(SendError::Unsupported { value, cause }));
        }
        loop {
            match sending.doubtful {
                // The server would not recognise its id.
                Some(since) if self.engine.now() - since >= REPEATED_AT_MOST => {
                    return Step::Over(Err(SendError::Unknown(sending.take())));
                }
                None if self.is_closed() => return Step::Over(Err(self.closed(sending.take()))),
                _ => {}
            }
            let to = sending.receiver.take();
            let attempt = self.attempt((&sending.id, &sending.value), to, is_try, limits);
            let (answer, stop) = match attempt.await {
                Ok(answered) => answered,
                Err(_) if sending.is_doubtful() => {
                    return Step::Over(Err(SendError::Unknown(sending.take())));
                }
                Err(None) => return Step::Over(Err(SendError::WouldBlock(sending.take()))),
                Err(Some(stop)) => return Step::Over(Err(stop.of_send(sending.take()))),
            };
            match answer {
                Answer::Accepted { duplicate } => {
                    if duplicate {
                        self.counters.duplicate();
                    }
                    return Step::Over(Ok(()));
                }
                Answer::Lost => {
                    let now = self.engine.now();
                    sending.doubtful.get_or_insert(now);
                    let is_over = is_try || stop.is_some() || self.kind == Kind::Rendezvous;
                    if is_over || within(limits, timer::sleep(RETRY_PAUSE)).await.is_err() {
                        return Step::Over(Err(SendError::Unknown(sending.take())));
                    }
                }
                // The gate comes before the ids: an attempt without an answer may have been
                // accepted before the close.
                Answer::Closed | Answer::Refused(_) if sending.is_doubtful() => {
                    return Step::Over(Err(SendError::Unknown(sending.take())));
                }
                Answer::Closed => {
                    // For the reason. A limit may have passed already.
                    Box::pin(at_most(OUTCOME_TIMEOUT, self.look_at_gate())).await;
                    return Step::Over(Err(self.closed(sending.take())));
                }
                Answer::Refused(cause) => {
                    let value = sending.take();
                    return Step::Over(Err(SendError::Unsupported { value, cause }));
                }
                Answer::Raced if stop.is_none() => {}
                // An attempt without an answer may still be on its way, through another server.
                Answer::Full | Answer::Unavailable | Answer::Raced => {
                    return Step::Refused(answer, stop);
                }
            }
        }
    }

    /// Waits after a refusal, until the next attempt is worth it. Returns the note, if one was the cause.
    pub(crate) async fn wait_for_room(
        self: &Arc<Self>,
        refusals: u32,
        answer: &Answer,
        limits: Limits<'_>,
    ) -> Result<Option<Bytes>, Stop> {
        // The note of the close may be lost, and all receivers gone.
        if self.kind == Kind::Rendezvous && refusals.is_multiple_of(REFUSALS_MANY) {
            within(limits, at_most(OUTCOME_TIMEOUT, self.look_at_gate())).await?;
        }
        self.wait(answer, refusals, limits).await
    }

    fn closed(&self, value: Bytes) -> SendError {
        SendError::Closed { value, reason: self.reason() }
    }

    /// One attempt: the answer, and the limit that passed meanwhile, if one did. An error: nothing
    /// was transmitted, for a limit, or because a send that does not wait would have had to.
    async fn attempt(
        &self,
        (id, value): (&str, &Bytes),
        receiver: Option<String>,
        is_try: bool,
        limits: Limits<'_>,
    ) -> Result<(Answer, Option<Stop>), Option<Stop>> {
        let permit = match self.in_flight.try_acquire() {
            Ok(permit) => Ok(permit),
            Err(_) if is_try => return Err(None),
            Err(_) => Box::pin(within(limits, self.in_flight.acquire())).await.map_err(Some)?,
        };
        let in_flight = InFlight(Some(self));
        let is_rendezvous = self.kind == Kind::Rendezvous;
        let (headers, timeout) = if is_rendezvous {
            (None, self.ack_wait)
        } else {
            (Some(only_if_open(&self.names.condition(), Some(id))), ANSWER_TIMEOUT)
        };
        let to = receiver.as_deref().unwrap_or(&self.names.data);
        let mut request = self.engine.request(to, headers, value.clone());
        // One timer for both, and not a future in another: the operation's size counts.
        let (result, stop) = match within(limits.timeout(timeout), &mut request).await {
            Ok(result) => (Some(result), None),
            Err(Stop::TimedOut) if limits.until().is_none_or(|at| self.engine.now() < at) => {
                (None, None)
            }
            Err(stop) => (at_most(OUTCOME_TIMEOUT, &mut request).await, Some(stop)),
        };
        drop(permit);
        in_flight.answered();
        let answer = match result {
            None => Answer::Lost,
            Some(result) if is_rendezvous => Answer::of_receiver(result),
            Some(result) => Answer::of_stream(result),
        };
        Ok((answer, stop))
    }

    /// Waits for a note, and at most for the slow retry.
    async fn wait(
        self: &Arc<Self>,
        answer: &Answer,
        refusals: u32,
        limits: Limits<'_>,
    ) -> Result<Option<Bytes>, Stop> {
        let retry = match answer {
            Answer::Full if refusals < REFUSALS_MANY => SLOW_RETRY,
            Answer::Full => SLOWER_RETRY,
            _ => RETRY_PAUSE * refusals.min(10),
        };
        // Not all processes at once.
        let retry = retry + retry.mul_f64(fastrand::f64() / 4.0);
        if *answer == Answer::Full {
            let is_new = within(limits, self.listen()).await?;
            if self.kind == Kind::Rendezvous {
                self.engine.post(&self.names.call, Bytes::new());
            } else if is_new {
                // Tried again at once: room that came before this had no note here.
                return Ok(None);
            }
        }
        let note = async {
            match answer {
                Answer::Full => self.notes.recv().await.ok(),
                _ => std::future::pending().await,
            }
        };
        let closed = async {
            self.closed.cancelled().await;
            None
        };
        let retried = async {
            timer::sleep(retry).await;
            None
        };
        within(limits, or(or(closed, note), retried)).await
    }
}
