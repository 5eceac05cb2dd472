// SPDX-License-Identifier: BSD-3-Clause
//! Blocks that are held when their connection is closed: they are not reused until their holder
//! drops them.

use std::sync::atomic::{AtomicU32, Ordering};

use becket_chan::{Receiver, unlimited};
use becket_ipc::blocks::{BlockRef, lingering};
use becket_ipc::{Client, Element, ReceiverOptions, RemoteSender};
use becket_zcopy::Pool;

use crate::memory::{HANGS, all_free, filled, is_filled, pool, until};
use crate::world::World;

const BYTES: usize = 4096;
const BLOCKS: u32 = 3;

/// A name that no other channel has.
fn unused(name: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Blocks of the client's pool that the server holds, and the client's only handle.
struct Up {
    client: Client,
    tx: RemoteSender,
    rx: Receiver<Element>,
    pool: Pool,
}

impl Up {
    fn new(world: &World, held: &mut Vec<Element>) -> Self {
        Self::of(world, world.client(), held)
    }

    fn of(world: &World, client: Client, held: &mut Vec<Element>) -> Self {
        let (tx, rx) = unlimited();
        let name = unused("up");
        world.server().export(&name, Some(tx), None).unwrap();
        let tx = client.sender(&name).wait().unwrap();
        let (_region, pool) = pool(BYTES, BLOCKS);
        let up = Self { client, tx, rx, pool };
        // The first one is sent as bytes.
        drop(up.cross(0));
        held.extend((1..=2).map(|seed| up.cross(seed)));
        assert!(held.iter().all(|element| element.as_block().is_some()));
        up
    }

    fn cross(&self, seed: u8) -> Element {
        self.tx.send(filled(&self.pool, BYTES, seed)).timeout(HANGS).wait().unwrap();
        self.rx.recv().timeout(HANGS).wait().unwrap()
    }
}

/// Blocks of the server's pool that the client holds.
fn down(world: &World, held: &mut Vec<Element>) -> (Client, Pool) {
    let client = world.client();
    let pool = down_to(world, &client, held);
    (client, pool)
}

fn down_to(world: &World, client: &Client, held: &mut Vec<Element>) -> Pool {
    let (tx, rx) = unlimited();
    let name = unused("down");
    world.server().export(&name, None, Some(rx)).unwrap();
    let (_region, pool) = pool(BYTES, BLOCKS);
    let rx = client.receiver_with(&name, ReceiverOptions::window(0)).wait().unwrap();
    while held.len() < 2 {
        let seed = held.len() as u8 + 1;
        tx.try_send(filled(&pool, BYTES, seed).into()).unwrap();
        let element = rx.recv().timeout(HANGS).wait().unwrap();
        if element.as_block().is_some() {
            held.push(element);
        }
    }
    pool
}

fn until_over(world: &World, client: &Client) {
    until("both sides have seen the end", || {
        client.ended().is_some() && world.server().sessions().is_empty()
    });
}

/// All blocks but those that are held are leased and written; those that are held are not, until
/// they are dropped, each by itself.
fn are_kept(pool: &Pool, held: Vec<Element>) {
    let mut kept = held.len();
    for (at, element) in held.into_iter().enumerate() {
        let mut leases = Vec::new();
        until("the others are free", || pool.snapshot()[0].free >= BLOCKS as usize - kept);
        while let Ok(mut lease) = pool.try_lease(BYTES) {
            lease.fill(0xee);
            leases.push(lease);
        }
        assert_eq!(leases.len(), BLOCKS as usize - kept, "no held block is leased");
        let Some(BlockRef::Peers(block)) = element.as_block() else { panic!("bytes came") };
        assert!(is_filled(&block.to_bytes(), at as u8 + 1), "no held block is overwritten");
        kept -= 1;
    }
    all_free(pool);
}

pub(crate) fn by_the_client_that_lent_them(world: &World) {
    let mut held = Vec::new();
    let up = Up::new(world, &mut held);
    up.client.close();
    until_over(world, &up.client);
    are_kept(&up.pool, held);
}

pub(crate) fn by_the_server_that_holds_them(world: &World) {
    let mut held = Vec::new();
    let up = Up::new(world, &mut held);
    drop(world.take_server());
    until("the client has seen the end", || up.client.ended().is_some());
    are_kept(&up.pool, held);
}

pub(crate) fn by_the_client_that_holds_them(world: &World) {
    let mut held = Vec::new();
    let (client, pool) = down(world, &mut held);
    client.close();
    until_over(world, &client);
    are_kept(&pool, held);
}

pub(crate) fn by_the_server_that_lent_them(world: &World) {
    let mut held = Vec::new();
    let (client, pool) = down(world, &mut held);
    drop(world.take_server());
    until("the client has seen the end", || client.ended().is_some());
    are_kept(&pool, held);
}

/// Blocks of both pools that the other side holds, over one connection.
struct Both {
    up: Up,
    down: Pool,
    held_by_server: Vec<Element>,
    held_by_client: Vec<Element>,
}

impl Both {
    fn new(world: &World) -> Self {
        let (mut held_by_server, mut held_by_client) = (Vec::new(), Vec::new());
        let client = world.client();
        let down = down_to(world, &client, &mut held_by_client);
        let up = Up::of(world, client, &mut held_by_server);
        Self { up, down, held_by_server, held_by_client }
    }

    /// Each side's blocks are kept by themselves, and both links until nothing is held.
    fn are_kept(self) {
        let Self { up, down, held_by_server, held_by_client } = self;
        until("both sides linger", || lingering().now == 2);
        let mut held_by_server = held_by_server.into_iter();
        drop(held_by_server.next());
        until("one more is free", || up.pool.snapshot()[0].free == BLOCKS as usize - 1);
        are_kept(&down, held_by_client);
        assert_eq!((lingering().now, up.pool.snapshot()[0].free), (2, BLOCKS as usize - 1));
        let last = held_by_server.next().unwrap();
        assert!(is_filled(last.as_slice(), 2));
        drop(last);
        until("nothing is left", || lingering().now == 0);
        all_free(&up.pool);
        assert_eq!(lingering().cut, 0);
    }
}

pub(crate) fn in_both_directions_by_the_client(world: &World) {
    let both = Both::new(world);
    both.up.client.close();
    until_over(world, &both.up.client);
    both.are_kept();
}

pub(crate) fn in_both_directions_by_the_server(world: &World) {
    let both = Both::new(world);
    drop(world.take_server());
    until("the client has seen the end", || both.up.client.ended().is_some());
    both.are_kept();
}

/// Descriptors of this process, and its mappings of shared memory, together.
fn kept() -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let of_files = maps.lines().filter(|line| line.contains("memfd:")).count();
    std::fs::read_dir("/proc/self/fd").unwrap().count() + of_files
}

pub(crate) fn no_descriptor_and_no_mapping_is_left(world: &World) {
    // The first round starts threads, which stay; and it may end while a link is closed still. So many
    // rounds leave more than that if each of them leaves anything.
    const ROUNDS: usize = 20;
    let mut first = None;
    for _ in 0..ROUNDS {
        let both = Both::new(world);
        both.up.client.close();
        until_over(world, &both.up.client);
        let held = kept();
        both.are_kept();
        until("the link and the regions are closed", || kept() < held);
        first.get_or_insert_with(kept);
    }
    until("all are closed", || first.is_none_or(|first| kept() <= first));
}
