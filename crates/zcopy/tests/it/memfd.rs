// SPDX-License-Identifier: BSD-3-Clause
//! Regions that cross to another process: the seals, the checks of the importing side, and reads
//! during writes.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use becket_zcopy::{Class, Desc, Error, ImportedRegion, Meta, Pool, Region};
use rustix::fs::{
    MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, ftruncate, memfd_create,
};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap};

fn import(region: &Region) -> ImportedRegion {
    let export = region.export().unwrap();
    let fd = export.fd.try_clone_to_owned().unwrap();
    ImportedRegion::import(fd, export.id, export.bytes, *region.meta()).unwrap()
}

fn bare_file(bytes: u64, seals: SealFlags) -> OwnedFd {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let fd = memfd_create("bare", flags).unwrap();
    ftruncate(&fd, bytes).unwrap();
    fcntl_add_seals(&fd, seals).unwrap();
    fd
}

const FIXED: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);

#[test]
fn what_one_side_writes_the_other_reads() {
    let region = Region::memfd(1 << 16, Meta::default()).unwrap();
    let pool = Pool::new(&region, &[Class { block_bytes: 4096, blocks: 4 }]).unwrap();
    let imported = import(&region);
    assert!(!imported.is_frozen());
    assert_eq!((imported.id(), imported.bytes()), (region.id(), 1 << 16));
    let mut lease = pool.try_lease(1000).unwrap();
    for (at, byte) in lease.iter_mut().enumerate() {
        *byte = at as u8;
    }
    let block = lease.freeze();
    let view = imported.resolve(&block.desc()).unwrap();
    assert_eq!(view.to_vec(), &*block);
    assert!(view.as_slice().is_none(), "its owner may write it");
    // SAFETY: the block is held: its bytes are not written.
    assert_eq!(unsafe { view.as_slice_unchecked() }, &*block);
    let (mut buffer, mut all) = ([0; 7], Vec::new());
    view.chunks(&mut buffer, |piece| all.extend_from_slice(piece));
    assert_eq!(all, &*block);
    assert_eq!(view.copy_to(998, &mut buffer), 2);
    assert_eq!(view.copy_to(1000, &mut buffer), 0);
    assert_eq!(view.copy_to(usize::MAX, &mut buffer), 0);
}

#[test]
fn no_other_mapping_writes_truncates_or_unseals() {
    let region = Region::memfd(8192, Meta::default()).unwrap();
    let fd = region.export().unwrap().fd;
    let sealed = FIXED | SealFlags::SEAL | SealFlags::FUTURE_WRITE;
    assert_eq!(fcntl_get_seals(fd).unwrap(), sealed);
    assert_eq!(ftruncate(fd, 0), Err(Errno::PERM));
    assert_eq!(ftruncate(fd, 1 << 20), Err(Errno::PERM));
    assert_eq!(fcntl_add_seals(fd, SealFlags::WRITE), Err(Errno::PERM));
    assert_eq!(rustix::io::pwrite(fd, b"x", 0), Err(Errno::PERM));
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, which is refused.
    let map = unsafe { mmap(std::ptr::null_mut(), 8192, protection, MapFlags::SHARED, fd, 0) };
    assert_eq!(map, Err(Errno::PERM));
}

#[test]
fn a_filled_file_never_changes_and_is_a_slice_on_both_sides() {
    let region = Region::memfd_filled(b"for ever", Meta::default()).unwrap();
    assert_eq!(region.pin(0, 8).unwrap().as_slice(), Some(&b"for ever"[..]));
    assert_eq!(rustix::io::pwrite(region.export().unwrap().fd, b"x", 0), Err(Errno::PERM));
    let imported = import(&region);
    assert!(imported.is_frozen());
    assert_eq!(imported.translate(4, 4).unwrap().as_slice(), Some(&b"ever"[..]));
    let classes = [Class { block_bytes: 1, blocks: 1 }];
    assert_eq!(Pool::new(&region, &classes).unwrap_err(), Error::NotPoolable);
}

