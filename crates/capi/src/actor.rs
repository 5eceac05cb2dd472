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
//! 4. The handle of a scope's actor is an odd number: C may use it until the scope ends, and the
//!    actor is not kept for that. It is in `SCOPED` until it has ended (`done`); a number that is
//!    not there is that of an actor that has ended. A number is not used twice.

use std::cell::UnsafeCell;
use std::collections::HashMap;
use std::ffi::{c_int, c_long, c_void};
use std::ptr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use becket_chan::Token;
use parking_lot::Mutex;

use crate::boundary::call;
use crate::cancel::Cancel;
use crate::chan::operate::{self, Limits};
use crate::chan::{self, Chan};
use crate::core::flow;
use crate::handle::{lend, share, take_back};
use crate::sched::{Body, Start, default};
use crate::scope::{Member, of_member};

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
    /// Its handle, if it is a scope's (invariant 4).
    number: Option<usize>,
}

/// The actors of scopes that have not ended, by their handles.
static SCOPED: LazyLock<Mutex<HashMap<usize, Arc<Actor>>>> = LazyLock::new(Mutex::default);

/// A handle for a scope's actor: no address, since those are even.
fn new_number() -> usize {
    static LAST: AtomicUsize = AtomicUsize::new(usize::MAX);
    LAST.fetch_add(2, Ordering::Relaxed).wrapping_add(2)
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
    fn notify(self) {
        // SAFETY: C allows it to be called, once, with this.
        unsafe { (self.call)(self.argument) };
    }
}

impl Actor {
    /// Starts an actor, and returns its handle. `cancel`: a token that ends it; `member`: dropped at
    /// its end, of a scope's actor.
    ///
    /// # Safety
    ///
    /// The pointers in the context are null or valid.
    pub(crate) unsafe fn start(
        ctx: &ActorCtx,
        cancel: Option<Arc<Cancel>>,
        member: Option<Member>,
    ) -> Option<*mut Self> {
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
            number: member.as_ref().map(|_| new_number()),
        });
        let (running, ending) = (Arc::clone(&actor), Arc::clone(&actor));
        let start = Start::coroutine(Body::Rust(Box::new(move || running.run())), 0).ok()?;
        let start = start.named("actor ", actor.process as *const c_void);
        let start = match &member {
            Some(member) => of_member(start, member),
            None => start,
        };
        let start = start.at_end(move |_| {
            ending.end();
            drop(ending);
            drop(member);
        });
        let coro = start.coro.as_ref().map_or(0, |coro| coro.as_ptr().addr());
        actor.coro.store(coro, Ordering::Relaxed);
        if let Some(number) = actor.number {
            SCOPED.lock().insert(number, Arc::clone(&actor));
        }
        // If it is not started, it ends at once.
        default::start(start).ok()?;
        Some(match actor.number {
            Some(number) => ptr::without_provenance_mut(number),
            None => lend(actor),
        })
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
            listener.notify();
        }
        self.done.cancel();
        if let Some(number) = self.number {
            let ended = SCOPED.lock().remove(&number);
            drop(ended);
        }
    }

    /// Calls a listener at its end, at once if it has ended.
    fn listen(&self, listener: Listener) {
        let mut listeners = self.listeners.lock();
        if listeners.ended {
            drop(listeners);
            listener.notify();
        } else {
            listeners.waiting.push(listener);
        }
    }

    /// Stops it, and waits until it has ended, unless the caller is the actor itself.
    fn stop(&self) {
        Arc::clone(&self.stop).set();
        if flow::coro().addr() != self.coro.load(Ordering::Relaxed) {
            self.done.cancelled().wait();
        }
    }
}

/// The actor of a handle.
enum Handle {
    /// C's own.
    Address(*mut Actor),
    /// A scope's; `None`: it has ended.
    Number(Option<Arc<Actor>>),
}

impl Handle {
    fn of(handle: *mut Actor) -> Self {
        if handle.addr().is_multiple_of(2) {
            return Self::Address(handle);
        }
        Self::Number(SCOPED.lock().get(&handle.addr()).cloned())
    }

