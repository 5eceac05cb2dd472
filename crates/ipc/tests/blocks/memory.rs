// SPDX-License-Identifier: BSD-3-Clause
//! Pools, and the users of their memory.

use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

use becket_zcopy::{Block, Class, Meta, Pool, Region};

pub(crate) const HANGS: Duration = Duration::from_secs(300);

/// The value for the form of a test that is asked for: `BECKET_TEST_LONG` asks for the long one.
pub(crate) fn or_long<T>(short: T, long: T) -> T {
    if std::env::var_os("BECKET_TEST_LONG").is_some() { long } else { short }
}

pub(crate) fn pool(block_bytes: usize, blocks: u32) -> (Region, Pool) {
    let bytes = block_bytes.next_multiple_of(64) * blocks as usize;
    let region = Region::memfd(bytes, Meta::default()).unwrap();
    let pool = Pool::new(&region, &[Class { block_bytes, blocks }]).unwrap();
    (region, pool)
}

/// A block whose bytes are a function of `seed`.
pub(crate) fn filled(pool: &Pool, len: usize, seed: u8) -> Block {
    let mut lease = pool.lease(len).unwrap().timeout(HANGS).wait().unwrap();
    lease.iter_mut().enumerate().for_each(|(at, byte)| *byte = at as u8 ^ seed);
    lease.freeze()
}

pub(crate) fn is_filled(bytes: &[u8], seed: u8) -> bool {
    bytes.iter().enumerate().all(|(at, byte)| *byte == at as u8 ^ seed)
}

/// Waits until every block is free.
pub(crate) fn all_free(pool: &Pool) {
    let classes = pool.snapshot();
    let lens = classes.iter().flat_map(|class| (0..class.blocks).map(|_| class.block_bytes));
    let leases: Vec<_> = lens
        .map(|len| pool.lease(len).unwrap().timeout(HANGS).wait().expect("a block is not free"))
        .collect();
    drop(leases);
    assert_eq!(pool.tampered(), 0);
}

/// The number of mappings of a region's file, and of its descriptors, in this process.
pub(crate) fn holds(region: &Region) -> (usize, usize) {
    let fd = region.export().unwrap().fd.as_raw_fd();
    let of = |name: &str| std::fs::metadata(format!("/proc/self/fd/{name}")).ok();
    let inode = of(&fd.to_string()).unwrap().ino();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mapped = maps.lines().filter(|line| {
        line.contains("becket-region") && line.split_whitespace().nth(4) == Some(&inode.to_string())
    });
    let open = std::fs::read_dir("/proc/self/fd").unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        let is_memfd = std::fs::read_link(format!("/proc/self/fd/{}", name.to_string_lossy()))
            .is_ok_and(|target| target.to_string_lossy().contains("becket-region"));
        is_memfd && of(&name.to_string_lossy()).is_some_and(|found| found.ino() == inode)
    });
    (mapped.count(), open.count())
}

pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < HANGS, "in vain: {what}");
        std::thread::yield_now();
    }
}
