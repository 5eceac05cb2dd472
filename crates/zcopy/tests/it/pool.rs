// SPDX-License-Identifier: BSD-3-Clause
//! Pools: against a model, from many threads, at their bound, and with forged descriptors.

use std::collections::HashMap;
use std::thread;
use std::time::Duration;

use becket_chan::{Token, bounded};
use becket_zcopy::{
    Block, Class, Desc, Error, InFlight, Lease, LeaseError, Meta, POISON, Pool, Region,
};
use futures_lite::future;
use proptest::prelude::*;

use crate::common;

const CLASSES: [Class; 2] =
    [Class { block_bytes: 256, blocks: 2 }, Class { block_bytes: 48, blocks: 3 }];

fn pool() -> Pool {
    let region = Region::heap(64 * 3 + 256 * 2, Meta::default()).unwrap();
    Pool::new(&region, &CLASSES).unwrap()
}

fn free(pool: &Pool) -> Vec<usize> {
    pool.snapshot().iter().map(|class| class.free).collect()
}

fn filled(pool: &Pool, len: usize, byte: u8) -> Lease {
    let mut lease = pool.try_lease(len).unwrap();
    lease.fill(byte);
    lease
}

#[test]
fn a_lease_is_of_the_shortest_class_that_fits() {
    let pool = pool();
    for (len, capacity) in [(1, 48), (48, 48), (49, 256), (256, 256)] {
        let lease = pool.try_lease(len).unwrap();
        assert_eq!((lease.len(), lease.capacity()), (len, capacity));
    }
    assert_eq!(pool.len_max(), 256);
    assert_eq!(pool.try_lease(257).unwrap_err(), Error::TooLong { len: 257, max: 256 });
    assert_eq!(pool.try_lease(0).unwrap_err(), Error::Empty);
    assert_eq!(free(&pool), [3, 2]);
}

#[test]
fn exhaustion_is_would_block_and_ends_when_a_block_comes_back() {
    let pool = pool();
    let held: Vec<_> = (0..3).map(|_| pool.try_lease(8).unwrap()).collect();
    assert_eq!(pool.try_lease(8).unwrap_err(), Error::WouldBlock { class_bytes: 48 });
    assert!(pool.try_lease(49).is_ok(), "the other class is not touched");
    drop(held);
    assert!(pool.try_lease(8).is_ok());
    let class = pool.snapshot()[0];
    assert_eq!((class.leases, class.refused, class.free, class.blocks), (4, 1, 3, 3));
}

#[test]
fn a_lease_resizes_within_its_block() {
    let pool = pool();
    let mut lease = pool.try_lease(8).unwrap();
    assert!(!lease.resize(0) && !lease.resize(49));
    assert_eq!(lease.len(), 8);
    assert!(lease.resize(48));
    assert_eq!(lease.len(), 48);
}

#[test]
fn a_waiting_lease_gets_the_block_that_is_returned() {
    let pool = pool();
    let held: Vec<_> = (0..3).map(|_| pool.try_lease(8).unwrap()).collect();
    thread::scope(|scope| {
        let waits = scope.spawn(|| pool.lease(8).unwrap().wait().unwrap().len());
        while pool.snapshot()[0].waiting == 0 {
            thread::yield_now();
        }
        drop(held);
        assert_eq!(waits.join().unwrap(), 8);
    });
    assert_eq!(free(&pool), [3, 2]);
}

#[test]
#[cfg_attr(miri, ignore = "the timer's thread outlives the test")]
fn a_wait_gives_up_by_time_or_token() {
    let pool = pool();
    let _held: Vec<_> = (0..3).map(|_| pool.try_lease(8).unwrap()).collect();
    let lease = || pool.lease(8).unwrap();
    let error = lease().timeout(Duration::from_millis(1)).wait().unwrap_err();
    assert_eq!(error, LeaseError::TimedOut);
    let token = Token::new();
    token.cancel();
    assert_eq!(lease().cancel_on(&token).wait().unwrap_err(), LeaseError::Cancelled);
    let both = lease().timeout(Duration::from_secs(60)).cancel_on(&token);
    assert_eq!(future::block_on(both).unwrap_err(), LeaseError::Cancelled);
}

