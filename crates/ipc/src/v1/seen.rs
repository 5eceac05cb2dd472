// SPDX-License-Identifier: BSD-3-Clause
//! A channel's counters as one connection sees them: since its `RESET_STATS`, if it sent one.
//!
//! Counts are the channel's own, minus their values at the reset; so a client's reset does not
//! affect others. Latencies are those of this client's operations on the channel, from the request
//! to its end. `FIFO_MAX` and the waiters are the channel's current values.

use std::collections::BTreeMap;
use std::time::Duration;

use becket_chan::Snapshot;
use becket_wire::v1::Stats;

/// One connection's views of channels, bounded in their number.
#[derive(Debug)]
pub(super) struct Seen {
    channels: BTreeMap<u32, View>,
    channels_max: usize,
}

#[derive(Debug, Default)]
struct View {
    sends: u64,
    receives: u64,
    drops: u64,
    operations: u64,
    latency_min_ns: u64,
    latency_max_ns: u64,
    latency_sum_ns: u64,
}

impl Seen {
    pub(super) fn new(channels_max: usize) -> Self {
        Self { channels: BTreeMap::new(), channels_max }
    }

    /// An operation on a channel has ended.
    pub(super) fn ended(&mut self, chan: u32, latency: Duration) {
        let Some(view) = self.view(chan) else { return };
        let ns = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let is_first = view.operations == 0;
        view.operations += 1;
        view.latency_min_ns = if is_first { ns } else { view.latency_min_ns.min(ns) };
        view.latency_max_ns = view.latency_max_ns.max(ns);
        view.latency_sum_ns = view.latency_sum_ns.saturating_add(ns);
    }

    /// Restarts the counts. False: there is no room for another view.
    pub(super) fn reset(&mut self, chan: u32, now: &Snapshot) -> bool {
        let Some(view) = self.view(chan) else { return false };
        let (sends, receives, drops) = (now.sends, now.receives, drops(now));
        *view = View { sends, receives, drops, ..View::default() };
        true
    }

    pub(super) fn stats(&self, chan: u32, now: &Snapshot) -> Stats {
        let none = View::default();
        let view = self.channels.get(&chan).unwrap_or(&none);
        Stats {
            chan,
            send_ops: now.sends.saturating_sub(view.sends),
            recv_ops: now.receives.saturating_sub(view.receives),
            waiters_send: u32::try_from(now.senders_waiting).unwrap_or(u32::MAX),
            waiters_recv: u32::try_from(now.receivers_waiting).unwrap_or(u32::MAX),
            drops: drops(now).saturating_sub(view.drops),
            lat_min_ns: view.latency_min_ns,
            lat_max_ns: view.latency_max_ns,
            lat_avg_ns: view.latency_sum_ns.checked_div(view.operations).unwrap_or(0),
            fifo_max: now.high_water as u64,
        }
    }

    /// The channel was destroyed.
    pub(super) fn forget(&mut self, chan: u32) {
        self.channels.remove(&chan);
    }

    fn view(&mut self, chan: u32) -> Option<&mut View> {
        let has_room = self.channels.len() < self.channels_max;
        if has_room || self.channels.contains_key(&chan) {
            Some(self.channels.entry(chan).or_default())
        } else {
            None
        }
    }
}

/// Values that were accepted and then replaced or dropped.
fn drops(snapshot: &Snapshot) -> u64 {
    snapshot.conflated + snapshot.dropped
}
