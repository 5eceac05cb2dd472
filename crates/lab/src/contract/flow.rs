// SPDX-License-Identifier: BSD-3-Clause
//! Flows and their lifecycle.
//!
//! ```text
//!            open        opened              half-close
//!   ┌─────┐ ────► ┌─────────┐ ────► ┌──────┐ ─────────► ┌─────────────┐
//!   │ New │       │ Opening │       │ Open │            │ Half-closed │
//!   └─────┘       └─────────┘       └──────┘            └─────────────┘
//!                                    │    │ drain            │       │ drain
//!                                    │    └────► ┌──────────┐◄───────┘
//!                              close │           │ Draining │
//!                                    ▼           └──────────┘
//!                                 ┌────────┐  close    │        from any state that is not
//!                                 │ Closed │◄──────────┘        an end: Reset, Failed
//!                                 └────────┘
//! ```
//!
//! Close and reset have no effect on a flow that is over. Every other event without an arrow is an
//! error.

use std::fmt;

use strum::{IntoStaticStr, VariantArray};

/// The number of a flow, from 1 in the lab. It may be used again after the flow is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(u32);

impl FlowId {
    /// The flow with this number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for FlowId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A moment of virtual time, in milliseconds since the start of the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Tick(pub u64);

impl Tick {
    /// The moment `ms` milliseconds later.
    #[must_use]
    pub const fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// The priority class of a flow: decides which flow goes first.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, IntoStaticStr, VariantArray,
)]
#[strum(serialize_all = "snake_case")]
pub enum Class {
    /// A user waits for it.
    Interactive,
    /// No particular priority.
    #[default]
    Normal,
    /// Large, and not urgent.
    Bulk,
}

/// 128 secret bits. An adapter may use them and pass them on; none of its texts may contain them.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Secret([u8; 16]);

impl Secret {
    /// A secret of these bits.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bits.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Does not show the bits.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// The properties of a flow that are known when it opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Descriptor {
    /// Its priority class.
    pub class: Class,
    /// The key that authenticates the opener of the flow. Each flow has its own.
    pub key: Secret,
    /// The secret by which the adapter authenticates itself, from its configuration. All flows of a
    /// run have the same one.
    pub identity: Secret,
}

impl Descriptor {
    /// A flow of this class, without credentials.
    #[must_use]
    pub const fn of(class: Class) -> Self {
        Self { class, key: Secret::new([0; 16]), identity: Secret::new([0; 16]) }
    }

    /// The same descriptor with a key and an identity.
    #[must_use]
    pub const fn with(self, key: Secret, identity: Secret) -> Self {
        Self { key, identity, ..self }
    }
}

/// Why a flow was reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// On request.
    Reset,
    /// Because of a failure.
    Error,
}

/// A piece of a flow. Its bytes are passed beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Its flow.
    pub flow: FlowId,
    /// Its number in its flow and direction, from 1, without gaps.
    pub sequence: u64,
    /// Position of its first byte in the flow.
    pub offset: u64,
    /// Length in bytes.
    pub bytes: u64,
    /// It is the last one.
    pub is_final: bool,
}

/// The states of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum FlowState {
    /// Only its number is known.
    #[default]
    New,
    /// It was requested.
    Opening,
    /// Bytes may go both ways.
    Open,
    /// One side sends no more.
    HalfClosed,
    /// No more bytes come in; those that are there are still put out.
    Draining,
    /// It ended in order.
    Closed,
    /// It was reset.
    Reset,
    /// It ended by an error.
    Failed,
}

impl FlowState {
    /// Whether the flow is over.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Closed | Self::Reset | Self::Failed)
    }

    /// Name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// The events of a flow's lifecycle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr)]
#[strum(serialize_all = "kebab-case")]
pub enum FlowEvent {
    /// It is requested.
    Open,
    /// It is established.
    Opened,
    /// One side sends no more.
    HalfClose,
    /// No more bytes come in.
    Drain,
    /// It ends in order.
    Close,
    /// It is reset.
    Reset,
    /// It ends by an error.
    Fail,
}

impl FlowEvent {
    /// Name in messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// An event that is not allowed in the current state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot happen to a flow that is {}", event.name(), state.name())]
pub struct TransitionError {
    /// The state of the flow, which does not change.
    pub state: FlowState,
    /// The event.
    pub event: FlowEvent,
}

/// The effect of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transition {
    /// The flow has entered this state.
    Moved(FlowState),
    /// The flow was over: the event had no effect.
    Nothing,
}