#[test]
fn a_file_that_could_shrink_is_refused() {
    let try_import = |fd| ImportedRegion::import(fd, 1 << 32, 4096, Meta::default()).unwrap_err();
    for seals in [SealFlags::empty(), SealFlags::SHRINK, SealFlags::GROW, SealFlags::WRITE] {
        let error = Error::NotSealed { seals: seals.bits() };
        assert_eq!(try_import(bare_file(4096, seals)), error);
    }
    // A file of a file system has no seals at all.
    let plain = std::fs::File::open("/proc/self/exe").unwrap();
    assert_eq!(try_import(plain.into()), Error::NotSealed { seals: 0 });
}

#[test]
fn a_file_of_another_length_than_announced_is_refused() {
    for announced in [1, 4095, 4097, 1 << 40, u64::MAX] {
        let fd = bare_file(4096, FIXED);
        let error = ImportedRegion::import(fd, 1 << 32, announced, Meta::default()).unwrap_err();
        assert_eq!(error, Error::WrongSize { announced, found: 4096 });
    }
    let fd = bare_file(0, FIXED);
    let error = ImportedRegion::import(fd, 1 << 32, 0, Meta::default()).unwrap_err();
    assert_eq!(error, Error::Empty);
}

#[test]
fn only_what_is_within_is_translated() {
    let imported = import(&Region::memfd(4096, Meta::default()).unwrap());
    for (offset, len) in [(0, 4097), (4096, 1), (4095, 2), (u64::MAX, 1), (1, usize::MAX)] {
        let error = imported.translate(offset, len).unwrap_err();
        assert_eq!(error, Error::OutOfRange { offset, len: len as u64, bytes: 4096 });
    }
    assert_eq!(imported.translate(0, 0).unwrap_err(), Error::Empty);
    let other = Desc::in_region(imported.id() ^ (2 << 32), 0, 1).unwrap();
    let error = Error::Stale { region_id: other.region_id };
    assert_eq!(imported.resolve(&other).unwrap_err(), error);
}

#[test]
fn a_view_outlives_what_made_it_and_revocation_ends_translation() {
    let region = Region::memfd_filled(b"still here", Meta::default()).unwrap();
    let imported = import(&region);
    let view = imported.translate(0, 5).unwrap();
    imported.revoke();
    let error = Error::Revoked { region_id: imported.id() };
    assert_eq!(imported.translate(0, 5).unwrap_err(), error);
    drop((region, imported));
    assert_eq!(view.to_vec(), b"still");
}

#[test]
fn only_a_memfd_is_exported_and_only_while_it_is_there() {
    let heap = Region::heap(8, Meta::default()).unwrap();
    assert_eq!(heap.export().unwrap_err(), Error::NotExportable);
    let region = Region::memfd(8, Meta::default()).unwrap();
    let export = region.export().unwrap();
    assert_eq!(u64::from(export.generation), export.id >> 32);
    region.revoke();
    assert!(matches!(region.export(), Err(Error::Revoked { .. })));
    region.deregister().wait().unwrap();
    assert!(matches!(region.export(), Err(Error::Stale { .. })));
}

/// The owner writes without end. Each byte that is read is one that was written, whatever the
/// mixture.
#[test]
fn reading_while_it_is_written_is_harmless() {
    let region = Region::memfd(1 << 16, Meta::default()).unwrap();
    let pool = Pool::new(&region, &[Class { block_bytes: 1 << 15, blocks: 1 }]).unwrap();
    let imported = import(&region);
    let stop = AtomicBool::new(false);
    let mut lease = pool.try_lease(1 << 15).unwrap();
    lease.fill(1);
    thread::scope(|scope| {
        scope.spawn(|| {
            for round in (1..=2_u8).cycle().take_while(|_| !stop.load(Ordering::Relaxed)) {
                lease.fill(round);
            }
        });
        let view = imported.translate(0, 1 << 15).unwrap();
        for _ in 0..200 {
            assert!(view.to_vec().iter().all(|byte| (1..=2).contains(byte)));
        }
        stop.store(true, Ordering::Relaxed);
    });
}
