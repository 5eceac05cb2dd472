// SPDX-License-Identifier: BSD-3-Clause
//! What the book shows of zero copy. Each part is a test, and `cargo run -p becket-zcopy --example
//! zero_copy` runs them one after the other.

use std::error::Error;
use std::time::Duration;

use becket_chan::bounded;
use becket_zcopy::{
    Block, Check, Class, DeregisterError, Desc, ImportedRegion, Meta, Pinned, Pool, Region,
    ZChannel,
};

type Done = Result<(), Box<dyn Error>>;

fn main() -> Done {
    blocks()?;
    descriptors()?;
    regions()?;
    other_process()?;
    metadata()?;
    println!("blocks, descriptors, regions, another process, metadata: as the book says");
    Ok(())
}

fn blocks() -> Done {
    // ANCHOR: blocks
    let region = Region::heap(1 << 20, Meta::default())?;
    let classes =
        [Class { block_bytes: 4 << 10, blocks: 64 }, Class { block_bytes: 64 << 10, blocks: 8 }];
    let pool = Pool::new(&region, &classes)?;
    let (tx, rx) = bounded::<Block>(16);

    let mut lease = pool.try_lease(10_000)?; // a block of 64 KiB, exclusively ours
    lease.fill(42);
    tx.send(lease.freeze()).wait()?; // from here on it is read-only

    let block = rx.recv().wait()?;
    assert!(block.iter().all(|byte| *byte == 42));
    let head = block.part(0, 16)?; // with a reference of its own
    drop(block);
    drop(head); // the last reference: the block is back in the pool
    // ANCHOR_END: blocks
    assert_eq!(pool.snapshot().iter().map(|class| class.free).sum::<usize>(), 72);
    Ok(())
}

fn descriptors() -> Done {
    let region = Region::heap(1 << 16, Meta::default())?;
    let pool = Pool::new(&region, &[Class { block_bytes: 4096, blocks: 8 }])?;
    // ANCHOR: descriptors
    let channel = ZChannel::bounded(8);

    let mut lease = pool.try_lease(5)?;
    lease.copy_from_slice(b"hello");
    let mut desc = lease.freeze().into_desc().map_err(|_| "too many shares")?;
    if let Err(failure) = channel.send(&mut desc).timeout(Duration::from_secs(1)).wait() {
        Block::give_back(&desc); // not sent: it is still ours
        return Err(failure.into());
    }

    let desc = channel.recv().wait()?;
    let block = Block::claim(&desc)?; // once; its region, range and generation are checked
    assert_eq!(&*block, b"hello");
    assert!(Block::claim(&desc).is_err());
    // ANCHOR_END: descriptors
    Ok(())
}

fn regions() -> Done {
    // ANCHOR: deregister
    let region = Region::filled(b"0123456789", Meta::default())?;
    let pinned = region.pin(2, 3)?;
    assert_eq!(pinned.as_slice(), Some(&b"234"[..]));

    let soon = region.deregister().timeout(Duration::from_millis(1)).wait();
    assert_eq!(soon, Err(DeregisterError::TimedOut)); // `pinned` still exists

    drop(pinned);
    region.deregister().wait()?; // now the memory has been released
    let stale = Desc::in_region(region.id(), 0, 1)?;
    assert!(Pinned::of(&stale).is_err()); // and its id is never reused
    // ANCHOR_END: deregister
    Ok(())
}

fn other_process() -> Done {
    // ANCHOR: export
    // The owner: memory that only this process can write, in an anonymous file.
    let region = Region::memfd(1 << 20, Meta::default())?;
    let pool = Pool::new(&region, &[Class { block_bytes: 4096, blocks: 256 }])?;
    let mut lease = pool.try_lease(4096)?;
    lease.fill(7);
    let block = lease.freeze(); // kept until the importer is done with it
    let export = region.export()?; // fd, bytes, id: to be announced

    // The importer: checks seals and length, then maps the file read-only.
    let fd = export.fd.try_clone_to_owned()?;
    let imported = ImportedRegion::import(fd, export.id, export.bytes, Meta::default())?;
    let view = imported.translate(block.offset(), block.len())?;
    let mut copy = [0; 64];
    let count = view.copy_to(0, &mut copy); // each byte is read once
    // ANCHOR_END: export
    assert_eq!((count, copy), (64, [7; 64]));
    Ok(())
}

fn metadata() -> Done {
    // ANCHOR: meta
    const SAMPLES: u64 = 0x5A;
    let samples = Meta {
        element: SAMPLES,
        element_bytes: 4,
        align: 4,
        shape: [2, 512, 0, 0],
        check: Check::Strict,
    };
    let region = Region::heap(4096, samples)?;
    assert!(region.meta().expect(&Meta { element_bytes: 8, ..samples }).is_err());
    assert!(region.pin(2, 4).is_err()); // does not begin with an element
    // ANCHOR_END: meta
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_book_run() -> Done {
        main()
    }
}
