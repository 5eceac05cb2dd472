// SPDX-License-Identifier: BSD-3-Clause
//! Actors: a state that one coroutine owns, and a mailbox in front of it.
//!
//! ```text
//!   Address ── tell ──┐                        ┌─ handle(message), one at a time
//!   Address ── ask ───┴─► mailbox ─► coroutine ┤
//!      ▲         └── reply ◄───────────────────┘ fails ─► restarted after a while, or ends
//!      └── on_done, join, links: how it ended
//! ```
//!
//! ```
//! use becket_coro::actor::{self, Reply};
//!
//! enum Counter {
//!     Add(u64),
//!     Total(Reply<u64>),
//! }
//!
//! let mut total = 0;
//! let counter = actor::spawn_fn(move |message, _cx| match message {
//!     Counter::Add(n) => total += n,
//!     Counter::Total(reply) => drop(reply.send(total)),
//! })?;
//! counter.tell(Counter::Add(40)).wait()?;
//! counter.tell(Counter::Add(2)).wait()?;
//! assert_eq!(counter.ask(Counter::Total).wait()?, 42);
//! # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
//! ```
//!
//! # Ends
//!
//! | event | queued messages | the current message | [`Exit`] |
//! |---|---|---|---|
//! | [`Stop::Drain`] | are handled | is finished | `Stopped` |
//! | [`Stop::Now`], or the handler returns [`Next::Stop`] | are undelivered | is finished | `Stopped` |
//! | all addresses are dropped | are handled | is finished | `Abandoned` |
//! | [`Address::cancel`], or its job's parent is cancelled | are undelivered | its waits end, if they watch [`Context::token`] | `Cancelled` |
//! | it fails, and is not restarted | are undelivered | is lost | `Failed` |
//! | its runtime ends | are undelivered | is unwound | `Cancelled` |
//!
//! Undelivered messages go to the mailbox's undelivered hook, if it has one.
//!
//! # Invariants
//!
//! 1. One message is handled at a time, in the order of the mailbox. An actor without messages is
//!    parked in a receive, and costs no CPU time.
//! 2. It ends once. First its state is dropped, then its mailbox is closed, then the hooks of
//!    [`on_done`](Address::on_done) run, each once, then [`join`](Address::join) returns.
//! 3. A restart keeps the mailbox and all addresses; the current message is lost, and its request,
//!    if it was one, fails. Restarts in a window of time are limited, and each is preceded by a
//!    delay that doubles (backoff).
//! 4. A message that an actor did not get is returned to its sender.
//!
//! | file | contents |
//! |---|---|
//! | `address` | the handle: tell, stop, cancel, join |
//! | `ask` | requests and replies |
//! | `builder` | name, mailbox, runtime, parent, restart policy |
//! | `exit` | how it ended, and its exit hooks |
//! | `link` | actors that end together, or are notified of each other's end |
//! | `restart` | when and how often it is restarted |
//! | `run` | the coroutine |

mod address;
mod ask;
mod builder;
mod exit;
mod link;
mod restart;
mod run;

use std::marker::PhantomData;

use becket_chan::Token;

pub use self::{
    address::{Address, Stop},
    ask::{Ask, AskError, Reply},
    builder::Builder,
    exit::Exit,
    restart::Restart,
};
use crate::{
    SpawnError,
    job::{BoxError, Job},
};

/// A state, and its message handler.
pub trait Actor: Send + 'static {
    /// The type of its messages.
    type Message: Send + 'static;

    /// Called before the first message, on the actor's coroutine; after each restart too.
    ///
    /// # Errors
    ///
    /// An error is a failure of the actor.
    fn started(&mut self, cx: &Context<Self::Message>) -> Result<(), BoxError> {
        let _unused = cx;
        Ok(())
    }

    /// Handles a message. It may wait: the actor's coroutine is parked then, and messages queue up.
    ///
    /// # Errors
    ///
    /// An error is a failure of the actor, as a panic is.
    fn handle(
        &mut self,
        message: Self::Message,
        cx: &Context<Self::Message>,
    ) -> Result<Next, BoxError>;

    /// Called before the actor is dropped, unless it failed.
    fn stopped(&mut self, exit: &Exit) {
        let _unused = exit;
    }
}

