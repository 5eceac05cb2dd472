// SPDX-License-Identifier: BSD-3-Clause
//! [`Entry`]: a name, a help line, and a handler behind one function pointer.
//!
//! A table of entries is a constant. To put handlers of any type in it, an entry keeps no value of
//! the handler but a function compiled for it:
//!
//! ```text
//!   Entry { name, help, kind, run: run_unary::<P, F> }     F: zero-sized, so nothing to keep
//! ```
//!
//! Handlers that wait are marked, and the plugin wants coroutines if any of its entries is.
//!
//! A call is then: table index, indirect call, the handler inlined in it. No allocation, no lock,
//! no map.
//!
//! # Safety
//!
//! `handler::<F>()` makes a value of `F` out of nothing. That is sound since `F` is zero-sized and
//! `Copy`, and the entry's maker was given a value of it: this is one of its copies. The size is
//! checked when the entry is made, at compile time.

use std::fmt;
use std::future::Future;
use std::ptr::NonNull;
use std::sync::Arc;

use becket_abi::{
    BK_ENTRY_BIDIRECTIONAL, BK_ENTRY_NEVER_WAITS, BK_ENTRY_STREAM, BK_ENTRY_UNARY, BkEntryInfo,
    NrStatus, NrStr,
};

use crate::call::{Answered, Call, CallHandle, Context, settle, settle_failure};
use crate::error::Failure;
use crate::executor::{BoxFuture, Ending};
use crate::instance::Live;
use crate::plugin::{self, Plugin};
use crate::responder::{OwnedCall, Reply};
use crate::session::{self, SessionStream};
use crate::sink::Sink;
use crate::stream::Session;

type Run<P> = for<'a> fn(&'a Live<P>, Context<'a>) -> NrStatus;

/// One entry of a plugin.
///
/// A handler is a function or a closure that captures nothing:
///
/// ```compile_fail
/// use becket_plugin::{Entry, Failure, Host, Plugin};
/// struct Mine;
/// impl Plugin for Mine {
///     const NAME: &'static str = "mine";
///     const VERSION: &'static str = "1";
///     const ENTRIES: &'static [Entry<Self>] = &[];
///     fn start(_: Host) -> Result<Self, Failure> { Ok(Self) }
/// }
/// let greeting = String::from("hi");
/// let entry: Entry<Mine> = Entry::unary("e", "", move |_, call| Ok(call.answer(greeting.as_bytes())));
/// ```
pub struct Entry<P> {
    name: &'static str,
    help: &'static str,
    kind: u32,
    futures: bool,
    /// The handler waits, on a coroutine of the host.
    waits: bool,
    run: Run<P>,
}

impl<P: Plugin> Entry<P> {
    /// One answer, given inside the handler or [later](Call::later).
    pub const fn unary<F>(name: &'static str, help: &'static str, handler: F) -> Self
    where
        F: for<'a> Fn(&'a P, Call<'a>) -> Result<Answered, Failure> + Copy + Send + Sync + 'static,
    {
        zero_sized(handler);
        Self {
            name,
            help,
            kind: BK_ENTRY_UNARY,
            futures: false,
            waits: false,
            run: run_unary::<P, F>,
        }
    }

    /// One answer, given by a future. It gets the plugin and a copy of the call, runs on the
    /// plugin's own threads, and is dropped when the call is cancelled.
    pub const fn future<F, Fut>(name: &'static str, help: &'static str, handler: F) -> Self
    where
        F: Fn(Arc<P>, OwnedCall) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<Reply, Failure>> + Send + 'static,
    {
        zero_sized(handler);
        Self {
            name,
            help,
            kind: BK_ENTRY_UNARY,
            futures: true,
            waits: false,
            run: run_future::<P, F, Fut>,
        }
    }

    /// Many frames, sent inside the handler or from wherever the sink goes.
    pub const fn stream<F>(name: &'static str, help: &'static str, handler: F) -> Self
    where
        F: for<'a> Fn(&'a P, Context<'a>, Sink) -> Result<(), Failure>
            + Copy
            + Send
            + Sync
            + 'static,
    {
        zero_sized(handler);
        Self {
            name,
            help,
            kind: BK_ENTRY_STREAM,
            futures: false,
            waits: false,
            run: run_stream::<P, F>,
        }
    }

