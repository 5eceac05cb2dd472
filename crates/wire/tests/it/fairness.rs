// SPDX-License-Identifier: BSD-3-Clause
//! Streams share a session by bytes.

use std::collections::{HashMap, VecDeque};

use crate::support::{Pair, Wire, feed};
use becket_wire::{Credit, Full, HEAD_BYTES, Head, Kind, Limits, Outlet, Priority, StreamId};
use bytes::Bytes;

/// Counts what each stream sent, up to a bound.
struct Shares {
    room: usize,
    bytes: HashMap<u32, usize>,
}

impl Outlet for Shares {
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        let bytes = HEAD_BYTES + body.len();
        self.room = self.room.checked_sub(bytes).ok_or(Full)?;
        assert_eq!(head.kind, Kind::Data);
        *self.bytes.entry(head.stream).or_default() += bytes;
        Ok(())
    }
}

fn streams(limits: Limits, count: usize, priority: Priority) -> (Pair, Vec<StreamId>) {
    let mut pair = Pair::new(limits.clone(), limits);
    let credit = Credit::new(u32::MAX, u64::MAX);
    let open = |_| pair.client.open(1, priority, Credit::NONE, Bytes::new()).unwrap();
    let ids: Vec<_> = (0..count).map(open).collect();
    pair.exchange();
    for id in &ids {
        pair.server.accept(*id, credit, Bytes::new()).unwrap();
    }
    pair.exchange();
    (pair, ids)
}

/// Sends `bytes` in all, in small portions of room, while every stream always has something queued.
fn share(
    pair: &mut Pair,
    ids: &[StreamId],
    lengths: &[usize],
    queued: u64,
    bytes: usize,
) -> (usize, usize) {
    let elements: Vec<Bytes> = lengths.iter().map(|length| vec![0; *length].into()).collect();
    let mut shares = Shares { room: 0, bytes: HashMap::new() };
    let mut sent = 0;
    while sent < bytes {
        for (number, id) in ids.iter().enumerate() {
            while pair.client.queued(*id).unwrap().messages < queued {
                pair.client.send(*id, 0, elements[number % elements.len()].clone()).unwrap();
            }
        }
        // Less than what is queued: no queue runs empty.
        shares.room = ids.len() * lengths.iter().max().unwrap().min(&4120);
        let room = shares.room;
        assert!(!pair.client.transmit(&mut shares));
        sent += room - shares.room;
    }
    assert_eq!(shares.bytes.len(), ids.len());
    (*shares.bytes.values().min().unwrap(), *shares.bytes.values().max().unwrap())
}

fn wide() -> Limits {
    Limits {
        session_credit_bytes: 1 << 40,
        session_queue_bytes_max: 1 << 40,
        quantum_bytes: 1,
        ..Limits::default()
    }
}

#[test]
fn ten_thousand_streams_share_alike() {
    let limits = Limits { frame_body_bytes_max: 4096, ..wide() };
    let (mut pair, ids) = streams(limits, 10_000, Priority::Normal);
    let (least, most) = share(&mut pair, &ids, &[200], 4, 10_000 * 224 * 30);
    assert!(most as f64 <= 1.2 * least as f64, "{least} and {most}");
}

#[test]
fn long_elements_get_no_more_than_short_ones() {
    let limits = Limits { frame_body_bytes_max: 4096, ..wide() };
    let (mut pair, ids) = streams(limits, 20, Priority::Normal);
    // The frames of one stream are 60 times as long as its neighbour's.
    let (least, most) = share(&mut pair, &ids, &[40, 3800, 9000], 200, 20 * 400_000);
    assert!(most as f64 <= 1.2 * least as f64, "{least} and {most}");
}

#[test]
fn an_element_that_needs_all_of_the_sessions_credit_is_not_starved() {
    let limits = Limits {
        session_credit_bytes: 10_000,
        element_bytes_max: 10_000,
        frame_body_bytes_max: 1000,
        ..Limits::default()
    };
    let (mut pair, ids) = streams(limits, 8, Priority::Normal);
    let mut under_way = VecDeque::new();
    for round in 0..20 {
        if round == 3 {
            pair.client.send(ids[0], 0, vec![0; 10_000].into()).unwrap();
        }
        pair.client.send(ids[1 + round % 7], 0, vec![1; 3000].into()).unwrap();
        let mut wire = Wire::endless();
        pair.client.transmit(&mut wire);
        if wire.heads.iter().any(|head| head.stream == ids[0].number()) {
            return;
        }
        // One element is always under way: never is all of the credit there by itself.
        under_way.push_back(wire.bytes);
        if under_way.len() > 1 {
            let bytes = under_way.pop_front().unwrap();
            feed(&mut pair.server, &bytes, |_, _| {}).unwrap();
            pair.reach_client().unwrap();
        }
    }
    panic!("others always passed by");
}
