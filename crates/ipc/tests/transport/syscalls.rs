// SPDX-License-Identifier: BSD-3-Clause
//! Small frames share system calls.

use becket_ipc::transport::Link;

use super::factory::{LinkFactory, Seqpacket, Stream};
use becket_ipc::transport::conformance::waiting::{numbers, put, take};

const WINDOW: u64 = 64;
const ROUNDS: u64 = 100;

/// Windows of small frames, each put, flushed and taken: the total number of reads and writes.
fn calls(pair: (Box<dyn Link>, Box<dyn Link>)) -> (u64, u64) {
    let (mut from, mut to) = pair;
    for round in 0..ROUNDS {
        for at in 0..WINDOW {
            put(&mut *from, round * WINDOW + at, 16).unwrap();
        }
        assert!(from.flush().unwrap());
        let came = take(&mut *to, 1000).unwrap();
        assert_eq!(numbers(&came), Vec::from_iter(round * WINDOW..(round + 1) * WINDOW));
    }
    (to.counters().reads, from.counters().writes)
}

#[test]
fn a_window_of_a_stream_is_one_write_and_one_read() {
    assert_eq!(calls(Stream::pair()), (ROUNDS, ROUNDS));
}

#[test]
fn a_window_of_packets_is_a_write_for_sixteen() {
    let (reads, writes) = calls(Seqpacket::pair());
    assert_eq!(writes, ROUNDS * WINDOW / 16);
    // One read per packet, and one that finds nothing more.
    assert_eq!(reads, ROUNDS * (WINDOW + 1));
}

#[test]
fn a_long_body_is_sent_at_once_with_all_before_it() {
    let (mut from, mut to) = Stream::pair();
    put(&mut *from, 0, 10).unwrap();
    put(&mut *from, 1, 20_000).unwrap();
    assert_eq!(from.counters().writes, 1);
    assert!(from.flush().unwrap());
    assert_eq!(from.counters().writes, 1, "nothing was left to flush");
    assert_eq!(numbers(&take(&mut *to, 9).unwrap()), [0, 1]);
}
