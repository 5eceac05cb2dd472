// SPDX-License-Identifier: BSD-3-Clause
//! Blocks between conforming processes (here one process, with itself).

use std::time::Duration;

use becket_chan::{Kind, Receiver, Sender, bounded, unlimited};
use becket_ipc::blocks::{BlockRef, LENT_MAX};
use becket_ipc::{Element, ReceiverOptions, RemoteReceiver, RemoteSender, SendError};
use becket_zcopy::{Class, Meta, Pool, Region};

use crate::memory::{HANGS, all_free, filled, holds, is_filled, or_long, pool, until};
use crate::world::World;

const MIB: usize = 1 << 20;

/// A sender of a client, and the server's receiver.
fn up(world: &World) -> (RemoteSender, Receiver<Element>) {
    let (tx, rx) = bounded(8);
    world.server().export("up", Some(tx), None).unwrap();
    (world.client().sender("up").wait().unwrap(), rx)
}

/// A sender of the server, and a client's receiver.
fn down(world: &World, options: ReceiverOptions) -> (Sender<Element>, RemoteReceiver) {
    let (tx, rx) = unlimited();
    world.server().export("down", None, Some(rx)).unwrap();
    (tx, world.client().receiver_with("down", options).wait().unwrap())
}

fn send(tx: &RemoteSender, element: impl Into<Element>) {
    tx.send(element).timeout(HANGS).wait().unwrap();
}

fn recv(rx: &RemoteReceiver) -> Element {
    rx.recv().timeout(HANGS).wait().unwrap()
}

/// The first block is sent as bytes, and has the region mapped.
fn introduce(tx: &RemoteSender, rx: &Receiver<Element>, pool: &Pool) {
    send(tx, filled(pool, 10, 0));
    let first = rx.recv().timeout(HANGS).wait().unwrap();
    assert!(first.as_block().is_none() && is_filled(first.as_slice(), 0));
    assert_eq!((tx.blocks().sent, tx.blocks().copied, tx.blocks().lent), (0, 1, 0));
}

/// Blocks are sent as bytes until the server has processed that the region is mapped.
fn introduce_down(tx: &Sender<Element>, rx: &RemoteReceiver, pool: &Pool) {
    until("a block arrives as a block", || {
        tx.try_send(filled(pool, 10, 0).into()).unwrap();
        let element = recv(rx);
        assert!(is_filled(element.as_slice(), 0));
        element.as_block().is_some()
    });
    all_free(pool);
}

pub(crate) fn a_block_crosses_to_a_server_and_comes_back(world: &World) {
    let (tx, rx) = up(world);
    let (region, pool) = pool(MIB, 1);
    introduce(&tx, &rx, &pool);
    let rounds = or_long(4, 20);
    for round in 1..=rounds {
        // The only block: it is free again once the server has dropped the last clone.
        send(&tx, filled(&pool, MIB, round));
        let element = rx.recv().timeout(HANGS).wait().unwrap();
        assert_eq!((tx.blocks().lent, pool.snapshot()[0].free), (1, 0));
        let Some(BlockRef::Peers(block)) = element.as_block() else { panic!("bytes came") };
        assert!(block.view().as_slice().is_none(), "its owner could write it");
        let mut piece = [0; 256];
        assert_eq!(block.copy_to(MIB - 256, &mut piece), 256);
        assert!(is_filled(&piece, round) && is_filled(&block.to_bytes(), round));
        let other = element.clone();
        drop(element);
        assert!(is_filled(other.as_slice(), round));
        assert_eq!(pool.snapshot()[0].free, 0, "a clone still has it");
    }
    assert_eq!(holds(&region), (2, 1), "mapped once by each side, and no descriptor left");
    let counts = tx.blocks();
    assert_eq!((counts.sent, counts.copied, counts.copied_bytes), (rounds.into(), 1, 10));
    all_free(&pool);
    until("nothing is lent", || tx.blocks().lent == 0);
}

