// SPDX-License-Identifier: BSD-3-Clause
//! Handlers that wait: a plugin's code on coroutines of the host.
//!
//! A plugin that sets `BK_PLUGIN_WANTS_COROUTINE` has each call and each stream served by a
//! coroutine, named `plugin/entry`. In there it waits in straight-line code, through functions of
//! `BkHostApi` ([`crate::callbacks`]), and holds no thread while it does.
//!
//! ```text
//!   caller ── call, stream ──▶ Handler ── spawn ──▶ coroutine ── handle(…) ─┬─ stream_recv ◀─ Inbound ◀─ send(data)
//!      │                        │ token                                     ├─ sleep, channel_recv, …
//!      └─ deadline, drop ──────▶│ cancelled ──▶ whatever it waits for: Cancelled
//!                               └─ the last coroutine of it ended: gone
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | [`handler`] | one call that is served by coroutines, and how they are notified that it is over |
//! | [`inbound`] | frames on their way to a handler |
//! | [`pool`] | the runtime: made when it is first needed, ended with its instance |
//! | [`channels`] | a plugin's own channels |
//!
//! # What runs where
//!
//! - An entry described with `BK_ENTRY_NEVER_WAITS`, `call_now` and `notify` run as for any plugin:
//!   on the caller's thread, or a worker's. There the waiting functions answer `Unsupported`.
//! - `stream_data` and `stream_close` are not called for a stream on a coroutine: its frames queue
//!   for `stream_recv`, in the bounds of its frames from the plugin. `cancel` is called if it is
//!   there.
//! - A stream is open when its handler waits for the first time, sends, or returns: a handler that
//!   refuses before that refuses the opening.
//!
//! # Invariants
//!
//! 1. A coroutine is counted in its instance from before it is spawned until its last frame of the
//!    plugin's code is gone. It is never marked as inside on its thread, since others run there
//!    while it waits. The image stays mapped while one is counted.
//! 2. A coroutine stays on its thread once it has begun (`becket-coro`), so what is the thread's
//!    may be used between waits, not across them.
//! 3. Every wait ends when the handler's call is over or the plugin ends: each listens to the
//!    handler's token, a child of the instance's. A handler that goes on all the same is slowed
//!    down, and, when the plugin ends, abandoned at its next wait: its stack is given back, nothing
//!    on it is dropped. So it is when the runtime ends: only Rust frames are unwound.
//! 4. No lock of the host is held across a wait.
//!
//! The stack is not protected from the plugin, as no memory is at this placement: an overflow runs
//! into the guard of the stack, is reported with the coroutine's name and ends the process.

mod channels;
mod handler;
mod inbound;
mod pool;

use std::{
    collections::HashMap,
    ffi::c_void,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use becket_abi::{BK_PLUGIN_THREAD_SAFE, BK_PLUGIN_WANTS_COROUTINE, BkCoroutineFn};
use becket_chan::Token;
use becket_coro::{Handle, Spawn};

pub(crate) use self::{
    channels::Channels,
    handler::{Handler, Waiter, abandon_here, coroutine_id},
    pool::Pool,
};
use self::{
    handler::{Running, here},
    pool::Member,
};
use crate::{
    counters::Count,
    instance::Instance,
    limits::Limits,
    load::{CoroutineDefect, EntryInfo},
    reentry::Mutex,
    stream::StreamCell,
};

/// Why no coroutine was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotStarted {
    /// The plugin has as many as it may, or there is no stack.
    Quota,
    /// The plugin wants none, or has ended.
    Refused,
}

