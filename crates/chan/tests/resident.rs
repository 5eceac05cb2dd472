// SPDX-License-Identifier: BSD-3-Clause
//! A large bounded channel takes its memory as it fills: by the resident memory of this process, of
//! which the other test uses little.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::VecDeque;
use std::thread;

use becket_chan::{Receiver, Sender, TryRecvError, bounded, select};

const CAPACITY: usize = 1 << 20;
const CHANNELS: usize = 100;
const MIB: u64 = 1 << 20;

type Value = [u64; 8];

fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

fn value(number: usize) -> Value {
    [number as u64; 8]
}

/// Up to its bound and back, twice: the second lap uses each slot again.
fn fill_and_empty(tx: &Sender<Value>, rx: &Receiver<Value>) {
    for lap in 0..2 {
        for number in 0..CAPACITY {
            tx.try_send(value(lap + number)).unwrap();
        }
        let refused = tx.try_send(value(7)).unwrap_err();
        assert!(!refused.is_closed());
        assert_eq!((refused.into_inner(), tx.len()), (value(7), CAPACITY));
        for number in 0..CAPACITY {
            assert_eq!(rx.try_recv(), Ok(value(lap + number)));
        }
        assert_eq!((rx.try_recv(), tx.len()), (Err(TryRecvError::Empty), 0));
    }
}

#[test]
fn a_large_channel_takes_its_memory_as_it_fills() {
    let before = resident();
    let channels: Vec<_> = (0..CHANNELS).map(|_| bounded::<Value>(CAPACITY)).collect();
    let made = resident() - before;
    assert!(made < 4 * MIB, "{made} bytes for {CHANNELS} channels that are empty");

    for (number, (tx, rx)) in channels.iter().enumerate() {
        tx.send(value(number)).wait().unwrap();
        assert_eq!(rx.recv().wait(), Ok(value(number)));
    }
    let (tx, rx) = &channels[0];
    for number in 0..1000 {
        tx.try_send(value(number)).unwrap();
    }
    for number in 0..1000 {
        assert_eq!(rx.try_recv(), Ok(value(number)));
    }
    let full = CAPACITY * (size_of::<Value>() + size_of::<u64>());
    fill_and_empty(tx, rx);
    let filled = resident() - before;
    assert!(filled as usize > full / 2, "{filled} bytes for one that was full of {full}");

    drop(channels);
    let left = resident().saturating_sub(before);
    assert!(left < 4 * MIB, "{left} bytes after all channels");
}

/// Two senders, one in batches and one by a select, and two receivers, in the first lap and beyond.
#[test]
fn slots_that_were_never_used_are_free_for_every_way_to_send() {
    const EACH: u64 = 150_000;
    let (tx, rx) = bounded::<u64>(1 << 17);
    let sum = thread::scope(|scope| {
        scope.spawn(|| {
            let mut values: VecDeque<u64> = (1..=EACH).collect();
            tx.send_many(&mut values).wait().unwrap();
        });
        scope.spawn(|| {
            for number in 1..=EACH {
                select! {
                    wait;
                    sent = tx.send(number) => sent.unwrap(),
                }
            }
        });
        let receives = || scope.spawn(|| (0..EACH).map(|_| rx.recv().wait().unwrap()).sum::<u64>());
        let receivers = [receives(), receives()];
        receivers.map(|receiver| receiver.join().unwrap()).iter().sum::<u64>()
    });
    assert_eq!(sum, EACH * (EACH + 1));
    assert_eq!((rx.try_recv(), tx.len()), (Err(TryRecvError::Empty), 0));
}