#[test]
fn a_wait_that_is_dropped_takes_no_block() {
    let pool = pool();
    let held: Vec<_> = (0..3).map(|_| pool.try_lease(8).unwrap()).collect();
    let mut waits = Box::pin(pool.lease(8).unwrap());
    assert!(future::block_on(future::poll_once(&mut waits)).is_none());
    drop(held);
    drop(waits);
    assert_eq!(free(&pool), [3, 2]);
}

#[test]
fn a_block_is_shared_read_and_returned_with_the_last_reference() {
    let pool = pool();
    let block = filled(&pool, 10, 7).freeze();
    let part = block.part(2, 3).unwrap();
    let error = Error::OutOfRange { offset: 8, len: 3, bytes: 10 };
    assert_eq!(block.part(8, 3).unwrap_err(), error);
    assert_eq!(block.part(1, 0).unwrap_err(), Error::Empty);
    let other = block.clone();
    drop(block);
    assert_eq!((&*other, &*part), (&[7; 10][..], &[7; 3][..]));
    assert_eq!(part.offset(), other.offset() + 2);
    drop(other);
    assert_eq!(free(&pool), [2, 2]);
    drop(part);
    assert_eq!(free(&pool), [3, 2]);
}

#[test]
fn a_descriptor_carries_one_reference() {
    let pool = pool();
    let desc = filled(&pool, 10, 7).freeze().into_desc().unwrap();
    assert!(Block::is_carried_by(&desc));
    assert_eq!(free(&pool), [2, 2]);
    let block = Block::claim(&desc).unwrap();
    assert_eq!(&*block, [7; 10]);
    assert_eq!(Block::claim(&desc).unwrap_err(), Error::NotLent);
    assert!(!Block::give_back(&desc));
    drop(block);
    assert_eq!(free(&pool), [3, 2]);
    assert_eq!(Block::claim(&desc).unwrap_err(), Error::NotLent);
}

#[test]
fn a_forged_descriptor_claims_nothing() {
    let pool = pool();
    let desc = filled(&pool, 10, 7).freeze().into_desc().unwrap();
    let lies = [
        Desc { flags: 0, ..desc },
        Desc { flags: desc.flags ^ 1 << 8, ..desc },
        Desc { offset: u64::MAX, ..desc },
        Desc { offset: 64 * 3 + 256 * 2, ..desc },
        Desc { len: 49, ..desc },
        Desc { len: usize::MAX, ..desc },
        Desc { offset: desc.offset + 64, ..desc },
    ];
    for lie in lies {
        assert_eq!(Block::claim(&lie).unwrap_err(), Error::NotLent, "{lie:?}");
    }
    assert_eq!(Block::claim(&Desc { len: 0, ..desc }).unwrap_err(), Error::Empty);
    let other = Region::heap(64, Meta::default()).unwrap();
    let elsewhere = Desc { region_id: other.id(), ..desc };
    assert_eq!(Block::claim(&elsewhere).unwrap_err(), Error::NotLent);
    assert!(Block::give_back(&desc));
    assert_eq!(free(&pool), [3, 2]);
}

#[test]
fn a_block_that_was_reused_is_not_claimed() {
    let pool = pool();
    let stale = filled(&pool, 10, 7).freeze().into_desc().unwrap();
    assert!(Block::give_back(&stale));
    // All blocks, so that the same one is among them.
    let fresh: Vec<_> =
        (0..3).map(|_| filled(&pool, 10, 8).freeze().into_desc().unwrap()).collect();
    assert!(fresh.iter().any(|desc| desc.offset == stale.offset));
    assert_eq!(Block::claim(&stale).unwrap_err(), Error::NotLent);
    assert!(fresh.iter().all(Block::give_back));
}

