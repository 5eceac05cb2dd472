// SPDX-License-Identifier: BSD-3-Clause
//! A disconnect is reported last, and only by `take` (rule 3).

use std::sync::mpsc;
use std::thread;

use super::LinkFactory;
use super::waiting::{Waiting, numbers, or_long, put, take};
use crate::transport::{Link, LinkError};

/// Every frame that was flushed comes before the end, which is repeated.
pub fn a_drop_is_reported_after_all_that_was_sent<F: LinkFactory>() {
    let (mut from, to) = F::pair();
    let mut to = Waiting::new(to);
    for number in 0..20 {
        put(&mut *from, number, 100).unwrap();
    }
    assert!(from.flush().unwrap());
    drop(from);
    let (came, error) = to.receive_all();
    assert_eq!(numbers(&came), Vec::from_iter(0..20));
    assert_eq!(error, LinkError::Closed);
    assert!(to.link.prepare_wait(), "the end is nothing to wait for");
    assert_eq!(to.link.take(1, &mut |_, _| {}), Err(LinkError::Closed));
}

/// The same for a link that is closed and kept.
pub fn a_close_is_reported_after_all_that_was_flushed<F: LinkFactory>() {
    let (mut from, to) = F::pair();
    let mut to = Waiting::new(to);
    for number in 0..20 {
        put(&mut *from, number, 100).unwrap();
    }
    assert!(from.flush().unwrap());
    from.close();
    let (came, error) = to.receive_all();
    assert_eq!(numbers(&came), Vec::from_iter(0..20));
    assert_eq!(error, LinkError::Closed);
    assert_eq!(from.take(1, &mut |_, _| {}), Err(LinkError::Closed));
}

/// A peer that leaves frames unread does not lose those that it has sent.
pub fn a_drop_is_reported_despite_unread_frames<F: LinkFactory>() {
    let (mut gone, left) = F::pair();
    let mut left = Waiting::new(left);
    left.send(0, 50);
    for number in 0..20 {
        put(&mut *gone, number, 100).unwrap();
    }
    assert!(gone.flush().unwrap());
    drop(gone);
    let (came, error) = left.receive_all();
    assert_eq!(numbers(&came), Vec::from_iter(0..20));
    assert_eq!(error, LinkError::Closed);
}

/// Between finding nothing and checking whether the peer is connected, the peer sends and
/// disconnects.
pub fn a_drop_during_a_take_is_reported_last<F: LinkFactory>() {
    let (goes, gone) = mpsc::sync_channel::<Box<dyn Link>>(0);
    let goer = thread::spawn(move || {
        for mut link in gone {
            put(&mut *link, 1, 8).unwrap();
            link.flush().unwrap();
        }
    });
    for _ in 0..or_long(100, 500) {
        let (one, mut left) = F::pair();
        goes.send(one).unwrap();
        let mut came = 0;
        let end = loop {
            match take(&mut *left, 5) {
                Ok(some) => came += some.len(),
                Err(end) => break end,
            }
        };
        assert_eq!((came, end), (1, LinkError::Closed));
    }
    drop(goes);
    goer.join().unwrap();
}

/// A side that waits is woken by the end.
pub fn a_drop_wakes_a_waiting_side<F: LinkFactory>() {
    for _ in 0..50 {
        let (gone, left) = F::pair();
        let waiter = thread::spawn(move || Waiting::new(left).receive_all().1);
        drop(gone);
        assert_eq!(waiter.join().unwrap(), LinkError::Closed);
    }
}

/// No caller waits for room that never comes.
pub fn frames_put_after_the_disconnect_are_discarded<F: LinkFactory>() {
    let (mut gone, left) = F::pair();
    let mut left = Waiting::new(left);
    put(&mut *gone, 7, 100).unwrap();
    assert!(gone.flush().unwrap());
    drop(gone);
    // Far more than any link holds: the sender does not wait for room that never comes.
    for number in 0..2_000 {
        left.send(number, 1_000);
    }
    assert!(left.link.counters().bytes_discarded > 1_000_000, "and none of it is kept");
    let (came, error) = left.receive_all();
    assert_eq!(numbers(&came), [7]);
    assert_eq!(error, LinkError::Closed);
}
