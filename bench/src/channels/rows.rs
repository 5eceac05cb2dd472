// SPDX-License-Identifier: BSD-3-Clause
//! The rows of the group `channels`, with their goals and participants.

use super::channel::Wide;
use ::std::sync::Arc;
use ::tokio::sync::Notify;
use becket_chan::Token;
use tokio_util::sync::CancellationToken;

use super::becket;
use super::parked::SelectAll;
use super::peer::Case;
use super::peers::{
    async_channel, crossbeam, crossfire, crossfire_select, event_listener, fibre, flume, kanal,
    mutex, rapidfire, rtrb, std, tachyonix, tokio, tokio_select, tokio_wake,
};
use super::stage::Scheduler::{CurrentThread, TwoWorkers};
use super::{alone, batch, conflated, parked, ready, tasks, threads, wake};
use crate::harness::Pace;

/// Makes a side with each kind of channel.
macro_rules! sides {
    ($kind:ident => $side:expr; $($each:ty),+ $(,)?) => {
        Ok(vec![$({
            type $kind = $each;
            $side?
        }),+])
    };
}

/// Rows that the same participants take part in: `name, goal, pace, parts => what each kind does;`,
/// then `for [kinds]`.
macro_rules! cases {
    ($table:ident: $kind:ident, $stage:ident $(
        $($name:literal, $goal:expr, $pace:ident, $parts:expr => $side:expr;)+ for $peers:tt
    )+) => {
        const $table: &[Case] = &[$($(Case {
            name: $name,
            goal: $goal,
            pace: Pace::$pace,
            parts: $parts,
            sides: |$stage| cases!(@sides $kind, $side, $peers),
        }),+),+];
    };
    (@sides $kind:ident, $side:expr, [$($each:ty),+]) => { sides!($kind => $side; $($each),+) };
}

pub(super) use {cases, sides};

/// All rows.
pub(crate) const ROWS: &[&[Case]] =
    &[ALONE, CONFLATED, STREAMS, RENDEZVOUS, MANY, SELECT, WAKE, BATCH];

cases! { ALONE: Kind, stage
    "one thread, send + recv, bounded(1024)", Some(13.0), Alone, 1 => alone::wait::<Kind>(stage);
    for [becket::Bounded<1024>, async_channel::Bounded<1024>, crossbeam::Bounded<1024>,
        crossfire::Bounded<1024>, fibre::Bounded<1024>, flume::Bounded<1024>, kanal::Bounded<1024>,
        std::Bounded<1024>, tokio::Bounded<1024>]
    "one thread, try_send + try_recv, bounded(1024)", Some(13.0), Alone, 1 =>
        alone::now::<Kind>(stage);
    for [becket::Bounded<1024>, async_channel::Bounded<1024>, crossbeam::Bounded<1024>,
        crossfire::Bounded<1024>, fibre::Bounded<1024>, flume::Bounded<1024>, kanal::Bounded<1024>,
        rapidfire::Bounded<1024>, std::Bounded<1024>, tachyonix::Bounded<1024>,
        tokio::Bounded<1024>]
    "one task, send + recv awaited, bounded(1024)", None, Alone, 1 => alone::task::<Kind>(stage);
    for [becket::Bounded<1024>, async_channel::Bounded<1024>, crossfire::BoundedTasks<1024>,
        fibre::BoundedTasks<1024>, flume::Bounded<1024>, kanal::Bounded<1024>,
        rapidfire::Bounded<1024>, tachyonix::Bounded<1024>, tokio::Bounded<1024>]
    "one thread, try_send + try_recv, unlimited", Some(13.0), Alone, 1 => alone::now::<Kind>(stage);
    "one thread, 512 in, 512 out, unlimited", Some(15.0), Alone, 512 =>
        alone::backlog::<Kind>(stage, 512);
    "one thread, 100 000 in, 100 000 out, unlimited", Some(22.5), Alone, 100_000 =>
        alone::backlog::<Kind>(stage, 100_000);
    for [becket::Unlimited, async_channel::Unlimited, crossbeam::Unlimited, crossfire::Unlimited,
        flume::Unlimited, kanal::Unlimited, rapidfire::Unlimited, std::Unlimited, tokio::Unlimited]
}

