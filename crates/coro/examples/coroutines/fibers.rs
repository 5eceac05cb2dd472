// SPDX-License-Identifier: BSD-3-Clause
//! Coroutines resumed by hand, without a scheduler.

use std::{cell::Cell, rc::Rc};

use becket_chan::bounded;
use becket_coro::fiber::{self, Fiber, ResumeError, Resumed};

use crate::Shown;

pub(crate) fn show() -> Shown {
    generator()?;
    waiting()
}

// ANCHOR: generator
fn generator() -> Shown {
    let latest = Rc::new(Cell::new(0));
    let out = Rc::clone(&latest);
    let mut fibonacci = Fiber::new(0, move || {
        let (mut a, mut b) = (0, 1);
        while a < 10 {
            out.set(a);
            fiber::suspend();
            (a, b) = (b, a + b);
        }
    })?;
    let mut seen = Vec::new();
    while fibonacci.resume()? == Resumed::Suspended {
        seen.push(latest.get());
    }
    assert_eq!(seen, [0, 1, 1, 2, 3, 5, 8]);
    assert_eq!(fibonacci.resume(), Err(ResumeError::Finished));
    Ok(())
}
// ANCHOR_END: generator

// ANCHOR: waiting
fn waiting() -> Shown {
    let (tx, rx) = bounded(1);
    let mut reader = Fiber::new(0, move || assert_eq!(rx.recv().wait(), Ok("news")))?;

    assert_eq!(reader.resume()?, Resumed::Parked, "the wait gives control back");
    assert!(!reader.is_ready());
    tx.try_send("news")?;
    assert!(reader.is_ready(), "a wake makes it ready; only its owner resumes it");
    assert_eq!(reader.resume()?, Resumed::Finished);
    Ok(())
}
// ANCHOR_END: waiting
