// SPDX-License-Identifier: BSD-3-Clause
//! Time that only the runtime moves: for tests.

use std::time::Duration;

use becket_chan::{RecvError, rendezvous};
use becket_coro::{Clock, Runtime, VirtualClock, now, sleep, sleep_until};

use crate::Shown;

const HOUR: Duration = Duration::from_secs(3600);

pub(crate) fn show() -> Shown {
    automatic()?;
    manual()
}

// ANCHOR: automatic
fn automatic() -> Shown {
    let clock = Clock::Virtual(VirtualClock::automatic());
    let runtime = Runtime::builder().workers(1).clock(clock).build()?;
    let day = runtime.spawn(|| {
        let begun = now();
        let (tx, rx) = rendezvous();
        becket_coro::spawn(move || {
            sleep(23 * HOUR);
            tx.send("just in time").wait()
        });
        // Nothing can run, so the clock jumps to the next timer: that of the sleep.
        let in_time = rx.recv().timeout(24 * HOUR).wait();
        // The sender was dropped, so this receive does not wait.
        let gone = rx.recv().timeout(24 * HOUR).wait();
        (in_time, gone, now() - begun)
    });
    assert_eq!(day.join()?, (Ok("just in time"), Err(RecvError::Closed), 23 * HOUR));
    Ok(())
}
// ANCHOR_END: automatic

// ANCHOR: manual
fn manual() -> Shown {
    let clock = VirtualClock::manual();
    let noon = clock.now() + HOUR;
    let runtime = Runtime::builder().workers(1).clock(Clock::Virtual(clock.clone())).build()?;
    let (rings, bell) = rendezvous();
    runtime.spawn(move || {
        sleep_until(noon);
        rings.send("noon").wait()
    });
    clock.advance(HOUR / 2);
    assert!(bell.try_recv().is_err(), "however long you wait");
    clock.advance(HOUR / 2);
    assert_eq!(bell.recv().wait(), Ok("noon"));
    Ok(())
}
// ANCHOR_END: manual
