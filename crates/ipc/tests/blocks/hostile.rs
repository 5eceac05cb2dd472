// SPDX-License-Identifier: BSD-3-Clause
//! Peers that send invalid regions, descriptors and releases: their connection ends with the
//! reason, or their memory is ignored; another client continues meanwhile.

use becket_chan::{Receiver, Sender, bounded, unlimited};
use becket_ipc::blocks::{LENT_MAX, LINGERING_MAX, MAPPED_BYTES_MAX, lingering};
use becket_ipc::{Element, Ended, RecvError, RemoteSender};
use becket_wire::{Credit, StreamId, codes, flags};
use becket_zcopy::Pool;
use rustix::fs::SealFlags;

use crate::memory::{HANGS, all_free, filled, is_filled, pool, until};
use crate::raw::{FIXED, MAPPED, RECEIVE, Raw, SEND, Seen, descriptor, file};
use crate::world::World;

const REGION: (u32, u32) = (7, 3);

struct Scene {
    raw: Raw,
    stream: StreamId,
    rx: Receiver<Element>,
    healthy: RemoteSender,
    healthy_rx: Receiver<Element>,
    pool: Pool,
    world: World,
}

impl Scene {
    fn new() -> Self {
        let world = World::memory();
        let (tx, rx) = unlimited();
        world.server().export("up", Some(tx), None).unwrap();
        let (tx, healthy_rx) = bounded(4);
        world.server().export("healthy", Some(tx), None).unwrap();
        let healthy = world.client().sender("healthy").wait().unwrap();
        let (_region, pool) = pool(4096, 2);
        let mut raw = Raw::client(&world.server());
        let stream = raw.open(SEND, "up");
        Self { raw, stream, rx, healthy, healthy_rx, pool, world }
    }

    /// Maps one page in the server.
    fn map(mut self) -> Self {
        self.raw.tell((REGION.0, REGION.1, 4096), file(4096, FIXED));
        let of = u64::from(REGION.1) << 32 | u64::from(REGION.0);
        self.raw.until(|seen| *seen == Seen::Notice(MAPPED, of));
        self
    }

    /// The server disconnects the peer with a reason, and continues to serve the other client.
    fn put_out(mut self, why: &str) {
        let closed = self.raw.until(|seen| matches!(seen, Seen::Closed(..)));
        let Seen::Closed(code, said) = closed else { panic!("another came") };
        assert!(said.contains(why), "{said:?}, not {why:?}");
        assert!([codes::PROTOCOL, codes::LIMIT].contains(&code));
        self.goes_on();
    }

    fn goes_on(&mut self) {
        for round in 0..5 {
            self.healthy.send(filled(&self.pool, 4096, round)).timeout(HANGS).wait().unwrap();
            let element = self.healthy_rx.recv().timeout(HANGS).wait().unwrap();
            assert!(is_filled(element.as_slice(), round));
        }
        all_free(&self.pool);
        assert!(self.healthy.blocks().sent >= 4);
        assert!(self.world.client().list(None).wait().is_ok());
    }
}

#[test]
fn valid_descriptors_are_accepted_and_released() {
    let mut scene = Scene::new().map();
    let number = scene.raw.describe(scene.stream, descriptor(REGION, 64, 128));
    let acked = Seen::Acked(scene.stream, number);
    scene.raw.until(|seen| *seen == acked);
    let element = scene.rx.try_recv().unwrap();
    assert_eq!((element.len(), element.as_slice().iter().any(|byte| *byte != 0)), (128, false));
    drop(element);
    scene.raw.until(|seen| *seen == Seen::Release(REGION.0, REGION.1, 64));
    scene.goes_on();
}

