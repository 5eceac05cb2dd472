// SPDX-License-Identifier: BSD-3-Clause
//! A listing of the living coroutines, their states and since when.
//!
//! Read from the slots while they change: each field by itself is true for some moment, and a slot
//! whose generation changed meanwhile is left out. Instants are those at which the worker last read
//! its clock, some dispatches before.

use std::{fmt, io::Write, panic::Location, sync::Arc, time::Instant};

use crate::{
    context,
    join::Id,
    names,
    runtime::Shared,
    slot::{self, CoroutineKey, Slot},
    wake_state::{FRESH, MANUAL},
};

/// The state of a coroutine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum State {
    /// Not started.
    Fresh,
    /// Runnable, waiting for its dispatch.
    Ready,
    /// Running.
    Running,
    /// Waiting for a wake.
    Parked,
    /// Waiting for a deadline.
    Sleeping,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Fresh => "fresh",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Parked => "parked",
            Self::Sleeping => "sleeping",
        })
    }
}

/// One coroutine.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Row {
    /// Its id.
    pub id: Id,
    /// Its name, if it has one.
    pub name: Option<Arc<str>>,
    /// Where it was spawned.
    pub site: &'static Location<'static>,
    /// Its state.
    pub state: State,
    /// Since when; for one that has not started, since its runtime started or later.
    pub since: Instant,
    /// The worker it belongs to, by its number in the process, once it has started.
    pub worker: Option<usize>,
    /// The size of its stack in bytes.
    pub stack_size: usize,
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.as_deref().unwrap_or("-");
        write!(f, "{:<12} {:<9} {name:<16} {}", self.id, self.state, self.site)
    }
}

/// All coroutines of a runtime.
pub(crate) fn rows(shared: &Shared) -> Vec<Row> {
    (0..slot::given_out())
        .filter_map(|index| slot::get(index).and_then(|slot| row(shared, index, slot)))
        .collect()
}

fn row(shared: &Shared, index: u32, slot: &Slot) -> Option<Row> {
    let generation = slot.wake.generation();
    let state = match slot.state() {
        slot::State::Fresh => State::Fresh,
        slot::State::Ready => State::Ready,
        slot::State::Running => State::Running,
        slot::State::Parked => State::Parked,
        slot::State::Sleeping => State::Sleeping,
        slot::State::Free | slot::State::Abandoned | slot::State::Zombie => return None,
    };
    let owner = slot.wake.owner();
    let row = Row {
        id: Id(CoroutineKey::new(index, generation)),
        name: names::get(index),
        site: slot.site()?,
        state,
        since: shared.clock.instant(slot.since()),
        worker: (owner != FRESH && owner != MANUAL).then_some(usize::from(owner)),
        stack_size: slot.stack_size(),
    };
    (slot.runtime() == shared.id && slot.wake.generation() == generation).then_some(row)
}

/// Passes a description of the running coroutine to `say`, piece by piece. For a signal handler: it
/// waits for no lock and allocates nothing.
pub(crate) fn describe_current(say: &mut dyn FnMut(&[u8])) {
    let Some(slot) = context::slot() else { return };
    names::peek(slot.index(), |name| {
        say(b"'");
        say(name.as_bytes());
        say(b"' ");
    });
    let mut text = [0; 96];
    let mut rest = text.as_mut_slice();
    // Text that does not fit is left out.
    let written = match slot.site() {
        Some(site) => write!(rest, "({}, spawned at ", Id(slot.key())).map(|()| site.file()),
        None => write!(rest, "({}", Id(slot.key())).map(|()| ""),
    };
    let left = rest.len();
    let said = text.len() - left;
    if let Some(text) = text.get(..said) {
        say(text);
    }
    if let (Ok(file), Some(site)) = (written, slot.site()) {
        say(file.as_bytes());
        let mut number = [0; 16];
        let mut rest = number.as_mut_slice();
        let fits = write!(rest, ":{}", site.line()).is_ok();
        let left = rest.len();
        let said = number.len() - left;
        if fits && let Some(number) = number.get(..said) {
            say(number);
        }
    }
    say(b")");
}
