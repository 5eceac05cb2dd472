// SPDX-License-Identifier: BSD-3-Clause
//! Requests: a message that carries the sender of its reply.
//!
//! The reply travels through an SPSC channel of capacity 1. If the request is lost with the actor,
//! or dropped unanswered, the channel's sender is dropped, and the request fails at once.

use std::{
    fmt,
    future::{Future, IntoFuture},
    pin::Pin,
    time::{Duration, Instant},
};

use becket_chan::{
    Limits, RecvError, SendError, Sender, SpscReceiver, SpscSender, Token, TrySendError,
    bounded_spsc,
};

/// The sender of a reply. If it is dropped without a reply, the request fails.
pub struct Reply<R> {
    tx: SpscSender<R>,
}

impl<R> Reply<R> {
    /// Sends the reply. Never waits.
    ///
    /// # Errors
    ///
    /// The request is not waited for any more. The reply is inside.
    pub fn send(mut self, answer: R) -> Result<(), R> {
        self.tx.try_send(answer).map_err(TrySendError::into_inner)
    }

    /// Whether the request is still waited for.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        !self.tx.is_closed()
    }
}

impl<R> fmt::Debug for Reply<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply").field("awaited", &self.is_awaited()).finish_non_exhaustive()
    }
}

/// Why there is no answer.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum AskError<M> {
    /// The request did not reach the mailbox: the actor has ended or is stopping, or a limit was
    /// reached while the mailbox was full. The message is inside.
    #[error("the actor was not asked: {0}")]
    NotSent(SendError<M>),
    /// The actor has, or had, the request; it did not reply in time.
    #[error("the actor did not answer in time")]
    TimedOut,
    /// The actor has, or had, the request; the wait for the reply was cancelled.
    #[error("cancelled while waiting for the actor's answer")]
    Cancelled,
    /// The actor ended, failed on the request, or dropped it without a reply.
    #[error("the actor dropped the request")]
    Dropped,
}

impl<M> fmt::Debug for AskError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(error) => f.debug_tuple("NotSent").field(error).finish(),
            Self::TimedOut => f.write_str("TimedOut"),
            Self::Cancelled => f.write_str("Cancelled"),
            Self::Dropped => f.write_str("Dropped"),
        }
    }
}

impl<M> AskError<M> {
    /// The message, if it did not reach the actor.
    #[must_use]
    pub fn into_message(self) -> Option<M> {
        match self {
            Self::NotSent(error) => Some(error.into_inner()),
            Self::TimedOut | Self::Cancelled | Self::Dropped => None,
        }
    }
}

/// A request that was not sent yet: give it limits, and drive it with [`wait`](Self::wait) or
/// `.await`. The limits cover both the wait for room in the mailbox and for the reply.
///
/// ```
/// use std::time::Duration;
///
/// use becket_coro::actor::{self, AskError, Reply};
///
/// let echo = actor::spawn_fn(|(text, reply): (String, Reply<String>), _| drop(reply.send(text)))?;
/// let answer = echo.ask(|reply| ("hello".into(), reply)).timeout(Duration::from_secs(5)).wait()?;
/// assert_eq!(answer, "hello");
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
///
/// # Cancel safety
///
/// If the future is dropped, the request was not sent, or its reply is discarded.
#[must_use = "nothing is asked until it is waited for"]
pub struct Ask<'a, M, R> {
    tx: &'a Sender<M>,
    message: M,
    answer: SpscReceiver<R>,
    limits: Limits<'a>,
}

impl<'a, M, R> Ask<'a, M, R> {
    pub(super) fn new(tx: &'a Sender<M>, message: impl FnOnce(Reply<R>) -> M) -> Self {
        let (reply, answer) = bounded_spsc(1);
        let message = message(Reply { tx: reply });
        Self { tx, message, answer, limits: Limits::none() }
    }

    /// Fails with a timeout `duration` from now.
    pub fn timeout(mut self, duration: Duration) -> Self {
        self.limits = self.limits.timeout(duration);
        self
    }

    /// Fails with a timeout at `deadline`; of several, the earliest holds.
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.limits = self.limits.deadline(deadline);
        self
    }

    /// Fails when the token is cancelled; the last one holds.
    pub const fn cancel_on(mut self, token: &'a Token) -> Self {
        self.limits = self.limits.cancel_on(token);
        self
    }

    /// Sends the request, and waits on a thread or in a coroutine for the reply.
    ///
    /// # Errors
    ///
    /// The actor was not reached, dropped the request, or a limit was reached.
    pub fn wait(mut self) -> Result<R, AskError<M>> {
        self.tx.send(self.message).limits(self.limits).wait().map_err(AskError::NotSent)?;
        self.answer.recv().limits(self.limits).wait().map_err(no_answer)
    }
}

fn no_answer<M>(error: RecvError) -> AskError<M> {
    match error {
        RecvError::TimedOut => AskError::TimedOut,
        RecvError::Cancelled => AskError::Cancelled,
        _ => AskError::Dropped,
    }
}

impl<'a, M: Send + 'a, R: Send + 'a> IntoFuture for Ask<'a, M, R> {
    type Output = Result<R, AskError<M>>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send + 'a>>;

    fn into_future(mut self) -> Self::IntoFuture {
        Box::pin(async move {
            self.tx.send(self.message).limits(self.limits).await.map_err(AskError::NotSent)?;
            self.answer.recv().limits(self.limits).await.map_err(no_answer)
        })
    }
}

impl<M, R> fmt::Debug for Ask<'_, M, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").field("limits", &self.limits).finish_non_exhaustive()
    }
}
