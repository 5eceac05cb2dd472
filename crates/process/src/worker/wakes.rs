// SPDX-License-Identifier: BSD-3-Clause
//! Wakes of the session that come from a coroutine of the plugin.
//!
//! A thread that wakes the session serves it: it begins other calls, and runs code of the plugin. The stack of
//! a coroutine has no room for that, so another thread does it in its place.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, LazyLock};
use std::task::{Wake, Waker};
use std::thread;

/// Wakes in place of coroutines.
static OTHER: LazyLock<Option<Sender<Waker>>> = LazyLock::new(|| {
    let (sender, wakes) = channel::<Waker>();
    let wake = move || wakes.into_iter().for_each(Waker::wake);
    let thread = thread::Builder::new().name("becket-wakes".to_owned()).spawn(wake);
    thread.is_ok().then_some(sender)
});

/// A waker that may be woken on the stack of a coroutine.
pub(super) fn on_any_stack(waker: Waker) -> Waker {
    Arc::new(OnAnyStack(waker)).into()
}

/// Wakes on that other thread; not at all if there is none: what is to be sent goes with what is sent next.
pub(super) fn elsewhere(waker: &Waker) {
    if let Some(other) = &*OTHER {
        let _ = other.send(waker.clone());
    }
}

struct OnAnyStack(Waker);

impl Wake for OnAnyStack {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if becket_coro::current().is_some()
            && let Some(other) = &*OTHER
            && other.send(self.0.clone()).is_ok()
        {
            return;
        }
        self.0.wake_by_ref();
    }
}
