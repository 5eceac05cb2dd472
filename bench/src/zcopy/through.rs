// SPDX-License-Identifier: BSD-3-Clause
//! A descriptor through each kind of channel, beside a message of as many bytes.

use becket_chan::{Receiver, Sender};
use becket_zcopy::{Desc, Meta, Region, ZChannel};
use futures_lite::future::{block_on, zip};

use super::table::{MESSAGE_40, OURS, Sides, failed, row, sum_below};
use crate::error::{BenchError, check};
use crate::harness::{Plan, timed};
use crate::report::{Goal, Row};

const ROOM: usize = 1024;
const LENGTH: usize = 1 << 20;
/// What noise may add to "the same".
const THE_SAME: f64 = 1.1;

type Message = [u64; 5];

/// Measures the rows.
pub(crate) fn rows(plan: Plan<'_>) -> Result<Vec<Row>, BenchError> {
    let goal = Some(Goal::Times(THE_SAME, MESSAGE_40));
    let rows = [
        row(plan, "a descriptor through bounded(1024)", goal, 1, || {
            let mut sides = vec![ours(ZChannel::bounded(ROOM), None)?];
            sides.push(message(becket_chan::bounded(ROOM)));
            sides.extend(bounded_peers());
            Ok(sides)
        })?,
        row(plan, "a descriptor of a region through bounded(1024)", goal, 1, || {
            let region = Region::heap(LENGTH, Meta::default()).map_err(|e| failed(OURS, e))?;
            let mut sides = vec![ours(ZChannel::bounded(ROOM), Some(region))?];
            sides.push(message(becket_chan::bounded(ROOM)));
            sides.extend(bounded_peers());
            Ok(sides)
        })?,
        row(plan, "a descriptor through unlimited", goal, 1, || {
            Ok(vec![
                ours(ZChannel::unlimited(), None)?,
                message(becket_chan::unlimited()),
                crossbeam(crossbeam_channel::unbounded()),
                flume(flume::unbounded()),
                kanal(kanal::unbounded()),
            ])
        })?,
        row(plan, "a descriptor through conflated", goal, 1, || {
            Ok(vec![ours(ZChannel::conflated(), None)?, message(becket_chan::conflated())])
        })?,
        row(plan, "a descriptor through rendezvous", goal, 1, || Ok(rendezvous()))?,
    ];
    Ok(rows.into_iter().flatten().collect())
}

fn bounded_peers() -> Sides {
    vec![
        crossbeam(crossbeam_channel::bounded(ROOM)),
        crossfire(),
        flume(flume::bounded(ROOM)),
        kanal(kanal::bounded(ROOM)),
    ]
}

/// Numbers in the offsets of descriptors, of a region or of this process's memory.
fn ours(
    channel: ZChannel,
    region: Option<Region>,
) -> Result<(&'static str, crate::harness::Side<'static>), BenchError> {
    let mut memory = vec![0_u8; LENGTH];
    let plain = match &region {
        Some(region) => region.desc(0, 1).map_err(|error| failed(OURS, error))?,
        None => Desc::local(memory.as_mut_ptr(), LENGTH).map_err(|error| failed(OURS, error))?,
    };
    let side = timed(move |n| {
        let _kept = (&memory, &region);
        let mut sum = 0_u64;
        for number in 0..n {
            let mut desc = Desc { offset: number % LENGTH as u64, ..plain };
            channel.try_send(&mut desc).map_err(|error| failed(OURS, error))?;
            let desc = channel.try_recv().map_err(|error| failed(OURS, error))?;
            sum = sum.wrapping_add(desc.offset);
        }
        check(OURS, "the descriptors that came", wrapped_sum(n), sum)
    });
    Ok((OURS, side))
}

/// The sum of the numbers below `n`, each as an offset.
fn wrapped_sum(n: u64) -> u64 {
    let length = LENGTH as u64;
    (n / length).wrapping_mul(sum_below(length)).wrapping_add(sum_below(n % length))
}

