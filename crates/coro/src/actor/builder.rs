// SPDX-License-Identifier: BSD-3-Clause
//! Options of an actor before it starts.

use std::{panic::Location, sync::Arc};

use super::{
    Actor, Address, Context, IntoNext,
    exit::Core,
    from_fn,
    restart::{History, Restart},
    run::{Ending, Run},
};
use crate::{Handle, SpawnError, job::Job, launch::Options, runtime::spawn_with};

/// The default capacity of a mailbox, in messages.
const MAILBOX_DEFAULT: usize = 64;

/// Options of an actor before it starts.
///
/// ```
/// use becket_coro::actor::{Builder, Exit, Stop};
///
/// let latest = Builder::new()
///     .name("display")
///     .mailbox(becket_chan::Builder::conflated())
///     .spawn_fn(|temperature: i32, _cx| drop(temperature))?;
/// latest.tell(21).wait()?;
/// latest.stop(Stop::Drain);
/// assert!(matches!(latest.join(), Exit::Stopped));
/// # Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
/// ```
#[must_use]
pub struct Builder<M> {
    mailbox: becket_chan::Builder<M>,
    name: Option<Arc<str>>,
    stack_size: Option<usize>,
    runtime: Option<Handle>,
    parent: Option<Job>,
}

impl<M: Send + 'static> Builder<M> {
    /// The options of [`spawn`](super::spawn).
    pub fn new() -> Self {
        Self {
            mailbox: becket_chan::Builder::bounded(MAILBOX_DEFAULT),
            name: None,
            stack_size: None,
            runtime: None,
            parent: None,
        }
    }

    /// A name, for messages and listings.
    pub fn name(mut self, name: impl Into<Arc<str>>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Its mailbox: a channel of any kind, optionally with an overflow policy and an undelivered
    /// hook.
    pub fn mailbox(mut self, mailbox: becket_chan::Builder<M>) -> Self {
        self.mailbox = mailbox;
        self
    }

    /// The size of its stack in bytes.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.stack_size = Some(bytes);
        self
    }

    /// The runtime it runs on, if not the current one.
    pub fn on(mut self, runtime: &Handle) -> Self {
        self.runtime = Some(runtime.clone());
        self
    }

    /// The job (or a scope's job) that waits for it, cancels it, and fails if it fails for good.
    pub fn parent(mut self, parent: &Job) -> Self {
        self.parent = Some(parent.clone());
        self
    }

    /// Starts an actor that is not restarted: its first failure is its end.
    ///
    /// # Errors
    ///
    /// The coroutine could not be spawned.
    #[track_caller]
    pub fn spawn<A: Actor<Message = M>>(self, actor: A) -> Result<Address<M>, SpawnError> {
        let mut actor = Some(actor);
        // Without restarts, it is created once.
        let never = Restart::new().limit(0, std::time::Duration::ZERO);
        self.start(Location::caller(), never, move || actor.take())
    }

    /// As [`spawn`](Self::spawn), for an actor that is a function.
    ///
    /// # Errors
    ///
    /// The coroutine could not be spawned.
    #[track_caller]
    pub fn spawn_fn<N, F>(self, handle: F) -> Result<Address<M>, SpawnError>
    where
        N: IntoNext + 'static,
        F: FnMut(M, &Context<M>) -> N + Send + 'static,
    {
        self.spawn(from_fn(handle))
    }

    /// Starts an actor that `make` creates anew after a failure, as often as the policy allows.
    /// `make` runs on the actor's coroutine; a panic in it is a failure too.
    ///
    /// ```
    /// use becket_coro::actor::{Builder, Restart, from_fn};
    ///
    /// let parser = Builder::new().spawn_restarting(Restart::new(), || {
    ///     from_fn(|text: String, _| text.parse::<u32>().map(drop))
    /// })?;
    /// # drop(parser);
    /// # Ok::<(), becket_coro::SpawnError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// The coroutine could not be spawned.
    #[track_caller]
    pub fn spawn_restarting<A: Actor<Message = M>>(
        self,
        restart: Restart,
        mut make: impl FnMut() -> A + Send + 'static,
    ) -> Result<Address<M>, SpawnError> {
        self.start(Location::caller(), restart, move || Some(make()))
    }

    fn start<A: Actor<Message = M>>(
        self,
        site: &'static Location<'static>,
        restart: Restart,
        make: impl FnMut() -> Option<A> + Send + 'static,
    ) -> Result<Address<M>, SpawnError> {
        let Self { mailbox, name, stack_size, runtime, parent } = self;
        let options = Options { name, stack_size, runtime, ..Options::at(site) };
        let body = options.job(parent.as_ref()).begin_at(site);
        let core = Core::new(body.job().clone());
        let (tx, rx) = mailbox.build();
        let address = Address::new(Arc::clone(&core), tx);
        let cx = Context { core: Arc::clone(&core), address: Arc::downgrade(address.inner()) };
        let run = Run::new(make, rx, cx, History::new(restart), Ending::new(core, body));
        spawn_with(options, move || run.run())?;
        Ok(address)
    }
}

impl<M: Send + 'static> Default for Builder<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> std::fmt::Debug for Builder<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("name", &self.name).finish_non_exhaustive()
    }
}
