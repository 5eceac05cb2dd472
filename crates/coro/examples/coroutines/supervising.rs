// SPDX-License-Identifier: BSD-3-Clause
//! Children whose failures stay with them.

use becket_coro::supervisor;

use crate::Shown;

// ANCHOR: supervisor
pub(crate) fn show() -> Shown {
    let answers = supervisor(|s| {
        let children = ["7", "x", "9"].map(|text| s.spawn_try(|| text.parse::<u32>()));
        children.map(|child| child.join())
    })?;
    let [seven, wrong, nine] = answers;
    assert_eq!((seven?, nine?), (7, 9), "the failures beside them have cancelled no other child");
    let failure = wrong.err().and_then(|error| error.failure().map(ToString::to_string));
    assert!(
        failure.is_some_and(|failure| failure.ends_with("failed: invalid digit found in string"))
    );
    Ok(())
}
// ANCHOR_END: supervisor
