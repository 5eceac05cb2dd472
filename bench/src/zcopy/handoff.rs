// SPDX-License-Identifier: BSD-3-Clause
//! A block that is handed off: its size must not matter.

use becket_zcopy::{Block, Class, Desc, Meta, Pool, Region, ZChannel};

use super::table::{BLOCK_64, MESSAGE_64, OURS, Sides, failed, row, sum_below};
use crate::error::{BenchError, check};
use crate::harness::{Plan, Side, timed};
use crate::report::{Goal, Row};

const ROOM: usize = 1024;
const LARGE: usize = 1 << 20;
const SMALL: usize = 64;
const TIMES: f64 = 1.2;

/// Measures the rows.
pub(crate) fn rows(plan: Plan<'_>) -> Result<Vec<Row>, BenchError> {
    let rows = [
        row(
            plan,
            "1 MiB by its descriptor, both ends touched",
            Some(Goal::Times(TIMES, MESSAGE_64)),
            1,
            || Ok(vec![(OURS, descriptor()), (MESSAGE_64, message())]),
        )?,
        row(
            plan,
            "1 MiB handed off through bounded(1024)",
            Some(Goal::Times(TIMES, BLOCK_64)),
            1,
            || {
                let mut sides: Sides =
                    vec![(OURS, block(OURS, LARGE)?), (BLOCK_64, block(BLOCK_64, SMALL)?)];
                sides.extend(peers());
                Ok(sides)
            },
        )?,
    ];
    Ok(rows.into_iter().flatten().collect())
}

/// Memory of this process that both sides have, named by a descriptor without a pool.
fn descriptor() -> Side<'static> {
    let channel = ZChannel::bounded(ROOM);
    let mut memory = vec![0_u8; LARGE];
    timed(move |n| {
        let mut sum = 0_u64;
        for number in 0..n {
            write_ends(&mut memory, number).ok_or(BenchError::Worker)?;
            let desc = Desc::local(memory.as_mut_ptr(), LARGE);
            let mut desc = desc.map_err(|error| failed(OURS, error))?;
            channel.try_send(&mut desc).map_err(|error| failed(OURS, error))?;
            let desc = channel.try_recv().map_err(|error| failed(OURS, error))?;
            // SAFETY: the descriptor is the one that was sent: it names `memory`, which is not
            // written meanwhile.
            let bytes = unsafe { std::slice::from_raw_parts(desc.addr, desc.len) };
            sum = sum.wrapping_add(read_ends(bytes).ok_or(BenchError::Worker)?);
        }
        check(OURS, "the blocks that came", sum_below(n), sum)
    })
}

fn message() -> Side<'static> {
    let (tx, rx) = becket_chan::bounded::<[u64; SMALL / 8]>(ROOM);
    timed(move |n| {
        let mut sum = 0_u64;
        for number in 0..n {
            tx.try_send([number; SMALL / 8]).map_err(|_| failed(MESSAGE_64, "no room"))?;
            let got = rx.try_recv().map_err(|error| failed(MESSAGE_64, error))?;
            sum = sum.wrapping_add(got.first().copied().unwrap_or_default());
        }
        check(MESSAGE_64, "the messages that came", sum_below(n), sum)
    })
}

/// Lent, sent, claimed, given back.
fn block(column: &'static str, bytes: usize) -> Result<Side<'static>, BenchError> {
    let fail = move |error| failed(column, error);
    let region = Region::heap(4 * bytes, Meta::default()).map_err(fail)?;
    let class = Class { block_bytes: bytes, blocks: 4 };
    let pool = Pool::new(&region, &[class]).map_err(fail)?;
    let channel = ZChannel::bounded(ROOM);
    Ok(timed(move |n| {
        let mut sum = 0_u64;
        for number in 0..n {
            let mut lease = pool.try_lease(bytes).map_err(fail)?;
            write_ends(&mut lease, number).ok_or(BenchError::Worker)?;
            let desc = lease.freeze().into_desc();
            let mut desc = desc.map_err(|_| failed(column, "too many shares"))?;
            channel.try_send(&mut desc).map_err(|error| failed(column, error))?;
            let desc = channel.try_recv().map_err(|error| failed(column, error))?;
            let block = Block::claim(&desc).map_err(fail)?;
            sum = sum.wrapping_add(read_ends(&block).ok_or(BenchError::Worker)?);
        }
        check(column, "the blocks that came", sum_below(n), sum)
    }))
}

fn peers() -> Sides {
    let (tx, rx) = crossbeam_channel::bounded::<Vec<u8>>(ROOM);
    let crossbeam = timed(move |n| {
        let mut sum = 0_u64;
        for number in 0..n {
            let mut memory = vec![0; LARGE];
            write_ends(&mut memory, number).ok_or(BenchError::Worker)?;
            tx.try_send(memory).map_err(|_| failed("crossbeam", "no room"))?;
            let memory = rx.try_recv().map_err(|error| failed("crossbeam", error))?;
            sum = sum.wrapping_add(read_ends(&memory).ok_or(BenchError::Worker)?);
        }
        check("crossbeam", "the blocks that came", sum_below(n), sum)
    });
    let (tx, rx) = crossfire::mpmc::bounded_blocking::<Vec<u8>>(ROOM);
    let crossfire = timed(move |n| {
        let mut sum = 0_u64;
        for number in 0..n {
            let mut memory = vec![0; LARGE];
            write_ends(&mut memory, number).ok_or(BenchError::Worker)?;
            tx.try_send(memory).map_err(|_| failed("crossfire", "no room"))?;
            let memory = rx.try_recv().map_err(|error| failed("crossfire", error))?;
            sum = sum.wrapping_add(read_ends(&memory).ok_or(BenchError::Worker)?);
        }
        check("crossfire", "the blocks that came", sum_below(n), sum)
    });
    vec![("crossbeam", crossbeam), ("crossfire", crossfire)]
}

/// Writes the number into the first and the last word.
pub(crate) fn write_ends(bytes: &mut [u8], number: u64) -> Option<()> {
    *bytes.first_chunk_mut()? = number.to_le_bytes();
    *bytes.last_chunk_mut()? = number.to_le_bytes();
    Some(())
}

/// The number, if the first and the last word are the same.
pub(crate) fn read_ends(bytes: &[u8]) -> Option<u64> {
    let first = u64::from_le_bytes(*bytes.first_chunk()?);
    let last = u64::from_le_bytes(*bytes.last_chunk()?);
    (first == last).then_some(first)
}
