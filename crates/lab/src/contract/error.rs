// SPDX-License-Identifier: BSD-3-Clause
//! How an adapter refuses.

use super::FlowId;

/// Why an adapter did not do what it was asked. It concerns one flow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// Its manifest does not name it.
    #[error("the adapter has no {0}")]
    Unsupported(&'static str),
    /// As many flows as it carries at once.
    #[error("the adapter carries no more than {0} flows at once")]
    TooManyFlows(u32),
    /// It has never heard of the flow, or the flow has ended and its number is free.
    #[error("there is no flow {0}")]
    UnknownFlow(FlowId),
    /// The number is in use.
    #[error("flow {0} is open already")]
    FlowInUse(FlowId),
    /// The flow takes nothing more.
    #[error("flow {0} takes nothing more")]
    Closed(FlowId),
    /// A chunk that cannot be: the rule that it breaks.
    #[error("a chunk of flow {flow} that cannot be: {rule}")]
    Malformed {
        /// Whose it was.
        flow: FlowId,
        /// What does not fit.
        rule: &'static str,
    },
    /// What is at the other end failed; what kind of failure it was.
    #[error("flow {flow} failed: {what}")]
    Failed {
        /// Whose end it was.
        flow: FlowId,
        /// What went wrong, without payload.
        what: String,
    },
}

/// The kind of an [`AdapterError`], which is all of it that gets into a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[non_exhaustive]
pub enum ErrorClass {
    /// See [`AdapterError::Unsupported`].
    Unsupported = 1,
    /// See [`AdapterError::TooManyFlows`].
    TooManyFlows = 2,
    /// See [`AdapterError::UnknownFlow`].
    UnknownFlow = 3,
    /// See [`AdapterError::FlowInUse`].
    FlowInUse = 4,
    /// See [`AdapterError::Closed`].
    Closed = 5,
    /// See [`AdapterError::Malformed`].
    Malformed = 6,
    /// See [`AdapterError::Failed`].
    Failed = 7,
}

impl ErrorClass {
    /// Its name, as reports have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unsupported => "unsupported",
            Self::TooManyFlows => "too_many_flows",
            Self::UnknownFlow => "unknown_flow",
            Self::FlowInUse => "flow_in_use",
            Self::Closed => "closed",
            Self::Malformed => "malformed",
            Self::Failed => "failed",
        }
    }
}

impl AdapterError {
    /// Its kind.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::Unsupported(_) => ErrorClass::Unsupported,
            Self::TooManyFlows(_) => ErrorClass::TooManyFlows,
            Self::UnknownFlow(_) => ErrorClass::UnknownFlow,
            Self::FlowInUse(_) => ErrorClass::FlowInUse,
            Self::Closed(_) => ErrorClass::Closed,
            Self::Malformed { .. } => ErrorClass::Malformed,
            Self::Failed { .. } => ErrorClass::Failed,
        }
    }
}
