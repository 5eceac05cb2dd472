// SPDX-License-Identifier: BSD-3-Clause
//! Each kind of channel of `becket-chan`, under the same rules.
//!
//! A flow has its own channel, whose items are bytes. A kind that loses items by design loses them
//! here too, and that is part of the check:
//!
//! | kinds | what an item is | what is lost |
//! |---|---|---|
//! | rendezvous, bounded, unlimited, spsc | the next bytes | nothing |
//! | conflated, bounded that drops the oldest or the latest | all bytes that were not read yet | items, never bytes |
//!
//! A channel that keeps the latest is for states, not for pieces: each item contains everything
//! that its reader does not have. So all rules hold for its bytes as for any others, and the
//! guarantee of the kind is checked besides: that the latest item is received, and that each lost
//! item is counted once and passed to the undelivered hook.
//!
//! | file | holds |
//! |---|---|
//! | `held` | channels that deliver every item, with their senders and receivers cloned |
//! | `spsc` | channels for one sender and one receiver |
//! | `latest` | channels that drop items |

mod held;
mod latest;
mod spsc;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use becket_chan::{Builder, Overflow};
use parking_lot::Mutex;

use super::Spec;
use super::operations::Ends;
use crate::adapters::Pair;
use crate::contract::{Capability, Limits};

/// Capacity of a bounded channel, in items.
const CAPACITY: usize = 4;
/// The item of the current send, and the rest of the item that came out last.
const ITEMS_BESIDE: u64 = 2;

/// A kind of channel, examined as a pair of adapters.
#[derive(Debug, Clone, Copy)]
pub struct ChannelKind {
    /// Name.
    pub name: &'static str,
    /// What is checked besides the rules of all adapters.
    pub holds: &'static str,
    /// Creates a pair: each flow has a channel per direction.
    pub make: fn(Limits) -> Pair,
}

/// All kinds.
pub const KINDS: &[ChannelKind] = &[
    ChannelKind {
        name: "rendezvous",
        holds: "a send is over when its item was received; an operation that is dropped leaves no \
                trace; nothing is undelivered",
        make: |limits| held("rendezvous", limits, 0, Builder::rendezvous),
    },
    ChannelKind {
        name: "bounded",
        holds: "no more than its capacity is held; an operation that is dropped leaves no trace; \
                nothing is undelivered",
        make: |limits| held("bounded", limits, CAPACITY, || Builder::bounded(CAPACITY)),
    },
    ChannelKind {
        name: "bounded-1",
        holds: "as bounded, with one place",
        make: |limits| held("bounded-1", limits, 1, || Builder::bounded(1)),
    },
    ChannelKind {
        name: "unlimited",
        holds: "a send never waits, so that there is no backpressure, which it does not claim; \
                nothing is undelivered",
        make: |limits| {
            let limits = Limits {
                buffered_bytes_max: u64::MAX,
                flow_buffered_bytes_max: u64::MAX,
                ..limits
            };
            let spec = Spec::new("unlimited", limits).without(Capability::FlowBackpressure);
            held_as(&spec, UNLIMITED_ITEM_BYTES_MAX, Builder::unlimited)
        },
    },
    ChannelKind {
        name: "spsc",
        holds: "no more than its capacity is held; nothing is undelivered",
        make: |limits| {
            let most = item_bytes_max(limits, CAPACITY);
            let spec = Spec::new("spsc", limits);
            super::pair(&spec, || move |_| Ok(Ends::new(spsc::Spsc::new(CAPACITY), most)))
        },
    },
    ChannelKind {
        name: "conflated",
        holds: "a send never waits; what is received is the latest; each item that is replaced is \
                undelivered, once",
        make: |limits| latest("conflated", limits, latest::Keeps::Latest, Builder::conflated),
    },
    ChannelKind {
        name: "drop-oldest",
        holds: "a send never waits; items come in order, and of those that are dropped each is \
                older than all that are received after it, and undelivered, once",
        make: |limits| {
            latest("drop-oldest", limits, latest::Keeps::Newest, || {
                Builder::bounded(CAPACITY).overflow(Overflow::DropOldest)
            })
        },
    },
    ChannelKind {
        name: "drop-latest",
        holds: "a send never waits; what is held is received, and an item that is dropped is \
                undelivered, once, before its send returns",
        make: |limits| {
            latest("drop-latest", limits, latest::Keeps::Oldest, || {
                Builder::bounded(CAPACITY).overflow(Overflow::DropLatest)
            })
        },
    },
];

/// Item length in a channel without a bound: as much as is put out at once.
const UNLIMITED_ITEM_BYTES_MAX: usize = super::flow::OUT_BYTES_MAX;

/// All kinds, in the order of reports.
#[must_use]
pub const fn channel_kinds() -> &'static [ChannelKind] {
    KINDS
}

/// The item length with which a flow holds no more than its limit.
fn item_bytes_max(limits: Limits, capacity: usize) -> usize {
    let items = capacity as u64 + ITEMS_BESIDE;
    let most = (limits.flow_buffered_bytes_max / items).max(1);
    usize::try_from(most).unwrap_or(usize::MAX)
}

fn held(name: &str, limits: Limits, capacity: usize, builder: held::MakeBuilder) -> Pair {
    held_as(&Spec::new(name, limits), item_bytes_max(limits, capacity), builder)
}

fn held_as(spec: &Spec, item_bytes_max: usize, builder: held::MakeBuilder) -> Pair {
    super::pair(spec, || move |_| Ok(Ends::new(held::Held::new(builder()), item_bytes_max)))
}

fn latest(name: &str, limits: Limits, keeps: latest::Keeps, builder: latest::MakeBuilder) -> Pair {
    let most = usize::try_from(limits.flow_buffered_bytes_max).unwrap_or(usize::MAX);
    super::pair(&Spec::new(name, limits), || {
        move |_| Ok(latest::Latest::new(builder(), keeps, most))
    })
}

/// The items that the undelivered hook received, oldest first. They are taken out soon: the hook
/// receives one item at a time here.
struct Lost<T>(Arc<Mutex<VecDeque<T>>>);

impl<T> Lost<T> {
    fn put(&self, item: T) {
        self.0.lock().push_back(item);
    }

    fn take(&self) -> Option<T> {
        self.0.lock().pop_front()
    }
}

impl<T> Default for Lost<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> Clone for Lost<T> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}
