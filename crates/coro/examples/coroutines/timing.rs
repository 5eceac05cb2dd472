// SPDX-License-Identifier: BSD-3-Clause
//! Sleep, timeouts, cancel tokens, park.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use becket_chan::{RecvError, Token, rendezvous};
use becket_coro::{now, park, sleep, spawn, yield_now};

use crate::Shown;

pub(crate) fn show() -> Shown {
    sleeping()?;
    limits()?;
    parking()
}

// ANCHOR: sleeping
fn sleeping() -> Shown {
    let slept = spawn(|| {
        let begun = now();
        sleep(Duration::from_millis(5));
        yield_now(); // lets the others of this worker run first
        now() - begun
    });
    assert!(slept.join()? >= Duration::from_millis(5));
    Ok(())
}
// ANCHOR_END: sleeping

// ANCHOR: limits
fn limits() -> Shown {
    let (tx, rx) = rendezvous::<u32>();
    let patience = rx.clone();
    let late = spawn(move || patience.recv().timeout(Duration::from_millis(5)).wait());
    assert_eq!(late.join()?, Err(RecvError::TimedOut));

    // A token ends every wait on it, in any number of coroutines.
    let stop = Token::new();
    let readers = [0; 3].map(|_| {
        let (rx, stop) = (rx.clone(), stop.child());
        spawn(move || rx.recv().cancel_on(&stop).wait())
    });
    stop.cancel();
    for reader in readers {
        assert_eq!(reader.join()?, Err(RecvError::Cancelled));
    }
    drop(tx);
    Ok(())
}
// ANCHOR_END: limits

// ANCHOR: parking
fn parking() -> Shown {
    let ready = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&ready);
    let sleeper = spawn(move || {
        // A park may return early: check, park, check again. A wake that comes in between is
        // not lost.
        while !seen.load(Ordering::Acquire) {
            park();
        }
    });
    ready.store(true, Ordering::Release);
    sleeper.id().unpark();
    sleeper.join()?;
    Ok(())
}
// ANCHOR_END: parking