#[test]
fn a_revoked_pool_refuses_claims_and_takes_blocks_back() {
    let region = Region::heap(256, Meta::default()).unwrap();
    let pool = Pool::new(&region, &[Class { block_bytes: 64, blocks: 1 }]).unwrap();
    let desc = pool.try_lease(8).unwrap().freeze().into_desc().unwrap();
    region.revoke();
    let error = Error::Revoked { region_id: region.id() };
    assert_eq!(Block::claim(&desc).unwrap_err(), error);
    assert!(Block::give_back(&desc));
    assert_eq!(free(&pool), [1]);
}

#[test]
fn a_descriptor_of_a_region_that_is_gone_is_stale_whatever_became_of_the_next_one() {
    let region = Region::heap(256, Meta::default()).unwrap();
    let pool = Pool::new(&region, &[Class { block_bytes: 64, blocks: 1 }]).unwrap();
    let stale = pool.try_lease(8).unwrap().freeze().into_desc().unwrap();
    assert!(Block::give_back(&stale));
    drop(pool);
    region.deregister().wait().unwrap();
    // It has the same slot of the table.
    let next = Region::heap(256, Meta::default()).unwrap();
    next.revoke();
    assert!(matches!(Block::claim(&stale), Err(Error::Stale { .. })));
}

#[test]
fn references_in_descriptors_keep_pool_and_region() {
    let region = Region::heap(256, Meta::default()).unwrap();
    let pool = Pool::new(&region, &[Class { block_bytes: 64, blocks: 1 }]).unwrap();
    let desc = filled(&pool, 8, 9).freeze().into_desc().unwrap();
    drop(pool);
    let wait = thread::scope(|scope| {
        let wait = scope.spawn(|| region.deregister().wait());
        while region.pin(0, 1).is_ok() {
            thread::yield_now();
        }
        // The region is leaving; its blocks can still be claimed.
        let block = Block::claim(&desc).unwrap();
        assert_eq!(&*block, [9; 8]);
        drop(block);
        wait.join().unwrap()
    });
    assert_eq!(wait, Ok(()));
    assert!(matches!(Block::claim(&desc), Err(Error::Stale { .. })));
}

#[test]
fn a_descriptor_lost_in_flight_releases_its_block() {
    let pool = pool();
    let desc = filled(&pool, 8, 9).freeze().into_desc().unwrap();
    let in_flight = InFlight::launch(desc).unwrap();
    assert_eq!(free(&pool), [2, 2]);
    drop(in_flight);
    assert_eq!(free(&pool), [3, 2]);
    assert!(!Block::give_back(&desc));
}

#[test]
fn a_returned_block_is_poisoned_and_a_late_write_is_counted() {
    if !cfg!(debug_assertions) {
        return;
    }
    let region = Region::heap(64 * 3, Meta::default()).unwrap();
    let pool = Pool::new(&region, &[Class { block_bytes: 48, blocks: 3 }]).unwrap();
    let late = region.pin(0, 48).unwrap();
    let all = || (0..3).map(|_| pool.try_lease(48).unwrap()).collect::<Vec<_>>();
    for mut lease in all() {
        assert_eq!(*lease, [POISON; 48]);
        lease.fill(1);
    }
    drop(all());
    assert_eq!(pool.tampered(), 0);
    // SAFETY: the region is pinned. The block is not leased, which is the defect that the test
    // plants.
    unsafe { late.as_ptr().write(1) };
    drop(all());
    assert_eq!(pool.tampered(), 1);
}

