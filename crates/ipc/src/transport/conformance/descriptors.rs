// SPDX-License-Identifier: BSD-3-Clause
//! File descriptors as ancillary data of frames, over any transport.

use std::fs::File;
use std::io::{PipeReader, Read as _};
use std::os::fd::OwnedFd;

use fastrand::Rng;

use rustix::fs::{MemfdFlags, memfd_create};

use super::LinkFactory;
use super::waiting::{Waiting, put, take};
use crate::transport::{LinkError, LinkLimits};

/// A file with an identity.
fn file() -> (OwnedFd, u64) {
    let file = memfd_create("becket-conformance", MemfdFlags::CLOEXEC).unwrap();
    let inode = inode(&file);
    (file, inode)
}

fn inode(file: impl std::os::fd::AsFd) -> u64 {
    rustix::fs::fstat(file).unwrap().st_ino
}

/// Small and large frames, flushed together or separately: each has the files it was put with.
pub fn arrive_with_their_frame<F: LinkFactory>() {
    for seed in 0..20 {
        let mut rng = Rng::with_seed(seed);
        let (mut from, to) = F::pair();
        let mut to = Waiting::new(to);
        let mut expected = Vec::new();
        let mut came = Vec::new();
        for number in 0..60 {
            let body_bytes = *rng.choice(&[0, 1, 40, 5_000, 19_000]).unwrap();
            let files: Vec<_> =
                (0..rng.usize(0..4).saturating_sub(rng.usize(0..3))).map(|_| file()).collect();
            let inodes: Vec<_> = files.iter().map(|(_, inode)| *inode).collect();
            let open: Vec<_> = files.into_iter().map(|(file, _)| file).collect();
            if !open.is_empty() {
                from.put_descriptors(open).unwrap();
            }
            while put(&mut *from, number, body_bytes).is_err() {
                from.flush().unwrap();
                came.extend(take(&mut *to.link, rng.usize(1..9)).unwrap());
            }
            expected.push(inodes);
            if rng.bool() {
                from.flush().unwrap();
            }
            if rng.u8(..4) == 0 {
                came.extend(take(&mut *to.link, rng.usize(1..9)).unwrap());
            }
        }
        while came.len() < 60 {
            from.flush().unwrap();
            came.extend(to.receive(100).unwrap());
        }
        for (at, came) in came.iter().enumerate() {
            let inodes: Vec<_> = came.descriptors.iter().map(inode).collect();
            assert_eq!(inodes, expected[at], "frame {at}, seed {seed}");
            for descriptor in &came.descriptors {
                let flags = rustix::io::fcntl_getfd(descriptor).unwrap();
                assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
            }
        }
        let total = expected.iter().map(Vec::len).sum::<usize>() as u64;
        assert_eq!(from.counters().descriptors_out, total);
        assert_eq!(to.link.counters().descriptors_in, total);
        assert_eq!(to.link.counters().descriptors_closed, 0);
    }
}

/// A pipe's reader reaches the end: no writer is open any more.
pub fn are_closed_if_not_taken<F: LinkFactory>() {
    let (from, to) = F::pair();
    let (mut from, mut to) = (Waiting::new(from), Waiting::new(to));
    let (reader, writer) = std::io::pipe().unwrap();
    from.link.put_descriptors(vec![writer.into()]).unwrap();
    from.send(1, 10);
    let mut seen = 0;
    while seen == 0 {
        seen = to.link.take(5, &mut |_, ancillary| assert_eq!(ancillary.len(), 1)).unwrap();
        if seen == 0 {
            to.wait();
        }
    }
    assert_closed(reader);
    assert_eq!(to.link.counters().descriptors_closed, 1);

    // Nor are those of frames that are not read.
    let (reader, writer) = std::io::pipe().unwrap();
    from.link.put_descriptors(vec![writer.into()]).unwrap();
    from.send(2, 10);
    drop((from, to));
    assert_closed(reader);
}

/// As many as no frame carries are refused, and the link goes on.
pub fn too_many_are_refused<F: LinkFactory>() {
    let (mut from, _to) = F::pair();
    let count = LinkLimits::DESCRIPTORS_MAX + 1;
    let many = (0..count).map(|_| OwnedFd::from(File::open("/dev/null").unwrap())).collect();
    let refused = from.put_descriptors(many).unwrap_err();
    assert!(matches!(refused, LinkError::TooManyDescriptors { count: put, .. } if put == count));
    put(&mut *from, 1, 1).unwrap();
    assert!(from.flush().unwrap(), "the link goes on");
}

/// For a link that carries none: it says so, and goes on.
pub fn are_refused<F: LinkFactory>() {
    let (from, to) = F::pair();
    let (mut from, mut to) = (Waiting::new(from), Waiting::new(to));
    let refused = from.link.put_descriptors(vec![file().0]).unwrap_err();
    assert_eq!(refused, LinkError::TooManyDescriptors { count: 1, count_max: 0 });
    from.link.put_descriptors(Vec::new()).unwrap();
    from.send(1, 1);
    assert_eq!(to.receive(1).unwrap()[0].descriptors.len(), 0, "the link goes on");
}

/// Returns once no writer is left.
pub fn assert_closed(mut reader: PipeReader) {
    assert_eq!(reader.read(&mut [0]).unwrap(), 0);
}
