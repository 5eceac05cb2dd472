// SPDX-License-Identifier: BSD-3-Clause
//! One sender, one receiver.

use std::thread;
use std::time::Duration;

use becket_chan::{RecvError, TrySendError, bounded_spsc};

use crate::Shown;

// ANCHOR: spsc
pub(crate) fn show() -> Shown {
    let (mut tx, mut rx) = bounded_spsc(4);
    thread::scope(|scope| {
        // Operations borrow their handle exclusively: there is one sender, and one send at a time.
        scope.spawn(move || (0..100).try_for_each(|n| tx.send(n).wait()));
        assert!(rx.iter().eq(0..100));
        assert_eq!(rx.recv().timeout(Duration::from_secs(1)).wait(), Err(RecvError::Closed));
    });

    let (mut tx, rx) = bounded_spsc(1);
    tx.try_send("first")?;
    assert_eq!(tx.try_send("second"), Err(TrySendError::Full("second")));
    assert_eq!((rx.len(), rx.snapshot().sends), (1, 1));
    Ok(())
}
// ANCHOR_END: spsc
