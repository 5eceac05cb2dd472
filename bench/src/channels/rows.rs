// SPDX-License-Identifier: BSD-3-Clause
//! The rows of the group `channels`, with their goals and participants.

use super::channel::Wide;
use ::std::sync::Arc;
use ::tokio::sync::Notify;
use becket_chan::Token;
use tokio_util::sync::CancellationToken;

use super::becket;
use super::parked::SelectAll;
use super::peer::{Case, Pace};
use super::peers::{
    async_channel, crossbeam, crossfire, crossfire_select, event_listener, fibre, flume, kanal,
    mutex, rapidfire, rtrb, std, tachyonix, tokio, tokio_select, tokio_wake,
};
use super::stage::Scheduler::{CurrentThread, TwoWorkers};
use super::{alone, batch, conflated, parked, ready, tasks, threads, wake};

/// Makes a side with each kind of channel.
macro_rules! sides {
    ($kind:ident => $side:expr; $($each:ty),+ $(,)?) => {
        Ok(vec![$({
            type $kind = $each;
            $side?
        }),+])
    };
}

pub(super) use sides;

/// All rows.
pub(crate) const ROWS: &[&[Case]] =
    &[ALONE, CONFLATED, STREAMS, RENDEZVOUS, MANY, SELECT, WAKE, BATCH];

const ALONE: &[Case] = &[
    Case {
        name: "one thread, send + recv, bounded(1024)",
        goal: Some(13.0),
        pace: Pace::Alone,
        parts: 1,
        sides: |stage| {
            sides!(Kind => alone::wait::<Kind>(stage);
                becket::Bounded<1024>, async_channel::Bounded<1024>, crossbeam::Bounded<1024>,
                crossfire::Bounded<1024>, fibre::Bounded<1024>, flume::Bounded<1024>,
                kanal::Bounded<1024>, std::Bounded<1024>, tokio::Bounded<1024>)
        },
    },
    Case {
        name: "one thread, try_send + try_recv, bounded(1024)",
        goal: Some(13.0),
        pace: Pace::Alone,
        parts: 1,
        sides: |stage| {
            sides!(Kind => alone::now::<Kind>(stage);
                becket::Bounded<1024>, async_channel::Bounded<1024>, crossbeam::Bounded<1024>,
                crossfire::Bounded<1024>, fibre::Bounded<1024>, flume::Bounded<1024>,
                kanal::Bounded<1024>, rapidfire::Bounded<1024>, std::Bounded<1024>,
                tachyonix::Bounded<1024>, tokio::Bounded<1024>)
        },
    },
    Case {
        name: "one task, send + recv awaited, bounded(1024)",
        goal: None,
        pace: Pace::Alone,
        parts: 1,
        sides: |stage| {
            sides!(Kind => alone::task::<Kind>(stage);
                becket::Bounded<1024>, async_channel::Bounded<1024>, crossfire::BoundedTasks<1024>,
                fibre::BoundedTasks<1024>, flume::Bounded<1024>, kanal::Bounded<1024>,
                rapidfire::Bounded<1024>, tachyonix::Bounded<1024>, tokio::Bounded<1024>)
        },
    },
    Case {
        name: "one thread, try_send + try_recv, unlimited",
        goal: Some(13.0),
        pace: Pace::Alone,
        parts: 1,
        sides: |stage| {
            sides!(Kind => alone::now::<Kind>(stage);
                becket::Unlimited, async_channel::Unlimited, crossbeam::Unlimited,
                crossfire::Unlimited, flume::Unlimited, kanal::Unlimited, rapidfire::Unlimited,
                std::Unlimited, tokio::Unlimited)
        },
    },
    Case {
        name: "one thread, 512 in, 512 out, unlimited",
        goal: Some(15.0),
        pace: Pace::Alone,
        parts: 512,
        sides: |stage| {
            sides!(Kind => alone::backlog::<Kind>(stage, 512);
                becket::Unlimited, async_channel::Unlimited, crossbeam::Unlimited,
                crossfire::Unlimited, flume::Unlimited, kanal::Unlimited, rapidfire::Unlimited,
                std::Unlimited, tokio::Unlimited)
        },
    },
    Case {
        name: "one thread, 100 000 in, 100 000 out, unlimited",
        goal: Some(22.5),
        pace: Pace::Alone,
        parts: 100_000,
        sides: |stage| {
            sides!(Kind => alone::backlog::<Kind>(stage, 100_000);
                becket::Unlimited, async_channel::Unlimited, crossbeam::Unlimited,
                crossfire::Unlimited, flume::Unlimited, kanal::Unlimited, rapidfire::Unlimited,
                std::Unlimited, tokio::Unlimited)
        },
    },
];

