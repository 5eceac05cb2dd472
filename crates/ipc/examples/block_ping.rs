// SPDX-License-Identifier: BSD-3-Clause
//! A mebibyte sent to another process and another one back, as descriptors; and a stream of them,
//! written here and read there.
//!
//! ```sh
//! cargo run --release -p becket-ipc --example block_ping -- [--threads] [--socket]
//! ```
//!
//! Each process has a pool in memory of its own, which the other has mapped. A round trip is a
//! block of each process, both released; no byte of them is copied. In the stream each byte is
//! written here, and read there by a copy out of the mapping.

mod common;

use std::path::Path;
use std::time::Instant;

use becket_chan::bounded;
use becket_ipc::blocks::BlockRef;
use becket_ipc::{Client, Element, ReceiverOptions, Server};
use becket_zcopy::{Class, Meta, Pool, Region};
use common::{Arguments, Error};

const BYTES: usize = 1 << 20;
const BLOCKS: u32 = 32;
const ROUNDS: u32 = 50_000;
const FILLED: u32 = 2_000;
const REPETITIONS: usize = 7;

fn main() -> Result<(), Error> {
    common::run(serve, measure)
}

fn measure(client: &Client, _: &Arguments) -> Result<(), Error> {
    let tx = client.sender("ping").wait()?;
    let rx = client.receiver_with("pong", ReceiverOptions::window(16)).wait()?;
    let ahead = tx.ahead();
    let pool = pool()?;
    let trip = |element: Element| -> Result<Element, Error> {
        ahead.send(element).wait()?;
        Ok(rx.recv().wait()?)
    };
    // Both have mapped the other's memory when a block is answered by a block.
    let is_block = |element: &Element| matches!(element.as_block(), Some(BlockRef::Peers(_)));
    while !is_block(&trip(pool.try_lease(BYTES)?.freeze().into())?) {}

    let copied = tx.blocks().copied;
    let mut trips = Vec::new();
    for _ in 0..REPETITIONS {
        let began = Instant::now();
        for _ in 0..ROUNDS {
            let block = pool.lease(BYTES)?.wait()?.freeze();
            if !is_block(&trip(block.into())?) {
                return Err("bytes came back".into());
            }
        }
        trips.push(began.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
    }
    let mut small = Vec::new();
    let element = Element::from(vec![7_u8; 64]);
    for _ in 0..REPETITIONS {
        let began = Instant::now();
        for _ in 0..ROUNDS {
            if trip(element.clone())?.len() != 64 {
                return Err("another element came back".into());
            }
        }
        small.push(began.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
    }
    if tx.blocks().copied != copied {
        return Err("blocks were copied".into());
    }
    report("1 MiB there, 1 MiB back", &mut trips, "ns");
    report("64 B there and back", &mut small, "ns");

    let sums = client.sender("sums").wait()?;
    let sums_ahead = sums.ahead();
    let sum = client.receiver_with("sum", ReceiverOptions::window(1)).wait()?;
    let mut rates = Vec::new();
    for repetition in 0..REPETITIONS {
        let began = Instant::now();
        for number in 0..FILLED {
            let mut lease = pool.lease(BYTES)?.wait()?;
            lease.fill(number as u8);
            sums_ahead.send(lease.freeze().into()).wait()?;
        }
        // The last one has been read, and every block had the right bytes.
        let read = sum.recv().wait()?;
        let seconds = began.elapsed().as_secs_f64();
        if read.as_slice() != (u64::from(FILLED) * (repetition as u64 + 1)).to_le_bytes() {
            return Err("not all arrived as they were filled".into());
        }
        rates.push(f64::from(FILLED) * BYTES as f64 / seconds / 1e9);
    }
    report("1 MiB filled and read", &mut rates, "GB/s");
    let counts = client.sender("ping").wait()?.blocks();
    println!("{} blocks as descriptors, {} as bytes", counts.sent, counts.copied);
    Ok(())
}

fn report(what: &str, values: &mut [f64], unit: &str) {
    values.sort_by(f64::total_cmp);
    if let ([least, .., most], Some(median)) = (&*values, values.get(values.len() / 2)) {
        println!(
            "{what}: {median:.1} {unit} (median of {}, {least:.1} to {most:.1})",
            values.len()
        );
    }
}

fn pool() -> Result<Pool, Error> {
    let region = Region::memfd(BYTES * BLOCKS as usize, Meta::default())?;
    Ok(Pool::new(&region, &[Class { block_bytes: BYTES, blocks: BLOCKS }])?)
}

/// Answers blocks with blocks and bytes with bytes, and reads the stream, until standard input
/// ends.
fn serve(path: &Path) -> Result<(), Error> {
    let server = Server::bind(path)?;
    let (ping_tx, ping_rx) = bounded::<Element>(64);
    let (pong_tx, pong_rx) = bounded::<Element>(64);
    let (sums_tx, sums_rx) = bounded::<Element>(64);
    let (sum_tx, sum_rx) = bounded::<Element>(64);
    server.export("ping", Some(ping_tx), None)?;
    server.export("pong", None, Some(pong_rx))?;
    server.export("sums", Some(sums_tx), None)?;
    server.export("sum", None, Some(sum_rx))?;
    let pool = pool()?;
    let runtime = becket_coro::Runtime::builder().workers(1).build()?;
    let echo = runtime.spawn(move || -> Result<(), Error> {
        while let Ok(element) = ping_rx.recv().wait() {
            let answer = match element.len() {
                BYTES => pool.lease(BYTES)?.wait()?.freeze().into(),
                _ => element,
            };
            if pong_tx.send(answer).wait().is_err() {
                break;
            }
        }
        Ok(())
    });
    let reader = runtime.spawn(move || {
        let mut buffer = vec![0; 32 << 10];
        let (mut seen, mut right) = (0_u32, 0_u64);
        while let Ok(element) = sums_rx.recv().wait() {
            let wanted = seen as u8;
            let mut sound = true;
            match element.as_block() {
                Some(BlockRef::Peers(block)) => block.view().chunks(&mut buffer, |piece| {
                    // Every byte is copied; the first and the last of each piece are compared.
                    sound &= piece.first() == Some(&wanted) && piece.last() == Some(&wanted);
                }),
                _ => sound = element.as_slice().iter().all(|byte| *byte == wanted),
            }
            right += u64::from(sound);
            seen = (seen + 1) % FILLED;
            let total = Element::from(right.to_le_bytes().to_vec());
            if seen == 0 && sum_tx.send(total).wait().is_err() {
                break;
            }
        }
    });
    common::serve_until_stdin_ends()?;
    drop(server);
    echo.join().map_err(|error| error.to_string())??;
    reader.join().map_err(|error| error.to_string())?;
    Ok(())
}
