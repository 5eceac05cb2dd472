// SPDX-License-Identifier: BSD-3-Clause
//! Whether a panic came from an adapter or from the lab itself.
//!
//! ```text
//!   caught(|| …  lab …  of_adapter(|| adapter) … lab … )
//!                ▲                  ▲
//!                │                  └── a panic here is the adapter's, which has failed
//!                └───────────────────── a panic here is a bug of the lab, of which no adapter is guilty
//! ```
//!
//! Every call into an adapter goes through [`of_adapter`], including its creation and drop. A panic
//! in code that an adapter calls in turn, its context and its outlet, counts as its own: it may
//! have called them wrongly.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

thread_local! {
    /// The panic that unwinds this thread began in an adapter.
    static IS_ADAPTERS: Cell<bool> = const { Cell::new(false) };
}

/// The origin of a panic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guilty {
    Adapter,
    Lab,
}

/// Blames the adapter if the thread starts to unwind before this is dropped.
#[derive(Debug)]
pub(super) struct Blame {
    was_unwinding: bool,
}

impl Blame {
    #[inline]
    pub(super) fn new() -> Self {
        Self { was_unwinding: thread::panicking() }
    }
}

impl Drop for Blame {
    #[inline]
    fn drop(&mut self) {
        if thread::panicking() && !self.was_unwinding {
            IS_ADAPTERS.set(true);
        }
    }
}

/// Calls an adapter: a panic in it is the adapter's.
#[inline]
pub(crate) fn of_adapter<T>(call: impl FnOnce() -> T) -> T {
    let _blame = Blame::new();
    call()
}

/// The result of `what`; if it panics, the origin of the panic.
pub(crate) fn caught<T>(what: impl FnOnce() -> T) -> Result<T, Guilty> {
    IS_ADAPTERS.set(false);
    catch_unwind(AssertUnwindSafe(what)).map_err(|_| match IS_ADAPTERS.take() {
        true => Guilty::Adapter,
        false => Guilty::Lab,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls an adapter while it is dropped.
    struct CallsAtItsEnd;

    impl Drop for CallsAtItsEnd {
        fn drop(&mut self) {
            of_adapter(|| ());
        }
    }

    #[test]
    fn the_guilty_one_is_who_panicked_first() {
        assert_eq!(caught(|| of_adapter(|| 7)), Ok(7));
        assert_eq!(caught(|| of_adapter(|| panic!("on purpose"))), Err::<(), _>(Guilty::Adapter));
        // Earlier successful calls, and later drops, do not count.
        let lab = || {
            let _adapter = CallsAtItsEnd;
            of_adapter(|| ());
            panic!("on purpose")
        };
        assert_eq!(caught(lab), Err::<(), _>(Guilty::Lab));
        assert_eq!(caught(|| panic!("on purpose")), Err::<(), _>(Guilty::Lab));
    }
}