    /// The actor; C's own reference is given up. `None`: null, or a scope's that has ended.
    ///
    /// # Safety
    ///
    /// The address is null or valid, and is not used again.
    unsafe fn take(self) -> Option<Arc<Actor>> {
        match self {
            // SAFETY: the caller's promise.
            Self::Address(address) => unsafe { take_back(address) },
            Self::Number(actor) => actor,
        }
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
        unsafe { ctx.as_ref().and_then(|ctx| Actor::start(ctx, None, None)) }
            .unwrap_or(ptr::null_mut())
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
        unsafe { ctx.as_ref().and_then(|ctx| Actor::start(&ctx.base, share(ctx.cancel), None)) }
            .unwrap_or(ptr::null_mut())
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
        if let Some(actor) = unsafe { Handle::of(handle).take() } {
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
        if let Some(actor) = unsafe { Handle::of(handle).take() } {
            if let Some(cancel) = actor.cancel.clone().filter(|_| actor.number.is_none()) {
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
        let Some(call) = on_done else { return };
        let listener = Listener { call, argument };
        match Handle::of(handle) {
            Handle::Address(address) => {
                // SAFETY: the caller's promise.
                if let Some(actor) = unsafe { address.as_ref() } {
                    actor.listen(listener);
                }
            }
            Handle::Number(Some(actor)) => actor.listen(listener),
            Handle::Number(None) => listener.notify(),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chan::KC_BUFFERED;
    use crate::chan::make::{kc_chan_close, kc_chan_destroy, kc_chan_make};
    use crate::errno;
    use crate::scope::{Scope, kc_scope_actor, kc_scope_destroy, kc_scope_init, kc_scope_wait_all};

    unsafe extern "C" fn ignores(_: *const c_void, _: *mut c_void) -> c_int {
        0
    }

    unsafe extern "C" fn counts(argument: *mut c_void) {
        // SAFETY: the test's counter.
        unsafe { &*argument.cast::<AtomicUsize>() }.fetch_add(1, Ordering::Relaxed);
    }

    #[test]
    fn a_scope_keeps_no_actor_that_has_ended_and_its_handle_is_still_one() {
        let (mut scope, mut chan) = (ptr::null_mut::<Scope>(), ptr::null_mut::<Chan>());
        let ended = AtomicUsize::new(0);
        let argument = ptr::from_ref(&ended).cast_mut().cast();
        // SAFETY: the places are valid; the handles are used while they are, and the counter
        // outlives the actors.
        unsafe {
            assert_eq!(kc_scope_init(&raw mut scope, ptr::null()), errno::OK);
            assert_eq!(kc_chan_make(&raw mut chan, KC_BUFFERED, 4, 1), errno::OK);
            kc_chan_close(chan);
            let own = chan::lent(chan).map(|chan| Arc::clone(&chan)).unwrap();
            let before = Arc::strong_count(&own);
            let ctx = ActorCtx::new(chan, 4, ignores, ptr::null_mut());
            let actors: Vec<_> = (0..100)
                .map(|_| {
                    let actor = kc_scope_actor(scope, &raw const ctx);
                    assert!(!actor.is_null());
                    kc_actor_on_done(actor, Some(counts), argument);
                    actor
                })
                .collect();
            assert_eq!(kc_scope_wait_all(scope, -1), errno::OK);
            assert_eq!(ended.load(Ordering::Relaxed), actors.len());
            assert_eq!(Arc::strong_count(&own), before, "each actor holds its channel");
            for actor in &actors {
                kc_actor_on_done(*actor, Some(counts), argument);
                kc_actor_stop(*actor);
                kc_actor_cancel(*actor);
            }
            assert_eq!(ended.load(Ordering::Relaxed), 2 * actors.len());
            // None of that has stopped the scope.
            assert!(!kc_scope_actor(scope, &raw const ctx).is_null());
            kc_scope_destroy(scope);
            kc_chan_destroy(chan);
        }
    }
}
