// SPDX-License-Identifier: BSD-3-Clause
//! Errors of adapters.

use strum::IntoStaticStr;

use super::FlowId;

/// Why an adapter refused a call. It concerns one flow; the adapter stays usable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AdapterError {
    /// The manifest does not claim this capability.
    #[error("the adapter has no {0}")]
    Unsupported(&'static str),
    /// The adapter carries its maximum number of flows already.
    #[error("the adapter carries no more than {0} flows at once")]
    TooManyFlows(u32),
    /// The flow never existed, or it has ended and its number is free.
    #[error("there is no flow {0}")]
    UnknownFlow(FlowId),
    /// The number is in use.
    #[error("flow {0} is open already")]
    FlowInUse(FlowId),
    /// The flow takes nothing more.
    #[error("flow {0} takes nothing more")]
    Closed(FlowId),
    /// An invalid chunk.
    #[error("a chunk of flow {flow} that cannot be: {rule}")]
    Malformed {
        /// Its flow.
        flow: FlowId,
        /// What is invalid about it.
        rule: &'static str,
    },
    /// The other end of the flow failed.
    #[error("flow {flow} failed: {what}")]
    Failed {
        /// The flow.
        flow: FlowId,
        /// What went wrong, without payload.
        what: String,
    },
}

/// The kind of an [`AdapterError`]: the only part of it that a trace contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
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
    /// Name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

impl AdapterError {
    /// The kind of this error.
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
