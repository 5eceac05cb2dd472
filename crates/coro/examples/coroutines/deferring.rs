// SPDX-License-Identifier: BSD-3-Clause
//! Values that coroutines compute.

use becket_coro::{defer, scope};

use crate::Shown;

// ANCHOR: deferred
pub(crate) fn show() -> Shown {
    let prices = [3, 4, 5];
    let total = scope(|s| {
        let sum = s.defer(|| prices.iter().sum::<u32>());
        // Starts when it is first waited for, or never.
        let discount = s.defer_lazy(|| 2);
        let again = discount.clone();
        Ok::<_, becket_coro::job::ChildError>(sum.wait()? - discount.wait()? - again.wait()?)
    });
    assert_eq!(total??, 8);

    // Outside of any scope. A task may await it.
    let answer = defer(|| 6 * 7);
    assert_eq!(futures_lite::future::block_on(async { answer.await })?, 42);
    Ok(())
}
// ANCHOR_END: deferred
