// SPDX-License-Identifier: BSD-3-Clause
//! Closed connections whose peers still hold blocks, over each link: full ones; and peers that flood,
//! repeat or forge releases, or send something else.

use std::cell::Cell;
use std::time::{Duration, Instant};

use becket_chan::{Receiver, Sender, bounded, unlimited};
use becket_ipc::blocks::{LENT_MAX, lingering};
use becket_ipc::{Element, RemoteSender};
use becket_wire::{Head, Kind, StreamId, codes, flags};
use becket_zcopy::Pool;

use crate::memory::{HANGS, all_free, filled, pool, until};
use crate::raw::{FIXED, Links, MAPPED, RECEIVE, Raw, SEND, Seen, descriptor, file};
use crate::world::World;

const BYTES: usize = 4096;
pub(crate) const BLOCKS: u32 = 3;
/// The peer's region.
pub(crate) const REGION: (u32, u32) = (7, 3);

/// A server; a peer, by hand, that holds two blocks of it; and another client.
pub(crate) struct Scene {
    pub(crate) raw: Raw,
    tx: Sender<Element>,
    rx: Receiver<Element>,
    sends: StreamId,
    pub(crate) region: (u32, u32),
    /// Region, generation and offset of each block that the peer holds.
    pub(crate) held: Vec<(u32, u32, u64)>,
    pub(crate) pool: Pool,
    healthy: RemoteSender,
    healthy_rx: Receiver<Element>,
    pub(crate) world: World,
}

impl Scene {
    pub(crate) fn new(links: Links) -> Self {
        let world = World::memory();
        let (up, rx) = unlimited();
        world.server().export("up", Some(up), None).unwrap();
        let (tx, down) = unlimited();
        world.server().export("down", None, Some(down)).unwrap();
        let (healthy, healthy_rx) = bounded(4);
        world.server().export("healthy", Some(healthy), None).unwrap();
        let healthy = world.client().sender("healthy").wait().unwrap();
        let (_region, pool) = pool(BYTES, BLOCKS);
        let mut raw = Raw::client_over(&world.server(), links());
        let sends = raw.open(SEND, "up");
        let receives = raw.open(RECEIVE, "down");
        raw.grant(receives, 1 << 24);
        let (region, held) = ((0, 0), Vec::new());
        let mut scene = Self { raw, tx, rx, sends, region, held, pool, healthy, healthy_rx, world };
        scene.raw.tell((REGION.0, REGION.1, 4096), file(4096, FIXED));
        let of = u64::from(REGION.1) << 32 | u64::from(REGION.0);
        scene.raw.until(|seen| *seen == Seen::Notice(MAPPED, of));
        scene.hold();
        scene
    }

    /// The server lends two blocks to the peer.
    fn hold(&mut self) {
        self.tx.try_send(filled(&self.pool, BYTES, 1).into()).unwrap();
        self.raw.until(|seen| matches!(seen, Seen::Element(_, 0, _)));
        self.region = self.raw.map_in_name();
        self.raw.turn();
        // Until the server has seen that.
        loop {
            self.tx.try_send(filled(&self.pool, BYTES, 1).into()).unwrap();
            let next = self.raw.until(|seen| matches!(seen, Seen::Element(..)));
            if self.has_taken(&next) {
                break;
            }
        }
        self.hold_one();
        until("the others are free", || self.free() == BLOCKS as usize - 2);
    }

    /// The server lends one more block to the peer.
    pub(crate) fn hold_one(&mut self) {
        self.tx.try_send(filled(&self.pool, BYTES, 1).into()).unwrap();
        let next = self.raw.until(|seen| matches!(seen, Seen::Element(..)));
        assert!(self.has_taken(&next), "bytes came");
    }

    /// Whether it is a block; the peer holds it then.
    fn has_taken(&mut self, seen: &Seen) -> bool {
        let Seen::Element(_, flags, body) = seen else { return false };
        if flags & flags::DESCRIPTOR == 0 {
            return false;
        }
        let offset = u64::from_le_bytes(body[8..16].try_into().unwrap());
        self.held.push((self.region.0, self.region.1, offset));
        true
    }