/// The coroutines of one instance.
pub(crate) struct Coroutines {
    /// The plugin's handlers run on coroutines.
    wanted: bool,
    stack_bytes: usize,
    coroutines_max: u64,
    pool: Arc<Pool>,
    /// Cancelled when the plugin ends; each handler's token is a child of it.
    ending: Token,
    /// What waits from now on is abandoned.
    abandoning: AtomicBool,
    /// Alive, of all handlers.
    running: AtomicU64,
    /// Those of them that are in the `handle` of a call.
    in_calls: AtomicU64,
    /// Those of them that are in the `handle` of a stream.
    in_streams: AtomicU64,
    by_sid: Mutex<HashMap<u64, Arc<Handler>>>,
    /// Entries that never wait.
    exempt: OnceLock<Box<[String]>>,
    /// The share in the runtime.
    member: Mutex<Option<Member>>,
    pub(crate) channels: Channels,
}

impl Coroutines {
    /// For a plugin with these flags that asks for `stack_bytes`.
    pub(crate) fn new(
        flags: u32,
        stack_bytes: u64,
        is_go: bool,
        limits: &Limits,
        pool: Arc<Pool>,
    ) -> Result<Self, CoroutineDefect> {
        let wanted = flags & BK_PLUGIN_WANTS_COROUTINE != 0;
        if wanted {
            if is_go {
                return Err(CoroutineDefect::Go);
            }
            if flags & BK_PLUGIN_THREAD_SAFE == 0 {
                return Err(CoroutineDefect::NotThreadSafe);
            }
            let bytes_max = limits.coroutine_stack_bytes_max;
            if stack_bytes > bytes_max {
                return Err(CoroutineDefect::Stack { found: stack_bytes, bytes_max });
            }
        }
        Ok(Self {
            wanted,
            stack_bytes: stack_bytes as usize,
            coroutines_max: u64::from(limits.coroutines_max),
            pool,
            ending: Token::new(),
            abandoning: AtomicBool::new(false),
            running: AtomicU64::new(0),
            in_calls: AtomicU64::new(0),
            in_streams: AtomicU64::new(0),
            by_sid: Mutex::default(),
            exempt: OnceLock::new(),
            member: Mutex::new(None),
            channels: Channels::new(limits.channels_max),
        })
    }

    /// Sets the entries that the plugin describes; called once, when it has started.
    pub(crate) fn set_entries(&self, entries: &[EntryInfo]) {
        if self.wanted {
            let never = |entry: &EntryInfo| entry.never_waits.then(|| entry.name.clone());
            let _ = self.exempt.set(entries.iter().filter_map(never).collect());
        }
    }

    /// Whether the handlers of the plugin run on coroutines, unless they never wait.
    #[inline]
    pub(crate) fn wanted(&self) -> bool {
        self.wanted
    }

    /// Whether the handler of this entry never waits.
    pub(crate) fn is_exempt(&self, entry: &str) -> bool {
        self.exempt.get().is_some_and(|exempt| exempt.iter().any(|name| name == entry))
    }

    /// The runtime, while there is one.
    pub(crate) fn runtime(&self) -> Option<Handle> {
        self.pool.runtime()
    }

    /// Cancelled when the plugin ends.
    pub(crate) fn ending(&self) -> &Token {
        &self.ending
    }

    pub(crate) fn is_abandoning(&self) -> bool {
        self.abandoning.load(Ordering::Acquire)
    }

    /// Coroutines that are alive.
    pub(crate) fn running(&self) -> u64 {
        self.running.load(Ordering::SeqCst)
    }

    /// Coroutines that are in the `handle` of a call.
    pub(crate) fn in_calls(&self) -> u64 {
        self.in_calls.load(Ordering::SeqCst)
    }

    /// Coroutines that are in the `handle` of a stream.
    pub(crate) fn in_streams(&self) -> u64 {
        self.in_streams.load(Ordering::SeqCst)
    }

    /// The handler of call or stream `sid`, if a coroutine serves it.
    pub(crate) fn find(&self, sid: u64) -> Option<Arc<Handler>> {
        if self.wanted { self.by_sid.lock().get(&sid).cloned() } else { None }
    }

    fn forget(&self, sid: u64) {
        let forgotten = self.by_sid.lock().remove(&sid);
        drop(forgotten);
    }

    /// The plugin is about to end: everything that waits gives up.
    pub(crate) fn cancel_all(&self) {
        self.ending.cancel();
    }

