// SPDX-License-Identifier: BSD-3-Clause
//! The channels that a server offers: by number and, if it has one, by name.
//!
//! # Invariants
//!
//! 1. A number is assigned once in the life of the table, from [`FIRST_ID`] on.
//! 2. At most `channels_max` channels are in the table; further ones are refused.
//! 3. A destroyed channel is closed and in no table any more; holders of its ends may drain it.
//! 4. A retired channel is closed, and stays in the table for clients that drain it: it is removed
//!    when it is drained and no client has a value of it in hand.
//! 5. A channel that a client creates is charged to a quota (`quota`) with all its slots.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use becket_chan::{Builder, Kind, Receiver, Sender, Snapshot};
use parking_lot::RwLock;

use crate::dedup::Producers;
use crate::element::Element;
use crate::quota::{ALL_BYTES_MAX, Charge, Quota};

/// The number of the first channel of a table.
pub const FIRST_ID: u32 = 1001;

/// The maximum length of a channel's name, in bytes.
pub const NAME_BYTES_MAX: usize = 255;

/// The maximum capacity of a bounded channel that a client creates, in elements.
pub const CAPACITY_MAX: usize = 1 << 20;

/// The charge for a channel beside its slots, in bytes.
const CHANNEL_BYTES: u64 = 4096;
/// The charge for a slot: an element and its stamp.
const SLOT_BYTES: u64 = (size_of::<Element>() + size_of::<u64>()) as u64;
/// The slots that an unlimited channel has from the start.
const UNLIMITED_SLOTS: u64 = 64;

/// A channel that a server offers.
#[derive(Debug)]
pub struct Channel {
    id: u32,
    name: Option<Arc<str>>,
    kind: Kind,
    capacity: Option<usize>,
    element_bytes: Option<u32>,
    sender: Option<Sender<Element>>,
    receiver: Option<Receiver<Element>>,
    producers: Arc<Producers>,
    retired: AtomicBool,
    /// Of its slots, if a client created it.
    _charge: Option<Charge>,
}

/// The channel to create.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// The kind.
    pub kind: Kind,
    /// The capacity of a bounded channel, in elements: 1 to [`CAPACITY_MAX`].
    pub capacity: usize,
    /// The length of each element in bytes, if it is fixed.
    pub element_bytes: Option<u32>,
}

/// Why a channel is not offered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The maximum number of channels is in use.
    #[error("all {0} channels are in use")]
    TooMany(usize),
    /// Another channel has the name.
    #[error("a channel named {0:?} exists already")]
    NameTaken(String),
    /// The name is empty, too long, or has control characters.
    #[error(
        "invalid channel name {0:?}: expected 1 to {NAME_BYTES_MAX} bytes, no control characters"
    )]
    BadName(String),
    /// The capacity of a bounded channel is out of range.
    #[error("invalid capacity {0}: a bounded channel holds 1 to {CAPACITY_MAX} elements")]
    BadCapacity(usize),
    /// Its slots do not fit into the memory that its creator, or all clients together, may use.
    #[error("no memory is left for a channel of {bytes} bytes")]
    TooManyBytes {
        /// The bytes of its slots.
        bytes: u64,
    },
    /// All numbers have been assigned.
    #[error("no number is left for another channel")]
    NoNumber,
}

/// The channels of a server. Shared by reference: every method takes `&self`.
#[derive(Debug)]
pub struct Channels {
    channels_max: usize,
    tables: RwLock<Tables>,
    refused: AtomicU64,
    quota: Arc<Quota>,
}

#[derive(Debug)]
struct Tables {
    next: Option<u32>,
    by_id: BTreeMap<u32, Arc<Channel>>,
    by_name: HashMap<Arc<str>, u32>,
    /// The retired channels that are still in the table.
    retired: BTreeSet<u32>,
}

