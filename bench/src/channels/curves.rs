// SPDX-License-Identifier: BSD-3-Clause
//! The rows of the group `channels_scaling`: the same work with one, ten, … of something.

use super::becket;
use super::peer::{Case, Pace};
use super::peers::{
    async_channel, crossbeam, crossfire, crossfire_select, flume, kanal, rapidfire,
};
use super::rows::sides;
use super::{ready, scaling};

/// All rows.
pub(crate) const ROWS: &[&[Case]] = &[ALIVE, ONE_USED, WAITERS, MANY_WAITERS, ARMS];

/// A row for each count.
macro_rules! curve {
    ($row:ident: $($count:literal $name:literal),+ $(,)?) => {
        &[$($row!($count, $name)),+]
    };
}

macro_rules! alive {
    ($count:literal, $name:literal) => {
        Case {
            name: concat!($name, " alive, all used"),
            goal: None,
            pace: Pace::Alone,
            parts: 1,
            sides: |stage| {
                sides!(Kind => scaling::alive::<Kind>(stage, $count);
                    becket::Bounded<8>, async_channel::Bounded<8>, crossbeam::Bounded<8>,
                    crossfire::Bounded<8>, flume::Bounded<8>, kanal::Bounded<8>)
            },
        }
    };
}

macro_rules! one_used {
    ($count:literal, $name:literal) => {
        Case {
            name: concat!($name, " alive, one used"),
            goal: None,
            pace: Pace::Alone,
            parts: 1,
            sides: |stage| {
                sides!(Kind => scaling::one_used::<Kind>(stage, $count);
                    becket::Bounded<8>, async_channel::Bounded<8>, crossbeam::Bounded<8>,
                    crossfire::Bounded<8>, flume::Bounded<8>, kanal::Bounded<8>)
            },
        }
    };
}

macro_rules! waiters {
    // Two peers whose wake or drop walks over all waiters are measured only up to a thousand.
    ($count:literal, $name:literal) => {
        waiters!($count, $name; flume::Bounded<8>, rapidfire::Bounded<8>)
    };
    ($count:literal, $name:literal; $($more:ty),*) => {
        Case {
            name: concat!($name, " at one channel, one is woken"),
            goal: None,
            pace: Pace::Threads,
            parts: 1,
            sides: |stage| {
                sides!(Kind => scaling::waiters::<Kind>(stage, $count);
                    becket::Bounded<8>, async_channel::Bounded<8>, crossfire::BoundedTasks<8>,
                    kanal::Bounded<8> $(, $more)*)
            },
        }
    };
}

macro_rules! many_waiters {
    ($count:literal, $name:literal) => {
        waiters!($count, $name;)
    };
}

macro_rules! arms {
    ($count:literal, $name:literal) => {
        Case {
            name: concat!("select of ", $name, ", one is ready"),
            goal: None,
            pace: Pace::Alone,
            parts: 1,
            sides: |stage| {
                sides!(Kind => ready::ready::<Kind>(stage, $count);
                    becket::SelectReady, crossbeam::Selected, crossfire_select::Selected,
                    flume::Selected)
            },
        }
    };
}

const ALIVE: &[Case] = curve!(
    alive:
    1 "1 channel", 10 "10 channels", 100 "100 channels", 1_000 "1 000 channels",
    10_000 "10 000 channels", 100_000 "100 000 channels",
);

const ONE_USED: &[Case] = curve!(one_used: 1 "1 channel", 100_000 "100 000 channels");

const WAITERS: &[Case] = curve!(
    waiters:
    1 "1 waits", 10 "10 wait", 100 "100 wait", 1_000 "1 000 wait",
);

const MANY_WAITERS: &[Case] = curve!(many_waiters: 10_000 "10 000 wait", 100_000 "100 000 wait");

const ARMS: &[Case] = curve!(arms: 1 "1", 10 "10", 100 "100", 1_000 "1 000");