const CONFLATED: &[Case] = &[
    Case {
        name: "conflated, send + take",
        goal: Some(11.0),
        pace: Pace::Alone,
        parts: 1,
        sides: |stage| {
            sides!(Kind => conflated::send_take::<Kind>(stage);
                becket::Conflated, async_channel::OnePlace, crossbeam::OnePlace, mutex::Guarded,
                tokio::Watch)
        },
    },
    Case {
        name: "conflated, overwrite",
        goal: Some(10.0),
        pace: Pace::Alone,
        parts: 1,
        sides: |stage| {
            sides!(Kind => conflated::overwrite::<Kind>(stage);
                becket::Conflated, async_channel::OnePlace, crossbeam::OnePlace, mutex::Guarded,
                tokio::Watch)
        },
    },
];

const STREAMS: &[Case] = &[
    Case {
        name: "thread to thread, bounded(1024), 8 B, one handle a side",
        goal: Some(12.0),
        pace: Pace::Threads,
        parts: 1,
        sides: |stage| {
            sides!(Kind => threads::one_to_one::<Kind, u64>(stage);
                becket::BoundedSpsc<1024>, async_channel::Bounded<1024>, crossbeam::Bounded<1024>,
                crossfire::BoundedSpsc<1024>, fibre::BoundedSpsc<1024>, flume::Bounded<1024>,
                kanal::Bounded<1024>, rtrb::Bounded<1024>, std::Bounded<1024>, tokio::Bounded<1024>)
        },
    },
    Case {
        name: "thread to thread, bounded(1024), 256 B, one handle a side",
        goal: Some(16.0),
        pace: Pace::Threads,
        parts: 1,
        sides: |stage| {
            sides!(Kind => threads::one_to_one::<Kind, Wide>(stage);
                becket::BoundedSpsc<1024>, async_channel::Bounded<1024>, crossbeam::Bounded<1024>,
                crossfire::BoundedSpsc<1024>, fibre::BoundedSpsc<1024>, flume::Bounded<1024>,
                kanal::Bounded<1024>, rtrb::Bounded<1024>, std::Bounded<1024>, tokio::Bounded<1024>)
        },
    },
    Case {
        name: "thread to thread, bounded(1024), 8 B, cloneable handles",
        goal: Some(18.0),
        pace: Pace::Threads,
        parts: 1,
        sides: |stage| {
            sides!(Kind => threads::one_to_one::<Kind, u64>(stage);
                becket::Bounded<1024>, async_channel::Bounded<1024>, crossbeam::Bounded<1024>,
                crossfire::Bounded<1024>, fibre::Bounded<1024>, flume::Bounded<1024>,
                kanal::Bounded<1024>)
        },
    },
    Case {
        name: "thread to thread, bounded(1024), 256 B, cloneable handles",
        goal: Some(28.0),
        pace: Pace::Threads,
        parts: 1,
        sides: |stage| {
            sides!(Kind => threads::one_to_one::<Kind, Wide>(stage);
                becket::Bounded<1024>, async_channel::Bounded<1024>, crossbeam::Bounded<1024>,
                crossfire::Bounded<1024>, fibre::Bounded<1024>, flume::Bounded<1024>,
                kanal::Bounded<1024>)
        },
    },
    Case {
        name: "task to task, bounded(1024), one worker",
        goal: None,
        pace: Pace::Threads,
        parts: 1,
        sides: |stage| {
            sides!(Kind => tasks::one_to_one::<Kind>(stage, CurrentThread);
                becket::Bounded<1024>, async_channel::Bounded<1024>,
                crossfire::BoundedTasksSpsc<1024>, fibre::BoundedTasks<1024>, flume::Bounded<1024>,
                kanal::Bounded<1024>, rapidfire::BoundedMpsc<1024>, tachyonix::Bounded<1024>,
                tokio::Bounded<1024>)
        },
    },
    Case {
        name: "task to task, bounded(1024), two workers",
        goal: None,
        pace: Pace::Threads,
        parts: 1,
        sides: |stage| {
            sides!(Kind => tasks::one_to_one::<Kind>(stage, TwoWorkers);
                becket::Bounded<1024>, async_channel::Bounded<1024>,
                crossfire::BoundedTasksSpsc<1024>, fibre::BoundedTasks<1024>, flume::Bounded<1024>,
                kanal::Bounded<1024>, rapidfire::BoundedMpsc<1024>, tachyonix::Bounded<1024>,
                tokio::Bounded<1024>)
        },
    },
];

