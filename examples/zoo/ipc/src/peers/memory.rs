// SPDX-License-Identifier: BSD-3-Clause
//! Defects of shared memory.

use std::fs::File;
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::{FallocateFlags, MemfdFlags, SealFlags, fallocate, ftruncate, memfd_create};
use rustix::mm::{MapFlags, ProtFlags, mmap};

use super::hand::{HELLO, Hand, Head, PING, attributes, random};
use super::segment::{HEADER, PAGE, RING, Segment, TAKEN, offer, shared};

/// Rings of one attack.
const RINGS: usize = 200_000;

/// What is offered in place of a memfd.
fn others() -> Vec<OwnedFd> {
    let (reader, writer) = rustix::pipe::pipe().unwrap();
    let huge = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::HUGETLB;
    let mut others = vec![
        reader,
        writer,
        File::open("/dev/zero").unwrap().into(),
        File::open("/").unwrap().into(),
        File::open("/proc/self/exe").unwrap().into(),
        eventfd(0, EventfdFlags::CLOEXEC).unwrap(),
        rustix::event::epoll::create(rustix::event::epoll::CreateFlags::CLOEXEC).unwrap(),
        memfd_create("empty", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap(),
    ];
    // A kernel may have none.
    others.extend(memfd_create("huge", huge));
    others
}

pub(super) fn not_memory(path: &Path) {
    for other in others() {
        let mut hand = Hand::greeted(path, 1);
        hand.hand_over(&offer(), &[other]);
        hand.until_put_out();
    }
    // None, and many.
    for files in [Vec::new(), others()] {
        let mut hand = Hand::greeted(path, 1);
        hand.hand_over(&offer(), &files);
        hand.until_put_out();
    }
}

pub(super) fn not_sealed(path: &Path) {
    let all = [SealFlags::SHRINK, SealFlags::GROW, SealFlags::FUTURE_WRITE, SealFlags::SEAL];
    for missing in all {
        let segment = Segment::new(HEADER);
        let file = segment.with(all.into_iter().filter(|seal| *seal != missing).collect());
        let mut hand = Hand::greeted(path, 1);
        hand.hand_over(&offer(), &[file.try_clone().unwrap()]);
        // Where it can be cut off, it is, while the server may have mapped it.
        let _refused = ftruncate(&file, 0);
        let _refused = ftruncate(&file, 1 << 40);
        hand.until_put_out();
    }
}

pub(super) fn header_lies(path: &Path) {
    let lies = [
        (0, 7),
        (1, 2 | 8 << 32),
        (1, 1 | 7 << 32),
        (1, 1 | 1 << 49),
        (2, 9),
        (2, u64::MAX),
        (3, PAGE * 2),
        (3, u64::MAX),
        (4, 255 | 2 << 32),
        (4, 0xffff_ffc0 | 0xffff << 32),
    ];
    for (at, word) in lies {
        let mut header = HEADER;
        header[at] = word;
        let mut hand = Hand::greeted(path, 1);
        hand.hand_over(&offer(), &[Segment::new(header).sealed()]);
        hand.until_put_out();
    }
}

/// Each attempt is refused by the system; one that is not ends this program.
pub(super) fn writes_the_others(path: &Path) {
    let segment = Segment::new(HEADER);
    let (_hand, file) = shared(path, &segment);
    let file = File::from(file);
    let again = format!("/proc/self/fd/{}", file.as_raw_fd());
    let again = File::options().read(true).write(true).open(again);
    for file in std::iter::once(&file).chain(&again) {
        assert!(file.set_len(0).is_err() && file.set_len(1 << 30).is_err());
        assert!(file.write_all_at(&[1], 0).is_err());
        let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        assert!(fallocate(file, punch, 0, PAGE).is_err());
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        let nowhere = std::ptr::null_mut();
        // SAFETY: a new mapping, which is refused, or never used.
        let mapped = unsafe { mmap(nowhere, 4096, prot, MapFlags::SHARED, file.as_fd(), 0) };
        assert!(mapped.is_err());
    }
}

/// One frame that cannot be, and a ring.
fn with_frame(path: &Path, forge: impl Fn(&Segment)) {
    let segment = Segment::new(HEADER);
    let (mut hand, _) = shared(path, &segment);
    forge(&segment);
    hand.say(b"r");
    hand.until_put_out();
}

pub(super) fn bad_length(path: &Path) {
    for length in [97, 65_536, u32::MAX] {
        with_frame(path, |segment| segment.frame(0, 0, &Head { length, ..Head::of(PING) }));
    }
    with_frame(path, |segment| segment.frame(0, 1, &Head { length: 257, ..Head::of(PING) }));
}

pub(super) fn bad_block(path: &Path) {
    for place in [2 << 8 | 1, 0xff_ffff << 8 | 1, 2, 15, 15 << 4] {
        with_frame(path, |segment| {
            segment.frame(0, place, &Head { length: 100, ..Head::of(PING) })
        });
    }
}

pub(super) fn bad_sequence(path: &Path) {
    for sequence in [2, 5, u64::from(u32::MAX)] {
        with_frame(path, |segment| segment.word(RING, sequence));
    }
}

/// The server finds out when it looks for room: it answers pings until it has none.
pub(super) fn bad_position(path: &Path) {
    let segment = Segment::new(HEADER);
    let (mut hand, _) = shared(path, &segment);
    segment.word(TAKEN, u64::MAX / 2);
    talk(&segment, &mut hand, |_| ());
    // It has not looked yet.
    segment.word(RING, u64::from(u32::MAX) - 1);
    hand.say(b"r");
    hand.until_put_out();
}

/// A hello and pings, one a ring, without looking whether the slot is free.
fn talk(segment: &Segment, hand: &mut Hand, meanwhile: impl Fn(u64)) {
    let body = attributes();
    segment.frame(0, 1, &Head { length: body.len() as u32, aux: 2, ..Head::of(HELLO) });
    for (at, word) in body.chunks(8).enumerate() {
        let mut eight = [0; 8];
        eight[..word.len()].copy_from_slice(word);
        segment.word(2048 + at as u64 * 8, u64::from_le_bytes(eight));
    }
    for number in 1..2_000 {
        if !hand.say(b"r") {
            return;
        }
        meanwhile(number);
        segment.frame(number, 0, &Head { sequence: number, ..Head::of(PING) });
        thread::yield_now();
    }
}

pub(super) fn changes_while_read(path: &Path) {
    let segment = Segment::new(HEADER);
    let (mut hand, _) = shared(path, &segment);
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = random();
            while !over.load(Ordering::Relaxed) {
                let length = [0, 8, 96, 97, 256, 257, 60_000, u32::MAX][random() as usize % 8];
                let kind = [PING, HELLO, 34, 16, 255][random() as usize % 5];
                let head = Head { length, sequence: random(), aux: 2, ..Head::of(kind) };
                segment.slot_body(random(), &head);
                segment.word(2048 + random() % 256 * 8, random());
            }
        });
        talk(&segment, &mut hand, |_| ());
        segment.word(RING, 3);
        hand.say(b"r");
        hand.until_put_out();
        over.store(true, Ordering::Relaxed);
    });
}

pub(super) fn random_memory(path: &Path) {
    let segment = Segment::new(HEADER);
    let (mut hand, _) = shared(path, &segment);
    let mut random = random();
    for _ in 0..200 {
        for _ in 0..200 {
            segment.word(random() % (PAGE / 8) * 8, random());
        }
        if !hand.say(b"r") {
            break;
        }
    }
    hand.until_put_out();
}

pub(super) fn storm_of_rings(path: &Path) {
    let segment = Segment::new(HEADER);
    let (mut hand, _) = shared(path, &segment);
    for _ in 0..RINGS {
        if !hand.say(b"r") {
            break;
        }
    }
    hand.until_put_out();
}
