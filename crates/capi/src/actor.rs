// SPDX-License-Identifier: BSD-3-Clause
//! `kc_actor_*` of `kcoro.h`: a coroutine that handles the messages of a channel.
//!
//! It waits for a message, for its own token, which is below the one that C passed, if any, or for
//! its timeout; so an idle actor costs nothing, and stopping it means cancelling its token and
//! waiting for its end.
//!
//! # Invariants
//!
//! 1. `done` is set last: after the last message was handled and every listener was called. After a
//!    wait for `done` no function of C is called any more.
//! 2. Each listener is called once: by the code that changes `ended` to true, or, if it was added
//!    after that, by the code that adds it.
//! 3. The buffer for a message belongs to the actor's coroutine alone.

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_long, c_void};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use becket_chan::Token;
use parking_lot::Mutex;

use crate::boundary::call;
use crate::cancel::Cancel;
use crate::chan::operate::{self, Limits};
use crate::chan::{self, Chan};
use crate::core::flow;
use crate::handle::{lend_any, share};
use crate::sched::{Body, Start, default};
use crate::scope::Member;

/// `kc_actor_fn`.
pub type Process = unsafe extern "C" fn(*const c_void, *mut c_void) -> c_int;
/// The function of `kc_actor_on_done`.
pub type OnDone = unsafe extern "C" fn(*mut c_void);

/// `kc_actor_ctx_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ActorCtx {
    chan: *mut Chan,
    msg_size: usize,
    /// The longest wait for a message; 0 or less: without end.
    timeout_ms: c_int,
    process: Option<Process>,
    user: *mut c_void,
}

impl ActorCtx {
    pub(crate) fn new(
        chan: *mut Chan,
        msg_size: usize,
        process: Process,
        user: *mut c_void,
    ) -> Self {
        Self { chan, msg_size, timeout_ms: -1, process: Some(process), user }
    }
}

/// `kc_actor_ctx_ex_t`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ActorCtxEx {
    base: ActorCtx,
    cancel: *const Cancel,
}

const _: () = assert!(size_of::<ActorCtx>() == 40 && size_of::<ActorCtxEx>() == 48);

/// Behind a `kc_actor_t`.
pub struct Actor {
    chan: Arc<Chan>,
    /// The longest wait for a message; less than 0: without end.
    timeout_ms: c_long,
    process: Process,
    user: *mut c_void,
    /// Its own token: set to stop it.
    stop: Arc<Cancel>,
    /// The token that C passed.
    cancel: Option<Arc<Cancel>>,
    /// The buffer for a message, in units that are aligned for any type.
    room: UnsafeCell<Vec<u128>>,
    /// Address of the object of its coroutine.
    coro: AtomicUsize,
    listeners: Mutex<Listeners>,
    done: Token,
    /// Its handle is borrowed from a scope.
    scoped: bool,
}

#[derive(Default)]
struct Listeners {
    ended: bool,
    waiting: Vec<Listener>,
}

struct Listener {
    call: OnDone,
    argument: *mut c_void,
}

// SAFETY: C's functions and arguments may be used by any thread, as the header says; the buffer is
// its coroutine's alone; the rest is Send and Sync.
unsafe impl Send for Actor {}
// SAFETY: as above.
unsafe impl Sync for Actor {}
// SAFETY: as above.
unsafe impl Send for Listener {}

impl Listener {
    fn tell(self) {
        // SAFETY: C allows it to be called, once, with this.
        unsafe { (self.call)(self.argument) };
    }
}

impl Actor {
    /// Starts an actor. `cancel`: a token that ends it; `member`: dropped at its end.
    ///
    /// # Safety
    ///
    /// The pointers in the context are null or valid.
    pub(crate) unsafe fn start(
        ctx: &ActorCtx,
        cancel: Option<Arc<Cancel>>,
        member: Option<Member>,
    ) -> Option<Arc<Self>> {
        // SAFETY: the caller's promise.
        let chan = unsafe { chan::lent(ctx.chan) }?;
        if !chan.takes_elements() || ctx.msg_size == 0 {
            return None;
        }
        let bytes = ctx.msg_size.max(chan.elem_size);
        let actor = Arc::new(Self {
            chan: Arc::clone(&chan),
            timeout_ms: if ctx.timeout_ms > 0 { c_long::from(ctx.timeout_ms) } else { -1 },
            process: ctx.process?,
            user: ctx.user,
            stop: Cancel::below(cancel.as_ref()),
            cancel,
            room: UnsafeCell::new(vec![0; bytes.div_ceil(size_of::<u128>())]),
            coro: AtomicUsize::new(0),
            listeners: Mutex::default(),
            done: Token::new(),
            scoped: member.is_some(),
        });
        let (running, ending) = (Arc::clone(&actor), Arc::clone(&actor));
        let start = Start::coroutine(Body::Rust(Box::new(move || running.run())), 0).ok()?;
        let start = start.at_end(move |_| {
            ending.end();
            drop(member);
        });
        let coro = start.coro.as_ref().map_or(0, |coro| coro.as_ptr().addr());
        actor.coro.store(coro, Ordering::Relaxed);
        default::start(start).ok()?;
        Some(actor)
    }