    /// A block of the peer that the server's program holds.
    pub(crate) fn lend(&mut self, offset: u64) -> Element {
        self.raw.describe(self.sends, descriptor(REGION, offset, 64));
        self.raw.turn();
        self.rx.recv().timeout(HANGS).wait().unwrap()
    }

    pub(crate) fn free(&self) -> usize {
        self.pool.snapshot()[0].free
    }

    /// The peer closes, and its connection lingers.
    fn close(&mut self) {
        self.raw.session.close(codes::DONE, "");
        self.raw.turn();
        self.lingers();
    }

    fn lingers(&self) {
        until("the server has seen the end", || self.world.server().sessions().len() == 1);
        until("it lingers", || lingering().now == 1);
    }

    fn goes_on(&self) {
        for round in 0..5 {
            self.healthy.send(vec![round; 64]).timeout(HANGS).wait().unwrap();
            let element = self.healthy_rx.recv().timeout(HANGS).wait().unwrap();
            assert_eq!(element.as_slice(), [round; 64]);
        }
    }

    /// Its connection is over, and the pool is whole.
    fn ends(mut self) {
        self.raw.until(|seen| *seen == Seen::Gone);
        until("nothing is left", || lingering().now == 0);
        all_free(&self.pool);
        self.goes_on();
    }
}

/// The server ends while the link to a peer that takes nothing is full: the close, and the release of
/// a block, arrive later.
pub(crate) fn a_close_finds_the_link_full(links: Links) {
    let mut scene = Scene::new(links);
    let element = scene.lend(64);
    // More than any link has room for. A close is longer than one of these: if they have no room, it
    // has none either.
    let sent = 1 << 16;
    (0..sent).for_each(|_| scene.tx.try_send(vec![1_u8; 8].into()).unwrap());
    // Nothing reads: the link takes no more although elements wait. Where that is seen too early, they
    // are cut off all the same.
    let last = Cell::new((0, Instant::now()));
    until("the link is full", || {
        let sent = scene.world.server().sessions().iter().map(|it| it.link.frames_out).sum();
        let (before, since) = last.get();
        if sent != before {
            last.set((sent, Instant::now()));
        }
        sent == before && !scene.tx.is_empty() && since.elapsed() > Duration::from_millis(100)
    });
    drop(scene.world.take_server());
    until("it lingers", || lingering().now == 1);
    drop(element);
    let mut elements = 0;
    let closed = |seen: &Seen| matches!(seen, Seen::Element(..) | Seen::Closed(..));
    while let Seen::Element(_, flags, _) = scene.raw.until(closed) {
        assert_eq!(flags, 0);
        elements += 1;
    }
    assert!(elements < sent, "{elements} of {sent}: those that the link refused were not sent");
    scene.raw.until(|seen| *seen == Seen::Release(REGION.0, REGION.1, 64));
    assert_eq!((scene.free(), lingering().now), (BLOCKS as usize - 2, 1));
    for block in scene.held.clone() {
        scene.raw.release(block);
    }
    scene.raw.until(|seen| *seen == Seen::Gone);
    until("nothing is left", || lingering().now == 0);
    all_free(&scene.pool);
}

/// Releases of regions that the server has not announced may have crossed a withdrawal: they are
/// ignored, however many, and others are served meanwhile.
pub(crate) fn a_peer_floods_releases(links: Links) {
    let mut scene = Scene::new(links);
    scene.close();
    let [first, second] = scene.held[..] else { panic!("two are held") };
    for round in 0..20_000 {
        scene.raw.release((first.0 + 1 + round % 7, first.1, first.2));
    }
    scene.goes_on();
    assert_eq!((scene.free(), lingering().now), (BLOCKS as usize - 2, 1));
    scene.raw.release(first);
    until("the first is free", || scene.free() == BLOCKS as usize - 1);
    assert_eq!(lingering().now, 1);
    scene.raw.release(second);
    scene.ends();
}

