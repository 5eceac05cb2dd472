// SPDX-License-Identifier: BSD-3-Clause
//! The exported channels, and one pass over them.
//!
//! # Invariants
//!
//! 1. The list's lock is held for [`CHUNK`] entries at a time, and never while a channel is read:
//!    an export does not wait for the pass.
//! 2. Totals never decrease: the last known counts of a channel stay in them after the channel has
//!    left the list. They are added once, by the thread that removes the entry.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use becket_chan::{Kind, Snapshot};
use parking_lot::Mutex;

use super::ExportError;
use super::process::at_ns;
use crate::monitor::query::{ChannelSort, Page, Select};
use crate::monitor::rate::{Meter, Reading};
use crate::monitor::report::{ChannelReport, ChannelTotals};
use crate::monitor::tame::{TEXT_BYTES_MAX, tame_text};

/// The number of entries copied out of the list at a time.
const CHUNK: usize = 256;

type ReadChannel = Box<dyn Fn() -> Option<Snapshot> + Send + Sync>;

pub(super) struct Channels {
    channels_max: usize,
    list: Mutex<List>,
}

#[derive(Default)]
struct List {
    entries: BTreeMap<u64, Arc<Entry>>,
    last_id: u64,
    /// The counts of channels that have left.
    gone: ChannelTotals,
}

struct Entry {
    id: u64,
    name: Mutex<Arc<str>>,
    read: ReadChannel,
    recent: Mutex<RecentCounts>,
}

/// Only for the order of rows; a reader of the reports computes the rates of rows.
#[derive(Default)]
struct RecentCounts {
    receives: Meter,
    bytes: Meter,
    /// The last known counts.
    seen: ChannelTotals,
}

struct Item {
    entry: Arc<Entry>,
    /// When it was read: the entry may be renamed.
    name: Arc<str>,
    at_ns: u64,
    snapshot: Snapshot,
    receives_per_second: f64,
    bytes_per_second: f64,
}

impl Channels {
    pub(super) fn new(channels_max: usize) -> Self {
        Self { channels_max, list: Mutex::default() }
    }

    pub(super) fn add(&self, mut name: String, read: ReadChannel) -> Result<u64, ExportError> {
        tame_text(&mut name, TEXT_BYTES_MAX);
        let mut list = self.list.lock();
        if list.entries.len() >= self.channels_max {
            return Err(ExportError::TooMany { what: "channels", max: self.channels_max });
        }
        list.last_id += 1;
        let id = list.last_id;
        let name = Mutex::new(name.into());
        let entry = Entry { id, name, read, recent: Mutex::default() };
        list.entries.insert(id, Arc::new(entry));
        Ok(id)
    }

    /// False: there is no channel of this id.
    pub(super) fn rename(&self, id: u64, mut name: String) -> bool {
        tame_text(&mut name, TEXT_BYTES_MAX);
        let entry = self.list.lock().entries.get(&id).cloned();
        entry.map(|entry| *entry.name.lock() = name.into()).is_some()
    }

    pub(super) fn remove(&self, id: u64) {
        let mut list = self.list.lock();
        if let Some(entry) = list.entries.remove(&id) {
            let seen = entry.recent.lock().seen;
            list.gone.add_counts(&seen);
        }
    }

    pub(super) fn collect(
        &self,
        select: &Select<ChannelSort>,
    ) -> (Page<ChannelReport>, ChannelTotals) {
        let items = self.read_all();
        let mut totals = ChannelTotals::default();
        for item in &items {
            let seen = item.totals();
            totals.add_counts(&seen);
            totals.channels += 1;
            totals.full += seen.full;
            totals.len += seen.len;
            totals.senders_waiting += seen.senders_waiting;
            totals.receivers_waiting += seen.receivers_waiting;
        }
        totals.at_ns = items
            .iter()
            .map(|item| item.at_ns)
            .min()
            .unwrap_or_else(|| at_ns(std::time::Instant::now()));
        totals.add_counts(&self.list.lock().gone);
        let page = select.page(
            &items,
            |item| &item.name,
            |item| item.entry.id,
            |a, b| match select.sort {
                ChannelSort::Id => a.entry.id.cmp(&b.entry.id),
                ChannelSort::Name => a.name.cmp(&b.name),
                ChannelSort::Depth => b.snapshot.len.cmp(&a.snapshot.len),
                ChannelSort::Waiting => b.waiting().cmp(&a.waiting()),
                ChannelSort::Rate => b.receives_per_second.total_cmp(&a.receives_per_second),
                ChannelSort::Bytes => b.bytes_per_second.total_cmp(&a.bytes_per_second),
                ChannelSort::Failed => b.failures().cmp(&a.failures()),
            },
            |item| ChannelReport::new(item.entry.id, &item.name, item.at_ns, &item.snapshot),
        );
        (page, totals)
    }

    /// Reads all channels; dropped ones leave the list.
    fn read_all(&self) -> Vec<Item> {
        let mut items = Vec::new();
        let mut after = 0;
        loop {
            let chunk: Vec<Arc<Entry>> = self
                .list
                .lock()
                .entries
                .range((Bound::Excluded(after), Bound::Unbounded))
                .take(CHUNK)
                .map(|(_, entry)| Arc::clone(entry))
                .collect();
            let Some(last) = chunk.last() else { return items };
            after = last.id;
            for entry in chunk {
                match (entry.read)() {
                    Some(snapshot) => items.push(Item::new(entry, snapshot)),
                    None => self.remove(entry.id),
                }
            }
        }
    }
}

impl Item {
    fn new(entry: Arc<Entry>, snapshot: Snapshot) -> Self {
        let at_ns = at_ns(snapshot.taken_at);
        let mut item = Self {
            entry: Arc::clone(&entry),
            name: entry.name.lock().clone(),
            at_ns,
            snapshot,
            receives_per_second: 0.0,
            bytes_per_second: 0.0,
        };
        let mut recent = entry.recent.lock();
        recent.seen = item.totals();
        let now = |meter: &mut Meter, count| {
            meter.read(Reading { at_ns, count });
            meter.rates().map_or(0.0, |rates| rates.now)
        };
        item.receives_per_second = now(&mut recent.receives, item.snapshot.receives);
        item.bytes_per_second = now(&mut recent.bytes, item.snapshot.bytes_received);
        item
    }

    fn waiting(&self) -> usize {
        self.snapshot.senders_waiting + self.snapshot.receivers_waiting
    }

    fn failures(&self) -> u64 {
        self.snapshot.send_failures.total() + self.snapshot.receive_failures.total()
    }

    fn totals(&self) -> ChannelTotals {
        let snapshot = &self.snapshot;
        ChannelTotals {
            at_ns: self.at_ns,
            channels: 1,
            full: u64::from(is_full(snapshot)),
            len: snapshot.len as u64,
            senders_waiting: snapshot.senders_waiting as u64,
            receivers_waiting: snapshot.receivers_waiting as u64,
            sends: snapshot.sends,
            receives: snapshot.receives,
            bytes_in: snapshot.bytes_sent,
            bytes_out: snapshot.bytes_received,
            failures: self.failures(),
            dropped: snapshot.dropped,
        }
    }
}

fn is_full(snapshot: &Snapshot) -> bool {
    snapshot.kind == Kind::Bounded
        && snapshot.capacity.is_some_and(|capacity| capacity > 0 && snapshot.len >= capacity)
}

impl ChannelTotals {
    /// Adds the counts that only grow.
    fn add_counts(&mut self, other: &Self) {
        self.sends += other.sends;
        self.receives += other.receives;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.failures += other.failures;
        self.dropped += other.dropped;
    }
}
