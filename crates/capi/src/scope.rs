// SPDX-License-Identifier: BSD-3-Clause
//! `kc_scope_*` of `kcoro.h`: members that end together.
//!
//! A scope is a token and a number of members. Each member counts itself out when it ends, however
//! it ends, by dropping its `Member`; waiting is waiting for the number (`Group`).

use std::ffi::{c_int, c_long, c_void};
use std::panic::Location;
use std::ptr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use crate::actor::{Actor, ActorCtx};
use crate::boundary::call;
use crate::cancel::Cancel;
use crate::chan::make::{kc_chan_destroy, kc_chan_make};
use crate::chan::{self, Chan};
use crate::core::flow;
use crate::core::group::Group;
use crate::core::object::{Coro, CoroRef, Function, Role, stack_size};
use crate::errno;
use crate::handle::share;
use crate::limit::Wait;
use crate::sched::{Body, Start, default};

/// `kc_producer_fn`.
pub type Producer = unsafe extern "C" fn(*mut Chan, *mut c_void) -> c_int;

/// `kc_scope_t`.
pub struct Scope {
    cancel: Arc<Cancel>,
    members: Group,
    /// Their handles are borrowed from here.
    actors: Mutex<Vec<Arc<Actor>>>,
}

/// A member of the scope.
pub(crate) struct Member(Arc<Scope>);

impl Member {
    /// `None`: the scope is cancelled.
    pub(crate) fn new(scope: &Arc<Scope>) -> Option<Self> {
        scope.members.enter();
        let member = Self(Arc::clone(scope));
        (!scope.cancel.token().is_cancelled()).then_some(member)
    }
}

impl Scope {
    /// The token that ends all members.
    pub(crate) fn cancel(&self) -> &Arc<Cancel> {
        &self.cancel
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.members.leave();
    }
}

