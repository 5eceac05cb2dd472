// SPDX-License-Identifier: BSD-3-Clause
//! The peer of a socket link writes arbitrary bytes.

use std::io::{IoSlice, PipeReader};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use becket_ipc::transport::{LinkError, SeqpacketLink, Socket, SocketKind, UnixStreamLink};
use becket_wire::{Head, HeadError, Kind};
use fastrand::Rng;
use proptest::prelude::*;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};

use super::factory::{BODY_BYTES_MAX, limits};
use becket_ipc::transport::conformance::descriptors::assert_closed;
use becket_ipc::transport::conformance::waiting::{Waiting, frame, numbers, take};

fn stream() -> (Socket, Waiting) {
    let (raw, socket) = Socket::pair(SocketKind::Stream).unwrap();
    (raw, Waiting::new(Box::new(UnixStreamLink::new(socket, &[], limits()).unwrap())))
}

fn seqpacket() -> (Socket, Waiting) {
    let (raw, socket) = Socket::pair(SocketKind::Seqpacket).unwrap();
    (raw, Waiting::new(Box::new(SeqpacketLink::new(socket, limits()).unwrap())))
}

fn bytes_of(number: u64, body_bytes: usize) -> Vec<u8> {
    let (head, body) = frame(number, body_bytes);
    [head.encode().as_slice(), &body].concat()
}

fn write(raw: &mut Socket, bytes: &[u8]) {
    assert_eq!(raw.write_handshake(bytes).unwrap(), Some(bytes.len()));
}

/// Bytes with descriptors as ancillary data of the first, in one call.
fn write_beside(raw: &Socket, bytes: &[u8], descriptors: &[OwnedFd]) {
    let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(|fd| fd.as_fd()).collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(64))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&borrowed)));
    let sent = rustix::net::sendmsg(raw, &[IoSlice::new(bytes)], &mut control, SendFlags::empty())
        .unwrap();
    assert_eq!(sent, bytes.len());
}

fn pipes(count: usize) -> (Vec<PipeReader>, Vec<OwnedFd>) {
    (0..count).map(|_| std::io::pipe().unwrap()).map(|(r, w)| (r, OwnedFd::from(w))).unzip()
}

#[test]
fn frames_before_garbage_are_passed_on_then_the_link_ends() {
    for (mut raw, mut link) in [stream(), seqpacket()] {
        write(&mut raw, &bytes_of(1, 10));
        write(&mut raw, &bytes_of(2, 0));
        write(&mut raw, &[0xff; 24]);
        write(&mut raw, &bytes_of(3, 10));
        let (came, error) = link.receive_all();
        assert_eq!(numbers(&came), [1, 2]);
        assert_eq!(error, LinkError::Garbled(HeadError::UnknownKind(0xff)));
        for _ in 0..2 {
            assert_eq!(link.link.take(9, &mut |_, _| panic!("nothing more")), Err(error));
            assert!(link.link.prepare_wait());
        }
    }
}

#[test]
fn a_length_above_the_limit_ends_it_before_the_body_comes() {
    for (mut raw, mut link) in [stream(), seqpacket()] {
        let (bytes, bytes_max) = (BODY_BYTES_MAX + 1, BODY_BYTES_MAX);
        let expected = LinkError::BodyTooLong { bytes, bytes_max };
        let head = Head { length: bytes as u32, ..Head::new(Kind::Data) };
        write(&mut raw, &head.encode());
        let error = link.receive(1).map(|_| ()).unwrap_err();
        assert_eq!(error, expected);
    }
}

#[test]
fn a_packet_is_one_whole_frame() {
    let whole = bytes_of(1, 100);
    let one_and_more = [whole.clone(), bytes_of(2, 10)].concat();
    let above_the_buffer = bytes_of(1, BODY_BYTES_MAX + 1);
    for packet in [&[], &whole[..1], &whole[..23], &whole[..123], &one_and_more, &above_the_buffer]
    {
        let (mut raw, mut link) = seqpacket();
        write(&mut raw, packet);
        let error = link.receive(1).map(|_| ()).unwrap_err();
        assert!(
            matches!(error, LinkError::NotOneFrame { .. } | LinkError::BodyTooLong { .. }),
            "{error:?}"
        );
        assert_eq!(link.link.counters().frames_in, 0);
    }
}

#[test]
fn a_stream_may_be_cut_anywhere() {
    let bytes = [bytes_of(1, 0), bytes_of(2, 100), bytes_of(3, 1)].concat();
    for cut in 0..bytes.len() {
        let (mut raw, mut link) = stream();
        write(&mut raw, &bytes[..cut]);
        assert_eq!(raw.read_handshake(&mut [0; 8]), Ok(None));
        drop(raw);
        let (came, error) = link.receive_all();
        let whole = [24, 24 + 124, bytes.len()].iter().filter(|end| **end <= cut).count() as u64;
        assert_eq!(numbers(&came), Vec::from_iter(1..=whole));
        assert_eq!(error, LinkError::Closed, "cut at {cut}");
    }
}

#[test]
fn bytes_may_dribble() {
    let (mut raw, mut link) = stream();
    let bytes = [bytes_of(1, 3), bytes_of(2, 0)].concat();
    let mut came = Vec::new();
    for byte in &bytes {
        write(&mut raw, &[*byte]);
        came.extend(numbers(&take(&mut *link.link, 5).unwrap()));
    }
    assert_eq!(came, [1, 2]);
}