#[test]
fn invalid_descriptors_end_the_connection() {
    let all = u64::MAX;
    let bodies: [(Vec<u8>, &str); 12] = [
        (descriptor((8, 3), 0, 1), "region 8, generation 3, which is not mapped"),
        (descriptor((7, 2), 0, 1), "region 7, generation 2, which is not mapped"),
        (descriptor((0, 0), 0, 1), "not mapped"),
        (descriptor(REGION, 0, 0), "length is 0 bytes"),
        (descriptor(REGION, 0, 4097), "not within"),
        (descriptor(REGION, 4096, 1), "not within"),
        (descriptor(REGION, all, 1), "not within"),
        (descriptor(REGION, 1, all), "not within"),
        (descriptor(REGION, all, all), "not within"),
        (descriptor(REGION, 0, 1)[..23].to_vec(), "another length"),
        ([descriptor(REGION, 0, 1), vec![0]].concat(), "another length"),
        (Vec::new(), "another length"),
    ];
    for (body, why) in bodies {
        let mut scene = Scene::new().map();
        scene.raw.describe(scene.stream, body);
        scene.put_out(why);
    }
}

#[test]
fn regions_that_could_fault_end_the_connection() {
    let plain = || std::fs::File::open("/proc/self/exe").unwrap().into();
    let cases = [
        ((7, 3, 4096), file(4096, SealFlags::empty()), "not sealed"),
        ((7, 3, 4096), file(4096, SealFlags::SHRINK), "not sealed"),
        ((7, 3, 4096), file(4096, SealFlags::GROW), "not sealed"),
        ((7, 3, 4096), file(4096, SealFlags::WRITE), "not sealed"),
        ((7, 3, 4096), plain(), "not sealed"),
        ((7, 3, 8192), file(4096, FIXED), "has 4096 bytes"),
        ((7, 3, 1), file(4096, FIXED), "has 4096 bytes"),
        ((7, 3, 0), file(0, FIXED), "length is 0 bytes"),
    ];
    for (region, fd, why) in cases {
        let mut scene = Scene::new();
        scene.raw.announce(region, vec![fd]);
        scene.put_out(why);
    }
    let mut scene = Scene::new();
    scene.raw.announce((7, 3, 4096), vec![file(4096, FIXED), file(4096, FIXED)]);
    scene.put_out("2 file descriptors");
}

/// The region is valid, but exceeds the budget or has no memfd: it is not mapped, and descriptors
/// into it are invalid.
#[test]
fn regions_that_are_too_large_or_without_memfd_are_ignored() {
    for bytes in [MAPPED_BYTES_MAX + 1, u64::MAX] {
        let mut scene = Scene::new();
        scene.raw.announce((7, 3, bytes), vec![file(4096, FIXED)]);
        let number = scene.raw.session.send(scene.stream, 0, b"bytes".as_slice().into()).unwrap();
        let acked = Seen::Acked(scene.stream, number);
        scene.raw.until(|seen| *seen == acked);
        assert!(!scene.raw.seen.iter().any(|seen| matches!(seen, Seen::Notice(..))));
        scene.raw.describe(scene.stream, descriptor(REGION, 0, 1));
        scene.put_out("not mapped");
    }
    let mut scene = Scene::new();
    scene.raw.announce((7, 3, 4096), vec![]);
    scene.raw.describe(scene.stream, descriptor(REGION, 0, 1));
    scene.put_out("not mapped");
    // The sum is too large; each alone is not.
    let mut scene = Scene::new();
    let half = MAPPED_BYTES_MAX / 2 + 4096;
    scene.raw.announce((1, 1, half), vec![file(half, FIXED)]);
    scene.raw.until(|seen| *seen == Seen::Notice(MAPPED, 1 << 32 | 1));
    scene.raw.announce((2, 1, half), vec![file(half, FIXED)]);
    scene.raw.describe(scene.stream, descriptor((2, 1), 0, 1));
    scene.put_out("region 2, generation 1, which is not mapped");
}

#[test]
fn too_many_regions_or_one_twice_end_the_connection() {
    let mut scene = Scene::new().map();
    scene.raw.announce((REGION.0, 4, 4096), vec![file(4096, FIXED)]);
    scene.put_out("not free");
    let mut scene = Scene::new();
    for region in 0..=256 {
        scene.raw.announce((region, 1, 4096), vec![file(4096, FIXED)]);
    }
    scene.put_out("regions");
}