/// Starts a coroutine that is a member, and runs `at_end` when it has ended.
pub(crate) fn start(
    member: Member,
    function: Function,
    argument: *mut c_void,
    size: usize,
    body: Body,
    at_end: Option<Box<dyn FnOnce() + Send>>,
) -> Result<CoroRef, c_int> {
    let coro = Coro::make(Role::Scheduled, function, argument, stack_size(size));
    let coro = coro.ok_or(errno::ENOMEM)?;
    let start = Start {
        coro: Some(coro.clone()),
        body,
        context: flow::context(),
        at_end: Some(Box::new(move |_| {
            if let Some(at_end) = at_end {
                at_end();
            }
            drop(member);
        })),
        site: Location::caller(),
    };
    match default::start(start) {
        Some(Ok(())) => Ok(coro),
        Some(Err(_)) | None => Err(errno::ENOMEM),
    }
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `out` is null or valid for a write; `parent` is null or a valid handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_scope_init(out: *mut *mut Scope, parent: *const Cancel) -> c_int {
    call(errno::EIO, || {
        if out.is_null() {
            return errno::EINVAL;
        }
        // SAFETY: the caller's promise.
        unsafe {
            let cancel = Cancel::below(share(parent).as_ref());
            let scope = Scope { cancel, members: Group::default(), actors: Mutex::default() };
            out.write(Arc::into_raw(Arc::new(scope)).cast_mut());
        }
        errno::OK
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_scope_cancel(handle: *mut Scope) {
    call((), || {
        // SAFETY: the caller's promise.
        if let Some(scope) = unsafe { share(handle) } {
            Arc::clone(&scope.cancel).set();
        }
    });
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid; `out` is null or valid for a write; `function` may be called with
/// `argument` by any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_scope_launch(
    handle: *mut Scope,
    function: Function,
    argument: *mut c_void,
    size: usize,
    out: *mut *mut Coro,
) -> c_int {
    call(errno::EIO, || {
        // SAFETY: the caller's promise.
        let (Some(scope), Some(_)) = (unsafe { share(handle) }, function) else {
            return errno::EINVAL;
        };
        let Some(member) = Member::new(&scope) else { return errno::ECANCELED };
        let body = Body::C { function, argument };
        match start(member, function, argument, size, body, None) {
            Ok(coro) => {
                if !out.is_null() {
                    // SAFETY: the caller's promise.
                    unsafe { out.write(coro.into_raw()) };
                }
                errno::OK
            }
            Err(code) => code,
        }
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` and `ctx` are null or valid, and what `ctx` points to.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_scope_actor(handle: *mut Scope, ctx: *const ActorCtx) -> *mut Actor {
    call(ptr::null_mut(), || {
        // SAFETY: the caller's promise.
        let (Some(scope), Some(ctx)) = (unsafe { share(handle) }, unsafe { ctx.as_ref() }) else {
            return ptr::null_mut();
        };
        let Some(member) = Member::new(&scope) else { return ptr::null_mut() };
        let cancel = Arc::clone(&scope.cancel);
        // SAFETY: the caller's promise.
        let actor = unsafe { Actor::start(ctx, Some(cancel), Some(Box::new(member))) };
        let Some(actor) = actor else { return ptr::null_mut() };
        let borrowed = Arc::as_ptr(&actor).cast_mut();
        scope.actors.lock().push(actor);
        borrowed
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid; `producer` may be called with `user` by any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_scope_produce(
    handle: *mut Scope,
    kind: c_int,
    elem_size: usize,
    capacity: usize,
    producer: Option<Producer>,
    user: *mut c_void,
) -> *mut Chan {
    call(ptr::null_mut(), || {
        // SAFETY: the caller's promise.
        let (Some(scope), Some(producer)) = (unsafe { share(handle) }, producer) else {
            return ptr::null_mut();
        };
        let Some(member) = Member::new(&scope) else { return ptr::null_mut() };
        let mut chan = ptr::null_mut();
        // SAFETY: the place is valid.
        if unsafe { kc_chan_make(&raw mut chan, kind, elem_size, capacity) } != errno::OK {
            return ptr::null_mut();
        }
        // SAFETY: just made. The producer's own reference, in case the caller destroys its one
        // before.
        let Some(shared) = unsafe { chan::lent(chan) }.map(|chan| Arc::clone(&chan)) else {
            return ptr::null_mut();
        };
        let produce = Produce { producer, chan, user };
        let body = Body::Rust(Box::new(move || produce.run()));
        let close = Box::new(move || shared.close());
        match start(member, None, ptr::null_mut(), 0, body, Some(close)) {
            Ok(coro) => {
                drop(coro);
                chan
            }
            Err(_) => {
                // SAFETY: made above, and not shared.
                unsafe { kc_chan_destroy(chan) };
                ptr::null_mut()
            }
        }
    })
}

/// A producer and its arguments.
struct Produce {
    producer: Producer,
    chan: *mut Chan,
    user: *mut c_void,
}

// SAFETY: C's function may be called by any thread, as the header says.
unsafe impl Send for Produce {}

impl Produce {
    fn run(&self) {
        // SAFETY: as above; the channel lives as long as its coroutine.
        unsafe { (self.producer)(self.chan, self.user) };
    }
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_scope_wait_all(handle: *mut Scope, timeout_ms: c_long) -> c_int {
    call(errno::EIO, || {
        // SAFETY: the caller's promise.
        let Some(scope) = (unsafe { share(handle) }) else { return errno::EINVAL };
        match Wait::of(timeout_ms) {
            Wait::Not if scope.members.left() == 0 => errno::OK,
            Wait::Not => errno::EAGAIN,
            Wait::For(time) if scope.members.wait(0, Some(Instant::now() + time)) => errno::OK,
            Wait::For(_) => errno::ETIME,
            Wait::Forever => {
                scope.members.wait(0, None);
                errno::OK
            }
        }
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null, or valid and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_scope_destroy(handle: *mut Scope) {
    call((), || {
        if handle.is_null() {
            return;
        }
        // SAFETY: the caller gives up its share.
        let scope = unsafe { Arc::from_raw(handle.cast_const()) };
        Arc::clone(&scope.cancel).set();
        scope.members.wait(0, None);
    });
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_scope_token(handle: *const Scope) -> *const Cancel {
    call(ptr::null(), || {
        // SAFETY: the caller's promise.
        unsafe { handle.as_ref() }.map_or(ptr::null(), |scope| Arc::as_ptr(&scope.cancel))
    })
}
