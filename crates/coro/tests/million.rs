// SPDX-License-Identifier: BSD-3-Clause
//! A million coroutines at once, parked on channels: their memory and mappings, no CPU time while
//! they wait, that each is woken, and that nothing is left of them.
//!
//! One test at a time: memory and CPU time are the whole process's.
#![cfg(all(target_os = "linux", not(any(miri, feature = "threads"))))]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::{
    fs,
    time::{Duration, Instant},
};

use becket_chan::{Receiver, RecvError, Sender, Token, bounded, conflated, rendezvous, unlimited};
use becket_coro::{JoinHandle, Runtime};
use common::{or_long, runtime};
use parking_lot::{Mutex, MutexGuard};

/// The resident bytes of a parked coroutine, with its stack's page and the page table.
const RESIDENT_BYTES_MAX: usize = 4506;

fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock()
}

#[test]
fn a_crowd_waits_for_nothing_and_leaves_nothing() {
    let _alone = alone();
    let count = or_long(20_000, 100_000);
    crowd(count);
    // Again, in the memory that is there.
    crowd(count);
}

/// In release: `cargo test --release -p becket-coro --test million -- --ignored`.
#[test]
#[ignore = "half a minute in debug, and 4.3 GiB"]
fn a_million_wait_for_nothing_and_leave_nothing() {
    let _alone = alone();
    crowd(1_000_000);
}

/// A channel of each kind, without a send until the end.
fn channels() -> Vec<(Sender<usize>, Receiver<usize>)> {
    vec![rendezvous(), bounded(1), bounded(1000), unlimited(), conflated()]
}

fn crowd(count: usize) {
    let rt = runtime(2);
    let before = Seen::now();
    let channels = channels();
    let token = Token::new();
    let begun = Instant::now();
    let waiting = park_all(&rt, count, &channels, &token);
    let made = begun.elapsed();

    let parked = Seen::now();
    let bytes =
        (parked.resident + parked.page_tables).saturating_sub(before.resident + before.page_tables);
    eprintln!(
        "{count} parked in {made:?}: {} bytes each, {} mappings",
        bytes / count,
        parked.mappings
    );
    assert_eq!(rt.handle().stats().live(), count as u64);
    assert!(
        parked.mappings < before.mappings + 200 + count / 1000 && parked.mappings < 2000,
        "{} mappings, before {}",
        parked.mappings,
        before.mappings
    );
    if !cfg!(debug_assertions) {
        assert!(bytes <= RESIDENT_BYTES_MAX * count, "{} bytes each", bytes / count);
    }

    let cpu = cpu();
    let passed = interval();
    let used = self::cpu() - cpu;
    assert!(used < passed / 4, "{used:?} of CPU time in {passed:?} of waiting");

    // All woken, and each gets the reason.
    let begun = Instant::now();
    token.cancel();
    for (number, (tx, rx)) in channels.iter().enumerate() {
        if number % 2 == 0 {
            tx.close()
        } else {
            rx.close()
        };
    }
    for (number, one) in waiting.into_iter().enumerate() {
        let expected = if number % 10 == 9 { RecvError::Cancelled } else { RecvError::Closed };
        assert_eq!(one.join().unwrap(), expected);
    }
    eprintln!("all woken and joined in {:?}", begun.elapsed());
    assert!(rt.handle().wait_idle(None));
    assert_eq!(rt.handle().stats().live(), 0);
    assert!(rt.handle().dump().is_empty());
    for (_, rx) in &channels {
        assert_eq!(rx.snapshot().receivers_waiting, 0);
    }
    drop(rt);

    // Most of the memory went back; what stays is a bounded number of warm stacks, a slot of 128
    // bytes each, and what the allocator keeps.
    let after = Seen::now();
    let kept =
        (after.resident + after.page_tables).saturating_sub(before.resident + before.page_tables);
    eprintln!("{kept} bytes kept");
    assert!(kept < bytes / 4 + (64 << 20), "{kept} of {bytes} bytes kept");
    assert_eq!(after.threads, before.threads - 2, "its workers have ended");
}

fn park_all(
    rt: &Runtime,
    count: usize,
    channels: &[(Sender<usize>, Receiver<usize>)],
    token: &Token,
) -> Vec<JoinHandle<RecvError>> {
    let waiting: Vec<_> = (0..count)
        .map(|number| {
            let rx = channels[number % channels.len()].1.clone();
            let token = (number % 10 == 9).then(|| token.clone());
            rt.spawn(move || match token {
                Some(token) => rx.recv().cancel_on(&token).wait().unwrap_err(),
                None => rx.recv().wait().unwrap_err(),
            })
        })
        .collect();
    let waiters = || channels.iter().map(|(_, rx)| rx.snapshot().receivers_waiting).sum::<usize>();
    common::until(|| waiters() == count);
    waiting
}

struct Seen {
    /// In bytes.
    resident: usize,
    page_tables: usize,
    mappings: usize,
    threads: usize,
}

impl Seen {
    fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let number = |key: &str| {
            let line = status.lines().find(|line| line.starts_with(key)).unwrap();
            line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap()
        };
        Self {
            resident: number("VmRSS:") << 10,
            page_tables: number("VmPTE:") << 10,
            mappings: fs::read_to_string("/proc/self/maps").unwrap().lines().count(),
            threads: number("Threads:"),
        }
    }
}

/// CPU time of the process.
fn cpu() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is valid for a write.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut now) };
    assert_eq!(result, 0);
    Duration::new(now.tv_sec.try_into().unwrap(), now.tv_nsec.try_into().unwrap())
}

/// An interval without CPU time.
fn interval() -> Duration {
    let begun = Instant::now();
    let (_tx, rx) = rendezvous::<()>();
    assert_eq!(rx.recv().timeout(Duration::from_millis(300)).wait(), Err(RecvError::TimedOut));
    begun.elapsed()
}
