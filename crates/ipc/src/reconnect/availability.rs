// SPDX-License-Identifier: BSD-3-Clause
//! A value that is available, not yet, or never again.
//!
//! A change is awaited through a token that is cancelled with it, so that a wait that is given up
//! leaves nothing behind. A select awaits it through a [`Gate`], which is closed with it.

use becket_chan::{Receiver, Sender, Token, rendezvous};
use parking_lot::Mutex;

use crate::connection::Ended;
use crate::element::Element;

#[derive(Debug, Clone)]
pub(super) enum Availability<T> {
    Unavailable,
    Available(T),
    Never(Ended),
}

/// The ends of a channel without elements: an operation on one of them waits until the channel is
/// closed.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    pub(super) sender: Sender<Element>,
    pub(super) receiver: Receiver<Element>,
}

impl Gate {
    fn new() -> Self {
        let (sender, receiver) = rendezvous();
        Self { sender, receiver }
    }

    /// One that is closed.
    pub(super) fn closed() -> Self {
        let gate = Self::new();
        gate.sender.close();
        gate
    }
}

#[derive(Debug)]
pub(super) struct AvailabilityCell<T> {
    state: Mutex<State<T>>,
}

#[derive(Debug)]
struct State<T> {
    now: Availability<T>,
    /// Cancelled when the state changes.
    changed: Token,
    /// Closed when the state changes; made by the first select that waits for that.
    gate: Option<Gate>,
}

impl<T> State<T> {
    fn new(now: Availability<T>) -> Self {
        Self { now, changed: Token::new(), gate: None }
    }
}

impl<T> Default for AvailabilityCell<T> {
    fn default() -> Self {
        Self { state: Mutex::new(State::new(Availability::Unavailable)) }
    }
}

impl<T: Clone> AvailabilityCell<T> {
    /// The current state, and a token that is cancelled when it changes.
    pub(super) fn get(&self) -> (Availability<T>, Token) {
        let state = self.state.lock();
        (state.now.clone(), state.changed.clone())
    }

    /// The current state, and a gate that is closed when it changes. The state that never changes
    /// again has a gate that is closed already.
    pub(super) fn get_gated(&self) -> (Availability<T>, Gate) {
        let mut state = self.state.lock();
        let now = state.now.clone();
        let gate = match now {
            Availability::Never(_) => Gate::closed(),
            _ => state.gate.get_or_insert_with(Gate::new).clone(),
        };
        (now, gate)
    }

    pub(super) fn set(&self, now: Availability<T>) {
        let State { now: before, changed, gate } =
            std::mem::replace(&mut *self.state.lock(), State::new(now));
        // Outside the lock: all call in.
        drop(before);
        changed.cancel();
        if let Some(gate) = gate {
            gate.sender.close();
        }
    }

    /// Waits for a value that is live; also returns the token that is cancelled when it changes.
    pub(super) async fn available(
        &self,
        is_live: impl Fn(&T) -> bool,
    ) -> Result<(T, Token), Ended> {
        loop {
            let (now, changed) = self.get();
            match now {
                Availability::Available(it) if is_live(&it) => return Ok((it, changed)),
                Availability::Never(ended) => return Err(ended),
                _ => {}
            }
            changed.cancelled().await;
        }
    }
}