/// The state of one flow. Each side half-closes on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lifecycle {
    state: FlowState,
}

impl Lifecycle {
    /// A lifecycle in this state.
    #[must_use]
    pub const fn at(state: FlowState) -> Self {
        Self { state }
    }

    /// The current state.
    #[must_use]
    pub const fn state(self) -> FlowState {
        self.state
    }

    /// Applies an event.
    ///
    /// # Errors
    ///
    /// The event is not allowed in this state, which does not change.
    #[inline]
    pub const fn apply(&mut self, event: FlowEvent) -> Result<Transition, TransitionError> {
        use FlowEvent as E;
        use FlowState as S;
        const fn any(states: &[FlowState]) -> u8 {
            let (mut bits, mut rest) = (0, states);
            while let [state, others @ ..] = rest {
                bits |= 1 << *state as u8;
                rest = others;
            }
            bits
        }
        const NOT_OVER: u8 = any(&[S::New, S::Opening, S::Open, S::HalfClosed, S::Draining]);
        // The states with an arrow for this event, and where it leads.
        let (from, next) = match event {
            E::Open => (const { any(&[S::New]) }, S::Opening),
            E::Opened => (const { any(&[S::Opening]) }, S::Open),
            E::HalfClose => (const { any(&[S::Open]) }, S::HalfClosed),
            E::Drain => (const { any(&[S::Open, S::HalfClosed]) }, S::Draining),
            E::Close => (const { any(&[S::Open, S::HalfClosed, S::Draining]) }, S::Closed),
            E::Reset => (NOT_OVER, S::Reset),
            E::Fail => (NOT_OVER, S::Failed),
        };
        let state = self.state;
        if from >> state as u8 & 1 != 0 {
            self.state = next;
            return Ok(Transition::Moved(next));
        }
        match event {
            E::Close | E::Reset if state.is_over() => Ok(Transition::Nothing),
            event => Err(TransitionError { state, event }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [FlowState; 8] = [
        FlowState::New,
        FlowState::Opening,
        FlowState::Open,
        FlowState::HalfClosed,
        FlowState::Draining,
        FlowState::Closed,
        FlowState::Reset,
        FlowState::Failed,
    ];
    const EVENTS: [FlowEvent; 7] = [
        FlowEvent::Open,
        FlowEvent::Opened,
        FlowEvent::HalfClose,
        FlowEvent::Drain,
        FlowEvent::Close,
        FlowEvent::Reset,
        FlowEvent::Fail,
    ];

    /// The drawing, arrow by arrow: `.` is an error, `=` has no effect.
    const TABLE: [&str; 8] =
        ["o....rf", ".p...rf", "..hdcrf", "...dcrf", "....crf", "....==.", "....==.", "....==."];

    #[test]
    fn a_flow_goes_where_the_drawing_has_arrows() {
        for (state, row) in STATES.into_iter().zip(TABLE) {
            for (event, cell) in EVENTS.into_iter().zip(row.chars()) {
                let mut life = Lifecycle { state };
                let expected = match cell {
                    '.' => Err(TransitionError { state, event }),
                    '=' => Ok(Transition::Nothing),
                    'o' => Ok(Transition::Moved(FlowState::Opening)),
                    'p' => Ok(Transition::Moved(FlowState::Open)),
                    'h' => Ok(Transition::Moved(FlowState::HalfClosed)),
                    'd' => Ok(Transition::Moved(FlowState::Draining)),
                    'c' => Ok(Transition::Moved(FlowState::Closed)),
                    'r' => Ok(Transition::Moved(FlowState::Reset)),
                    _ => Ok(Transition::Moved(FlowState::Failed)),
                };
                assert_eq!(life.apply(event), expected, "{state:?} {event:?}");
                if expected.is_err() {
                    assert_eq!(life.state(), state);
                }
            }
        }
    }

    #[test]
    fn what_cannot_happen_is_said_in_words() {
        let error = Lifecycle::default().apply(FlowEvent::HalfClose);
        let said = error.map_err(|error| error.to_string());
        assert_eq!(said, Err("half-close cannot happen to a flow that is new".into()));
    }
}
