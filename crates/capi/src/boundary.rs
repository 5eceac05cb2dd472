// SPDX-License-Identifier: BSD-3-Clause
//! The one panic boundary: every `extern "C"` function is a `call` around its body.
//!
//! A panic never crosses into C. It becomes the failure result of the function's return type (a
//! negative number, a null pointer, nothing), a line on standard error and a count.
//!
//! One kind of unwinding is no failure. A coroutine that is destroyed while it waits unwinds from
//! its park, so that the Rust frames on its stack release their resources. C frames cannot be
//! unwound: when the unwinding reaches a boundary, all Rust frames above it are clean, and the
//! coroutine is abandoned there. The C frames below are forgotten with its stack.

use std::any::Any;
use std::ffi::{c_int, c_ulong};
use std::io::Write as _;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};

use becket_coro::{foreign, panic_message};

use crate::errno;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// The payload of a panic.
type Payload = Box<dyn Any + Send>;

/// Runs the body of an `extern "C"` function. If it panics, the result is `on_panic`.
#[inline]
#[track_caller]
pub(crate) fn call<R>(on_panic: R, body: impl FnOnce() -> R) -> R {
    // State that a panic leaves behind is behind locks that do not poison, or atomic.
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(answer) => answer,
        Err(payload) => {
            contained(payload, Location::caller());
            on_panic
        }
    }
}

/// As [`call`], for a function whose result is 0 or an error.
#[inline]
#[track_caller]
pub(crate) fn answer(body: impl FnOnce() -> Result<(), c_int>) -> c_int {
    call(errno::EIO, || code(body()))
}

/// 0 or the error.
#[inline]
pub(crate) fn code(answer: Result<(), c_int>) -> c_int {
    answer.err().unwrap_or(errno::OK)
}

/// The number of panics that were turned into results in this process so far.
///
/// Thread safe.
pub fn panics() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// See `kcoro.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_panics_contained() -> c_ulong {
    panics() as c_ulong
}

#[cold]
fn contained(payload: Payload, at: &Location<'_>) {
    if foreign::is_ending(&*payload) {
        drop(payload);
        // SAFETY: the frames above are C's, those below were unwound, up to the scheduler's own.
        unsafe { foreign::abandon() };
    }
    PANICS.fetch_add(1, Ordering::Relaxed);
    // Standard error may be closed; then the panic cannot be reported.
    let _ = writeln!(
        std::io::stderr(),
        "kcoro: a call failed inside the library, in {}:{}: {}",
        at.file(),
        at.line(),
        panic_message(&*payload).unwrap_or("(no message)"),
    );
    // A payload is a user value: its drop may panic, and so may the drop of that panic's payload.
    if let Err(second) = catch_unwind(AssertUnwindSafe(|| drop(payload))) {
        let _forgotten = ManuallyDrop::new(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The only test that panics: it alone changes the count.
    #[test]
    fn a_panic_becomes_the_answer_and_is_counted() {
        struct Hostile;
        impl Drop for Hostile {
            fn drop(&mut self) {
                std::panic::panic_any(Box::new(4_u8));
            }
        }
        let before = panics();
        assert_eq!(call(-5, || 3), 3);
        assert_eq!(call(-5, || panic!("on purpose")), -5);
        assert_eq!(call(-5, || std::panic::panic_any(Box::new(4_u8))), -5);
        assert_eq!(call(-5, || std::panic::panic_any(Hostile)), -5);
        assert_eq!(panics() - before, 3);
    }
}
