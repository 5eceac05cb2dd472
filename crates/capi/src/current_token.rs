// SPDX-License-Identifier: BSD-3-Clause
//! The current token: it applies to every wait in a callback.
//!
//! A zero-copy backend may have no functions that take a token. It is then called under one: each
//! wait of this library, of the calling coroutine or thread, ends when that token is set, unless
//! the wait has a token of its own.
//!
//! A coroutine that is destroyed inside such a callback leaves it without returning (`boundary`);
//! `SCOPES` then stays above zero, which costs later waits a read of their coroutine's value.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use becket_chan::Token;

use crate::cancel::Cancel;

becket_coro::coroutine_local! {
    static CURRENT: RefCell<Option<Arc<Cancel>>> = RefCell::new(None);
}

/// The number of callbacks that run under a token: usually 0, and then the value is not read.
static SCOPES: AtomicUsize = AtomicUsize::new(0);

/// Runs `body` under a token.
pub(crate) fn under<R>(token: &Arc<Cancel>, body: impl FnOnce() -> R) -> R {
    SCOPES.fetch_add(1, Ordering::Relaxed);
    let before = CURRENT.with(|current_token| current_token.replace(Some(token.clone())));
    let answer = body();
    CURRENT.with(|current_token| current_token.replace(before));
    SCOPES.fetch_sub(1, Ordering::Relaxed);
    answer
}

/// Whether the caller may run in a callback that has a token.
#[inline]
pub(crate) fn may_be() -> bool {
    SCOPES.load(Ordering::Relaxed) != 0
}

/// The token of the caller's callback, if it runs in one.
pub(crate) fn token() -> Option<Token> {
    if !may_be() {
        return None;
    }
    CURRENT
        .with(|current_token| current_token.borrow().as_ref().map(|cancel| cancel.token().clone()))
}
