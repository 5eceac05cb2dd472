// SPDX-License-Identifier: BSD-3-Clause
//! Four threads to four: 4 KiB blocks by pointer; bits are counted when they are received.

use std::mem::MaybeUninit;

use becket_zcopy::{Block, Class, Meta, Pool, Region, ZChannel};
use rustix::thread::CpuSet;

use super::handoff::{read_ends, write_ends};
use super::table::{OURS, Sides, failed, gigabits, row, sum_below};
use crate::crew::{Job, Role, Work, crew};
use crate::error::BenchError;
use crate::harness::{Plan, Side};
use crate::ipc::payload::sum;
use crate::report::{Goal, Row};

const SIDES: u64 = 4;
const ROOM: usize = 1024;
const BYTES: usize = 4096;
/// What the channel holds, and one more for each thread.
const BLOCKS: u32 = ROOM as u32 + 2 * SIDES as u32;
const GOAL: f64 = 100.0;
const OPERATION: &str = "4 KiB from four threads to four";

/// How much of a block is touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Touch {
    Ends,
    All,
}

/// Measures the rows.
pub(crate) fn rows(plan: Plan<'_>, cpus: CpuSet) -> Result<Vec<Row>, BenchError> {
    let plan = plan.with_threads();
    let goal = Some(Goal::Figure(GOAL));
    let rows = [
        ("4 to 4 threads, 4 KiB by pointer: Gbit/s", goal, Touch::Ends),
        ("4 to 4 threads, 4 KiB filled and read: Gbit/s", None, Touch::All),
    ];
    let mut measured = Vec::new();
    for (name, goal, touch) in rows {
        let row = row(plan, name, goal, SIDES, || sides(plan, cpus, touch))?;
        measured.extend(row.map(|row| gigabits(row, 8.0 * BYTES as f64)));
    }
    Ok(measured)
}

fn sides(plan: Plan<'_>, cpus: CpuSet, touch: Touch) -> Result<Sides, BenchError> {
    let job = |host| Job { host, operation: OPERATION, cpus, tries_max: plan.tries_max() / 3 };
    Ok(vec![
        (OURS, ours(job(OURS), touch)?),
        ("crossbeam", crossbeam(job("crossbeam"), touch)?),
        ("crossfire", crossfire(job("crossfire"), touch)?),
        ("kanal", kanal(job("kanal"), touch)?),
    ])
}

/// Senders and receivers, whose answers sum up to the numbers and the bytes that came.
fn four_to_four(
    job: Job,
    sender: impl Fn() -> Box<dyn FnMut(u64) -> Result<(), BenchError> + Send>,
    receiver: impl Fn() -> Box<dyn FnMut() -> Result<u64, BenchError> + Send>,
) -> Result<Side<'static>, BenchError> {
    let mut roles = Vec::new();
    for _ in 0..SIDES {
        let mut receive = receiver();
        let work: Work = Box::new(move |n| {
            let mut sum = 0_u64;
            for _ in 0..n {
                sum = sum.wrapping_add(receive()?);
            }
            Ok(sum)
        });
        roles.push(Role { cpu: None, work });
    }
    for index in 0..SIDES {
        let mut send = sender();
        let work: Work = Box::new(move |n| {
            (index * n..(index + 1) * n).try_for_each(&mut send)?;
            Ok(0)
        });
        roles.push(Role { cpu: None, work });
    }
    crew(job, roles, |n| sum_below(SIDES * n).wrapping_add(SIDES * n * BYTES as u64))
}

