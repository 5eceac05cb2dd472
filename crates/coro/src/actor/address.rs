// SPDX-License-Identifier: BSD-3-Clause
//! An actor's handle.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use becket_chan::{Reason, Send, Sender, Snapshot, TrySendError};

use super::{
    ask::{Ask, Reply},
    exit::{Core, Exit},
    link,
};
use crate::job::{Failure, Job};

/// Where to send an actor its messages. Clones are the same address; when the last one is dropped,
/// the actor handles what is in its mailbox and ends.
///
/// Thread safe: threads, tasks and coroutines may use it.
pub struct Address<M> {
    inner: Arc<Inner<M>>,
}

pub(super) struct Inner<M> {
    pub(super) core: Arc<Core>,
    pub(super) tx: Sender<M>,
}

/// How an actor is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It handles what is in the mailbox first.
    Drain,
    /// It finishes the message at work; what is in the mailbox is undelivered.
    Now,
}

impl<M> Address<M> {
    pub(super) fn new(core: Arc<Core>, tx: Sender<M>) -> Self {
        Self { inner: Arc::new(Inner { core, tx }) }
    }

    pub(super) const fn from_inner(inner: Arc<Inner<M>>) -> Self {
        Self { inner }
    }

    pub(super) const fn inner(&self) -> &Arc<Inner<M>> {
        &self.inner
    }

    pub(super) fn core(&self) -> &Arc<Core> {
        &self.inner.core
    }

    /// An operation that puts a message into the mailbox, and waits for room if it must. Give it
    /// limits (`timeout`, `cancel_on`, ...) and drive it with `.wait()` or `.await`.
    ///
    /// An actor that waits for room in its own mailbox waits for ever: there, use
    /// [`try_tell`](Self::try_tell).
    ///
    /// # Errors
    ///
    /// When driven: the actor has ended or stops, or a limit was reached. The message is inside.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it happened, it has told nothing.
    pub fn tell(&self, message: M) -> Send<'_, M> {
        self.inner.tx.send(message)
    }

    /// Puts a message into the mailbox if that needs no waiting.
    ///
    /// # Errors
    ///
    /// The mailbox is full, or the actor has ended or stops. The message is inside.
    pub fn try_tell(&self, message: M) -> Result<(), TrySendError<M>> {
        self.inner.tx.try_send(message)
    }

    /// A request: `message` makes a message of the reply's sender. See [`Ask`].
    pub fn ask<R>(&self, message: impl FnOnce(Reply<R>) -> M) -> Ask<'_, M, R> {
        Ask::new(&self.inner.tx, message)
    }

    /// Tells it to stop. What is told later comes back. Does not wait: see [`join`](Self::join).
    pub fn stop(&self, how: Stop) {
        let Inner { core, tx } = &*self.inner;
        core.stopping.store(true, Ordering::Release);
        tx.close();
        if how == Stop::Now {
            core.halt.cancel();
        }
    }

    /// Cancels it: the waits of its handler end, if they watch its token, and what is in the mailbox
    /// is undelivered. True if this call did. Does not wait: see [`join`](Self::join).
    pub fn cancel(&self, reason: impl Into<Reason>) -> bool {
        self.inner.core.job.cancel(reason)
    }

    /// Calls `hook` with the actor's exit, exactly once: on the actor's coroutine when it ends, or
    /// at once, here, if it has ended. Of several, the first comes first.
    pub fn on_done(&self, hook: impl FnOnce(&Exit) + std::marker::Send + 'static) {
        let core = self.core();
        core.on_done(core.reserve(), Box::new(hook));
    }

    /// Waits on a thread or in a coroutine until it has ended. An actor must not wait for itself.
    pub fn join(&self) -> Exit {
        let core = self.core();
        core.job.join();
        core.exit().unwrap_or(Exit::Stopped)
    }

    /// As [`join`](Self::join), for a task. Dropping the future changes nothing.
    pub async fn joined(&self) -> Exit {
        let core = self.core();
        core.job.ended().await;
        core.exit().unwrap_or(Exit::Stopped)
    }

    /// How it ended, if it has.
    #[must_use]
    pub fn exit(&self) -> Option<Exit> {
        self.core().exit()
    }

    /// Its name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.core().job.name()
    }

    /// Its job: state, token.
    #[must_use]
    pub fn job(&self) -> &Job {
        &self.core().job
    }

    /// How often it was restarted.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.core().restarts()
    }

    /// What it failed with last, restarted or not: a panic with its message, or an error.
    #[must_use]
    pub fn last_failure(&self) -> Option<Failure> {
        self.core().last_failure()
    }

    /// What its mailbox has done so far.
    #[must_use]
    pub fn mailbox(&self) -> Snapshot {
        self.inner.tx.snapshot()
    }

    /// Ties two actors together: if one is cancelled or fails for good, the other is cancelled. If
    /// one has ended so already, that happens at once.
    pub fn link<N: 'static>(&self, other: &Address<N>) {
        link::link(self.core(), other.core());
    }

    /// Has this actor told how `other` ends, however that is, by the message that `message` makes of
    /// it. If this mailbox is full then, a coroutine waits for room. Of an actor that has ended, it is
    /// told at once.
    pub fn monitor<N: 'static>(
        &self,
        other: &Address<N>,
        message: impl FnOnce(&Exit) -> M + std::marker::Send + 'static,
    ) where
        M: std::marker::Send + 'static,
    {
        link::monitor(self.inner(), other.core(), message);
    }

    /// Whether both are of one actor.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(self.core(), other.core())
    }
}

impl<M> Clone for Address<M> {
    fn clone(&self) -> Self {
        Self { inner: Arc::clone(&self.inner) }
    }
}

impl<M> fmt::Debug for Address<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Address").field(self.core()).finish()
    }
}

impl<M> fmt::Debug for Inner<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.core, f)
    }
}
