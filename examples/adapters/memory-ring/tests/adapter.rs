// SPDX-License-Identifier: BSD-3-Clause
//! The adapter in the conformance suite of all backends; and its own limits, window and program.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::Command;
use std::thread;

use becket_chan::Kind;
use becket_zcopy::{Desc, Error, Failure, Meta, Region, ZChannel};
use memory_ring::Options;

fn ring(window: usize, options: Options) -> ZChannel {
    let channel = ZChannel::new(Kind::Bounded, Some(window), None);
    channel.attach(memory_ring::register().unwrap(), &options).unwrap();
    channel
}

fn desc(number: usize) -> Desc {
    Desc::local(std::ptr::without_provenance_mut(0x1000 + number), number + 1).unwrap()
}

// ANCHOR: suite
becket_zcopy::conforms!(one_slot, ring(1, Options::default()), Some(1));
becket_zcopy::conforms!(
    each_credit_at_once,
    ring(5, Options { grant: 1, ..Options::default() }),
    Some(5)
);
becket_zcopy::conforms!(
    credits_in_batches,
    ring(8, Options { grant: 4, ..Options::default() }),
    Some(8)
);
// ANCHOR_END: suite

#[test]
fn it_is_found_by_its_name() {
    let id = memory_ring::register().unwrap();
    assert_eq!(becket_zcopy::resolve(memory_ring::NAME), Some(id));
    assert_eq!(memory_ring::register(), Ok(id));
}

#[test]
fn only_a_bounded_channel_has_a_window() {
    for kind in [Kind::Rendezvous, Kind::Conflated, Kind::Unlimited] {
        let channel = ZChannel::new(kind, None, None);
        let attached = channel.attach(memory_ring::register().unwrap(), &Options::default());
        assert_eq!(attached, Err(Failure::Unsupported));
    }
}

#[test]
fn what_is_longer_than_its_limit_is_refused_and_stays_the_producers() {
    let channel = ring(4, Options { bytes_max: 8, grant: 1 });
    let mut long = desc(8);
    let refused = Failure::Refused(Error::TooLong { len: 9, max: 8 });
    assert_eq!(channel.try_send(&mut long), Err(refused));
    assert_eq!(channel.send(&mut long).wait(), Err(refused));
    assert_eq!(long, desc(8));
    assert_eq!(channel.try_send(&mut desc(7)), Ok(()));
}

#[test]
fn a_credit_comes_back_with_its_batch_or_with_the_last_slot() {
    let channel = ring(4, Options { grant: 3, ..Options::default() });
    for number in 0..4 {
        assert_eq!(channel.try_send(&mut desc(number)), Ok(()));
    }
    let room = || channel.try_send(&mut desc(9));
    assert_eq!(channel.try_recv(), Ok(desc(0)));
    assert_eq!(channel.try_recv(), Ok(desc(1)));
    assert_eq!(room(), Err(Failure::WouldBlock), "two are owed");
    assert_eq!(channel.try_recv(), Ok(desc(2)));
    assert_eq!(room(), Ok(()), "three are granted");
    assert_eq!(channel.try_recv(), Ok(desc(3)));
    assert_eq!(channel.try_recv(), Ok(desc(9)), "the last slot");
    for number in 0..4 {
        assert_eq!(channel.try_send(&mut desc(number)), Ok(()), "an empty ring owes nothing");
    }
}

#[test]
fn a_region_stays_while_the_ring_holds_its_bytes() {
    let region = Region::heap(64, Meta::default()).unwrap();
    let channel = ring(2, Options::default());
    assert_eq!(channel.try_send(&mut region.desc(0, 8).unwrap()), Ok(()));
    assert_eq!(channel.try_send(&mut region.desc(8, 8).unwrap()), Ok(()));
    assert!(channel.try_send(&mut region.desc(16, 8).unwrap()).is_err());
    assert_eq!(region.pins(), 2);
    assert_eq!(channel.try_recv().unwrap().offset, 0);
    drop(channel);
    assert_eq!(region.pins(), 0);
    assert_eq!(region.deregister().wait(), Ok(()));
}

/// Many waits on both sides, woken one by one: none is forgotten.
#[test]
fn no_wake_is_lost() {
    for round in 0..200 {
        let channel = ring(2, Options { grant: 1 + round % 2, ..Options::default() });
        thread::scope(|scope| {
            let receivers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| channel.recv().wait().unwrap())).collect();
            let senders: Vec<_> = (0..4)
                .map(|number| {
                    let channel = &channel;
                    scope.spawn(move || channel.send(&mut desc(number)).wait().unwrap())
                })
                .collect();
            for sender in senders {
                sender.join().unwrap();
            }
            let mut got: Vec<_> =
                receivers.into_iter().map(|receiver| receiver.join().unwrap().len).collect();
            got.sort_unstable();
            assert_eq!(got, [1, 2, 3, 4]);
        });
    }
}

#[test]
fn the_program_does_what_the_book_says() {
    let output = Command::new(env!("CARGO_BIN_EXE_memory-ring")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let expected = "1000 pictures printed, 0 wrong\n\
                    65536000 bytes handed over by 1000 descriptors\n";
    assert_eq!(text, expected);
}