    /// Many frames, sent by a future.
    pub const fn stream_future<F, Fut>(name: &'static str, help: &'static str, handler: F) -> Self
    where
        F: Fn(Arc<P>, OwnedCall, Sink) -> Fut + Copy + Send + Sync + 'static,
        Fut: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        zero_sized(handler);
        let run = run_stream_future::<P, F, Fut>;
        Self { name, help, kind: BK_ENTRY_STREAM, futures: true, waits: false, run }
    }

    /// Frames both ways: the handler opens a [`Session`].
    pub const fn bidirectional<F, C>(name: &'static str, help: &'static str, handler: F) -> Self
    where
        F: for<'a> Fn(&'a P, Context<'a>, Sink) -> Result<C, Failure>
            + Copy
            + Send
            + Sync
            + 'static,
        C: Session,
    {
        zero_sized(handler);
        let run = run_bidirectional::<P, F, C>;
        Self { name, help, kind: BK_ENTRY_BIDIRECTIONAL, futures: false, waits: false, run }
    }

    /// One answer, given inside the handler, which may wait in straight-line code: it runs on a
    /// coroutine of the host ([`Host::pause`](crate::Host::pause),
    /// [`Host::channel`](crate::Host::channel), …).
    ///
    /// Hold no lock across a wait: other handlers that run on the thread meanwhile would wait for
    /// it for ever. A handler that keeps waiting after its cancellation is abandoned when the
    /// plugin ends: nothing on its stack is dropped.
    pub const fn coroutine<F>(name: &'static str, help: &'static str, handler: F) -> Self
    where
        F: for<'a> Fn(&'a P, Call<'a>) -> Result<Answered, Failure> + Copy + Send + Sync + 'static,
    {
        zero_sized(handler);
        let run = run_coroutine::<P, F>;
        Self { name, help, kind: BK_ENTRY_UNARY, futures: false, waits: true, run }
    }

    /// Frames both ways in straight-line code: the handler runs on a coroutine, as that of
    /// [`Self::coroutine`], from the stream's beginning to its end. With `Ok` the stream ends well, if
    /// it has not; a failure ends it with its status and text.
    pub const fn session<F>(name: &'static str, help: &'static str, handler: F) -> Self
    where
        F: for<'a> Fn(&'a P, Context<'a>, &'a mut SessionStream) -> Result<(), Failure>
            + Copy
            + Send
            + Sync
            + 'static,
    {
        zero_sized(handler);
        let run = run_dialogue::<P, F>;
        Self { name, help, kind: BK_ENTRY_BIDIRECTIONAL, futures: false, waits: true, run }
    }

    /// The name that calls go to.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) const fn has_future(&self) -> bool {
        self.futures
    }

    pub(crate) const fn waits(&self) -> bool {
        self.waits
    }

    #[inline]
    pub(crate) fn run(&self, live: &Live<P>, context: Context<'_>) -> NrStatus {
        (self.run)(live, context)
    }

    pub(crate) const fn describe(&self) -> BkEntryInfo {
        let never_waits = !self.waits && plugin::wants_coroutine::<P>();
        BkEntryInfo {
            kind: self.kind | if never_waits { BK_ENTRY_NEVER_WAITS } else { 0 },
            name: NrStr::from_str(self.name),
            help: NrStr::from_str(self.help),
            ..BkEntryInfo::EMPTY
        }
    }
}

/// Fails to compile for a handler that captures something.
const fn zero_sized<F: Copy>(_handler: F) {
    const { assert!(size_of::<F>() == 0, "a handler may not capture anything") };
}

#[inline(always)]
fn handler<F: Copy>() -> F {
    const { assert!(size_of::<F>() == 0) };
    // SAFETY: see the module's note.
    unsafe { NonNull::<F>::dangling().read() }
}

