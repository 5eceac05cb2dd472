// SPDX-License-Identifier: BSD-3-Clause
//! `kc_cancel_t`: a cancel token for C, and the functions of `kc_cancel.h`.
//!
//! Behind each handle is a `becket_chan::Token` of its own. A parent relation is a `Link`: a wait
//! for the parent's token whose waker sets the child. So links can be added and removed at any
//! time, a token may have several parents, and a token that the Rust side cancels (a scope's)
//! cancels the tokens that C made below it.
//!
//! # Invariants
//!
//! 1. Tokens are set without a lock, through a queue of the thread ([`Cancel::set`]): a chain of
//!    any depth costs no stack. The same holds for dropping a chain ([`Drop`]).
//! 2. A child holds its parents; a parent refers to its children only by their wakers, which hold
//!    them weakly.
//! 3. A token that is set stays set; its links have no use then and are kept until it is dropped.
//!
//! # Safety
//!
//! A handle is an `Arc<Cancel>` turned into a pointer; the caller keeps it valid, as the header
//! says. A link's wait borrows from the parent that the link holds, and is dropped before it.

use std::cell::RefCell;
use std::future::Future as _;
use std::mem;
use std::pin::Pin;
use std::ptr;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Wake, Waker};

use becket_chan::{Cancelled, Token};
use libc::{c_int, c_long};
use parking_lot::Mutex;
use smallvec::SmallVec;

use crate::boundary::{answer, call};
use crate::errno;
use crate::handle::{lend, place, share, shared, take_back};
use crate::limit::{self, Until};

/// `kc_cancel_t`.
pub struct Cancel {
    token: Token,
    parents: Mutex<Links>,
}

type Links = SmallVec<[Link; 1]>;

/// `kc_cancel_ctx_t`.
#[repr(C)]
pub struct CancelCtx {
    /// Borrowed.
    pub parent: *const Cancel,
    /// Owned.
    pub token: *mut Cancel,
}

/// Makes a token the child of another.
struct Link {
    /// A wait for the token of `parent`; dropped first.
    waiting: Pin<Box<Cancelled<'static>>>,
    parent: Arc<Cancel>,
}

struct SetChild(Weak<Cancel>);

impl Wake for SetChild {
    fn wake(self: Arc<Self>) {
        if let Some(child) = self.0.upgrade() {
            child.set();
        }
    }
}

thread_local! {
    /// While this thread sets tokens: those that are still to be set.
    static TO_SET: RefCell<Option<Vec<Arc<Cancel>>>> = const { RefCell::new(None) };
}

impl Cancel {
    /// A token for C over an existing one.
    #[must_use]
    pub fn over(token: Token) -> Arc<Self> {
        Arc::new(Self { token, parents: Mutex::default() })
    }

    /// A new token below `parent`, if there is one.
    #[must_use]
    pub fn below(parent: Option<&Arc<Self>>) -> Arc<Self> {
        let child = Self::over(Token::new());
        if let Some(parent) = parent {
            child.link(parent);
        }
        child
    }

    /// The token for operations.
    #[must_use]
    pub fn token(&self) -> &Token {
        &self.token
    }

    /// Sets it and all below it.
    pub fn set(self: Arc<Self>) {
        let first = TO_SET.with_borrow_mut(|queue| match queue {
            Some(queue) => {
                queue.push(self.clone());
                false
            }
            None => {
                *queue = Some(Vec::new());
                true
            }
        });
        if !first {
            return;
        }
        let mut next = Some(self);
        while let Some(cancel) = next {
            cancel.token.cancel();
            next = TO_SET.with_borrow_mut(|queue| queue.as_mut().and_then(Vec::pop));
        }
        TO_SET.take();
    }

    /// Sets it when `parent` is set, or now if it is.
    pub(crate) fn link(self: &Arc<Self>, parent: &Arc<Self>) {
        let token: *const Token = &raw const parent.token;
        // SAFETY: the link holds the parent, and drops the wait first.
        let waiting = unsafe { &*token }.cancelled();
        let mut link = Link { waiting: Box::pin(waiting), parent: parent.clone() };
        let waker = Waker::from(Arc::new(SetChild(Arc::downgrade(self))));
        let polled = link.waiting.as_mut().poll(&mut Context::from_waker(&waker));
        if polled == Poll::Pending {
            self.parents.lock().push(link);
        } else {
            self.clone().set();
        }
    }

    /// True if it was a child of `parent`.
    fn unlink(&self, parent: &Self) -> bool {
        let mut parents = self.parents.lock();
        let found = parents.iter().position(|link| ptr::eq(Arc::as_ptr(&link.parent), parent));
        let link = found.map(|at| parents.swap_remove(at));
        drop(parents);
        link.is_some()
    }
}