#[test]
fn bytes_read_with_the_handshake_are_not_lost() {
    let bytes = [bytes_of(1, 30), bytes_of(2, 9_000), bytes_of(3, 5)].concat();
    for split in [0, 10, 54, 60, 5_000, bytes.len() - 1] {
        let (mut raw, socket) = Socket::pair(SocketKind::Stream).unwrap();
        write(&mut raw, &bytes[split..]);
        let link = UnixStreamLink::new(socket, &bytes[..split], limits()).unwrap();
        let mut link = Waiting::new(Box::new(link));
        let mut came = Vec::new();
        while came.len() < 3 {
            came.extend(numbers(&link.receive(2).unwrap()));
        }
        assert_eq!(came, [1, 2, 3]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    /// Any bytes are frames, then an end; never a panic, and memory stays bounded.
    #[test]
    fn any_bytes_are_frames_and_an_end(pieces: Vec<Vec<u8>>, seed: u64) {
        for (mut raw, mut link) in [stream(), seqpacket()] {
            let mut rng = Rng::with_seed(seed);
            for (number, piece) in (0..).zip(&pieces) {
                let bytes = if rng.bool() { bytes_of(number, piece.len()) } else { piece.clone() };
                if !bytes.is_empty() && raw.write_handshake(&bytes).is_err() {
                    break;
                }
            }
            drop(raw);
            let mut frames = 0;
            let end = loop {
                match link.link.take(3, &mut |came, _| {
                    frames += 1;
                    assert!(came.body.len() <= BODY_BYTES_MAX);
                    assert_eq!(came.head.length as usize, came.body.len());
                }) {
                    Ok(_) => {}
                    Err(end) => break end,
                }
            };
            prop_assert_eq!(link.link.counters().frames_in, frames);
            let is_ours = matches!(end, LinkError::System(_) | LinkError::OwnFrame { .. });
            prop_assert!(!is_ours, "{}", end);
        }
    }
}

#[test]
fn descriptors_in_the_middle_of_a_frame_are_closed() {
    let (mut raw, mut link) = stream();
    let bytes = bytes_of(1, 100);
    write(&mut raw, &bytes[..50]);
    assert_eq!(take(&mut *link.link, 1).unwrap().len(), 0);
    let (readers, writers) = pipes(2);
    write_beside(&raw, &bytes[50..60], &writers);
    let (more_readers, more_writers) = pipes(1);
    write_beside(&raw, &bytes[60..], &more_writers);
    write(&mut raw, &bytes_of(2, 0));
    drop((writers, more_writers));
    let mut came = Vec::new();
    while came.len() < 2 {
        came.extend(link.receive(1).unwrap());
    }
    assert!(came.iter().all(|came| came.descriptors.is_empty()));
    // The last of them are closed before the link reads again.
    assert_eq!(take(&mut *link.link, 1).unwrap().len(), 0);
    readers.into_iter().chain(more_readers).for_each(assert_closed);
    assert_eq!(link.link.counters().descriptors_closed, 3);
}

#[test]
fn descriptors_above_the_limit_are_closed_and_counted() {
    for (raw, mut link) in [stream(), seqpacket()] {
        let (mut readers, writers) = pipes(40);
        write_beside(&raw, &bytes_of(1, 10), &writers);
        drop(writers);
        let came = link.receive(1).unwrap();
        assert_eq!(came[0].descriptors.len(), limits().descriptors_max);
        readers.split_off(limits().descriptors_max).into_iter().for_each(assert_closed);
        assert_eq!(link.link.counters().descriptors_cut, 1);
        drop(came);
        readers.into_iter().for_each(assert_closed);
    }
}

/// One byte and some descriptors, repeatedly, inside one frame: none is kept.
#[test]
fn a_flood_of_descriptors_is_not_kept() {
    let (mut raw, mut link) = stream();
    let bytes = bytes_of(1, 1_000);
    write(&mut raw, &bytes[..30]);
    assert_eq!(take(&mut *link.link, 1).unwrap().len(), 0);
    let mut all = Vec::new();
    for byte in &bytes[30..930] {
        let (readers, writers) = pipes(3);
        write_beside(&raw, &[*byte], &writers);
        drop(writers);
        assert_eq!(take(&mut *link.link, 1).unwrap().len(), 0);
        all.extend(readers);
    }
    write(&mut raw, &bytes[930..]);
    let came = link.receive(1).unwrap();
    assert!(came[0].descriptors.is_empty());
    all.into_iter().for_each(assert_closed);
}

#[test]
fn descriptors_with_a_handshake_are_closed() {
    let (raw, mut socket) = Socket::pair(SocketKind::Stream).unwrap();
    let (readers, writers) = pipes(3);
    write_beside(&raw, b"hello", &writers);
    drop(writers);
    assert_eq!(socket.read_handshake(&mut [0; 64]), Ok(Some(5)));
    readers.into_iter().for_each(assert_closed);
}

#[test]
fn a_packet_longer_than_the_handshake_buffer_is_an_error() {
    let (mut raw, mut socket) = Socket::pair(SocketKind::Seqpacket).unwrap();
    write(&mut raw, &[1; 100]);
    let read = socket.read_handshake(&mut [0; 64]);
    assert!(matches!(read, Err(LinkError::NotOneFrame { .. })), "{read:?}");
}

#[test]
fn a_link_needs_its_own_kind_of_socket() {
    let (one, _other) = Socket::pair(SocketKind::Seqpacket).unwrap();
    assert!(UnixStreamLink::new(one, &[], limits()).is_err());
    let (one, _other) = Socket::pair(SocketKind::Stream).unwrap();
    assert!(SeqpacketLink::new(one, limits()).is_err());
    let (_reader, writer) = std::io::pipe().unwrap();
    assert!(Socket::adopt(writer.into()).is_err());
}