    /// What waits from now on is abandoned.
    pub(crate) fn abandon_all(&self) {
        self.abandoning.store(true, Ordering::Release);
    }

    /// Nothing of the plugin runs any more: gives up what can grow, and the share in the runtime.
    pub(crate) fn end(&self) {
        self.channels.clear();
        let handlers = std::mem::take(&mut *self.by_sid.lock());
        drop(handlers);
        let member = self.member.lock().take();
        drop(member);
    }

    fn spawn(
        &self,
        name: &str,
        stack_bytes: usize,
        running: Running,
        job: impl FnOnce() + Send + 'static,
    ) -> Result<(), NotStarted> {
        let handle = {
            let mut member = self.member.lock();
            if self.ending.is_cancelled() {
                return Err(NotStarted::Refused);
            }
            let member = member.get_or_insert_with(|| self.pool.join());
            member.handle().ok_or(NotStarted::Quota)?
        };
        let mut spawn = Spawn::new().name(name).on(&handle);
        if stack_bytes > 0 {
            spawn = spawn.stack_size(stack_bytes);
        }
        match spawn.spawn(move || running.run(job)) {
            Ok(_detached) => Ok(()),
            Err(error) => {
                tracing::warn!(
                    target: "becket::host",
                    coroutine = name,
                    %error,
                    "a coroutine was not started",
                );
                Err(NotStarted::Quota)
            }
        }
    }
}

impl Instance {
    /// Makes the handler of call or stream `sid`; `cell`: the stream's.
    pub(crate) fn make_handler(
        &'static self,
        sid: u64,
        cell: Option<&'static StreamCell>,
    ) -> Arc<Handler> {
        let handler = Arc::new(Handler::new(self, sid, cell));
        self.coroutines.by_sid.lock().insert(sid, handler.clone());
        handler
    }

    /// Runs `job`, the `handle` of a call or stream, on a coroutine of its own. If it is not
    /// started, the handler is forgotten. The caller keeps the instance.
    pub(crate) fn spawn_handler(
        &'static self,
        entry: &str,
        handler: &Arc<Handler>,
        job: impl FnOnce() + Send + 'static,
    ) -> Result<(), NotStarted> {
        let name = format!("{}/{entry}", self.plugin.name);
        let spawned = Running::begin(handler, true).and_then(|running| {
            self.coroutines.spawn(&name, self.coroutines.stack_bytes, running, job)
        });
        if spawned.is_err() {
            self.coroutines.forget(handler.sid());
        }
        spawned
    }

    /// Runs a function of the plugin's on a coroutine that serves the same call as the calling one,
    /// if that is one of the plugin's.
    pub(crate) fn spawn_function(
        &'static self,
        function: BkCoroutineFn,
        argument: *mut c_void,
        stack_bytes: usize,
    ) -> Result<(), NotStarted> {
        if !self.coroutines.wanted || self.is_stopped() {
            return Err(NotStarted::Refused);
        }
        let handler = match here(self) {
            Some(handler) => handler,
            None => Arc::new(Handler::new(self, 0, None)),
        };
        let running = Running::begin(&handler, false)?;
        let stack_bytes = if stack_bytes == 0 { self.coroutines.stack_bytes } else { stack_bytes };
        let name = format!("{}/spawned", self.plugin.name);
        let argument = Argument(argument);
        self.coroutines.spawn(&name, stack_bytes, running, move || {
            let argument = argument;
            // SAFETY: the plugin gave the function with its argument, for one call; its image is
            // mapped because the coroutine is counted (invariant 1).
            unsafe { function(argument.0) };
        })
    }
}

/// What a plugin passes to a function of its own.
struct Argument(*mut c_void);

// SAFETY: only passed back to the plugin, which says that its function may run on any thread.
unsafe impl Send for Argument {}

/// Counts a refusal at the quota of coroutines.
fn refused(instance: &Instance) -> NotStarted {
    instance.plugin.counters.one(Count::ResourceRefused);
    NotStarted::Quota
}