/// The next step of an actor after a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Wait for the next message.
    Continue,
    /// End.
    Stop,
}

/// The result of an actor's function form: nothing, a [`Next`], or a `Result` of either.
pub trait IntoNext {
    /// The result in the form of [`Actor::handle`].
    fn into_next(self) -> Result<Next, BoxError>;
}

impl IntoNext for () {
    fn into_next(self) -> Result<Next, BoxError> {
        Ok(Next::Continue)
    }
}

impl IntoNext for Next {
    fn into_next(self) -> Result<Next, BoxError> {
        Ok(self)
    }
}

impl<E: Into<BoxError>> IntoNext for Result<(), E> {
    fn into_next(self) -> Result<Next, BoxError> {
        self.map(|()| Next::Continue).map_err(Into::into)
    }
}

impl<E: Into<BoxError>> IntoNext for Result<Next, E> {
    fn into_next(self) -> Result<Next, BoxError> {
        self.map_err(Into::into)
    }
}

/// An actor that is a function. See [`from_fn`].
pub struct FromFn<M, F> {
    handle: F,
    message: PhantomData<fn(M)>,
}

/// An actor whose handler is a function, and whose state is the function's captures.
pub fn from_fn<M, N, F>(handle: F) -> FromFn<M, F>
where
    M: Send + 'static,
    N: IntoNext,
    F: FnMut(M, &Context<M>) -> N + Send + 'static,
{
    FromFn { handle, message: PhantomData }
}

impl<M, N, F> Actor for FromFn<M, F>
where
    M: Send + 'static,
    N: IntoNext,
    F: FnMut(M, &Context<M>) -> N + Send + 'static,
{
    type Message = M;

    fn handle(&mut self, message: M, cx: &Context<M>) -> Result<Next, BoxError> {
        (self.handle)(message, cx).into_next()
    }
}

/// An actor's view of itself.
#[derive(Debug)]
pub struct Context<M> {
    pub(self) core: std::sync::Arc<exit::Core>,
    pub(self) address: std::sync::Weak<address::Inner<M>>,
}

impl<M> Context<M> {
    /// Cancelled with the actor: the waits of a handler should watch it.
    #[must_use]
    pub fn token(&self) -> &Token {
        self.core.job.token()
    }

    /// Its address, unless all addresses were dropped. The actor does not keep its own mailbox
    /// open.
    #[must_use]
    pub fn address(&self) -> Option<Address<M>> {
        self.address.upgrade().map(Address::from_inner)
    }

    /// Its name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.core.job.name()
    }

    /// The number of restarts so far.
    #[must_use]
    pub fn restarts(&self) -> u32 {
        self.core.restarts()
    }

    /// Its job. Coroutines spawned below it are cancelled when the actor ends or is restarted, and
    /// [`Address::join`] waits for it.
    #[must_use]
    pub fn job(&self) -> &Job {
        &self.core.job
    }
}

/// Starts an actor on the current runtime, with a mailbox of 64 messages, and without restarts.
///
/// # Errors
///
/// The coroutine could not be spawned.
#[track_caller]
pub fn spawn<A: Actor>(actor: A) -> Result<Address<A::Message>, SpawnError> {
    Builder::new().spawn(actor)
}

/// As [`spawn`], for an actor that is a function.
///
/// # Errors
///
/// The coroutine could not be spawned.
#[track_caller]
pub fn spawn_fn<M, N, F>(handle: F) -> Result<Address<M>, SpawnError>
where
    M: Send + 'static,
    N: IntoNext + 'static,
    F: FnMut(M, &Context<M>) -> N + Send + 'static,
{
    Builder::new().spawn_fn(handle)
}