fn run_unary<P, F>(live: &Live<P>, context: Context<'_>) -> NrStatus
where
    P: Plugin,
    F: for<'a> Fn(&'a P, Call<'a>) -> Result<Answered, Failure> + Copy,
{
    let handle = *context;
    settle(handle, handler::<F>()(live.plugin(), Call::new(context)))
}

fn run_stream<P, F>(live: &Live<P>, context: Context<'_>) -> NrStatus
where
    P: Plugin,
    F: for<'a> Fn(&'a P, Context<'a>, Sink) -> Result<(), Failure> + Copy,
{
    let Some((opening, sink)) = live.streams().open(*context) else {
        return NrStatus::Backpressure;
    };
    let result = handler::<F>()(live.plugin(), context, sink);
    opening.settle(&result)
}

fn run_bidirectional<P, F, C>(live: &Live<P>, context: Context<'_>) -> NrStatus
where
    P: Plugin,
    F: for<'a> Fn(&'a P, Context<'a>, Sink) -> Result<C, Failure> + Copy,
    C: Session,
{
    let Some((opening, sink)) = live.streams().open(*context) else {
        return NrStatus::Backpressure;
    };
    let result = opening.converse(|| handler::<F>()(live.plugin(), context, sink));
    opening.settle(&result)
}

fn run_coroutine<P, F>(live: &Live<P>, context: Context<'_>) -> NrStatus
where
    P: Plugin,
    F: for<'a> Fn(&'a P, Call<'a>) -> Result<Answered, Failure> + Copy,
{
    let handle = *context;
    match handler::<F>()(live.plugin(), Call::new(context)) {
        Err(failure) => session::settle_failure(handle, &failure, false),
        answered => settle(handle, answered),
    }
}

fn run_dialogue<P, F>(live: &Live<P>, context: Context<'_>) -> NrStatus
where
    P: Plugin,
    F: for<'a> Fn(&'a P, Context<'a>, &'a mut SessionStream) -> Result<(), Failure> + Copy,
{
    let handle = *context;
    if handle.host().coroutine().is_none() {
        let failure = Failure::unsupported("needs a host with coroutines");
        return session::settle_failure(handle, &failure, false);
    }
    let mut session = SessionStream::new(handle);
    let result = handler::<F>()(live.plugin(), context, &mut session);
    session.settle(result)
}

fn run_future<P, F, Fut>(live: &Live<P>, context: Context<'_>) -> NrStatus
where
    P: Plugin,
    F: Fn(Arc<P>, OwnedCall) -> Fut + Copy,
    Fut: Future<Output = Result<Reply, Failure>> + Send + 'static,
{
    let handle = *context;
    let future = handler::<F>()(live.plugin_shared(), context.to_owned());
    spawn(
        live,
        handle,
        Box::pin(async move {
            let result = future.await;
            let ending: Ending = Box::new(move || reply(handle, result));
            ending
        }),
    )
}

fn run_stream_future<P, F, Fut>(live: &Live<P>, context: Context<'_>) -> NrStatus
where
    P: Plugin,
    F: Fn(Arc<P>, OwnedCall, Sink) -> Fut + Copy,
    Fut: Future<Output = Result<(), Failure>> + Send + 'static,
{
    let handle = *context;
    let Some((opening, sink)) = live.streams().open(handle) else {
        return NrStatus::Backpressure;
    };
    let future = handler::<F>()(live.plugin_shared(), context.to_owned(), sink);
    spawn(
        live,
        handle,
        Box::pin(async move {
            let result = future.await;
            let ending: Ending = Box::new(move || late(handle, opening.settle(&result)));
            ending
        }),
    )
}

fn spawn<P: Plugin>(live: &Live<P>, handle: CallHandle, future: BoxFuture) -> NrStatus {
    match live.executor() {
        Some(executor) if executor.spawn(handle.sid(), future) => NrStatus::Ok,
        Some(_) => NrStatus::Backpressure,
        // `Live` starts one if any entry has futures.
        None => NrStatus::Unsupported,
    }
}

fn reply(handle: CallHandle, result: Result<Reply, Failure>) {
    match result {
        Ok(reply) => {
            let _ = handle.end_owned(reply.status, reply.body);
        }
        Err(failure) => late(handle, settle_failure(handle, &failure)),
    }
}

/// A status that `handle` can no longer return is sent instead.
fn late(handle: CallHandle, status: NrStatus) {
    if !status.is_ok() {
        let _ = handle.host().send(handle.sid(), status, &[]);
    }
}

impl<P> fmt::Debug for Entry<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("name", &self.name).finish_non_exhaustive()
    }
}
