// SPDX-License-Identifier: BSD-3-Clause
//! Values per coroutine.

use std::cell::RefCell;

use becket_coro::{coroutine_local, spawn, yield_now};

use crate::Shown;

// ANCHOR: locals
coroutine_local! {
    /// The steps of the request that the coroutine serves.
    static TRAIL: RefCell<Vec<&'static str>> = RefCell::new(Vec::new());
}

fn note(text: &'static str) {
    TRAIL.with(|trail| trail.borrow_mut().push(text));
}

pub(crate) fn show() -> Shown {
    let requests = ["a", "b"].map(|name| {
        spawn(move || {
            note(name);
            // Other coroutines run on this thread now, each with a trail of its own.
            yield_now();
            note("done");
            TRAIL.with(RefCell::take)
        })
    });
    let [a, b] = requests;
    assert_eq!((a.join()?, b.join()?), (vec!["a", "done"], vec!["b", "done"]));
    assert!(TRAIL.with(RefCell::take).is_empty(), "a plain thread has a value of its own, too");
    Ok(())
}
// ANCHOR_END: locals