pub(crate) fn a_block_crosses_to_a_client_and_comes_back(world: &World) {
    let (tx, rx) = down(world, ReceiverOptions::window(0));
    let (_region, pool) = pool(MIB, 2);
    introduce_down(&tx, &rx, &pool);
    let rounds = or_long(4, 20);
    for round in 1..=rounds {
        tx.try_send(filled(&pool, MIB, round).into()).unwrap();
        let element = recv(&rx);
        assert!(matches!(element.as_block(), Some(BlockRef::Peers(_))), "round {round}");
        assert!(is_filled(&element.into_bytes(), round));
    }
    assert_eq!((rx.blocks().received, rx.blocks().mapped), (u64::from(rounds) + 1, 1));
    all_free(&pool);
    until("nothing is held", || rx.blocks().held == 0);
}

pub(crate) fn a_block_of_one_client_is_copied_for_another(world: &World) {
    let (tx, rx) = world.channel(Kind::Bounded, 8);
    let (_region, pool) = pool(4096, 2);
    for round in 0..10 {
        send(&tx, filled(&pool, 4096, round));
        let element = recv(&rx);
        assert!(element.as_block().is_none(), "another client could write it");
        assert!(is_filled(element.as_slice(), round));
    }
    assert_eq!((tx.blocks().sent, rx.blocks().received, rx.blocks().mapped), (9, 0, 0));
    all_free(&pool);
}

pub(crate) fn a_refused_or_withdrawn_block_is_free(world: &World) {
    let (tx, rx) = up(world);
    let (_region, pool) = pool(4096, 2);
    introduce(&tx, &rx, &pool);
    for _ in 0..8 {
        send(&tx, vec![1]);
    }
    // The channel is full.
    let error = tx.try_send(filled(&pool, 4096, 1)).wait().unwrap_err();
    assert!(matches!(error, SendError::WouldBlock(_)), "{error}");
    assert!(is_filled(error.into_element().as_slice(), 1));
    all_free(&pool);
    // Withdrawn after it was sent.
    let late = tx.send(filled(&pool, 4096, 2)).timeout(Duration::from_millis(1)).wait();
    assert!(matches!(late, Err(SendError::TimedOut(_))), "{late:?}");
    drop(late);
    all_free(&pool);
    // Closed.
    rx.close();
    let error = tx.send(filled(&pool, 4096, 3)).timeout(HANGS).wait().unwrap_err();
    assert!(matches!(error, SendError::Closed { .. }), "{error}");
    drop(error);
    all_free(&pool);
    assert_eq!(tx.blocks().copied, 1);
}

pub(crate) fn blocks_that_are_not_received_are_requeued(world: &World) {
    let (tx, rx) = down(world, ReceiverOptions::window(4));
    let (_region, pool) = pool(4096, 8);
    introduce_down(&tx, &rx, &pool);
    for round in 1..=8 {
        tx.try_send(filled(&pool, 4096, round).into()).unwrap();
    }
    assert!(is_filled(recv(&rx).as_slice(), 1));
    until("some are prefetched", || rx.blocks().held > 1);
    rx.close().wait();
    until("the first is free", || pool.snapshot()[0].free > 0);
    assert_eq!(pool.snapshot()[0].free, 1, "requeued blocks are not lent, and not free");
    let again = world.client().receiver("down").wait().unwrap();
    for round in 2..=8 {
        assert!(is_filled(recv(&again).as_slice(), round), "in order: {round}");
    }
    all_free(&pool);
}

pub(crate) fn blocks_sent_ahead_cross_too(world: &World) {
    let (tx, rx) = up(world);
    let (_region, pool) = pool(4096, 4);
    introduce(&tx, &rx, &pool);
    let ahead = tx.ahead();
    for round in 0..20 {
        ahead.send(filled(&pool, 4096, round).into()).timeout(HANGS).wait().unwrap();
        let element = rx.recv().timeout(HANGS).wait().unwrap();
        assert!(element.as_block().is_some() && is_filled(element.as_slice(), round));
    }
    assert_eq!(tx.flush().wait().accepted, 20);
    all_free(&pool);
}

