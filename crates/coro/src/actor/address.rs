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

/// The address of an actor. Clones are the same address; when the last one is dropped, the actor
/// handles the messages in its mailbox and ends.
///
/// Thread safe: threads, tasks and coroutines may use it.
pub struct Address<M> {
    inner: Arc<Inner<M>>,
}

pub(super) struct Inner<M> {
    pub(super) core: Arc<Core>,
    pub(super) tx: Sender<M>,
}

/// How an actor stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It handles the messages in the mailbox first.
    Drain,
    /// It finishes the current message; the messages in the mailbox are undelivered.
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
    /// An actor that waits for room in its own mailbox deadlocks: there, use
    /// [`try_tell`](Self::try_tell).
    ///
    /// # Errors
    ///
    /// When driven: the actor has ended or stops, or a limit was reached. The message is inside.
    ///
    /// # Cancel safety
    ///
    /// Dropped before it completed, it has sent nothing.
    pub fn tell(&self, message: M) -> Send<'_, M> {
        self.inner.tx.send(message)
    }

    /// Puts a message into the mailbox without waiting.
    ///
    /// # Errors
    ///
    /// The mailbox is full, or the actor has ended or stops. The message is inside.
    pub fn try_tell(&self, message: M) -> Result<(), TrySendError<M>> {
        self.inner.tx.try_send(message)
    }

    /// A request: `message` builds the message from the sender of the reply. See [`Ask`].
    pub fn ask<R>(&self, message: impl FnOnce(Reply<R>) -> M) -> Ask<'_, M, R> {
        Ask::new(&self.inner.tx, message)
    }

    /// Stops the actor. Later messages are refused. Does not wait: see [`join`](Self::join).
    pub fn stop(&self, how: Stop) {
        let Inner { core, tx } = &*self.inner;
        core.stopping.store(true, Ordering::Release);
        tx.close();
        if how == Stop::Now {
            core.halt.cancel();
        }
    }

    /// Cancels the actor: the waits of its handler end, if they watch its token, and the messages
    /// in the mailbox are undelivered. True if this call did. Does not wait: see
    /// [`join`](Self::join).
    pub fn cancel(&self, reason: impl Into<Reason>) -> bool {
        self.inner.core.job.cancel(reason)
    }

    /// Calls `hook` with the actor's exit, exactly once: on the actor's coroutine when it ends, or
    /// immediately, here, if it has ended. Several hooks run in the order of these calls.
    pub fn on_done(&self, hook: impl FnOnce(&Exit) + std::marker::Send + 'static) {
        let core = self.core();
        core.on_done(core.reserve(), Box::new(hook));
    }

    /// Waits on a thread or in a coroutine until the actor has ended. An actor must not join
    /// itself.
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

    /// How the actor ended; `None` while it has not.
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

    /// The number of restarts so far.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.core().restarts()
    }

    /// The last failure, whether or not a restart followed: a panic with its message, or an error.
    #[must_use]
    pub fn last_failure(&self) -> Option<Failure> {
        self.core().last_failure()
    }

    /// The counts of its mailbox so far.
    #[must_use]
    pub fn mailbox(&self) -> Snapshot {
        self.inner.tx.snapshot()
    }

    /// Links two actors: if one is cancelled or fails for good, the other is cancelled. If one has
    /// ended that way already, this happens immediately.
    pub fn link<N: 'static>(&self, other: &Address<N>) {
        link::link(self.core(), other.core());
    }

    /// Notifies this actor of the end of `other`, however it ends, by the message that `message`
    /// builds of the exit. If this mailbox is full then, a coroutine waits for room. If `other` has
    /// ended already, the notification is sent immediately.
    pub fn monitor<N: 'static>(
        &self,
        other: &Address<N>,
        message: impl FnOnce(&Exit) -> M + std::marker::Send + 'static,
    ) where
        M: std::marker::Send + 'static,
    {
        link::monitor(self.inner(), other.core(), message);
    }

    /// Whether both are addresses of one actor.
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