impl Channels {
    /// An empty table for at most `channels_max` channels. The channels that are created through it
    /// and the elements that clients of protocol 1.0 send may use 1 GiB.
    #[must_use]
    pub fn new(channels_max: usize) -> Self {
        Self::with_bytes_max(channels_max, ALL_BYTES_MAX)
    }

    /// As [`new`](Self::new), with another limit of the memory.
    #[must_use]
    pub fn with_bytes_max(channels_max: usize, bytes_max: u64) -> Self {
        let tables = Tables {
            next: Some(FIRST_ID),
            by_id: BTreeMap::new(),
            by_name: HashMap::new(),
            retired: BTreeSet::new(),
        };
        let (refused, quota) = (AtomicU64::new(0), Quota::new(bytes_max));
        Self { channels_max, tables: RwLock::new(tables), refused, quota }
    }

    /// What all clients together may use.
    pub(crate) fn quota(&self) -> &Arc<Quota> {
        &self.quota
    }

    /// Creates a channel and offers it, by name if it has one.
    ///
    /// # Errors
    ///
    /// See [`ChannelError`]; nothing has been created.
    pub fn make(&self, name: Option<&str>, wanted: Wanted) -> Result<Arc<Channel>, ChannelError> {
        self.make_within(&self.quota, name, wanted)
    }

    /// As [`make`](Self::make), charged to a client's quota.
    pub(crate) fn make_within(
        &self,
        quota: &Arc<Quota>,
        name: Option<&str>,
        wanted: Wanted,
    ) -> Result<Arc<Channel>, ChannelError> {
        let builder = match wanted.kind {
            Kind::Rendezvous => Builder::rendezvous(),
            Kind::Conflated => Builder::conflated(),
            Kind::Unlimited => Builder::unlimited(),
            _ if (1..=CAPACITY_MAX).contains(&wanted.capacity) => Builder::bounded(wanted.capacity),
            _ => return self.refuse(ChannelError::BadCapacity(wanted.capacity)),
        };
        let slots = match wanted.kind {
            Kind::Bounded => wanted.capacity as u64,
            Kind::Unlimited => UNLIMITED_SLOTS,
            _ => 1,
        };
        let bytes = CHANNEL_BYTES + slots * SLOT_BYTES;
        let charge = quota.charge(bytes).or_else(|| {
            self.sweep();
            quota.charge(bytes)
        });
        let Some(charge) = charge else {
            return self.refuse(ChannelError::TooManyBytes { bytes });
        };
        // Built only if there is room for it: a bounded channel allocates all its slots.
        self.offer(name, wanted.element_bytes, Some(charge), || {
            let (sender, receiver) =
                builder.weigh(|element: &Element| element.len() as u64).build();
            (Some(sender), Some(receiver))
        })
    }

    /// Offers a channel of this process by name; clients may send into it if a sender is given, and
    /// receive from it if a receiver is given.
    ///
    /// # Errors
    ///
    /// See [`ChannelError`].
    pub fn export(
        &self,
        name: &str,
        sender: Option<Sender<Element>>,
        receiver: Option<Receiver<Element>>,
    ) -> Result<Arc<Channel>, ChannelError> {
        self.offer(Some(name), None, None, || (sender, receiver))
    }

