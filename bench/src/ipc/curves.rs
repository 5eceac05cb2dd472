// SPDX-License-Identifier: BSD-3-Clause
//! The rows of the group `ipc_scaling`: the same work with more of something.

use super::case::{Case, Unit};
use super::contest;
use super::floors::{memcpy, slots};
use super::ours::ring;
use super::peers::{iceoryx2, ipc_channel, shmem_ipc, unix_stream};
use super::place::Place;
use super::rows::{case, sides};
use super::work::Work;

/// All rows.
pub(crate) fn rows() -> Vec<Case> {
    SIZES.iter().map(|(bytes, text)| payload(*bytes, text)).collect()
}

fn payload(bytes: usize, text: &str) -> Case {
    let name = format!("{text} filled and read, one way: GB/s");
    case(name, Place::Apart, Work::OneWay(bytes), |place, work| {
        let sides = sides![
            ring::Ring,
            iceoryx2::Polling,
            ipc_channel::Bytes,
            shmem_ipc::Polling,
            unix_stream::Plain,
            unix_stream::Coalesced,
            slots::Slots,
        ];
        memcpy::beside(sides, place, work)
    })
    .rate(Unit::GigabytesPerSecond)
}

const SIZES: [(usize, &str); 10] = [
    (64, "64 B"),
    (256, "256 B"),
    (1 << 10, "1 KiB"),
    (4 << 10, "4 KiB"),
    (16 << 10, "16 KiB"),
    (64 << 10, "64 KiB"),
    (256 << 10, "256 KiB"),
    (1 << 20, "1 MiB"),
    (4 << 20, "4 MiB"),
    (16 << 20, "16 MiB"),
];
