// SPDX-License-Identifier: BSD-3-Clause
//! A peer that violates the rules, with real descriptors over a real socket: its own connection
//! ends, with the reason, and nothing else happens.
//!
//! The test plays the peer by hand: an offer of 16 bytes with the descriptor of a memfd with
//! arbitrary contents.

use std::fs::File;
use std::io::{Error, IoSlice, Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;

use becket_ipc::shm::{Handshake, ShmError, ShmLink, Side, Violation};
use becket_ipc::transport::{Link as _, LinkError, LinkLimits, Socket};
use becket_wire::{Head, Kind, Outlet as _};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};

use crate::factory::BODY_BYTES_MAX;
use crate::shared_memory::{pair, shm_limits};

const PAGE: u64 = 4096;
const SLOTS: u64 = 8;
const RING: u64 = 1024;
const SLOT: u64 = 128;
const TAKEN: u64 = 256;
const WAIT: u64 = 384;

/// Eight slots and two blocks of 256 bytes, in one page.
const HEADER: [u64; 12] = [
    u64::from_le_bytes(*b"becketsr"),
    1 | SLOTS << 32,
    1,
    PAGE,
    256 | 2 << 32,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
];

/// The peer's segment, before it is sealed.
struct Forged(File);

impl Forged {
    fn new(header: [u64; 12], bytes: u64) -> Self {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = File::from(memfd_create("forged", flags).unwrap());
        file.set_len(bytes).unwrap();
        let forged = Self(file);
        for (at, word) in header.into_iter().enumerate() {
            if (at as u64 + 1) * 8 <= bytes {
                forged.word(at as u64 * 8, word);
            }
        }
        forged
    }

    fn good() -> Self {
        Self::new(HEADER, PAGE)
    }

    fn word(&self, offset: u64, word: u64) {
        self.0.write_all_at(&word.to_ne_bytes(), offset).unwrap();
    }

    /// A frame in slot `at`, as the next one there.
    fn frame(&self, at: u64, meta: u64, head: &Head) {
        let slot = RING + at * SLOT;
        self.0.write_all_at(&head.encode(), slot + 8).unwrap();
        self.word(slot, (at + 1) | meta << 32);
    }

    fn sealed(self) -> OwnedFd {
        let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
        self.with(seals)
    }

    fn with(self, seals: SealFlags) -> OwnedFd {
        fcntl_add_seals(&self.0, seals).unwrap();
        self.0.into()
    }
}

fn offer(version: u32) -> [u8; 16] {
    let mut offer = [0; 16];
    offer[..8].copy_from_slice(b"becketof");
    offer[8..12].copy_from_slice(&version.to_le_bytes());
    offer[12..].copy_from_slice(&(BODY_BYTES_MAX as u32).to_le_bytes());
    offer
}

fn send(socket: &UnixStream, bytes: &[u8], files: &[OwnedFd]) {
    let borrowed: Vec<_> = files.iter().map(|file| file.as_fd()).collect();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !borrowed.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(&borrowed)));
    }
    let bytes = [IoSlice::new(bytes)];
    rustix::net::sendmsg(socket, &bytes, &mut control, SendFlags::empty()).unwrap();
}

/// This side's handshake, and the other end of its socket.
fn accepting() -> (Handshake, UnixStream) {
    let (own, others) = UnixStream::pair().unwrap();
    let socket = Socket::adopt(own.into()).unwrap();
    (Handshake::new(socket, Side::Accepted, shm_limits()).unwrap(), others)
}

/// The result of an offer.
fn judged(bytes: &[u8], files: &[OwnedFd]) -> Result<(ShmLink, UnixStream), ShmError> {
    let (mut handshake, socket) = accepting();
    send(&socket, bytes, files);
    let link = handshake.progress();
    if link.is_err() {
        assert!(matches!(handshake.progress(), Err(ShmError::Closed)), "it is over");
    }
    Ok((link?.expect("the whole offer has come"), socket))
}

fn segment(file: OwnedFd) -> Result<(ShmLink, UnixStream), ShmError> {
    judged(&offer(1), &[file])
}