const RENDEZVOUS: &[Case] = &[
    Case {
        name: "rendezvous, two tasks, one worker",
        goal: Some(65.0),
        pace: Pace::Threads,
        parts: 1,
        sides: |stage| {
            sides!(Kind => tasks::one_to_one::<Kind>(stage, CurrentThread);
                becket::Rendezvous, fibre::RendezvousTasks, flume::Rendezvous, kanal::Rendezvous,
                tachyonix::Bounded<1>)
        },
    },
    Case {
        name: "rendezvous, two tasks, two workers",
        goal: Some(130.0),
        pace: Pace::Threads,
        parts: 1,
        sides: |stage| {
            sides!(Kind => tasks::one_to_one::<Kind>(stage, TwoWorkers);
                becket::Rendezvous, fibre::RendezvousTasks, flume::Rendezvous, kanal::Rendezvous,
                tachyonix::Bounded<1>)
        },
    },
    Case {
        name: "rendezvous, two threads, both awake",
        goal: Some(320.0),
        pace: Pace::Threads,
        parts: 1,
        sides: |stage| {
            sides!(Kind => threads::one_to_one::<Kind, u64>(stage);
                becket::Rendezvous, crossbeam::Rendezvous, fibre::Rendezvous, flume::Rendezvous,
                kanal::Rendezvous, std::Rendezvous)
        },
    },
];

const MANY: &[Case] = &[
    Case {
        name: "4 threads to 4, bounded(1024)",
        goal: Some(18.0),
        pace: Pace::Threads,
        parts: threads::MANY,
        sides: |stage| {
            sides!(Kind => threads::four_to_four::<Kind>(stage);
                becket::Bounded<1024>, async_channel::Bounded<1024>, crossbeam::Bounded<1024>,
                crossfire::Bounded<1024>, fibre::Bounded<1024>, flume::Bounded<1024>,
                kanal::Bounded<1024>)
        },
    },
    Case {
        name: "4 threads to 1, bounded(1024)",
        goal: Some(28.0),
        pace: Pace::Threads,
        parts: threads::MANY,
        sides: |stage| {
            sides!(Kind => threads::four_to_one::<Kind>(stage);
                becket::Bounded<1024>, async_channel::Bounded<1024>, crossbeam::Bounded<1024>,
                crossfire::BoundedMpsc<1024>, fibre::Bounded<1024>, flume::Bounded<1024>,
                kanal::Bounded<1024>, std::Bounded<1024>, tokio::Bounded<1024>)
        },
    },
    Case {
        name: "4 tasks to 4, bounded(1024), two workers",
        goal: Some(20.0),
        pace: Pace::Threads,
        parts: threads::MANY,
        sides: |stage| {
            sides!(Kind => tasks::four_to_four::<Kind>(stage, TwoWorkers);
                becket::Bounded<1024>, async_channel::Bounded<1024>, crossfire::BoundedTasks<1024>,
                fibre::BoundedTasks<1024>, flume::Bounded<1024>, kanal::Bounded<1024>,
                rapidfire::Bounded<1024>)
        },
    },
    Case {
        name: "4 tasks to 1, bounded(1024), two workers",
        goal: Some(18.0),
        pace: Pace::Threads,
        parts: threads::MANY,
        sides: |stage| {
            sides!(Kind => tasks::four_to_one::<Kind>(stage, TwoWorkers);
                becket::Bounded<1024>, async_channel::Bounded<1024>,
                crossfire::BoundedTasksMpsc<1024>, fibre::BoundedTasks<1024>, flume::Bounded<1024>,
                kanal::Bounded<1024>, rapidfire::BoundedMpsc<1024>, tachyonix::Bounded<1024>,
                tokio::Bounded<1024>)
        },
    },
];