#[test]
fn invalid_classes_are_refused() {
    let region = Region::heap(256, Meta::default()).unwrap();
    let class = |block_bytes, blocks| Class { block_bytes, blocks };
    let refused = |classes: &[Class]| {
        matches!(Pool::new(&region, classes).unwrap_err(), Error::BadClasses { .. })
    };
    assert!(refused(&[]));
    assert!(refused(&[class(0, 1)]));
    assert!(refused(&[class(1, 0)]));
    assert!(refused(&[class(8, 1), class(8, 1)]));
    assert!(refused(&[class(64, 5)]));
    assert!(refused(&[class(usize::MAX, 2)]));
    assert!(refused(&[class(1 << 40, u32::MAX), class(1 << 41, u32::MAX)]));
    assert!(refused(&(1..=17).map(|bytes| class(bytes, 1)).collect::<Vec<_>>()));
    assert!(Pool::new(&region, &[class(64, 4)]).is_ok());
    assert_eq!(Pool::new(&region, &[class(64, 4)]).unwrap_err(), Error::NotPoolable);
}

/// Blocks circulate between threads, as blocks and as descriptors; each arrives with its bytes, and
/// all return to the pool.
#[test]
fn blocks_circulate_and_return() {
    let (rounds, threads) = if cfg!(miri) { (20, 2) } else { (2000, 3) };
    let region = Region::heap(64 * 8, Meta::default()).unwrap();
    let pool = Pool::new(&region, &[Class { block_bytes: 64, blocks: 8 }]).unwrap();
    let (tx, rx) = bounded::<InFlight>(4);
    thread::scope(|scope| {
        for producer in 0..threads {
            let (pool, tx) = (pool.clone(), tx.clone());
            scope.spawn(move || {
                for round in 0..rounds {
                    let mut lease = pool.lease(16).unwrap().wait().unwrap();
                    lease.fill((producer * 31 + round) as u8);
                    let desc = lease.freeze().into_desc().unwrap();
                    tx.send(InFlight::launch(desc).unwrap()).wait().unwrap();
                }
            });
        }
        drop(tx);
        for _ in 0..threads {
            let rx = rx.clone();
            scope.spawn(move || {
                while let Ok(in_flight) = rx.recv().wait() {
                    let block = Block::claim(&in_flight.land()).unwrap();
                    let other = block.clone();
                    assert!(other.iter().all(|byte| *byte == block[0]));
                }
            });
        }
    });
    let class = pool.snapshot()[0];
    assert_eq!((class.free, class.leases), (8, (threads * rounds) as u64));
    assert_eq!(pool.tampered(), 0);
    assert_eq!(region.pins(), 1, "the pool's own");
}

/// A thread that is preempted while it takes a block keeps the block's place in the free list for that
/// long.
#[test]
fn no_block_is_lost_while_threads_lease_and_return() {
    let (rounds, threads) = if cfg!(miri) { (20, 2) } else { (100_000, 8) };
    let region = Region::heap(64 * 3, Meta::default()).unwrap();
    let pool = Pool::new(&region, &[Class { block_bytes: 64, blocks: 3 }]).unwrap();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..rounds).for_each(|_| drop(pool.try_lease(16))));
        }
    });
    assert_eq!(pool.snapshot()[0].free, 3);
}

