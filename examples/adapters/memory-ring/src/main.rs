// SPDX-License-Identifier: BSD-3-Clause
//! A camera and a printer: a thousand pictures of 64 KiB go through the ring by their descriptors. A
//! pool of eight blocks is enough for any number, and no byte is copied.

#![forbid(unsafe_code)]

use std::error::Error;
use std::thread;

use becket_chan::Kind;
use becket_zcopy::{Block, Class, Meta, Pool, Region, ZChannel};
use memory_ring::Options;

const PICTURES: usize = 1000;
const BYTES: usize = 64 << 10;

fn main() -> Result<(), Box<dyn Error>> {
    let region = Region::heap(8 * BYTES, Meta::default())?;
    let pool = Pool::new(&region, &[Class { block_bytes: BYTES, blocks: 8 }])?;
    let channel = ZChannel::new(Kind::Bounded, Some(4), None);
    channel.attach(memory_ring::register()?, &Options { bytes_max: BYTES, grant: 2 })?;

    // ANCHOR: threads
    let (printed, wrong) = thread::scope(|scope| {
        let printer = scope.spawn(|| {
            let (mut printed, mut wrong) = (0, 0);
            while let Ok(desc) = channel.recv().wait() {
                // The descriptor carries a reference to the block, which returns to the pool when
                // the claimed block is dropped.
                let Ok(picture) = Block::claim(&desc) else { break };
                let colour = printed as u8;
                wrong += usize::from(picture.iter().any(|byte| *byte != colour));
                printed += 1;
            }
            (printed, wrong)
        });
        for number in 0..PICTURES {
            let Ok(Ok(mut picture)) = pool.lease(BYTES).map(becket_zcopy::Leasing::wait) else {
                break;
            };
            picture.fill(number as u8);
            let Ok(mut desc) = picture.freeze().into_desc() else { break };
            if channel.send(&mut desc).wait().is_err() {
                Block::give_back(&desc);
                break;
            }
        }
        channel.close();
        printer.join().unwrap_or_default()
    });
    // ANCHOR_END: threads

    let counters = channel.counters();
    println!("{printed} pictures printed, {wrong} wrong");
    println!("{} bytes handed over by {} descriptors", counters.bytes_received, counters.received);
    Ok(())
}
