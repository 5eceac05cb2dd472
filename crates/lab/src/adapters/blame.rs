// SPDX-License-Identifier: BSD-3-Clause
//! Whose panic it was: an adapter's, or the lab's own.
//!
//! ```text
//!   caught(|| …  lab …  of_adapter(|| adapter) … lab … )
//!                ▲                  ▲
//!                │                  └── a panic here is the adapter's, which has failed
//!                └───────────────────── a panic here is a bug of the lab, of which no adapter is guilty
//! ```
//!
//! Every call into an adapter goes through [`of_adapter`], being made and dropped too. What an adapter
//! calls in turn, its context and its outlet, is its own: it may have called them wrongly.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

thread_local! {
    /// The panic that unwinds this thread began in an adapter.
    static IS_ADAPTERS: Cell<bool> = const { Cell::new(false) };
}

/// Who panicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Guilty {
    Adapter,
    Lab,
}

/// Blames the adapter if the thread begins to unwind before this is dropped.
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

/// Calls an adapter: a panic in it is its own.
#[inline]
pub(crate) fn of_adapter<T>(call: impl FnOnce() -> T) -> T {
    let _blame = Blame::new();
    call()
}

/// What it gives; if it panics, whose panic it was.
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
        // What went well before, and what is dropped behind, has no part in it.
        let lab = || {
            let _adapter = CallsAtItsEnd;
            of_adapter(|| ());
            panic!("on purpose")
        };
        assert_eq!(caught(lab), Err::<(), _>(Guilty::Lab));
        assert_eq!(caught(|| panic!("on purpose")), Err::<(), _>(Guilty::Lab));
    }
}
