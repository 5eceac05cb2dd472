// SPDX-License-Identifier: BSD-3-Clause
//! The ring against a model, against a hostile peer, and between two threads. None of it maps
//! memory, so miri runs it too.

use std::collections::VecDeque;
use std::sync::Arc;

use becket_wire::{Head, HeadError, Kind};
use proptest::prelude::*;

use super::memory::WORD_BYTES;
use super::segment::private;
use super::validate::{SLOT_BODY, SLOT_HEAD, TAKEN};
use super::*;

/// Two sides, A and B, within this process.
struct Pair {
    a: Arc<OwnSegment>,
    b: Arc<OwnSegment>,
    producer: Producer,
    consumer: Consumer,
}

const CLASSES: [Class; 2] =
    [Class { block_bytes: 256, blocks: 3 }, Class { block_bytes: 1024, blocks: 2 }];

fn pair(slots: u32, body_bytes_max: u32) -> Pair {
    pair_of(Geometry::new(slots, &CLASSES).unwrap(), body_bytes_max)
}

fn pair_of(geometry: Geometry, body_bytes_max: u32) -> Pair {
    let (a, a_seen) = private(geometry);
    let (b, b_seen) = private(geometry);
    let (a, b) = (Arc::new(a), Arc::new(b));
    let producer = Producer::new(Arc::clone(&a), Arc::new(b_seen));
    let consumer = Consumer::new(Arc::clone(&b), Arc::new(a_seen), body_bytes_max);
    Pair { a, b, producer, consumer }
}

fn head(sequence: u64) -> Head {
    Head { stream: 3, aux: 5, sequence, ..Head::new(Kind::Data) }
}

fn body(number: u64, bytes: usize) -> Vec<u8> {
    (0..bytes as u64).map(|at| (number.wrapping_mul(31) ^ at) as u8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 256 }))]

    /// Against a queue: frames come out whole and in order; full means full.
    #[test]
    fn it_is_a_queue(
        steps in prop::collection::vec((0_u8..4, 0_usize..1100), 0..if cfg!(miri) { 40 } else { 300 }),
    ) {
        let Pair { mut producer, mut consumer, .. } = pair(8, 4096);
        let mut model = VecDeque::new();
        let mut number = 0;
        for (step, bytes) in steps {
            if step < 2 {
                let put = producer.put(&head(number), &body(number, bytes), 0);
                match put {
                    Ok(()) => {
                        model.push_back((number, bytes));
                        number += 1;
                    }
                    Err(Refused::Full) => {
                        let blocks = model.iter().filter(|(_, bytes)| *bytes > INLINE_BYTES).count();
                        prop_assert!(model.len() == 8 || bytes > INLINE_BYTES && blocks > 0);
                    }
                    Err(Refused::TooLong) => prop_assert!(bytes > 1024),
                    Err(Refused::Violation(broken)) => prop_assert!(false, "{}", broken),
                }
            } else {
                let taken = consumer.take().unwrap();
                prop_assert_eq!(taken.is_some(), !model.is_empty());
                if let (Some(taken), Some((number, bytes))) = (taken, model.pop_front()) {
                    prop_assert_eq!(taken.head, Head { length: bytes as u32, ..head(number) });
                    prop_assert_eq!(taken.body, body(number, bytes));
                }
                consumer.publish_due(true).unwrap();
            }
            prop_assert_eq!(consumer.is_ready(), !model.is_empty());
        }
    }
}

/// A producer that finds the ring full always gets room: frames that a consumer has read to the end
/// are free again without another publish.
#[test]
fn frames_read_to_the_end_make_room() {
    for bytes in [0, 96, 97, 1000] {
        let Pair { mut producer, mut consumer, .. } = pair(64, 4096);
        for number in 0..if cfg!(miri) { 80 } else { 1000 } {
            while producer.put(&head(number), &body(number, bytes), 0) == Err(Refused::Full) {
                assert!(!producer.has_news());
                while consumer.take().unwrap().is_some() {}
                consumer.publish_due(true).unwrap();
                assert!(producer.has_news(), "{bytes} bytes: frame {number} would never fit");
            }
        }
    }
}