fn ours(job: Job, touch: Touch) -> Result<Side<'static>, BenchError> {
    let fail = |error| failed(OURS, error);
    let region = Region::heap(BLOCKS as usize * BYTES, Meta::default()).map_err(fail)?;
    let class = Class { block_bytes: BYTES, blocks: BLOCKS };
    let pool = Pool::new(&region, &[class]).map_err(fail)?;
    let channel = ZChannel::bounded(ROOM);
    let to = channel.clone();
    four_to_four(
        job,
        move || {
            let (pool, channel) = (pool.clone(), to.clone());
            Box::new(move |number| {
                let lease = pool.lease(BYTES).map_err(fail)?.wait();
                let mut lease = lease.map_err(|error| failed(OURS, error))?;
                write(&mut lease, number, touch)?;
                let desc = lease.freeze().into_desc();
                let mut desc = desc.map_err(|_| failed(OURS, "too many shares"))?;
                channel.send(&mut desc).wait().map_err(|error| failed(OURS, error))
            })
        },
        move || {
            let channel = channel.clone();
            Box::new(move || {
                let desc = channel.recv().wait().map_err(|error| failed(OURS, error))?;
                read(&Block::claim(&desc).map_err(fail)?, touch)
            })
        },
    )
}

macro_rules! boxes {
    ($peer:ident, $column:literal, $open:expr) => {
        fn $peer(job: Job, touch: Touch) -> Result<Side<'static>, BenchError> {
            let (tx, rx) = $open;
            four_to_four(
                job,
                move || {
                    let tx = tx.clone();
                    Box::new(move |number| {
                        let sent = tx.send(write_box(number, touch));
                        sent.map_err(|_| failed($column, "closed"))
                    })
                },
                move || {
                    let rx = rx.clone();
                    Box::new(move || {
                        read_box(&rx.recv().map_err(|error| failed($column, error))?, touch)
                    })
                },
            )
        }
    };
}

boxes!(crossbeam, "crossbeam", crossbeam_channel::bounded::<Boxed>(ROOM));
boxes!(crossfire, "crossfire", crossfire::mpmc::bounded_blocking::<Boxed>(ROOM));
boxes!(kanal, "kanal", kanal::bounded::<Boxed>(ROOM));

/// Writes the number into the ends of a block, or into all of its words.
fn write(block: &mut [u8], number: u64, touch: Touch) -> Result<(), BenchError> {
    if touch == Touch::All {
        block.as_chunks_mut().0.fill(number.to_le_bytes());
    }
    write_ends(block, number).ok_or(BenchError::Worker)
}

/// The number and the bytes of a block, summed up.
fn read(block: &[u8], touch: Touch) -> Result<u64, BenchError> {
    let number = read_ends(block).ok_or_else(differ)?;
    if touch == Touch::All && sum(block) != number.wrapping_mul((BYTES / 8) as u64) {
        return Err(differ());
    }
    Ok(number.wrapping_add(block.len() as u64))
}

type Boxed = Box<[MaybeUninit<u64>]>;

/// The same in a box, which is not zeroed first.
fn write_box(number: u64, touch: Touch) -> Boxed {
    let mut memory = Box::<[u64]>::new_uninit_slice(BYTES / 8);
    if touch == Touch::All {
        memory.fill(MaybeUninit::new(number));
    }
    if let [first, .., last] = &mut *memory {
        first.write(number);
        last.write(number);
    }
    memory
}

fn read_box(memory: &Boxed, touch: Touch) -> Result<u64, BenchError> {
    let [first, .., last] = &**memory else {
        return Err(differ());
    };
    // SAFETY: `write_box` has written both.
    let (first, last) = unsafe { (first.assume_init(), last.assume_init()) };
    let all_are_right = || {
        // SAFETY: `write_box` has written all of them, where all are touched.
        let words = memory.iter().map(|word| unsafe { word.assume_init() });
        words.fold(0, u64::wrapping_add) == first.wrapping_mul(memory.len() as u64)
    };
    if first != last || touch == Touch::All && !all_are_right() {
        return Err(differ());
    }
    Ok(first.wrapping_add(size_of_val(&**memory) as u64))
}

#[cold]
fn differ() -> BenchError {
    failed(OPERATION, "a block is not what was sent")
}
