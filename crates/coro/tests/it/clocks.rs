// SPDX-License-Identifier: BSD-3-Clause
//! Clocks that a runtime moves itself, with several workers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::common::{Dice, in_virtual_time, must_end, runtime, times, until_all_parked};
use becket_chan::{RecvError, bounded, rendezvous};
use becket_coro::{
    Clock, JoinHandle, Runtime, VirtualClock, block_on, now, park, sleep, sleep_until, yield_now,
};

use crate::common;

const SECOND: Duration = Duration::from_secs(1);

/// Runs two coroutines on two workers: each waits for the other without yielding.
fn apart<T: Send + 'static>(
    rt: &Runtime,
    run: impl FnOnce(usize) -> T + Clone + Send + 'static,
) -> [JoinHandle<T>; 2] {
    let here = Arc::new(AtomicUsize::new(0));
    [0, 1].map(|number| {
        let (here, run) = (here.clone(), run.clone());
        rt.spawn(move || {
            here.fetch_add(1, Ordering::SeqCst);
            while here.load(Ordering::SeqCst) < 2 {
                thread::yield_now();
            }
            run(number)
        })
    })
}

#[test]
fn the_clock_stops_at_every_timer_of_every_worker() {
    must_end(|| {
        for workers in [1, 2, 3] {
            let rt = in_virtual_time(workers);
            let crew: Vec<_> = (0..24_u64)
                .map(|number| {
                    rt.spawn(move || {
                        let mut dice = Dice::new(number + 1);
                        for _ in 0..times(400) {
                            let due = now() + Duration::from_nanos(1 + dice.below(1_000_000_000));
                            sleep_until(due);
                            assert_eq!(now(), due, "not past its time, while others do nothing");
                        }
                    })
                })
                .collect();
            crew.into_iter().for_each(|one| one.join().unwrap());
        }
    });
}

#[test]
fn timers_of_two_workers_for_one_instant_all_fire() {
    must_end(|| {
        let rt = in_virtual_time(2);
        let woken = Arc::new(AtomicUsize::new(0));
        let due = rt.handle().now() + SECOND;
        let both = apart(&rt, move |_| {
            sleep_until(due);
            woken.fetch_add(1, Ordering::SeqCst);
            // Keeps its worker busy: the other's must not wait for that to end.
            while woken.load(Ordering::SeqCst) < 2 {
                yield_now();
            }
        });
        both.into_iter().for_each(|one| one.join().unwrap());
    });
}

#[test]
fn timers_fire_in_the_order_of_their_deadlines() {
    let rt = in_virtual_time(1);
    let (tx, rx) = bounded(1000);
    let begun = rt.handle().now() + SECOND;
    for number in 0..1000_u32 {
        let tx = tx.clone();
        rt.spawn(move || {
            let place = number.wrapping_mul(7919) % 1000;
            sleep_until(begun + SECOND * place);
            tx.send(place).wait().unwrap();
        });
    }
    drop(tx);
    assert!(rx.iter().eq(0..1000));
}

#[test]
fn a_clock_moved_by_hand_stands_still_between() {
    must_end(|| {
        for workers in [1, 2] {
            let clock = VirtualClock::manual();
            let rt = Runtime::builder()
                .workers(workers)
                .clock(Clock::Virtual(clock.clone()))
                .build()
                .unwrap();
            let begun = clock.now();
            let fired = Arc::new(AtomicUsize::new(0));
            let crew: Vec<_> = (1..=20_u32)
                .map(|number| {
                    let fired = fired.clone();
                    rt.spawn(move || {
                        sleep_until(begun + SECOND * number);
                        assert!(now() >= begun + SECOND * number);
                        fired.fetch_add(1, Ordering::SeqCst);
                    })
                })
                .collect();
            common::until(|| {
                rt.handle().dump().iter().all(|row| row.state == becket_coro::State::Sleeping)
            });
            assert_eq!(fired.load(Ordering::SeqCst), 0);
            for second in 1..=20 {
                clock.advance(SECOND);
                common::until(|| fired.load(Ordering::SeqCst) >= second);
                assert_eq!(fired.load(Ordering::SeqCst), second);
            }
            crew.into_iter().for_each(|one| one.join().unwrap());
        }
    });
}