macro_rules! peer {
    ($name:ident, $column:expr, $tx:ty, $rx:ty) => {
        fn $name((tx, rx): ($tx, $rx)) -> (&'static str, crate::harness::Side<'static>) {
            let side = timed(move |n| {
                let mut sum = 0_u64;
                for number in 0..n {
                    let full = tx.try_send([number; 5]);
                    full.map_err(|_| failed($column, "no room"))?;
                    let got = rx.try_recv().map_err(|error| failed($column, error))?;
                    let [number, ..] = taken(got).ok_or_else(|| failed($column, "nothing"))?;
                    sum = sum.wrapping_add(number);
                }
                check($column, "the messages that came", sum_below(n), sum)
            });
            ($column, side)
        }
    };
}

peer!(message, MESSAGE_40, Sender<Message>, Receiver<Message>);
peer!(
    crossbeam,
    "crossbeam",
    crossbeam_channel::Sender<Message>,
    crossbeam_channel::Receiver<Message>
);
peer!(flume, "flume", flume::Sender<Message>, flume::Receiver<Message>);
peer!(kanal, "kanal", kanal::Sender<Message>, kanal::Receiver<Message>);

/// kanal answers with an `Option`, the others with the message.
trait Got {
    fn got(self) -> Option<Message>;
}

impl Got for Message {
    fn got(self) -> Option<Message> {
        Some(self)
    }
}

impl Got for Option<Message> {
    fn got(self) -> Option<Message> {
        self
    }
}

fn taken(got: impl Got) -> Option<Message> {
    got.got()
}

fn crossfire() -> (&'static str, crate::harness::Side<'static>) {
    const COLUMN: &str = "crossfire";
    let (tx, rx) = crossfire::mpmc::bounded_blocking::<Message>(ROOM);
    let side = timed(move |n| {
        let mut sum = 0_u64;
        for number in 0..n {
            tx.try_send([number; 5]).map_err(|_| failed(COLUMN, "no room"))?;
            let [number, ..] = rx.try_recv().map_err(|error| failed(COLUMN, error))?;
            sum = sum.wrapping_add(number);
        }
        check(COLUMN, "the messages that came", sum_below(n), sum)
    });
    (COLUMN, side)
}

/// One task that polls a send and a receive.
fn rendezvous() -> Sides {
    let channel = ZChannel::rendezvous();
    let ours = timed(move |n| {
        let sum = block_on(async {
            let (mut sum, mut byte) = (0_u64, 0_u8);
            for number in 0..n {
                let desc = Desc::local(&raw mut byte, LENGTH);
                let mut desc = Desc { offset: number, ..desc.map_err(|e| failed(OURS, e))? };
                let (sent, got) = zip(channel.send(&mut desc), channel.recv()).await;
                sent.map_err(|error| failed(OURS, error))?;
                sum = sum.wrapping_add(got.map_err(|error| failed(OURS, error))?.offset);
            }
            Ok::<_, BenchError>(sum)
        })?;
        check(OURS, "the descriptors that came", sum_below(n), sum)
    });
    let (tx, rx) = becket_chan::rendezvous::<Message>();
    let message = timed(move |n| {
        let sum = block_on(async {
            let mut sum = 0_u64;
            for number in 0..n {
                let (sent, got) = zip(tx.send([number; 5]), rx.recv()).await;
                sent.map_err(|_| failed(MESSAGE_40, "closed"))?;
                let [number, ..] = got.map_err(|error| failed(MESSAGE_40, error))?;
                sum = sum.wrapping_add(number);
            }
            Ok::<_, BenchError>(sum)
        })?;
        check(MESSAGE_40, "the messages that came", sum_below(n), sum)
    });
    let (tx, rx) = flume::bounded::<Message>(0);
    let flume = timed(move |n| {
        let sum = block_on(async {
            let mut sum = 0_u64;
            for number in 0..n {
                let (sent, got) = zip(tx.send_async([number; 5]), rx.recv_async()).await;
                sent.map_err(|_| failed("flume", "closed"))?;
                let [number, ..] = got.map_err(|error| failed("flume", error))?;
                sum = sum.wrapping_add(number);
            }
            Ok::<_, BenchError>(sum)
        })?;
        check("flume", "the messages that came", sum_below(n), sum)
    });
    vec![(OURS, ours), (MESSAGE_40, message), ("flume", flume)]
}