    fn offer(
        &self,
        name: Option<&str>,
        element_bytes: Option<u32>,
        charge: Option<Charge>,
        ends: impl FnOnce() -> (Option<Sender<Element>>, Option<Receiver<Element>>),
    ) -> Result<Arc<Channel>, ChannelError> {
        if let Some(name) = name.filter(|name| !is_name(name)) {
            let shown = name.chars().take(NAME_BYTES_MAX).collect();
            return self.refuse(ChannelError::BadName(shown));
        }
        if self.len() >= self.channels_max {
            self.sweep();
        }
        let mut tables = self.tables.write();
        if tables.by_id.len() >= self.channels_max {
            return self.refuse(ChannelError::TooMany(self.channels_max));
        }
        if let Some(name) = name.filter(|name| tables.by_name.contains_key(*name)) {
            return self.refuse(ChannelError::NameTaken(name.to_owned()));
        }
        let Some(id) = tables.next else {
            return self.refuse(ChannelError::NoNumber);
        };
        let (sender, receiver) = ends();
        let (kind, capacity) = match (&sender, &receiver) {
            (Some(sender), _) => (sender.kind(), sender.capacity()),
            (None, Some(receiver)) => (receiver.kind(), receiver.capacity()),
            (None, None) => (Kind::Rendezvous, Some(0)),
        };
        let name: Option<Arc<str>> = name.map(Arc::from);
        let producers = Arc::default();
        let channel = Arc::new(Channel {
            id,
            name,
            kind,
            capacity,
            element_bytes,
            sender,
            receiver,
            producers,
            retired: AtomicBool::new(false),
            _charge: charge,
        });
        tables.next = id.checked_add(1);
        if let Some(name) = &channel.name {
            tables.by_name.insert(name.clone(), id);
        }
        tables.by_id.insert(id, channel.clone());
        Ok(channel)
    }

    fn refuse<T>(&self, error: ChannelError) -> Result<T, ChannelError> {
        self.refused.fetch_add(1, Ordering::Relaxed);
        Err(error)
    }

    /// The channel of this number.
    #[must_use]
    pub fn by_id(&self, id: u32) -> Option<Arc<Channel>> {
        self.tables.read().by_id.get(&id).cloned()
    }

    /// The channel of this name.
    #[must_use]
    pub fn by_name(&self, name: &str) -> Option<Arc<Channel>> {
        let tables = self.tables.read();
        tables.by_id.get(tables.by_name.get(name)?).cloned()
    }

    /// Up to `max` channels with numbers above `after`, in ascending order.
    #[must_use]
    pub fn page(&self, after: Option<u32>, max: usize) -> Vec<Arc<Channel>> {
        let first = after.map_or(Some(0), |id| id.checked_add(1));
        let Some(first) = first else { return Vec::new() };
        self.tables.read().by_id.range(first..).take(max).map(|(_, found)| found.clone()).collect()
    }

    /// The number of channels.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tables.read().by_id.len()
    }

    /// Whether the table is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The number of refused channels.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Removes a channel from the table and closes it. False: no channel has this number.
    pub fn destroy(&self, id: u32) -> bool {
        let channel = {
            let mut tables = self.tables.write();
            let channel = tables.by_id.remove(&id);
            tables.retired.remove(&id);
            if let Some(name) = channel.as_ref().and_then(|channel| channel.name.as_ref()) {
                tables.by_name.remove(name);
            }
            channel
        };
        // Outside the lock: closing wakes the waiting operations.
        channel.map(|channel| channel.close(None)).is_some()
    }

    /// Closes a channel. Clients may receive what it holds; then it is removed. False: no channel has
    /// this number.
    pub(crate) fn retire(&self, id: u32) -> bool {
        let channel = {
            let mut tables = self.tables.write();
            let channel = tables.by_id.get(&id).cloned();
            if channel.is_some() {
                tables.retired.insert(id);
            }
            channel
        };
        let Some(channel) = channel else { return false };
        channel.retired.store(true, Ordering::Relaxed);
        channel.close(None);
        self.remove_if_drained(channel);
        true
    }

    /// Removes a retired channel that was found closed and drained. `channel` is the caller's only
    /// reference to it.
    pub(crate) fn remove_if_drained(&self, channel: Arc<Channel>) {
        let mut tables = self.tables.write();
        let id = channel.id;
        // One more reference is in the table; a client that has taken a value has another, until it
        // has the value or the value is requeued.
        if channel.is_drained() && Arc::strong_count(&channel) <= 2 && tables.retired.remove(&id) {
            tables.by_id.remove(&id);
        }
        drop(tables);
        drop(channel);
    }

    /// Removes every retired channel that is drained.
    fn sweep(&self) {
        let retired: Vec<_> = self.tables.read().retired.iter().copied().collect();
        for channel in retired.into_iter().filter_map(|id| self.by_id(id)) {
            self.remove_if_drained(channel);
        }
    }

    /// Closes every channel.
    pub fn close_all(&self, reason: &str) {
        for channel in self.page(None, usize::MAX) {
            channel.close(Some(reason));
        }
    }
}

