// SPDX-License-Identifier: BSD-3-Clause
//! The panic boundary: every function that the host calls goes through [`guard`].
//!
//! A panic that reached an `extern "C"` frame would abort the process. Here it ends: the caller
//! gets the typed answer of its return type, the host's log gets a line, a counter goes up. Nothing
//! is swallowed: the panic hook has printed its own message before this code runs.
//!
//! Unwinding through the plugin's data is taken as safe for the SDK's own structures, which change
//! under locks and hold no broken state between statements. A plugin that panics while it holds a
//! lock of its own finds its data as the panic left it.

use std::any::Any;
use std::mem::ManuallyDrop;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use becket_abi::{BK_ENTRY_UNKNOWN, NrPluginInfo, NrStatus};

use crate::host::Host;
use crate::log::Level;

static PANICS: AtomicU64 = AtomicU64::new(0);

/// How many panics the boundary of this plugin's image has caught.
#[must_use]
pub fn panics_caught() -> u64 {
    PANICS.load(Ordering::Relaxed)
}

/// What a function answers when its body panicked.
pub trait PanicAnswer {
    /// The answer.
    const PANICKED: Self;
}

impl PanicAnswer for NrStatus {
    const PANICKED: Self = Self::Panic;
}

impl PanicAnswer for u32 {
    const PANICKED: Self = BK_ENTRY_UNKNOWN;
}

impl PanicAnswer for () {
    const PANICKED: Self = ();
}

impl PanicAnswer for *const NrPluginInfo {
    const PANICKED: Self = ptr::null();
}

/// Runs `body`; a panic in it becomes the answer of its type.
///
/// `host` is asked for only after a panic, to log it; without one the counter still goes up.
#[inline]
pub(crate) fn guard<R: PanicAnswer>(
    place: &'static str,
    host: impl FnOnce() -> Option<Host>,
    body: impl FnOnce() -> R,
) -> R {
    let log = |text: &str| {
        if let Some(host) = host() {
            host.log(Level::Error, "panic", format_args!("{text}"));
        }
    };
    guard_with(place, log, body)
}

/// As [`guard`], with the log line left to `log`.
#[inline]
pub(crate) fn guard_with<R: PanicAnswer>(
    place: &'static str,
    log: impl FnOnce(&str),
    body: impl FnOnce() -> R,
) -> R {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(answer) => answer,
        Err(payload) => {
            caught(place, log, payload);
            R::PANICKED
        }
    }
}

#[cold]
fn caught(place: &'static str, log: impl FnOnce(&str), payload: Box<dyn Any + Send>) {
    PANICS.fetch_add(1, Ordering::Relaxed);
    // Logging calls into the host, and a payload's own destructor may panic. A second payload is
    // leaked rather than dropped.
    let reported = catch_unwind(AssertUnwindSafe(|| {
        let text = payload
            .downcast_ref::<&'static str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("a payload that is not text");
        log(&format!("caught in {place}: {text}"));
        drop(payload);
    }));
    if let Err(second) = reported {
        let _leaked = ManuallyDrop::new(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::panic_any(Fuse);
        }
    }
    struct Fuse;

    #[test]
    fn each_return_type_has_its_answer() {
        let before = panics_caught();
        assert_eq!(guard("t", || None, || -> NrStatus { panic!("text") }), NrStatus::Panic);
        assert_eq!(guard("t", || None, || -> u32 { panic!("{}", 1) }), BK_ENTRY_UNKNOWN);
        guard("t", || None, || -> () { panic!("unit") });
        assert!(guard("t", || None, || -> *const NrPluginInfo { panic!() }).is_null());
        assert!(panics_caught() >= before + 4);
    }

    #[test]
    fn a_payload_that_panics_when_dropped_is_contained() {
        let answer = guard("t", || None, || -> NrStatus { std::panic::panic_any(Bomb) });
        assert_eq!(answer, NrStatus::Panic);
    }
}
