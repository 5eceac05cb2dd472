// SPDX-License-Identifier: BSD-3-Clause
//! `kc_scope_*` of `kcoro.h`: members that end together.
//!
//! A scope is a token and a number of members. Each member counts itself out when it ends, however
//! it ends, by dropping its `Member`; waiting is waiting for the number (`Group`). A member knows its
//! scope (`flow`): a wait for all, in one of them, would wait for itself.

use std::ffi::{c_int, c_long, c_void};
use std::ptr;
use std::sync::Arc;

use crate::actor::{Actor, ActorCtx};
use crate::boundary::{answer, call};
use crate::cancel::Cancel;
use crate::chan::Chan;
use crate::core::flow;
use crate::core::group::Group;
use crate::core::object::{Coro, Function};
use crate::errno;
use crate::handle::{lend, place, share, shared, take_back};
use crate::limit::Until;
use crate::produce::{Producer, Target, produce};
use crate::sched::{Body, Start, default};

/// `kc_scope_t`.
pub struct Scope {
    cancel: Arc<Cancel>,
    members: Group,
}

/// A member of the scope.
pub(crate) struct Member(Arc<Scope>);

impl Member {
    /// An error: the scope is cancelled.
    pub(crate) fn new(scope: &Arc<Scope>) -> Result<Self, c_int> {
        scope.members.enter();
        let member = Self(Arc::clone(scope));
        if scope.cancel.token().is_cancelled() { Err(errno::ECANCELED) } else { Ok(member) }
    }
}

impl Scope {
    pub(crate) fn below(parent: Option<&Arc<Cancel>>) -> Arc<Self> {
        let cancel = Cancel::below(parent);
        Arc::new(Self { cancel, members: Group::default() })
    }

    /// Waits until the last member has ended. False: the limit was reached before.
    pub(crate) fn wait(&self, until: Until) -> bool {
        self.members.wait(0, until)
    }

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

/// Marks what is started as this member's.
pub(crate) fn of_member(start: Start, member: &Member) -> Start {
    Start { scope: Arc::as_ptr(&member.0).addr(), ..start }
}

/// Whether the caller is a member of the scope.
fn is_inside(scope: &Arc<Scope>) -> bool {
    flow::scope() == Arc::as_ptr(scope).addr()
}

/// Starts a coroutine that is a member until `at_end` has run at its end.
pub(crate) fn start(
    member: Member,
    start: Start,
    at_end: impl FnOnce() + Send + 'static,
) -> Result<(), c_int> {
    default::start(of_member(start, &member).at_end(move |_| {
        at_end();
        drop(member);
    }))
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `out` is null or valid for a write; `parent` is null or a valid handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_scope_init(out: *mut *mut Scope, parent: *const Cancel) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        unsafe {
            place(out)?.write(lend(Scope::below(share(parent).as_ref())));
        }
        Ok(())
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
    answer(|| {
        // SAFETY: the caller's promise.
        let scope = unsafe { shared(handle) }?;
        function.ok_or(errno::EINVAL)?;
        let member = Member::new(&scope)?;
        let starting = Start::coroutine(Body::C { function, argument }, size)?;
        let coro = starting.coro.clone().filter(|_| !out.is_null());
        start(member, starting, || {})?;
        if let Some(coro) = coro {
            // SAFETY: the caller's promise.
            unsafe { out.write(coro.into_raw()) };
        }
        Ok(())
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
        let Ok(member) = Member::new(&scope) else { return ptr::null_mut() };
        let cancel = Arc::clone(&scope.cancel);
        // SAFETY: the caller's promise.
        let actor = unsafe { Actor::start(ctx, Some(cancel), Some(member)) };
        actor.unwrap_or(ptr::null_mut())
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
        let Ok(member) = Member::new(&scope) else { return ptr::null_mut() };
        let target = Target { kind, elem_size, capacity };
        produce(&target, producer, user, |starting, output| {
            start(member, starting, move || output.close())
        })
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_scope_wait_all(handle: *mut Scope, timeout_ms: c_long) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let scope = unsafe { shared(handle) }?;
        if is_inside(&scope) {
            return Err(errno::EDEADLK);
        }
        match Until::of(timeout_ms) {
            until if scope.wait(until) => Ok(()),
            Until::Now => Err(errno::EAGAIN),
            Until::At(_) | Until::Ever => Err(errno::ETIME),
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
        // SAFETY: the caller gives up its share.
        if let Some(scope) = unsafe { take_back(handle) } {
            Arc::clone(&scope.cancel).set();
            if !is_inside(&scope) {
                scope.wait(Until::Ever);
            }
        }
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
