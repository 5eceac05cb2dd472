// SPDX-License-Identifier: BSD-3-Clause
//! Flows, and the life of one.
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
//! Close and reset do nothing to a flow that is over. Everything else that has no arrow is an error.

use std::fmt;

/// The number of a flow, from 1 in the lab. It is free again when the flow is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowId(u32);

impl FlowId {
    /// The flow of this number.
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

/// A moment of virtual time, in milliseconds since the run began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Tick(pub u64);

impl Tick {
    /// So many milliseconds later.
    #[must_use]
    pub const fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

/// What a flow carries, for who decides what goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Class {
    /// Somebody waits for it.
    Interactive,
    /// As it comes.
    #[default]
    Normal,
    /// Much of it; it may wait.
    Bulk,
}

/// 128 bits that are told to nobody. An adapter may use them, and hand them on; no text of it may
/// have them in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Hidden([u8; 16]);

impl Hidden {
    /// These bits.
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

/// Its bits are not shown.
impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(hidden)")
    }
}

/// What is known of a flow when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Descriptor {
    /// What it carries.
    pub class: Class,
    /// The key by which whoever opens it has proved who that is. Each flow has its own.
    pub key: Hidden,
    /// By what the configuration says that the adapter proves who it is. All flows of a run have the
    /// same.
    pub identity: Hidden,
}

impl Descriptor {
    /// A flow of this class, opened by nobody in particular.
    #[must_use]
    pub const fn of(class: Class) -> Self {
        Self { class, key: Hidden::new([0; 16]), identity: Hidden::new([0; 16]) }
    }

    /// The same with a key and an identity.
    #[must_use]
    pub const fn with(self, key: Hidden, identity: Hidden) -> Self {
        Self { key, identity, ..self }
    }
}

/// Why a flow was broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Cause {
    /// Somebody wanted it.
    Reset,
    /// Something failed.
    Error,
}

/// A piece of a flow. Its bytes stand beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chunk {
    /// Whose it is.
    pub flow: FlowId,
    /// Its number in its flow and direction, from 1, without a gap.
    pub sequence: u64,
    /// Where its first byte stands in the flow.
    pub offset: u64,
    /// How many bytes it has.
    pub bytes: u64,
    /// Nothing comes behind it.
    pub is_final: bool,
}

/// Where a flow is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum FlowState {
    /// Its number is known, nothing else.
    #[default]
    New,
    /// It was asked for.
    Opening,
    /// Bytes may go both ways.
    Open,
    /// One side sends no more.
    HalfClosed,
    /// Nothing more comes in; what is there is still put out.
    Draining,
    /// It ended in order.
    Closed,
    /// It was broken off.
    Reset,
    /// It ended by an error.
    Failed,
}

impl FlowState {
    /// The states in which a flow is over.
    #[must_use]
    pub const fn is_over(self) -> bool {
        matches!(self, Self::Closed | Self::Reset | Self::Failed)
    }

    /// Its name, as reports have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Opening => "opening",
            Self::Open => "open",
            Self::HalfClosed => "half_closed",
            Self::Draining => "draining",
            Self::Closed => "closed",
            Self::Reset => "reset",
            Self::Failed => "failed",
        }
    }
}

/// What may happen to a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FlowEvent {
    /// It is asked for.
    Open,
    /// It is there.
    Opened,
    /// One side sends no more.
    HalfClose,
    /// Nothing more comes in.
    Drain,
    /// It ends in order.
    Close,
    /// It is broken off.
    Reset,
    /// It ends by an error.
    Fail,
}

impl FlowEvent {
    /// Its name, as messages have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Opened => "opened",
            Self::HalfClose => "half-close",
            Self::Drain => "drain",
            Self::Close => "close",
            Self::Reset => "reset",
            Self::Fail => "fail",
        }
    }
}

/// Something that cannot happen in this state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{} cannot happen to a flow that is {}", event.name(), state.name())]
pub struct TransitionError {
    /// The state of the flow, which stays as it is.
    pub state: FlowState,
    /// What should have happened.
    pub event: FlowEvent,
}

/// What came of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolved {
    /// The flow has another state.
    Moved(FlowState),
    /// It was over: nothing happened.
    Nothing,
}

/// The life of one flow. Each side half-closes for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lifecycle {
    state: FlowState,
}

impl Lifecycle {
    /// One that is in this state.
    #[must_use]
    pub const fn at(state: FlowState) -> Self {
        Self { state }
    }

    /// Its state.
    #[must_use]
    pub const fn state(self) -> FlowState {
        self.state
    }

    /// Something happens to it.
    ///
    /// # Errors
    ///
    /// It cannot happen in this state, which stays.
    #[inline]
    pub const fn happens(&mut self, event: FlowEvent) -> Result<Resolved, TransitionError> {
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
        // From which states there is an arrow, and where it leads.
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
            return Ok(Resolved::Moved(next));
        }
        match event {
            E::Close | E::Reset if state.is_over() => Ok(Resolved::Nothing),
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

    /// The drawing, arrow by arrow: `.` is an error, `=` does nothing.
    const TABLE: [&str; 8] =
        ["o....rf", ".p...rf", "..hdcrf", "...dcrf", "....crf", "....==.", "....==.", "....==."];

    #[test]
    fn a_flow_goes_where_the_drawing_has_arrows() {
        for (state, row) in STATES.into_iter().zip(TABLE) {
            for (event, cell) in EVENTS.into_iter().zip(row.chars()) {
                let mut life = Lifecycle { state };
                let expected = match cell {
                    '.' => Err(TransitionError { state, event }),
                    '=' => Ok(Resolved::Nothing),
                    'o' => Ok(Resolved::Moved(FlowState::Opening)),
                    'p' => Ok(Resolved::Moved(FlowState::Open)),
                    'h' => Ok(Resolved::Moved(FlowState::HalfClosed)),
                    'd' => Ok(Resolved::Moved(FlowState::Draining)),
                    'c' => Ok(Resolved::Moved(FlowState::Closed)),
                    'r' => Ok(Resolved::Moved(FlowState::Reset)),
                    _ => Ok(Resolved::Moved(FlowState::Failed)),
                };
                assert_eq!(life.happens(event), expected, "{state:?} {event:?}");
                if expected.is_err() {
                    assert_eq!(life.state(), state);
                }
            }
        }
    }

    #[test]
    fn what_cannot_happen_is_said_in_words() {
        let error = Lifecycle::default().happens(FlowEvent::HalfClose);
        let said = error.map_err(|error| error.to_string());
        assert_eq!(said, Err("half-close cannot happen to a flow that is new".into()));
    }
}