cases! { CONFLATED: Kind, stage
    "conflated, send + take", Some(11.0), Alone, 1 => conflated::send_take::<Kind>(stage);
    "conflated, overwrite", Some(10.0), Alone, 1 => conflated::overwrite::<Kind>(stage);
    for [becket::Conflated, async_channel::OnePlace, crossbeam::OnePlace, mutex::Guarded,
        tokio::Watch]
}

cases! { STREAMS: Kind, stage
    "thread to thread, bounded(1024), 8 B, one handle a side", Some(12.0), Threads, 1 =>
        threads::one_to_one::<Kind, u64>(stage);
    "thread to thread, bounded(1024), 256 B, one handle a side", Some(16.0), Threads, 1 =>
        threads::one_to_one::<Kind, Wide>(stage);
    for [becket::BoundedSpsc<1024>, async_channel::Bounded<1024>, crossbeam::Bounded<1024>,
        crossfire::BoundedSpsc<1024>, fibre::BoundedSpsc<1024>, flume::Bounded<1024>,
        kanal::Bounded<1024>, rtrb::Bounded<1024>, std::Bounded<1024>, tokio::Bounded<1024>]
    "thread to thread, bounded(1024), 8 B, cloneable handles", Some(18.0), Threads, 1 =>
        threads::one_to_one::<Kind, u64>(stage);
    "thread to thread, bounded(1024), 256 B, cloneable handles", Some(28.0), Threads, 1 =>
        threads::one_to_one::<Kind, Wide>(stage);
    for [becket::Bounded<1024>, async_channel::Bounded<1024>, crossbeam::Bounded<1024>,
        crossfire::Bounded<1024>, fibre::Bounded<1024>, flume::Bounded<1024>, kanal::Bounded<1024>]
    "task to task, bounded(1024), one worker, one handle a side", None, Threads, 1 =>
        tasks::one_to_one::<Kind>(stage, CurrentThread);
    "task to task, bounded(1024), two workers, one handle a side", None, Threads, 1 =>
        tasks::one_to_one::<Kind>(stage, TwoWorkers);
    for [becket::BoundedSpsc<1024>, async_channel::Bounded<1024>,
        crossfire::BoundedTasksSpsc<1024>, fibre::BoundedTasks<1024>, flume::Bounded<1024>,
        kanal::Bounded<1024>, rapidfire::BoundedMpsc<1024>, tachyonix::Bounded<1024>,
        tokio::Bounded<1024>]
    "task to task, bounded(1024), one worker, cloneable handles", None, Threads, 1 =>
        tasks::one_to_one::<Kind>(stage, CurrentThread);
    "task to task, bounded(1024), two workers, cloneable handles", None, Threads, 1 =>
        tasks::one_to_one::<Kind>(stage, TwoWorkers);
    for [becket::Bounded<1024>, async_channel::Bounded<1024>, crossfire::BoundedTasks<1024>,
        fibre::BoundedTasks<1024>, flume::Bounded<1024>, kanal::Bounded<1024>,
        rapidfire::Bounded<1024>]
}

cases! { RENDEZVOUS: Kind, stage
    "rendezvous, two tasks, one worker", Some(65.0), Threads, 1 =>
        tasks::one_to_one::<Kind>(stage, CurrentThread);
    "rendezvous, two tasks, two workers", Some(130.0), Threads, 1 =>
        tasks::one_to_one::<Kind>(stage, TwoWorkers);
    for [becket::Rendezvous, fibre::RendezvousTasks, flume::Rendezvous, kanal::Rendezvous,
        tachyonix::Bounded<1>]
    "rendezvous, two threads, both awake", Some(320.0), Threads, 1 =>
        threads::one_to_one::<Kind, u64>(stage);
    for [becket::Rendezvous, crossbeam::Rendezvous, fibre::Rendezvous, flume::Rendezvous,
        kanal::Rendezvous, std::Rendezvous]
}