#[test]
fn a_timeout_of_a_channel_counts_by_the_runtimes_clock() {
    let rt = in_virtual_time(2);
    let (_tx, rx) = rendezvous::<u8>();
    let waited = rt.spawn(move || {
        let begun = now();
        assert_eq!(rx.recv().timeout(3600 * SECOND).wait(), Err(RecvError::TimedOut));
        now() - begun
    });
    assert_eq!(waited.join().unwrap(), 3600 * SECOND);
}

#[test]
fn a_wake_keeps_the_clock_from_jumping() {
    must_end(|| {
        let rt = in_virtual_time(2);
        let flag = Arc::new(AtomicBool::new(false));
        let (tx, rx) = rendezvous::<u32>();
        let both = apart(&rt, move |number| {
            let begun = now();
            for round in 0..times(2000) as u32 {
                if number == 0 {
                    tx.send(round).wait().unwrap();
                } else {
                    // The timer is never due: there is always a sender that runs or is about to.
                    assert_eq!(rx.recv().timeout(SECOND).wait(), Ok(round));
                }
            }
            flag.store(true, Ordering::SeqCst);
            now() - begun
        });
        for one in both {
            assert_eq!(one.join().unwrap(), Duration::ZERO);
        }
    });
}

#[test]
fn a_listing_says_since_when_by_the_right_clock() {
    let far = in_virtual_time(1);
    let sleepers: Vec<_> =
        (0..500).map(|_| far.spawn(|| sleep(Duration::from_secs(10 * 365 * 86_400)))).collect();
    sleepers.into_iter().for_each(|one| one.join().unwrap());
    drop(far);

    let begun = Instant::now();
    let rt = runtime(1);
    let (go, gone) = std::sync::mpsc::channel::<()>();
    rt.spawn(move || gone.recv());
    // The slots of those that slept, before they run.
    let fresh: Vec<_> = (0..500).map(|_| rt.spawn(park)).collect();
    let rows = rt.handle().dump();
    let end = Instant::now();
    assert!(rows.iter().all(|row| begun <= row.since && row.since <= end));
    go.send(()).unwrap();
    until_all_parked(rt.handle(), 500);
    fresh.iter().for_each(|one| one.id().unpark());
    fresh.into_iter().for_each(|one| one.join().unwrap());
}

/// A future that a coroutine polls takes its time from the coroutine's runtime, as a wait does.
#[test]
fn an_awaited_timeout_is_one_of_the_virtual_clock() {
    const HOUR: Duration = Duration::from_secs(3600);
    must_end(|| {
        for workers in [1, 2] {
            let rt = in_virtual_time(workers);
            let waiting = rt.spawn(|| {
                // The clock is ahead of the process's from here on.
                sleep(24 * HOUR);
                let (tx, rx) = rendezvous::<u32>();
                let begun = now();
                let late = block_on(async { rx.recv().timeout(HOUR).await });
                assert_eq!((late, now() - begun), (Err(RecvError::TimedOut), HOUR));
                block_on(becket_chan::timer::sleep(HOUR));
                assert_eq!(now() - begun, 2 * HOUR);

                let sends = becket_coro::spawn(move || {
                    sleep(HOUR / 2);
                    tx.send(7).wait().unwrap();
                });
                let in_time = block_on(async { rx.recv().timeout(HOUR).await });
                assert_eq!((in_time, now() - begun), (Ok(7), 2 * HOUR + HOUR / 2));
                sends.join().unwrap();
            });
            waiting.join().unwrap();
            // No timer is left behind.
            assert!(rt.handle().wait_idle(Some(Instant::now() + SECOND * 60)));
        }
    });
}