    /// The body of its coroutine.
    fn run(&self) {
        // SAFETY: this is its coroutine (invariant 3).
        let room = unsafe { (*self.room.get()).as_mut_ptr() };
        loop {
            // SAFETY: there is room for an element; the token lives as long as the actor.
            let received = unsafe {
                let limits = Limits::with(self.timeout_ms, Arc::as_ptr(&self.stop));
                operate::recv(&self.chan, room.cast(), limits)
            };
            if received.is_err() {
                break;
            }
            // SAFETY: C allows it to be called with this.
            unsafe { (self.process)(room.cast(), self.user) };
        }
        self.end();
    }

    /// Ends it, once.
    fn end(&self) {
        let mut listeners = self.listeners.lock();
        if std::mem::replace(&mut listeners.ended, true) {
            return;
        }
        let waiting = std::mem::take(&mut listeners.waiting);
        drop(listeners);
        for listener in waiting {
            listener.tell();
        }
        self.done.cancel();
    }

    /// Stops it, and waits until it has ended, unless the caller is the actor itself.
    fn stop(&self) {
        Arc::clone(&self.stop).set();
        if flow::coro().addr() != self.coro.load(Ordering::Relaxed) {
            self.done.cancelled().wait();
        }
    }
}

/// The actor behind a handle, with the handle's reference if it has one.
///
/// # Safety
///
/// The handle is valid; if it is not a scope's, it is given up.
unsafe fn taken(handle: *mut Actor) -> Option<Arc<Actor>> {
    // SAFETY: the caller's promise.
    unsafe {
        if handle.as_ref()?.scoped {
            Arc::increment_strong_count(handle);
        }
        Some(Arc::from_raw(handle.cast_const()))
    }
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `ctx` is null or valid, and what it points to; the function may be called by any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_actor_start(ctx: *const ActorCtx) -> *mut Actor {
    call(ptr::null_mut(), || {
        // SAFETY: the caller's promise.
        lend_any(unsafe { ctx.as_ref().and_then(|ctx| Actor::start(ctx, None, None)) })
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// As [`kc_actor_start`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_actor_start_ex(ctx: *const ActorCtxEx) -> *mut Actor {
    call(ptr::null_mut(), || {
        // SAFETY: the caller's promise.
        lend_any(unsafe {
            ctx.as_ref().and_then(|ctx| Actor::start(&ctx.base, share(ctx.cancel), None))
        })
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid, and not used again unless it is a scope's.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_actor_stop(handle: *mut Actor) {
    call((), || {
        // SAFETY: the caller's promise.
        if let Some(actor) = unsafe { taken(handle) } {
            actor.stop();
        }
    });
}

/// See `kcoro.h`.
///
/// # Safety
///
/// As [`kc_actor_stop`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_actor_cancel(handle: *mut Actor) {
    call((), || {
        // SAFETY: the caller's promise.
        if let Some(actor) = unsafe { taken(handle) } {
            if let Some(cancel) = actor.cancel.clone().filter(|_| !actor.scoped) {
                cancel.set();
            }
            actor.stop();
        }
    });
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid; the function may be called, once, by any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_actor_on_done(
    handle: *mut Actor,
    on_done: Option<OnDone>,
    argument: *mut c_void,
) {
    call((), || {
        // SAFETY: the caller's promise.
        let (Some(actor), Some(call)) = (unsafe { handle.as_ref() }, on_done) else { return };
        let listener = Listener { call, argument };
        let mut listeners = actor.listeners.lock();
        if listeners.ended {
            drop(listeners);
            listener.tell();
        } else {
            listeners.waiting.push(listener);
        }
    });
}