pub(crate) fn heap_blocks_and_too_many_go_as_bytes(world: &World) {
    let (tx, rx) = unlimited();
    world.server().export("many", Some(tx), None).unwrap();
    let tx = world.client().sender("many").wait().unwrap();
    let region = Region::heap(4096, Meta::default()).unwrap();
    let heap = Pool::new(&region, &[Class { block_bytes: 64, blocks: 4 }]).unwrap();
    send(&tx, filled(&heap, 64, 1));
    send(&tx, filled(&heap, 64, 2));
    assert_eq!((tx.blocks().sent, tx.blocks().copied), (0, 2));
    all_free(&heap);

    let more = 10;
    let (region, pool) = pool(64, LENT_MAX as u32 + more);
    for round in 0..LENT_MAX as u32 + more {
        send(&tx, filled(&pool, 64, round as u8));
    }
    let counts = tx.blocks();
    assert_eq!(counts.lent, LENT_MAX as u64);
    assert_eq!((counts.sent, counts.copied), (LENT_MAX as u64, 2 + u64::from(more)));
    assert_eq!(rx.len(), 2 + LENT_MAX + more as usize);
    for round in 0..rx.len() {
        let element = rx.try_recv().unwrap();
        assert!(round < 2 || is_filled(element.as_slice(), (round - 2) as u8));
    }
    all_free(&pool);
    // Revoked: its memory is not shared any more.
    region.revoke();
    send(&tx, filled(&pool, 64, 5));
    assert_eq!(tx.blocks().sent, LENT_MAX as u64);
}

/// More regions than the maximum: those without loans make room.
pub(crate) fn many_regions_alternate(world: &World) {
    let (tx, rx) = up(world);
    let first = pool(4096, 1);
    introduce(&tx, &rx, &first.1);
    send(&tx, filled(&first.1, 4096, 1));
    let kept = rx.recv().timeout(HANGS).wait().unwrap();
    assert!(kept.as_block().is_some());
    let regions: Vec<_> = (0..300).map(|_| pool(64, 1)).collect();
    for (_, pool) in &regions {
        for round in 0..2 {
            send(&tx, filled(pool, 64, round));
            let element = rx.recv().timeout(HANGS).wait().unwrap();
            assert_eq!(element.as_block().is_some(), round == 1);
        }
        all_free(pool);
    }
    assert_eq!(tx.blocks().sent, 301);
    assert!(is_filled(kept.as_slice(), 1), "its region stayed");
    drop(kept);
    all_free(&first.1);
}

pub(crate) fn the_end_of_a_connection_frees_what_it_lent(world: &World) {
    let (tx, rx) = up(world);
    let (region, pool) = pool(MIB, 3);
    introduce(&tx, &rx, &pool);
    for round in 1..=3 {
        send(&tx, filled(&pool, MIB, round));
    }
    let held = rx.recv().timeout(HANGS).wait().unwrap();
    assert_eq!(holds(&region), (2, 1));
    drop(tx);
    assert!(is_filled(&held.into_bytes(), 1));
    drop(rx);
    all_free(&pool);
    until("the mapping has gone with the last block", || holds(&region) == (1, 1));
}

pub(crate) fn a_region_that_is_released_is_not_kept(world: &World) {
    let (tx, rx) = up(world);
    let (region, old) = pool(4096, 1);
    introduce(&tx, &rx, &old);
    send(&tx, filled(&old, 4096, 1));
    drop(rx.recv().timeout(HANGS).wait().unwrap());
    all_free(&old);
    let id = region.id();
    drop(old);
    region.deregister().timeout(HANGS).wait().unwrap();
    drop(region);
    let (_region, new) = pool(4096, 1);
    send(&tx, filled(&new, 4096, 2));
    let maps = || std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(is_filled(rx.recv().timeout(HANGS).wait().unwrap().as_slice(), 2));
    assert!(id != new.region_id() && maps().contains("becket-region"));
    send(&tx, filled(&new, 4096, 3));
    assert!(rx.recv().timeout(HANGS).wait().unwrap().as_block().is_some());
}