#[test]
fn more_blocks_than_may_be_lent_end_the_connection() {
    let mut scene = Scene::new().map();
    for _ in 0..LENT_MAX {
        let number = scene.raw.describe(scene.stream, descriptor(REGION, 0, 1));
        let acked = |seen: &Seen| matches!(seen, Seen::Acked(_, upto) if *upto == number);
        scene.raw.until(acked);
    }
    assert_eq!(scene.rx.len(), LENT_MAX);
    scene.raw.describe(scene.stream, descriptor(REGION, 0, 1));
    scene.put_out("more than 1024 blocks");
}

/// The server lends; the test controls the client's releases.
fn lends(scene: &mut Scene) -> (Sender<Element>, (u32, u32), u64) {
    let (tx, rx) = unlimited();
    scene.world.server().export("down", None, Some(rx)).unwrap();
    let stream = scene.raw.open(RECEIVE, "down");
    tx.try_send(filled(&scene.pool, 4096, 1).into()).unwrap();
    let first = scene.raw.until(|seen| matches!(seen, Seen::Element(..)));
    assert!(matches!(first, Seen::Element(of, 0, body) if of == stream && is_filled(&body, 1)));
    let region = scene.raw.until(|seen| matches!(seen, Seen::Region(..)));
    let Seen::Region(region, generation, 8192, 1) = region else { panic!("{region:?}") };
    let of = u64::from(generation) << 32 | u64::from(region);
    scene.raw.session.notice(MAPPED, of, Vec::new().into()).unwrap();
    loop {
        tx.try_send(filled(&scene.pool, 4096, 2).into()).unwrap();
        let next = scene.raw.until(|seen| matches!(seen, Seen::Element(..)));
        let Seen::Element(_, flags, body) = next else { panic!("another came") };
        if flags & flags::DESCRIPTOR != 0 {
            let offset = u64::from_le_bytes(body[8..16].try_into().unwrap());
            assert_eq!(body, descriptor((region, generation), offset, 4096));
            return (tx, (region, generation), offset);
        }
    }
}

#[test]
fn a_lent_block_is_released_once() {
    let mut scene = Scene::new();
    let (_tx, (region, generation), offset) = lends(&mut scene);
    assert_eq!(scene.pool.snapshot()[0].free, 1);
    scene.raw.release((region, generation, offset));
    // The healthy client needs the block.
    scene.goes_on();
    scene.raw.release((region, generation, offset));
    scene.put_out("was not lent");
}

/// Closes the connection of a peer that holds a block, from the peer's side.
fn closes(scene: &mut Scene) -> Sender<Element> {
    let (tx, ..) = lends(scene);
    scene.raw.session.close(codes::DONE, "");
    scene.raw.turn();
    // The healthy client's is left.
    until("the server has seen the end", || scene.world.server().sessions().len() == 1);
    assert_eq!((scene.pool.snapshot()[0].free, lingering().now), (1, 1));
    tx
}

/// Peers that close and never release: at the bound the oldest loses its block.
#[test]
fn closed_connections_with_blocks_are_bounded() {
    let world = World::memory();
    let (tx, rx) = unlimited();
    world.server().export("down", None, Some(rx)).unwrap();
    let (_region, pool) = pool(64, LINGERING_MAX as u32 + 8);
    let blocks = pool.snapshot()[0].free;
    let mut peers = Vec::new();
    for count in 1..=LINGERING_MAX + 1 {
        let mut raw = Raw::client(&world.server());
        raw.open(RECEIVE, "down");
        tx.try_send(filled(&pool, 64, 1).into()).unwrap();
        let region = raw.until(|seen| matches!(seen, Seen::Region(..)));
        let Seen::Region(region, generation, ..) = region else { panic!("another came") };
        let of = u64::from(generation) << 32 | u64::from(region);
        raw.session.notice(MAPPED, of, Vec::new().into()).unwrap();
        loop {
            let next = raw.until(|seen| matches!(seen, Seen::Element(..)));
            if matches!(next, Seen::Element(_, flags, _) if flags & flags::DESCRIPTOR != 0) {
                break;
            }
            tx.try_send(filled(&pool, 64, 1).into()).unwrap();
        }
        raw.session.close(codes::DONE, "");
        raw.turn();
        until("the server has seen the end", || world.server().sessions().is_empty());
        until("it lingers", || lingering().now == count.min(LINGERING_MAX));
        peers.push(raw);
    }
    until("the oldest has lost its block", || pool.snapshot()[0].free == blocks - LINGERING_MAX);
    assert_eq!(lingering().cut, 1);
    peers.iter_mut().for_each(Raw::disconnect);
    until("nothing is left", || lingering().now == 0);
    all_free(&pool);
}

