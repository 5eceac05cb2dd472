// SPDX-License-Identifier: BSD-3-Clause
//! An executor that stays awake: for rows that measure how fast an answer crosses two CPUs, not
//! how long the kernel takes to wake a thread.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// Polls a future when it has been woken, and watches for that without sleeping.
#[derive(Debug)]
pub(crate) struct Spin {
    woken: Arc<Woken>,
    waker: Waker,
}

#[derive(Debug)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::Release);
    }
}

impl Spin {
    /// One executor for many futures, one after the other: its waker is made once.
    pub(crate) fn new() -> Self {
        let woken = Arc::new(Woken(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&woken));
        Self { woken, waker }
    }

    /// Runs the future to its end.
    pub(crate) fn block_on<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        let mut context = Context::from_waker(&self.waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return output;
            }
            while !self.woken.0.swap(false, Ordering::Acquire) {
                #[expect(
                    clippy::missing_spin_loop,
                    reason = "a hypervisor may take it as leave to run somebody else: a microsecond"
                )]
                while !self.woken.0.load(Ordering::Relaxed) {}
            }
        }
    }
}