/// The producer fills a block while the consumer reads another one.
#[test]
fn a_long_block_comes_back_before_the_next_one_is_read() {
    const BYTES: usize = 16 << 10;
    let large = [Class { block_bytes: BYTES as u32, blocks: 2 }];
    let geometry = Geometry::new(64, &large).unwrap();
    let Pair { mut producer, mut consumer, .. } = pair_of(geometry, BYTES as u32);
    let mut put = |number| producer.put(&head(number), &body(number, BYTES), 0);
    assert_eq!([0, 1, 2].map(&mut put), [Ok(()), Ok(()), Err(Refused::Full)]);
    for number in 2..if cfg!(miri) { 4 } else { 20 } {
        assert_eq!(consumer.take().unwrap().unwrap().head.sequence, number - 2);
        assert_eq!(consumer.publish_due(false), Ok(true));
        assert_eq!([number, number].map(&mut put), [Ok(()), Err(Refused::Full)]);
    }
}

#[test]
fn every_frame_comes_once_between_threads() {
    const FRAMES: u64 = if cfg!(miri) { 60 } else { 200_000 };
    let Pair { mut producer, mut consumer, .. } = pair(16, 4096);
    let bytes = |number: u64| {
        (number.wrapping_mul(7919) % 1025) as usize * usize::from(number.is_multiple_of(3))
    };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for number in 0..FRAMES {
                let body = body(number, bytes(number));
                while producer.put(&head(number), &body, 0).is_err() {
                    std::thread::yield_now();
                }
            }
        });
        for number in 0..FRAMES {
            let taken = loop {
                match consumer.take().unwrap() {
                    Some(taken) => break (taken.head.sequence, taken.body.to_vec()),
                    None => consumer.publish_due(true).unwrap(),
                };
                std::thread::yield_now();
            };
            consumer.publish_due(false).unwrap();
            assert_eq!(taken, (number, body(number, bytes(number))));
        }
    });
}

/// A hostile side A writes into its slot 0; returns what B makes of it.
fn judged(hurt: impl Fn(&OwnSegment, usize)) -> Result<usize, Violation> {
    let Pair { a, mut producer, mut consumer, .. } = pair(8, 512);
    producer.put(&head(0), &[7; 64], 0).unwrap();
    hurt(&a, a.geometry.slot(0));
    consumer.take().map(|taken| taken.map_or(0, |taken| taken.body.len()))
}

fn word(sequence: u32, meta: SlotMeta) -> u64 {
    u64::from(sequence) | u64::from(meta.0) << 32
}

#[test]
fn a_wrong_sequence_is_refused() {
    for found in [2, 9, u32::MAX] {
        let violation = judged(|a, slot| a.memory.publish(slot, word(found, SlotMeta(0))).unwrap());
        assert_eq!(violation, Err(Violation::Sequence { found, expected: 1 }));
    }
    let none = judged(|a, slot| a.memory.publish(slot, 0).unwrap());
    assert_eq!(none, Ok(0), "as if it had not come yet");
}

#[test]
fn a_wrong_length_is_refused() {
    let with = |bytes: u32, meta: SlotMeta| {
        judged(move |a, slot| {
            let lying = Head { length: bytes, ..head(0) }.encode();
            a.memory.copy_in(slot + SLOT_HEAD, &lying).unwrap();
            a.memory.publish(slot, word(1, meta)).unwrap();
        })
    };
    let long = |bytes, bytes_max| Err(Violation::Length { bytes, bytes_max });
    assert_eq!(with(96, SlotMeta(0)), Ok(96));
    assert_eq!(with(97, SlotMeta(0)), long(97, 96));
    assert_eq!(with(u32::MAX, SlotMeta(0)), long(u32::MAX, 96));
    assert_eq!(with(256, SlotMeta::new(1, 2, 0)), Ok(256));
    assert_eq!(with(257, SlotMeta::new(1, 2, 0)), long(257, 256));
    assert_eq!(with(512, SlotMeta::new(2, 1, 0)), Ok(512));
    assert_eq!(with(513, SlotMeta::new(2, 1, 0)), long(513, 512), "B takes no more than 512");
}