#[test]
fn a_closed_peer_that_disconnects_has_released_its_blocks() {
    let mut scene = Scene::new();
    let _tx = closes(&mut scene);
    scene.raw.disconnect();
    scene.goes_on();
    until("nothing is left", || lingering().now == 0);
}

#[test]
fn a_closed_peer_that_violates_the_rules_loses_its_blocks() {
    let mut scene = Scene::new();
    let (_tx, (region, generation), offset) = lends(&mut scene);
    scene.raw.session.close(codes::DONE, "");
    scene.raw.turn();
    until("the server has seen the end", || scene.world.server().sessions().len() == 1);
    scene.raw.release((region, generation + 1, offset));
    scene.raw.release((region, generation, offset ^ 64));
    scene.goes_on();
    until("nothing is left", || lingering().now == 0);
}

#[test]
fn a_release_may_follow_a_close_at_once() {
    let mut scene = Scene::new();
    let (_tx, (region, generation), offset) = lends(&mut scene);
    scene.raw.session.close(codes::DONE, "");
    // Both frames arrive together.
    scene.raw.release((region, generation, offset));
    scene.goes_on();
    until("nothing is left", || lingering().now == 0);
}

#[test]
fn releases_of_blocks_that_were_not_lent_end_the_connection() {
    for wrong in [1, 64, 8192, u64::MAX] {
        let mut scene = Scene::new();
        let (_tx, (region, generation), offset) = lends(&mut scene);
        scene.raw.release((region, generation, offset ^ wrong));
        scene.put_out("was not lent");
    }
    // Of an unknown or withdrawn region: ignored, as it may have crossed the withdrawal.
    let mut scene = Scene::new();
    let (_tx, (region, generation), offset) = lends(&mut scene);
    scene.raw.release((region, generation + 1, offset));
    scene.raw.release((region + 1, generation, offset));
    scene.raw.release((region, generation, offset));
    scene.goes_on();
}

#[test]
fn a_hostile_server_ends_its_own_connection_alone() {
    let (mut raw, client) = Raw::server();
    let opener = client.clone();
    let received = std::thread::spawn(move || {
        let rx = opener.receiver("down").wait().unwrap();
        rx.recv().timeout(HANGS).wait()
    });
    let Seen::Opened(stream) = raw.until(|seen| matches!(seen, Seen::Opened(_))) else {
        panic!("another came")
    };
    let info = br#"{"id":1,"kind":"bounded","capacity":1,"sends":false,"receives":true}"#;
    raw.session.accept(stream, Credit::NONE, info.as_slice().into()).unwrap();
    while raw.session.credit(stream).is_none_or(|credit| credit.messages == 0) {
        raw.turn();
        std::thread::yield_now();
    }
    raw.describe(stream, descriptor(REGION, 0, 1));
    let closed = raw.until(|seen| matches!(seen, Seen::Closed(..)));
    assert!(matches!(closed, Seen::Closed(codes::PROTOCOL, why) if why.contains("not mapped")));
    let error = received.join().unwrap().unwrap_err();
    assert!(matches!(error, RecvError::Disconnected(Ended::Protocol(_))), "{error}");
    assert!(matches!(client.ended(), Some(Ended::Protocol(why)) if why.contains("not mapped")));
}

/// A peer that never confirms a mapping always gets bytes.
#[test]
fn no_descriptor_is_sent_before_the_region_is_mapped() {
    let mut scene = Scene::new();
    let (tx, rx) = unlimited();
    scene.world.server().export("down", None, Some(rx)).unwrap();
    scene.raw.open(RECEIVE, "down");
    for round in 0..4 {
        tx.try_send(filled(&scene.pool, 4096, round).into()).unwrap();
        let next = scene.raw.until(|seen| matches!(seen, Seen::Element(..)));
        assert!(matches!(next, Seen::Element(_, 0, body) if is_filled(&body, round)));
    }
    scene.goes_on();
}
