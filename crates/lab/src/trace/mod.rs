// SPDX-License-Identifier: BSD-3-Clause
//! The events of a run, without a byte of payload.
//!
//! Verdicts are made from traces alone: rules examine events, never the run. An event has numbers
//! and classes; of the bytes that a flow carried it contains only "correct" or "wrong from this
//! offset on".
//!
//! | file | holds |
//! |---|---|
//! | `event` | the events |
//! | `bucket` | sizes in reports |
//! | `hash` | the trace as one number |

mod bucket;
mod event;
mod hash;

pub use bucket::{byte_bucket, count_bucket};
pub use event::{Call, Event, EventKind, FaultKind, Kept, OutletEvent, Part, SessionCall, Stage};
pub use hash::TraceHash;

use crate::contract::{FlowId, Tick};
use crate::world::planted::{self, Planted};

/// Number, from 1, of the event that a trace loses if it is made wrong on purpose.
const LOST: usize = 5;

/// The events of one run, in order.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    events: Vec<Event>,
    events_max: usize,
    is_cut: bool,
    /// Number of events up to the cut, including a lost one.
    pushed: usize,
    /// The event with this number is lost, if the trace is made wrong on purpose. 0: none.
    loses: usize,
}

impl Trace {
    /// An empty trace for at most this many events.
    #[must_use]
    pub fn new(events_max: u32) -> Self {
        let loses = if planted::is(Planted::Trace) { LOST } else { 0 };
        Self { events_max: events_max as usize, loses, ..Self::default() }
    }

    /// Removes all events, and keeps the memory.
    pub fn clear(&mut self) {
        self.events.clear();
        self.is_cut = false;
        self.pushed = 0;
    }

    /// Records an event.
    #[inline]
    pub fn push(&mut self, tick: Tick, flow: FlowId, what: EventKind) {
        if self.events.len() >= self.events_max {
            return self.cut();
        }
        self.pushed += 1;
        if self.pushed == self.loses {
            return;
        }
        self.events.push(Event { tick, flow, what });
    }

    /// Whether it contains all events up to the cut.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.pushed == self.events.len()
    }

    #[cold]
    const fn cut(&mut self) {
        self.is_cut = true;
    }

    /// The events, in order.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// Whether the run had more events than allowed, and was aborted.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The hash of all events. Takes a few nanoseconds per event at each call.
    #[must_use]
    pub fn hash(&self) -> TraceHash {
        TraceHash::of(&self.events)
    }

    /// The events of one flow.
    pub fn of_flow(&self, flow: FlowId) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.flow == flow)
    }
}
