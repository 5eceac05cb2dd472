// SPDX-License-Identifier: BSD-3-Clause
//! Values that each coroutine has for itself.

use std::cell::RefCell;

use becket_coro::{coroutine_local, spawn, yield_now};

use crate::Shown;

// ANCHOR: locals
coroutine_local! {
    /// What the request that is served has said so far.
    static TRAIL: RefCell<Vec<&'static str>> = RefCell::new(Vec::new());
}

fn note(text: &'static str) {
    TRAIL.with(|trail| trail.borrow_mut().push(text));
}

pub(crate) fn show() -> Shown {
    let requests = ["a", "b"].map(|name| {
        spawn(move || {
            note(name);
            // Others run on this thread now, and note in trails of their own.
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