/// Whether a name is valid for a channel: 1 to [`NAME_BYTES_MAX`] bytes, no control characters.
#[must_use]
pub fn is_name(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control)
}

impl Channel {
    /// Its number.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Its name, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The capacity in elements; `None`: unbounded.
    #[must_use]
    pub fn capacity(&self) -> Option<usize> {
        self.capacity
    }

    /// The length of each element in bytes, if it is fixed.
    #[must_use]
    pub fn element_bytes(&self) -> Option<u32> {
        self.element_bytes
    }

    /// The end into which clients send, if they may.
    #[must_use]
    pub fn sender(&self) -> Option<&Sender<Element>> {
        self.sender.as_ref()
    }

    /// The end from which clients receive, if they may.
    #[must_use]
    pub fn receiver(&self) -> Option<&Receiver<Element>> {
        self.receiver.as_ref()
    }

    /// The producers that number their elements.
    pub(crate) fn producers(&self) -> &Arc<Producers> {
        &self.producers
    }

    /// Whether it was destroyed, and stays for those that drain it.
    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Relaxed)
    }

    fn is_drained(&self) -> bool {
        self.receiver.as_ref().is_none_or(Receiver::is_empty)
    }

    /// Its counters.
    #[must_use]
    pub fn snapshot(&self) -> Option<Snapshot> {
        let sender = self.sender.as_ref().map(Sender::snapshot);
        sender.or_else(|| self.receiver.as_ref().map(Receiver::snapshot))
    }

    /// Closes it. True: it was open.
    pub fn close(&self, reason: Option<&str>) -> bool {
        match (&self.sender, &self.receiver, reason) {
            (Some(sender), _, Some(reason)) => sender.close_with(reason),
            (Some(sender), _, None) => sender.close(),
            (None, Some(receiver), Some(reason)) => receiver.close_with(reason),
            (None, Some(receiver), None) => receiver.close(),
            (None, None, _) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use becket_chan::bounded;

    use super::*;

    const TWO: Wanted = Wanted { kind: Kind::Bounded, capacity: 2, element_bytes: None };

    #[test]
    fn numbers_begin_at_1001_and_are_assigned_once() {
        let channels = Channels::new(2);
        let first = channels.make(None, TWO).unwrap();
        assert_eq!(first.id(), 1001);
        assert!(channels.destroy(1001));
        assert!(!channels.destroy(1001));
        assert!(first.sender().unwrap().is_closed());
        assert_eq!(channels.make(Some("jobs"), TWO).unwrap().id(), 1002);
        assert!(channels.by_id(1001).is_none());
        assert_eq!(channels.by_name("jobs").unwrap().id(), 1002);
    }

    #[test]
    fn an_invalid_channel_is_refused_and_counted() {
        let channels = Channels::new(2);
        let refusals = [
            (Some(""), TWO),
            (Some("a\nb"), TWO),
            (None, Wanted { capacity: 0, ..TWO }),
            (None, Wanted { capacity: CAPACITY_MAX + 1, ..TWO }),
        ];
        for (name, wanted) in refusals {
            channels.make(name, wanted).unwrap_err();
        }
        channels.make(Some("jobs"), TWO).unwrap();
        let taken = channels.make(Some("jobs"), TWO).unwrap_err();
        assert_eq!(taken, ChannelError::NameTaken("jobs".into()));
        channels.make(None, TWO).unwrap();
        assert_eq!(channels.make(None, TWO).unwrap_err(), ChannelError::TooMany(2));
        assert_eq!((channels.refused(), channels.len()), (6, 2));
    }

    #[test]
    fn a_retired_channel_is_drained_and_then_removed() {
        let channels = Channels::new(2);
        let channel = channels.make(None, TWO).unwrap();
        for element in ["a", "b"] {
            channel.sender().unwrap().try_send(element.into()).unwrap();
        }
        let id = channel.id();
        assert!(channels.retire(id) && channel.is_retired());
        assert!(channel.sender().unwrap().is_closed());
        let receiver = channel.receiver().unwrap().clone();
        assert_eq!(receiver.try_recv().unwrap().as_slice(), b"a");
        channels.remove_if_drained(channel.clone());
        assert!(channels.by_id(id).is_some(), "it holds an element");
        let in_hand = channel.clone();
        let last = receiver.try_recv().unwrap();
        channels.remove_if_drained(channel);
        // The client that has taken the last one is gone without it.
        in_hand.receiver().unwrap().put_back(last);
        drop(in_hand);
        let channel = channels.by_id(id).unwrap();
        assert_eq!(channel.receiver().unwrap().try_recv().unwrap().as_slice(), b"b");
        channels.remove_if_drained(channel);
        assert!(channels.by_id(id).is_none());
        // An empty one goes at once; the place of a drained one is free for another.
        let empty = channels.make(None, TWO).unwrap().id();
        assert!(channels.retire(empty) && channels.by_id(empty).is_none());
        assert!(!channels.retire(empty));
        for _ in 0..2 {
            let full = channels.make(None, TWO).unwrap();
            full.sender().unwrap().try_send("c".into()).unwrap();
            channels.retire(full.id());
        }
        assert_eq!(channels.make(None, TWO).unwrap_err(), ChannelError::TooMany(2));
        for channel in channels.page(None, 2) {
            channel.receiver().unwrap().try_recv().unwrap();
        }
        assert!(channels.make(None, TWO).is_ok());
        assert_eq!(channels.len(), 1);
    }

    #[test]
    fn slots_are_charged_until_the_channel_is_gone() {
        let one = CHANNEL_BYTES + 2 * SLOT_BYTES;
        let channels = Channels::with_bytes_max(9, 2 * one);
        let client = channels.quota().below(one);
        let first = channels.make_within(&client, None, TWO).unwrap();
        let refused = channels.make_within(&client, None, TWO).unwrap_err();
        assert_eq!(refused, ChannelError::TooManyBytes { bytes: one });
        let _second = channels.make(None, TWO).unwrap();
        assert_eq!(channels.make(None, TWO).unwrap_err(), refused);
        assert!(channels.destroy(first.id()));
        assert!(channels.make_within(&client, None, TWO).is_err(), "it is in use");
        drop(first);
        assert!(channels.make_within(&client, None, TWO).is_ok());
        assert_eq!(channels.refused(), 3);
    }

    #[test]
    fn pages_follow_each_other_without_gap_or_repetition() {
        let channels = Channels::new(100);
        for _ in 0..10 {
            channels.make(None, TWO).unwrap();
        }
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = channels.page(after, 3);
            let Some(last) = page.last() else { break };
            after = Some(last.id());
            seen.extend(page.iter().map(|channel| channel.id()));
        }
        assert!(seen.into_iter().eq(1001..1011));
        assert!(channels.page(Some(u32::MAX), 3).is_empty());
    }

    #[test]
    fn an_exported_channel_is_the_programs_own() {
        let channels = Channels::new(1);
        let (tx, rx) = bounded::<Element>(4);
        let channel = channels.export("jobs", Some(tx), None).unwrap();
        assert!(channel.receiver().is_none());
        channel.sender().unwrap().try_send("hello".into()).unwrap();
        assert_eq!(rx.try_recv().unwrap().as_slice(), b"hello");
        assert_eq!((channel.kind(), channel.capacity()), (Kind::Bounded, Some(4)));
    }
}
