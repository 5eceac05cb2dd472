// SPDX-License-Identifier: BSD-3-Clause
//! The rows of the group `channels_scaling`: the same work with one, ten, … of something.

use super::becket;
use super::peer::Case;
use super::peers::{
    async_channel, crossbeam, crossfire, crossfire_select, flume, kanal, rapidfire,
};
use super::rows::{cases, sides};
use super::{ready, scaling};
use crate::harness::Pace;

/// All rows.
pub(crate) const ROWS: &[&[Case]] = &[CHANNELS, WAITERS, ARMS];

cases! { CHANNELS: Kind, stage
    "1 channel alive, all used", None, Alone, 1 => scaling::alive::<Kind>(stage, 1);
    "10 channels alive, all used", None, Alone, 1 => scaling::alive::<Kind>(stage, 10);
    "100 channels alive, all used", None, Alone, 1 => scaling::alive::<Kind>(stage, 100);
    "1 000 channels alive, all used", None, Alone, 1 => scaling::alive::<Kind>(stage, 1_000);
    "10 000 channels alive, all used", None, Alone, 1 => scaling::alive::<Kind>(stage, 10_000);
    "100 000 channels alive, all used", None, Alone, 1 => scaling::alive::<Kind>(stage, 100_000);
    "1 channel alive, one used", None, Alone, 1 => scaling::one_used::<Kind>(stage, 1);
    "100 000 channels alive, one used", None, Alone, 1 => scaling::one_used::<Kind>(stage, 100_000);
    for [becket::Bounded<8>, async_channel::Bounded<8>, crossbeam::Bounded<8>,
        crossfire::Bounded<8>, flume::Bounded<8>, kanal::Bounded<8>]
}

// Two peers whose wake or drop walks over all waiters are measured only up to a thousand.
cases! { WAITERS: Kind, stage
    "1 waits at one channel, one is woken", None, Threads, 1 => scaling::waiters::<Kind>(stage, 1);
    "10 wait at one channel, one is woken", None, Threads, 1 => scaling::waiters::<Kind>(stage, 10);
    "100 wait at one channel, one is woken", None, Threads, 1 =>
        scaling::waiters::<Kind>(stage, 100);
    "1 000 wait at one channel, one is woken", None, Threads, 1 =>
        scaling::waiters::<Kind>(stage, 1_000);
    for [becket::Bounded<8>, async_channel::Bounded<8>, crossfire::BoundedTasks<8>,
        kanal::Bounded<8>, flume::Bounded<8>, rapidfire::Bounded<8>]
    "10 000 wait at one channel, one is woken", None, Threads, 1 =>
        scaling::waiters::<Kind>(stage, 10_000);
    "100 000 wait at one channel, one is woken", None, Threads, 1 =>
        scaling::waiters::<Kind>(stage, 100_000);
    for [becket::Bounded<8>, async_channel::Bounded<8>, crossfire::BoundedTasks<8>,
        kanal::Bounded<8>]
}

cases! { ARMS: Kind, stage
    "select of 1, one is ready", None, Alone, 1 => ready::ready::<Kind>(stage, 1);
    "select of 10, one is ready", None, Alone, 1 => ready::ready::<Kind>(stage, 10);
    "select of 100, one is ready", None, Alone, 1 => ready::ready::<Kind>(stage, 100);
    "select of 1 000, one is ready", None, Alone, 1 => ready::ready::<Kind>(stage, 1_000);
    for [becket::SelectReady, crossbeam::Selected, crossfire_select::Selected, flume::Selected]
}
