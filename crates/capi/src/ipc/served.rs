// SPDX-License-Identifier: BSD-3-Clause
//! What a server remembers of a connection: its settings, and from where it counts.

use std::collections::HashMap;

use becket_wire::v1::{Stats, Timeout};
use parking_lot::Mutex;

/// Channels for which a connection may count anew.
const COUNTS_MAX: usize = 1024;

#[derive(Default)]
pub(super) struct Served(Mutex<State>);

#[derive(Default)]
struct State {
    /// For requests that bring none.
    timeout: Option<Timeout>,
    /// What had been counted when it began to count anew.
    counted: HashMap<u32, Stats>,
}

impl Served {
    pub(super) fn timeout(&self) -> Timeout {
        self.0.lock().timeout.unwrap_or(Timeout::Forever)
    }

    pub(super) fn set_timeout(&self, timeout: Timeout) {
        self.0.lock().timeout = Some(timeout);
    }

    /// Counts a channel anew from here. False: there are too many such channels.
    pub(super) fn count_anew(&self, stats: Stats) -> bool {
        let counted = &mut self.0.lock().counted;
        let has_room = counted.len() < COUNTS_MAX || counted.contains_key(&stats.chan);
        if has_room {
            counted.insert(stats.chan, stats);
        }
        has_room
    }

    /// What was counted since.
    pub(super) fn since(&self, stats: Stats) -> Stats {
        let state = self.0.lock();
        let Some(before) = state.counted.get(&stats.chan) else { return stats };
        Stats {
            send_ops: stats.send_ops.saturating_sub(before.send_ops),
            recv_ops: stats.recv_ops.saturating_sub(before.recv_ops),
            drops: stats.drops.saturating_sub(before.drops),
            ..stats
        }
    }

    /// The channel is no more.
    pub(super) fn forget(&self, chan: u32) {
        self.0.lock().counted.remove(&chan);
    }
}