#[derive(Debug, Clone)]
enum Step {
    Lease(usize),
    DropLease(usize),
    Freeze(usize),
    Clone(usize),
    DropBlock(usize),
    Send(usize),
    Claim(usize),
    Again(usize),
    GiveBack(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..8_usize;
    prop_oneof![
        3 => (1..300_usize).prop_map(Step::Lease),
        1 => at().prop_map(Step::DropLease),
        2 => at().prop_map(Step::Freeze),
        1 => at().prop_map(Step::Clone),
        1 => at().prop_map(Step::DropBlock),
        2 => at().prop_map(Step::Send),
        1 => at().prop_map(Step::Claim),
        1 => at().prop_map(Step::Again),
        1 => at().prop_map(Step::GiveBack),
    ]
}

/// The expected state of a block: its number of uses, and its references.
#[derive(Default)]
struct Model {
    refs: HashMap<u64, usize>,
    free: [usize; 2],
    lives: u8,
}

impl Model {
    fn release(&mut self, offset: u64) {
        let refs = self.refs.get_mut(&offset).unwrap();
        *refs -= 1;
        if *refs == 0 {
            self.refs.remove(&offset);
            self.free[usize::from(offset >= 64 * 3)] += 1;
        }
    }
}

fn nth<T>(from: &mut Vec<T>, at: usize) -> Option<T> {
    (!from.is_empty()).then(|| from.swap_remove(at % from.len()))
}

fn run(steps: Vec<Step>) {
    let pool = pool();
    let mut model = Model { free: [3, 2], ..Model::default() };
    let (mut leases, mut blocks, mut sent) = (Vec::new(), Vec::<(Block, u8)>::new(), Vec::new());
    let mut used = Vec::<Desc>::new();
    for step in steps {
        match step {
            Step::Lease(len) => {
                let class = usize::from(len > 48);
                match pool.try_lease(len) {
                    Ok(mut lease) => {
                        assert!(len <= 256 && model.free[class] > 0);
                        model.free[class] -= 1;
                        model.lives += 1;
                        lease.fill(model.lives);
                        leases.push((lease, model.lives, class));
                    }
                    Err(Error::TooLong { .. }) => assert!(len > 256),
                    Err(error) => {
                        assert!(matches!(error, Error::WouldBlock { .. }));
                        assert_eq!(model.free[class], 0);
                    }
                }
            }
            Step::DropLease(at) => {
                if let Some((_, _, class)) = nth(&mut leases, at) {
                    model.free[class] += 1;
                }
            }
            Step::Freeze(at) => {
                if let Some((lease, life, _)) = nth(&mut leases, at) {
                    let block = lease.freeze();
                    assert!(model.refs.insert(block.offset(), 1).is_none(), "lent twice");
                    blocks.push((block, life));
                }
            }
            Step::Clone(at) => {
                if let Some((block, life)) = nth(&mut blocks, at) {
                    *model.refs.get_mut(&block.offset()).unwrap() += 1;
                    blocks.push((block.clone(), life));
                    blocks.push((block, life));
                }
            }
            Step::DropBlock(at) => {
                if let Some((block, _)) = nth(&mut blocks, at) {
                    model.release(block.offset());
                }
            }
            Step::Send(at) => {
                if let Some((block, life)) = nth(&mut blocks, at) {
                    sent.push((block.into_desc().unwrap(), life));
                }
            }
            Step::Claim(at) => {
                if let Some((desc, life)) = nth(&mut sent, at) {
                    blocks.push((Block::claim(&desc).unwrap(), life));
                    used.push(desc);
                }
            }
            Step::Again(at) => {
                // A claimed descriptor: refused, unless an equal one is in in_flight.
                if let Some(desc) = nth(&mut used, at)
                    && !sent.iter().any(|(other, _)| *other == desc)
                {
                    assert_eq!(Block::claim(&desc).unwrap_err(), Error::NotLent);
                }
            }
            Step::GiveBack(at) => {
                if let Some((desc, _)) = nth(&mut sent, at) {
                    assert!(Block::give_back(&desc));
                    model.release(desc.offset);
                    used.push(desc);
                }
            }
        }
        assert!(leases.iter().all(|(lease, life, _)| lease.iter().all(|byte| byte == life)));
        assert!(blocks.iter().all(|(block, life)| block.iter().all(|byte| byte == life)));
        assert_eq!(free(&pool), model.free);
    }
    drop((leases, blocks));
    assert!(sent.iter().all(|(desc, _)| Block::give_back(desc)));
    assert_eq!(free(&pool), [3, 2]);
    assert_eq!(pool.tampered(), 0);
}

proptest! {
    #![proptest_config(common::cases())]

    #[test]
    fn a_pool_is_as_its_model(steps in prop::collection::vec(step(), 0..60)) {
        run(steps);
    }
}