#[test]
fn a_block_that_does_not_exist_is_refused() {
    for (class, index) in [(1, 3), (2, 2), (3, 0), (15, 0), (1, 0xff_ffff)] {
        let meta = SlotMeta::new(class, index, 0);
        let violation = judged(|a, slot| a.memory.publish(slot, word(1, meta)).unwrap());
        assert_eq!(violation, Err(Violation::Block { class, index }));
    }
}

#[test]
fn a_head_of_no_kind_is_refused() {
    let violation = judged(|a, slot| a.memory.copy_in(slot + SLOT_HEAD, &[0xff; 24]).unwrap());
    assert_eq!(violation, Err(Violation::Head(HeadError::UnknownKind(0xff))));
}

#[test]
fn an_impossible_position_is_refused() {
    for (first, then) in [(9, None), (u64::MAX, None), (4, Some(3))] {
        let Pair { b, mut producer, .. } = pair(8, 512);
        for number in 0..8 {
            producer.put(&head(number), &[], 0).unwrap();
        }
        b.memory.publish(TAKEN, first).unwrap();
        let mut put = producer.put(&head(8), &[], 0);
        if let Some(then) = then {
            assert_eq!(put, Ok(()));
            b.memory.publish(TAKEN, then).unwrap();
            while put.is_ok() {
                put = producer.put(&head(9), &[], 0);
            }
        }
        let taken = then.unwrap_or(first);
        let violation = matches!(put, Err(Refused::Violation(Violation::Position { taken: t, .. })) if t == taken);
        assert!(violation, "{put:?}");
    }
}

/// A peer that changes everything during reads: each frame is refused, or within its limits.
#[test]
fn bytes_that_change_while_they_are_read_do_no_harm() {
    let Pair { a, mut producer, mut consumer, .. } = pair(8, 512);
    let done = std::sync::atomic::AtomicBool::new(false);
    let (mut passed, mut refused) = (0_u32, 0_u32);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let slot = a.geometry.slot(0);
            let mut random = 0x9e37_79b9_7f4a_7c15_u64;
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for length in [8, 4096, 64, 300, u32::MAX, 96] {
                    random = random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                    let head = Head { length, ..head(random) }.encode();
                    a.memory.copy_in(slot + SLOT_HEAD, &head).unwrap();
                    a.memory.copy_in(slot + SLOT_BODY, &random.to_ne_bytes()).unwrap();
                    let meta = SlotMeta((random >> 40) as u32 & 0x1f);
                    a.memory.publish(slot, word(1, meta)).unwrap();
                }
            }
        });
        producer.put(&head(0), &[7; 64], 0).unwrap();
        for _ in 0..if cfg!(miri) { 50 } else { 200_000 } {
            match consumer.take() {
                Ok(Some(taken)) => {
                    assert_eq!(taken.body.len(), taken.head.length as usize);
                    assert!(taken.body.len() <= 512);
                    passed += 1;
                    consumer.again();
                }
                Ok(None) => {}
                Err(Violation::Length { .. } | Violation::Block { .. }) => refused += 1,
                Err(other) => panic!("{other}"),
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert!(passed + refused > 0);
}

#[test]
fn the_layout_is_the_one_drawn() {
    assert_eq!(SLOT_BODY + INLINE_BYTES, SLOT_BYTES);
    assert_eq!(SLOT_HEAD, WORD_BYTES);
}