fn violation(result: Result<(ShmLink, UnixStream), ShmError>) -> Violation {
    match result {
        Err(ShmError::PeerViolation { what }) => what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_forged_peer_that_keeps_the_rules_is_accepted() {
    let forged = Forged::good();
    forged.frame(0, 0, &Head { length: 5, ..Head::new(Kind::Ping) });
    let (mut link, _socket) = segment(forged.sealed()).unwrap();
    let mut came = Vec::new();
    link.take(9, &mut |frame, _| came.push(frame.body.to_vec())).unwrap();
    assert_eq!(came, [[0; 5]]);
}

#[test]
fn an_invalid_offer_is_refused() {
    let good = || [Forged::good().sealed()];
    assert_eq!(violation(judged(&offer(2), &good())), Violation::Offer);
    assert_eq!(violation(judged(b"GET / HTTP/1.1\r\n", &good())), Violation::Offer);
    let none = Violation::Descriptors { came: 0, expected: 1 };
    assert_eq!(violation(judged(&offer(1), &[])), none);
    let two = Violation::Descriptors { came: 2, expected: 1 };
    assert_eq!(
        violation(judged(&offer(1), &[Forged::good().sealed(), Forged::good().sealed()])),
        two
    );
}

#[test]
fn an_offer_in_pieces_is_read_piece_by_piece() {
    let (mut handshake, socket) = accepting();
    let offer = offer(1);
    for at in 0..15 {
        let files: &[OwnedFd] = if at == 7 { &[Forged::good().sealed()] } else { &[] };
        send(&socket, &offer[at..=at], files);
        assert!(handshake.progress().unwrap().is_none());
    }
    // The bytes behind it are the link's: a wake byte.
    send(&socket, &[offer[15], b'r'], &[]);
    assert!(handshake.progress().unwrap().is_some());
}

#[test]
fn a_peer_that_disconnects_in_the_middle_is_detected() {
    for bytes in [0, 1, 15] {
        let (mut handshake, socket) = accepting();
        send(&socket, &offer(1)[..bytes], &[]);
        drop(socket);
        assert!(matches!(handshake.progress(), Err(ShmError::Closed)), "{bytes}");
    }
}

#[test]
fn files_that_are_not_memory_are_refused() {
    let (pipe, _writer) = std::io::pipe().unwrap();
    let files: [OwnedFd; 4] = [
        File::open("/dev/null").unwrap().into(),
        File::open("/proc/self/mem").unwrap().into(),
        pipe.into(),
        UnixStream::pair().unwrap().0.into(),
    ];
    for file in files {
        assert_eq!(violation(segment(file)), Violation::NoMemory);
    }
    // A regular file: its size may be truncated.
    let file = tempfile::tempfile().unwrap();
    file.set_len(PAGE).unwrap();
    assert!(matches!(violation(segment(file.into())), Violation::NoMemory | Violation::Seals));
}

#[test]
fn memory_of_variable_size_is_refused() {
    let all = [SealFlags::SHRINK, SealFlags::GROW, SealFlags::FUTURE_WRITE, SealFlags::SEAL];
    for missing in all {
        let seals = all.into_iter().filter(|seal| *seal != missing).collect();
        assert_eq!(violation(segment(Forged::good().with(seals))), Violation::Seals, "{missing:?}");
    }
    assert_eq!(violation(segment(Forged::good().0.into())), Violation::Seals);
}

#[test]
fn huge_pages_are_refused() {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING | MemfdFlags::HUGETLB;
    // The kernel may not support them.
    let Ok(file) = memfd_create("huge", flags) else { return };
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::FUTURE_WRITE | SealFlags::SEAL;
    fcntl_add_seals(&file, seals).unwrap();
    assert_eq!(violation(segment(file)), Violation::NoMemory);
}

#[test]
fn a_size_that_is_not_the_header_s_is_refused() {
    let sized = |bytes| violation(segment(Forged::new(HEADER, bytes).sealed()));
    assert_eq!(sized(2 * PAGE), Violation::Size { bytes: 2 * PAGE, expected: PAGE });
    assert!(matches!(sized(0), Violation::Size { bytes: 0, .. }));
    assert!(matches!(sized(64), Violation::Size { bytes: 64, .. }));
    assert_eq!(sized(96), Violation::Size { bytes: 96, expected: PAGE });
    let most = shm_limits().segment_bytes_max as u64;
    let too_large = Violation::Size { bytes: most + PAGE, expected: most };
    assert_eq!(sized(most + PAGE), too_large);
}

#[test]
fn an_invalid_geometry_is_refused() {
    let changes = [
        (0, 7),
        (1, 2 | SLOTS << 32),
        (1, 1 | 7 << 32),
        (1, 1 | 1 << 33),
        (1, 1 | 1 << 49),
        (2, 9),
        (2, u64::MAX),
        (2, 2),
        (3, PAGE + 1),
        (4, 256),
        (4, 255 | 2 << 32),
        (4, 0xffff_ffc0 | 0xffff << 32),
    ];
    for (at, word) in changes {
        let mut header = HEADER;
        header[at] = word;
        let what = violation(segment(Forged::new(header, PAGE).sealed()));
        let expected = match at {
            0 => matches!(what, Violation::Header),
            1 if word as u32 != 1 => matches!(what, Violation::Header),
            3 => matches!(what, Violation::Size { .. }),
            _ => matches!(what, Violation::Geometry(_)),
        };
        assert!(expected, "word {at} = {word:x}: {what:?}");
    }
}

/// The result of `take` on a segment in which `forge` has written.
fn taken(forge: impl FnOnce(&Forged)) -> LinkError {
    let forged = Forged::good();
    forge(&forged);
    let (mut link, socket) = segment(forged.sealed()).unwrap();
    let error = link.take(100, &mut |frame, _| assert!(frame.body.len() <= 256)).unwrap_err();
    assert_eq!(link.take(1, &mut |_, _| ()), Err(error), "the same ever after");
    assert_eq!(link.flush(), Err(error));
    assert!(link.prepare_wait(), "no thread waits for it");
    drop(socket);
    error
}

#[test]
fn an_invalid_frame_ends_the_connection() {
    let ping = |length| Head { length, ..Head::new(Kind::Ping) };
    let long = |bytes, bytes_max| LinkError::BodyTooLong { bytes, bytes_max };
    assert_eq!(taken(|f| f.frame(0, 0, &ping(97))), long(97, 96));
    assert_eq!(taken(|f| f.frame(0, 0, &ping(u32::MAX))), long(u32::MAX as usize, 96));
    assert_eq!(taken(|f| f.frame(0, 1, &ping(257))), long(257, 256));
    let shared = |violation| LinkError::SharedMemory(violation);
    let block = shared(Violation::Block { class: 1, index: 2 });
    assert_eq!(taken(|f| f.frame(0, 2 << 8 | 1, &ping(97))), block);
    let block = shared(Violation::Block { class: 2, index: 0 });
    assert_eq!(taken(|f| f.frame(0, 2, &ping(97))), block);
    let sequence = shared(Violation::Sequence { found: 5, expected: 1 });
    assert_eq!(taken(|f| f.word(RING, 5)), sequence);
    let second = shared(Violation::Sequence { found: 9, expected: 2 });
    let then = |f: &Forged| {
        f.frame(0, 0, &ping(1));
        f.word(RING + SLOT, 9);
    };
    assert_eq!(taken(then), second);
    assert!(matches!(taken(|f| f.word(RING, 1)), LinkError::Garbled(_)));
    let expected = shared(Violation::Descriptors { came: 0, expected: 2 });
    assert_eq!(taken(|f| f.frame(0, 2 << 4, &ping(0))), expected);
    let expected = shared(Violation::Descriptors { came: 15, expected: 8 });
    assert_eq!(taken(|f| f.frame(0, 15 << 4, &ping(0))), expected);
}

#[test]
fn an_invalid_position_ends_the_connection() {
    let forged = Forged::good();
    forged.word(TAKEN, 10_000);
    let (mut link, _socket) = segment(forged.sealed()).unwrap();
    let mut sent = 0;
    while link.put(&Head::new(Kind::Ping), &[]).is_ok() {
        sent += 1;
        assert!(sent <= 100_000, "it ends when the ring is full");
    }
    let error = link.flush().unwrap_err();
    let position = Violation::Position { taken: 10_000, sent };
    assert_eq!(error, LinkError::SharedMemory(position));
}

/// A peer that announces a sleep, and never sleeps: it is rung once.
#[test]
fn a_peer_that_feigns_sleep_is_rung_once() {
    for mode in [1, 2, 3, u64::MAX] {
        let forged = Forged::good();
        forged.word(WAIT, mode);
        let (mut link, mut socket) = segment(forged.sealed()).unwrap();
        for _ in 0..100 {
            link.put(&Head::new(Kind::Ping), &[]).unwrap();
            link.flush().unwrap();
        }
        let (endpoint, connected) = link.into_parts();
        assert_eq!(endpoint.counters().rings_out, 1);
        drop((endpoint, connected));
        let mut rung = Vec::new();
        socket.read_to_end(&mut rung).unwrap();
        let bytes = if mode == 2 { 0 } else { 1 };
        assert_eq!(rung.len(), 16 + bytes, "mode {mode}: the offer, and a ring for a watcher");
    }
}

#[test]
fn rings_without_frames_end_the_connection() {
    let (mut link, mut socket) = segment(Forged::good().sealed()).unwrap();
    let mut rings = 0_u32;
    let error = loop {
        socket.write_all(b"r").unwrap();
        rings += 1;
        assert!(!link.prepare_wait() || rings > 1_000);
        if let Err(error) = link.take(1, &mut |_, _| ()) {
            break error;
        }
    };
    assert_eq!(error, LinkError::SharedMemory(Violation::Rings(rings)));
    assert_eq!(rings, 1_025);
}

#[test]
fn descriptors_without_frames_end_the_connection() {
    let (mut link, socket) = segment(Forged::good().sealed()).unwrap();
    let file = || OwnedFd::from(File::open("/dev/null").unwrap());
    let mut sent = 0;
    let error = loop {
        send(&socket, b"d", &[file(), file(), file(), file()]);
        sent += 4;
        assert!(!link.prepare_wait());
        if let Err(error) = link.take(1, &mut |_, _| ()) {
            break error;
        }
    };
    assert!(matches!(error, LinkError::SharedMemory(Violation::Descriptors { .. })), "{error}");
    assert!(sent <= 3 * LinkLimits::DESCRIPTORS_MAX, "{sent} were kept");
}

/// A peer may have a higher limit than this side: descriptors above are closed, and counted.
#[test]
fn more_descriptors_than_let_in_are_closed() {
    let forged = Forged::good();
    forged.frame(0, 5 << 4, &Head::new(Kind::Region));
    let (mut link, socket) = segment(forged.sealed()).unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    let file = || OwnedFd::from(File::open("/dev/null").unwrap());
    send(&socket, b"d", &[file(), file(), file(), file(), writer.into()]);
    let taken = link.take(9, &mut |_, ancillary| assert_eq!(ancillary.take().len(), 3));
    assert_eq!(taken, Ok(1));
    assert_eq!(reader.read(&mut [0]).unwrap(), 0, "the fifth is closed");
    assert_eq!((link.counters().descriptors_cut, link.counters().descriptors_in), (1, 5));
}

/// The peer gets memory of this side that it can only read, by whatever means.
#[test]
fn this_side_s_segment_cannot_be_written_or_cut() {
    let (own, others) = UnixStream::pair().unwrap();
    let socket = Socket::adopt(own.into()).unwrap();
    let mut handshake = Handshake::new(socket, Side::Connected, shm_limits()).unwrap();
    assert!(handshake.progress().unwrap().is_none());
    let file = File::from(receive(&others));
    let again = File::options()
        .read(true)
        .write(true)
        .open(format!("/proc/self/fd/{}", file.as_raw_fd()))
        .unwrap();
    for file in [&file, &again] {
        let bytes = file.metadata().unwrap().len();
        let refused = |result: Result<(), Error>, errno: Errno| {
            assert_eq!(result.unwrap_err().raw_os_error(), Some(errno.raw_os_error()));
        };
        refused(file.set_len(bytes - PAGE), Errno::PERM);
        refused(file.set_len(0), Errno::PERM);
        refused(file.set_len(bytes + PAGE), Errno::PERM);
        refused(file.write_all_at(&[1], 0), Errno::PERM);
        assert_eq!(fcntl_add_seals(file, SealFlags::WRITE), Err(Errno::PERM));
        let punch = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
        assert_eq!(rustix::fs::fallocate(file, punch, 0, PAGE), Err(Errno::PERM));
        let prot = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping, which is refused.
        let mapped = unsafe { mmap(std::ptr::null_mut(), 4096, prot, MapFlags::SHARED, file, 0) };
        assert_eq!(mapped.unwrap_err(), Errno::PERM);
        // SAFETY: a new mapping, read-only, never accessed here.
        let read = unsafe {
            mmap(std::ptr::null_mut(), 4096, ProtFlags::READ, MapFlags::SHARED, file, 0).unwrap()
        };
        let flags = rustix::mm::MprotectFlags::READ | rustix::mm::MprotectFlags::WRITE;
        // SAFETY: of the mapping just created; it is refused.
        assert_eq!(unsafe { rustix::mm::mprotect(read, 4096, flags) }, Err(Errno::ACCESS));
        // SAFETY: of the mapping just created, to which nothing points.
        unsafe { rustix::mm::munmap(read, 4096).unwrap() };
    }
}

fn receive(socket: &UnixStream) -> OwnedFd {
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut offer = [0; 16];
    let bytes = &mut [std::io::IoSliceMut::new(&mut offer)];
    rustix::net::recvmsg(socket, bytes, &mut control, RecvFlags::CMSG_CLOEXEC).unwrap();
    let mut files = control.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(files) => files,
        _ => panic!("no descriptor"),
    });
    files.next().unwrap()
}

#[test]
fn a_frame_longer_than_agreed_is_an_error_of_this_side() {
    let (mut one, _other) = pair();
    let body = vec![0; BODY_BYTES_MAX + 1];
    let head = Head { length: body.len() as u32, ..Head::new(Kind::Data) };
    assert!(one.put(&head, &body).is_err());
    let (bytes, bytes_max) = (BODY_BYTES_MAX + 1, BODY_BYTES_MAX);
    assert_eq!(one.flush(), Err(LinkError::OwnFrame { bytes, bytes_max }));
}