const SELECT: &[Case] = &[
    Case {
        name: "select of 2, one is ready",
        goal: Some(25.0),
        pace: Pace::Alone,
        parts: 1,
        sides: |stage| {
            sides!(Kind => ready::ready::<Kind>(stage, 2);
                becket::SelectReady, crossbeam::Selected, crossfire_select::Selected,
                flume::Selected, tokio_select::SelectReady)
        },
    },
    Case {
        name: "select of 8, one is ready",
        goal: Some(40.0),
        pace: Pace::Alone,
        parts: 1,
        sides: |stage| {
            sides!(Kind => ready::ready::<Kind>(stage, 8);
                becket::SelectReady, crossbeam::Selected, crossfire_select::Selected,
                flume::Selected, tokio_select::SelectReady)
        },
    },
    Case {
        name: "select of 64, one is ready",
        goal: Some(120.0),
        pace: Pace::Alone,
        parts: 1,
        sides: |stage| {
            sides!(Kind => ready::ready::<Kind>(stage, 64);
                becket::SelectReady, crossbeam::Selected, crossfire_select::Selected,
                flume::Selected, tokio_select::SelectReady)
        },
    },
    Case {
        name: "select of 2, waiting then woken, one worker",
        goal: Some(120.0),
        pace: Pace::Threads,
        parts: 1,
        sides: |stage| {
            sides!(Kind => parked::parked::<Kind>(stage, 2);
                becket::SelectParked, SelectAll<async_channel::Bounded<16>>,
                SelectAll<crossfire::BoundedTasks<16>>, SelectAll<flume::Bounded<16>>,
                SelectAll<kanal::Bounded<16>>, tokio_select::SelectParked)
        },
    },
    Case {
        name: "select of 8, waiting then woken, one worker",
        goal: Some(220.0),
        pace: Pace::Threads,
        parts: 1,
        sides: |stage| {
            sides!(Kind => parked::parked::<Kind>(stage, 8);
                becket::SelectParked, SelectAll<async_channel::Bounded<16>>,
                SelectAll<crossfire::BoundedTasks<16>>, SelectAll<flume::Bounded<16>>,
                SelectAll<kanal::Bounded<16>>, tokio_select::SelectParked)
        },
    },
    Case {
        name: "select of 64, waiting then woken, one worker",
        goal: Some(900.0),
        pace: Pace::Threads,
        parts: 1,
        sides: |stage| {
            sides!(Kind => parked::parked::<Kind>(stage, 64);
                becket::SelectParked, SelectAll<async_channel::Bounded<16>>,
                SelectAll<crossfire::BoundedTasks<16>>, SelectAll<flume::Bounded<16>>,
                SelectAll<kanal::Bounded<16>>, tokio_select::SelectParked)
        },
    },
];

const WAKE: &[Case] = &[
    Case {
        name: "cancel, 10 000 wait, per waiter",
        goal: Some(100.0),
        pace: Pace::Long,
        parts: wake::WAITERS,
        sides: |stage| {
            sides!(Kind => wake::wake_all::<Kind>(stage);
                Token, event_listener::Listened, Arc<Notify>, CancellationToken)
        },
    },
    Case {
        name: "close, 10 000 receive, per waiter",
        goal: Some(100.0),
        pace: Pace::Long,
        parts: wake::WAITERS,
        sides: |stage| {
            sides!(Kind => wake::wake_all::<Kind>(stage);
                wake::Closing<becket::Bounded<16>>, wake::Closing<async_channel::Bounded<16>>,
                wake::Closing<crossfire::BoundedTasks<16>>, wake::Closing<flume::Bounded<16>>,
                wake::Closing<kanal::Bounded<16>>, wake::Closing<rapidfire::Bounded<16>>,
                tokio_wake::Closing)
        },
    },
];

const BATCH: &[Case] = &[
    Case {
        name: "batch of 64, per value, cloneable handles",
        goal: Some(4.0),
        pace: Pace::Alone,
        parts: batch::BATCH,
        sides: |stage| {
            sides!(Kind => batch::batches::<Kind>(stage);
                becket::Batched, crossbeam::Batched, fibre::Batched, flume::Batched, kanal::Batched,
                rapidfire::Batched, tokio::Batched)
        },
    },
    Case {
        name: "batch of 64, per value, one handle a side",
        goal: Some(4.0),
        pace: Pace::Alone,
        parts: batch::BATCH,
        sides: |stage| {
            sides!(Kind => batch::batches::<Kind>(stage);
                becket::BatchedSpsc, fibre::BatchedSpsc, rtrb::Batched)
        },
    },
];
