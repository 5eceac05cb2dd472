// SPDX-License-Identifier: BSD-3-Clause
//! Blocks that are held when their connection is closed: they are not reused until their holder
//! drops them.

use becket_chan::{Receiver, unlimited};
use becket_ipc::blocks::BlockRef;
use becket_ipc::{Client, Element, ReceiverOptions, RemoteSender};
use becket_zcopy::Pool;

use crate::memory::{HANGS, all_free, filled, is_filled, pool, until};
use crate::world::World;

const BYTES: usize = 4096;
const BLOCKS: u32 = 3;

/// Blocks of the client's pool that the server holds, and the client's only handle.
struct Up {
    client: Client,
    tx: RemoteSender,
    rx: Receiver<Element>,
    pool: Pool,
}

impl Up {
    fn new(world: &World, held: &mut Vec<Element>) -> Self {
        let (tx, rx) = unlimited();
        world.server().export("up", Some(tx), None).unwrap();
        let client = world.client();
        let tx = client.sender("up").wait().unwrap();
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
    let (tx, rx) = unlimited();
    world.server().export("down", None, Some(rx)).unwrap();
    let client = world.client();
    let (_region, pool) = pool(BYTES, BLOCKS);
    let rx = client.receiver_with("down", ReceiverOptions::window(0)).wait().unwrap();
    while held.len() < 2 {
        let seed = held.len() as u8 + 1;
        tx.try_send(filled(&pool, BYTES, seed).into()).unwrap();
        let element = rx.recv().timeout(HANGS).wait().unwrap();
        if element.as_block().is_some() {
            held.push(element);
        }
    }
    (client, pool)
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