pub(crate) fn a_peer_sends_a_release_twice(links: Links) {
    let mut scene = Scene::new(links);
    let element = scene.lend(64);
    scene.close();
    let first = scene.held[0];
    scene.raw.release(first);
    until("the first is free", || scene.free() == BLOCKS as usize - 1);
    scene.raw.release(first);
    until("it is ended at once", || lingering().now == 0);
    // What the server holds can be read, and its release has no receiver.
    assert_eq!(element.as_slice(), [0; 64]);
    drop(element);
    scene.ends();
}

/// What may have crossed the close is ignored, and keeps nothing alive.
pub(crate) fn a_peer_sends_something_else(links: Links) {
    let mut scene = Scene::new(links);
    let element = scene.lend(64);
    let stream = scene.sends.number();
    scene.close();
    let others = [
        Head { stream, sequence: 2, ..Head::new(Kind::Data) },
        Head { stream, sequence: 1, ..Head::new(Kind::Withdraw) },
        Head { stream, aux: 9, sequence: 9, ..Head::new(Kind::Credit) },
        Head { sequence: 4, ..Head::new(Kind::Ping) },
        Head { sequence: 4, ..Head::new(Kind::Pong) },
        Head { stream: REGION.0, aux: REGION.1, ..Head::new(Kind::Unregion) },
        Head { stream, ..Head::new(Kind::Reset) },
        Head { stream, ..Head::new(Kind::Return) },
        Head::new(Kind::Close),
    ];
    for head in others {
        scene.raw.put(&head, b"");
    }
    scene.raw.put(&Head { stream, sequence: 3, ..Head::new(Kind::Data) }, &[1; 100]);
    // A region that is announced too late: its memfd is closed.
    scene.raw.announce((9, 1, 4096), vec![file(4096, FIXED)]);
    // A block that crossed the close is given back.
    let data = Head { stream, sequence: 4, flags: flags::DESCRIPTOR, ..Head::new(Kind::Data) };
    scene.raw.put(&data, &descriptor(REGION, 128, 64));
    scene.raw.until(|seen| *seen == Seen::Release(REGION.0, REGION.1, 128));
    // A returned block is free.
    let (region, generation, offset) = scene.held[0];
    let returned = Head { stream, flags: flags::DESCRIPTOR, ..Head::new(Kind::Return) };
    scene.raw.put(&returned, &descriptor((region, generation), offset, BYTES as u64));
    until("it is free", || scene.free() == BLOCKS as usize - 1);
    scene.goes_on();
    assert_eq!(lingering().now, 1);
    assert_eq!(element.as_slice(), [0; 64]);
    drop(element);
    scene.raw.until(|seen| *seen == Seen::Release(REGION.0, REGION.1, 64));
    let second = scene.held[1];
    scene.raw.release(second);
    scene.ends();
}

/// Blocks that cross the close without end are not collected without bound.
pub(crate) fn a_peer_lends_without_end(links: Links) {
    let mut scene = Scene::new(links);
    let (_unread, stream) = (scene.lend(64), scene.sends.number());
    scene.close();
    for round in 0..u64::MAX {
        let sequence = 2 + round;
        let data = Head { stream, sequence, flags: flags::DESCRIPTOR, ..Head::new(Kind::Data) };
        // It takes no releases.
        scene.raw.put(&data, &descriptor(REGION, 128, 64));
        if lingering().now == 0 {
            assert!(round >= LENT_MAX as u64);
            return scene.ends();
        }
    }
}

pub(crate) fn a_peer_disconnects(links: Links) {
    let mut scene = Scene::new(links);
    let element = scene.lend(64);
    scene.close();
    scene.raw.disconnect();
    until("nothing is left", || lingering().now == 0);
    assert_eq!(element.as_slice(), [0; 64]);
    drop(element);
    all_free(&scene.pool);
    scene.goes_on();
}
