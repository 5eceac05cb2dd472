// SPDX-License-Identifier: BSD-3-Clause
//! Shows in `kcoro_t` that its coroutine waits in a channel: PARKED while the worker's own hook
//! parks it.

use std::sync::OnceLock;
use std::time::Instant;

use becket_chan::park::{Park, Unparker, set_hook};

use crate::core::flow;
use crate::core::object::{Role, state};

static HOOK: Hook = Hook;

/// The workers' own hook: one for all of them.
static INNER: OnceLock<&'static dyn Park> = OnceLock::new();

struct Hook;

/// Installs ours before the worker's. Called by a coroutine that starts there.
#[inline]
pub(crate) fn install() {
    if let Some(before) = set_hook(Some(&HOOK))
        && INNER.get().is_none()
    {
        // The first time on any worker, so it is not ours.
        let _ = INNER.set(before);
    }
}

impl Park for Hook {
    #[inline]
    fn unparker(&self) -> Unparker {
        match INNER.get() {
            Some(inner) => inner.unparker(),
            // Ours is installed only after it was set.
            None => Unparker::new(|_| {}, 0),
        }
    }

    #[inline]
    fn park(&self, deadline: Option<Instant>) {
        let Some(inner) = INNER.get() else { return };
        // SAFETY: the object of the coroutine that calls, held by its life.
        let coro = unsafe { flow::coro().as_ref() };
        let coro = coro.filter(|coro| coro.role() == Role::Scheduled);
        if let Some(coro) = coro {
            coro.set_state(state::PARKED);
        }
        inner.park(deadline);
        if let Some(coro) = coro {
            coro.set_state(state::RUNNING);
        }
    }

    fn now(&self) -> Instant {
        INNER.get().map_or_else(Instant::now, |inner| inner.now())
    }
}
