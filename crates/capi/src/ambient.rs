// SPDX-License-Identifier: BSD-3-Clause
//! A token for everything that a callback waits for.
//!
//! A zero-copy backend may have no functions that take a token. It is then called under one: each
//! wait of this library, of the coroutine or thread that calls, ends when that token is set, unless
//! the wait has a token of its own.
//!
//! A coroutine that is destroyed inside such a callback leaves it without coming back (`boundary`);
//! `SCOPES` then stays above zero, which costs later waits a look at their coroutine's value.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use becket_chan::Token;

use crate::cancel::Cancel;

becket_coro::coroutine_local! {
    static AMBIENT: RefCell<Option<Arc<Cancel>>> = RefCell::new(None);
}

/// How many callbacks run under a token: mostly none, and then nobody looks for it.
static SCOPES: AtomicUsize = AtomicUsize::new(0);

/// Runs `body` under a token.
pub(crate) fn under<R>(token: &Arc<Cancel>, body: impl FnOnce() -> R) -> R {
    SCOPES.fetch_add(1, Ordering::Relaxed);
    let before = AMBIENT.with(|ambient| ambient.replace(Some(token.clone())));
    let answer = body();
    AMBIENT.with(|ambient| ambient.replace(before));
    SCOPES.fetch_sub(1, Ordering::Relaxed);
    answer
}

/// The token of the caller's callback, if it runs in one.
pub(crate) fn token() -> Option<Token> {
    if SCOPES.load(Ordering::Relaxed) == 0 {
        return None;
    }
    AMBIENT.with(|ambient| ambient.borrow().as_ref().map(|cancel| cancel.token().clone()))
}