cases! { MANY: Kind, stage
    "4 threads to 4, bounded(1024)", Some(18.0), Threads, threads::MANY =>
        threads::four_to_four::<Kind, u64>(stage);
    for [becket::Bounded<1024>, async_channel::Bounded<1024>, crossbeam::Bounded<1024>,
        crossfire::Bounded<1024>, fibre::Bounded<1024>, flume::Bounded<1024>, kanal::Bounded<1024>]
    "4 threads to 1, bounded(1024)", Some(28.0), Threads, threads::MANY =>
        threads::four_to_one::<Kind>(stage);
    for [becket::Bounded<1024>, async_channel::Bounded<1024>, crossbeam::Bounded<1024>,
        crossfire::BoundedMpsc<1024>, fibre::Bounded<1024>, flume::Bounded<1024>,
        kanal::Bounded<1024>, std::Bounded<1024>, tokio::Bounded<1024>]
    "4 tasks to 4, bounded(1024), two workers", Some(20.0), Threads, threads::MANY =>
        tasks::four_to_four::<Kind>(stage, TwoWorkers);
    for [becket::Bounded<1024>, async_channel::Bounded<1024>, crossfire::BoundedTasks<1024>,
        fibre::BoundedTasks<1024>, flume::Bounded<1024>, kanal::Bounded<1024>,
        rapidfire::Bounded<1024>]
    "4 tasks to 1, bounded(1024), two workers", Some(18.0), Threads, threads::MANY =>
        tasks::four_to_one::<Kind>(stage, TwoWorkers);
    for [becket::Bounded<1024>, async_channel::Bounded<1024>, crossfire::BoundedTasksMpsc<1024>,
        fibre::BoundedTasks<1024>, flume::Bounded<1024>, kanal::Bounded<1024>,
        rapidfire::BoundedMpsc<1024>, tachyonix::Bounded<1024>, tokio::Bounded<1024>]
}

cases! { SELECT: Kind, stage
    "select of 2, one is ready", Some(25.0), Alone, 1 => ready::ready::<Kind>(stage, 2);
    "select of 8, one is ready", Some(40.0), Alone, 1 => ready::ready::<Kind>(stage, 8);
    "select of 64, one is ready", Some(120.0), Alone, 1 => ready::ready::<Kind>(stage, 64);
    for [becket::SelectReady, crossbeam::Selected, crossfire_select::Selected, flume::Selected,
        tokio_select::SelectReady]
    "select of 2, waiting then woken, one worker", Some(120.0), Threads, 1 =>
        parked::parked::<Kind>(stage, 2);
    "select of 8, waiting then woken, one worker", Some(220.0), Threads, 1 =>
        parked::parked::<Kind>(stage, 8);
    "select of 64, waiting then woken, one worker", Some(900.0), Threads, 1 =>
        parked::parked::<Kind>(stage, 64);
    for [becket::SelectParked, SelectAll<async_channel::Bounded<16>>,
        SelectAll<crossfire::BoundedTasks<16>>, SelectAll<flume::Bounded<16>>,
        SelectAll<kanal::Bounded<16>>, tokio_select::SelectParked]
}

cases! { WAKE: Kind, stage
    "cancel, 10 000 wait, per waiter", Some(100.0), Long, wake::WAITERS =>
        wake::wake_all::<Kind>(stage);
    for [Token, event_listener::Listened, Arc<Notify>, CancellationToken]
    "close, 10 000 receive, per waiter", Some(100.0), Long, wake::WAITERS =>
        wake::wake_all::<Kind>(stage);
    for [wake::Closing<becket::Bounded<16>>, wake::Closing<async_channel::Bounded<16>>,
        wake::Closing<crossfire::BoundedTasks<16>>, wake::Closing<flume::Bounded<16>>,
        wake::Closing<kanal::Bounded<16>>, wake::Closing<rapidfire::Bounded<16>>,
        tokio_wake::Closing]
}

cases! { BATCH: Kind, stage
    "batch of 64, per value, cloneable handles", Some(4.0), Alone, batch::BATCH =>
        batch::batches::<Kind>(stage);
    for [becket::Batched, crossbeam::Batched, fibre::Batched, flume::Batched, kanal::Batched,
        rapidfire::Batched, tokio::Batched]
    "batch of 64, per value, one handle a side", Some(4.0), Alone, batch::BATCH =>
        batch::batches::<Kind>(stage);
    for [becket::BatchedSpsc, fibre::BatchedSpsc, rtrb::Batched]
}