impl Drop for Cancel {
    fn drop(&mut self) {
        let mut links = mem::take(self.parents.get_mut());
        while let Some(Link { waiting, parent }) = links.pop() {
            drop(waiting);
            if let Some(mut parent) = Arc::into_inner(parent) {
                links.append(parent.parents.get_mut());
            }
        }
    }
}

/// The token behind a handle; `None` for null.
///
/// # Safety
///
/// The handle is null or valid for as long as the result is used.
#[inline]
pub(crate) unsafe fn token<'a>(handle: *const Cancel) -> Option<&'a Token> {
    // SAFETY: the caller's promise.
    unsafe { handle.as_ref() }.map(|cancel| &cancel.token)
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_cancel_init(out: *mut *mut Cancel) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { kc_cancel_create(out, ptr::null_mut()) }
}

/// See `kc_cancel.h`.
///
/// # Safety
///
/// `out` is null or valid for a write; `parent` is null or a valid handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_cancel_create(out: *mut *mut Cancel, parent: *mut Cancel) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        unsafe { place(out)?.write(lend(Cancel::below(share(parent).as_ref()))) };
        Ok(())
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_cancel_trigger(handle: *mut Cancel) {
    call((), || {
        // SAFETY: the caller's promise. Our own reference outlives a concurrent destroy.
        if let Some(cancel) = unsafe { share(handle) } {
            cancel.set();
        }
    });
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_cancel_is_set(handle: *const Cancel) -> c_int {
    // SAFETY: the caller's promise.
    call(0, || unsafe { token(handle) }.is_some_and(Token::is_cancelled).into())
}

/// See `kc_cancel.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_cancel_is_triggered(handle: *const Cancel) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { kc_cancel_is_set(handle) }
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `handle` is null, or valid and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_cancel_destroy(handle: *mut Cancel) {
    // SAFETY: the caller's promise: this is the handle's own share.
    call((), || drop(unsafe { take_back(handle) }));
}

/// See `kc_cancel.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_cancel_wait(handle: *const Cancel, timeout_ms: c_long) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let token = unsafe { token(handle) }.ok_or(errno::EINVAL)?.clone();
        let set = limit::wait_for(&token, Until::of(timeout_ms));
        if set { Ok(()) } else { Err(errno::ETIME) }
    })
}

/// See `kc_cancel.h`.
///
/// # Safety
///
/// Both are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_cancel_add_child(parent: *mut Cancel, child: *mut Cancel) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (parent, child) = unsafe { (shared(parent)?, shared(child)?) };
        if Arc::ptr_eq(&parent, &child) {
            return Err(errno::EINVAL);
        }
        child.link(&parent);
        Ok(())
    })
}

/// See `kc_cancel.h`.
///
/// # Safety
///
/// Both are null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_cancel_remove_child(parent: *mut Cancel, child: *mut Cancel) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (parent, child) = unsafe { (shared(parent)?, shared(child)?) };
        if child.unlink(&parent) { Ok(()) } else { Err(errno::ENOENT) }
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `ctx` is null or valid for a write; `parent` is null or a valid handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_cancel_ctx_init(ctx: *mut CancelCtx, parent: *const Cancel) -> c_int {
    answer(|| {
        let ctx = place(ctx)?;
        // SAFETY: the caller's promise.
        unsafe {
            let token = lend(Cancel::below(share(parent).as_ref()));
            ctx.write(CancelCtx { parent, token });
        }
        Ok(())
    })
}

/// See `kcoro.h`.
///
/// # Safety
///
/// `ctx` is null or was made by `kc_cancel_ctx_init`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_cancel_ctx_destroy(ctx: *mut CancelCtx) {
    call((), || {
        // SAFETY: the caller's promise.
        let Some(ctx) = (unsafe { ctx.as_mut() }) else {
            return;
        };
        ctx.parent = ptr::null();
        let token = mem::replace(&mut ctx.token, ptr::null_mut());
        // SAFETY: the context owned it.
        unsafe { kc_cancel_destroy(token) };
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_of_any_depth_is_set_and_taken_apart() {
        let root = Cancel::below(None);
        let mut last = root.clone();
        let depth = if cfg!(miri) { 100 } else { 200_000 };
        for _ in 0..depth {
            last = Cancel::below(Some(&last));
        }
        root.clone().set();
        assert!(last.token().is_cancelled());
        drop(last);
        assert_eq!(Arc::strong_count(&root), 1);
    }

    #[test]
    fn a_cycle_ends() {
        let (one, two) = (Cancel::below(None), Cancel::below(None));
        one.link(&two);
        two.link(&one);
        one.clone().set();
        assert!(two.token().is_cancelled());
        assert!(one.unlink(&two) && two.unlink(&one));
    }

    #[test]
    fn a_token_of_the_rust_side_reaches_what_c_made_below_it() {
        let token = Token::new();
        let child = Cancel::below(Some(&Cancel::over(token.clone())));
        token.cancel();
        assert!(child.token().is_cancelled());
    }
}
