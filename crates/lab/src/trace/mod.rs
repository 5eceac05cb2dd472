// SPDX-License-Identifier: BSD-3-Clause
//! What happened in a run, without a byte of payload.
//!
//! A trace is the only thing that a verdict is made of: rules look at events, never at the run. An
//! event has numbers and classes; what a flow carried is in it only as "as it should be" or "another
//! byte than it should be, at this offset".
//!
//! | file | holds |
//! |---|---|
//! | `event` | what can happen |
//! | `bucket` | sizes as reports tell them |
//! | `hash` | the trace as one number |

mod bucket;
mod event;
mod hash;

pub use bucket::{ByteBucket, CountBucket};
pub use event::{Call, Event, FaultKind, Kept, Part, Place, Said, SessionCall, What};
pub use hash::TraceHash;

use crate::contract::{FlowId, Tick};
use crate::world::planted::{self, Planted};

/// What a trace loses that is wrong on purpose.
const LOST: usize = 5;

/// The events of one run, in order.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    events: Vec<Event>,
    events_max: usize,
    is_cut: bool,
    /// How often something happened.
    pushed: usize,
    /// The event of this number is lost, if the trace is wrong on purpose. 0: none is.
    loses: usize,
}

impl Trace {
    /// Of so many events at most.
    #[must_use]
    pub fn new(events_max: u32) -> Self {
        let loses = if planted::is(Planted::Trace) { LOST } else { 0 };
        Self { events_max: events_max as usize, loses, ..Self::default() }
    }

    /// Begins anew, with the memory of before.
    pub fn clear(&mut self) {
        self.events.clear();
        self.is_cut = false;
        self.pushed = 0;
    }

    /// Something happened.
    #[inline]
    pub fn push(&mut self, tick: Tick, flow: FlowId, what: What) {
        if self.events.len() >= self.events_max {
            return self.cut();
        }
        self.pushed += 1;
        if self.pushed == self.loses {
            return;
        }
        self.events.push(Event { tick, flow, what });
    }

    /// Everything that happened is in it, up to where it was cut.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.pushed == self.events.len()
    }

    #[cold]
    const fn cut(&mut self) {
        self.is_cut = true;
    }

    /// What happened, in order.
    #[must_use]
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    /// There was more than there may be: the run was broken off.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// All events as one number, which takes a few nanoseconds an event each time that it is asked
    /// for.
    #[must_use]
    pub fn hash(&self) -> TraceHash {
        TraceHash::of(&self.events)
    }

    /// What happened to one flow.
    pub fn of_flow(&self, flow: FlowId) -> impl Iterator<Item = &Event> {
        self.events.iter().filter(move |event| event.flow == flow)
    }
}
