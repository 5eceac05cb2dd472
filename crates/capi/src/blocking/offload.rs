// SPDX-License-Identifier: BSD-3-Clause
//! A call on a thread that may be blocked.
//!
//! ```text
//!   QUEUED ──the thread starts it──► STARTED ──► DONE, with its status
//!      └─────the caller gives up───► WITHDRAWN       the thread then skips it
//! ```

use std::ffi::{c_int, c_long, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicU8, Ordering};

use super::{Event, Until};
use crate::boundary::answer;
use crate::errno;
use crate::handle::write_any;

const QUEUED: u8 = 0;
const STARTED: u8 = 1;
const DONE: u8 = 2;
const WITHDRAWN: u8 = 3;

/// `kc_block_fn`.
pub type Blocking = unsafe extern "C" fn(*mut c_void) -> c_int;

struct Offloaded {
    stage: AtomicU8,
    status: AtomicI32,
    function: Blocking,
    argument: *mut c_void,
}

// SAFETY: C's function may be called by another thread with its argument: that is its purpose.
unsafe impl Send for Offloaded {}
// SAFETY: as above; the rest is atomic.
unsafe impl Sync for Offloaded {}

impl Offloaded {
    fn moves(&self, from: u8, to: u8) -> bool {
        self.stage.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn run(&self) {
        if !self.moves(QUEUED, STARTED) {
            return;
        }
        // SAFETY: as above; once.
        let status = unsafe { (self.function)(self.argument) };
        self.status.store(status, Ordering::Relaxed);
        self.stage.store(DONE, Ordering::Release);
    }
}

/// See `kc_blocking.h`.
///
/// # Safety
///
/// `function` may be called with `argument` by another thread; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_block_call(
    function: Option<Blocking>,
    argument: *mut c_void,
    timeout_ms: c_long,
    out: *mut c_int,
) -> c_int {
    answer(|| {
        let function = function.ok_or(errno::EINVAL)?;
        let event = Event::new();
        if event.is_cancelled() {
            return Err(errno::ECANCELED);
        }
        let offloaded = Arc::new(Offloaded {
            stage: AtomicU8::new(QUEUED),
            status: AtomicI32::new(0),
            function,
            argument,
        });
        let (runs, done) = (Arc::clone(&offloaded), event.trigger());
        drop(becket_coro::spawn_blocking(move || {
            runs.run();
            done.cancel();
        }));
        let waited = event.wait(Until::of(timeout_ms));
        if offloaded.stage.load(Ordering::Acquire) == DONE {
            // SAFETY: the caller's promise.
            unsafe { write_any(out, offloaded.status.load(Ordering::Relaxed)) };
            return Ok(());
        }
        offloaded.moves(QUEUED, WITHDRAWN);
        Err(waited.err().unwrap_or(errno::EIO))
    })
}
