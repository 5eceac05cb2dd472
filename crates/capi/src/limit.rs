// SPDX-License-Identifier: BSD-3-Clause
//! The meaning of `timeout_ms`: 0 does not wait, less than 0 waits without end, more is a bound.

use std::time::{Duration, Instant};

use becket_chan::{Action, Operation, Token, timer};
use libc::c_long;

/// The limit of a call's wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// No wait.
    Now,
    At(Instant),
    /// No deadline.
    Ever,
}

impl Until {
    #[inline]
    pub(crate) fn of(timeout_ms: c_long) -> Self {
        match u64::try_from(timeout_ms) {
            Ok(0) => Self::Now,
            Ok(ms) => Self::At(timer::after(Duration::from_millis(ms))),
            Err(_) => Self::Ever,
        }
    }

    /// The deadline, of a call that waits.
    pub(crate) fn deadline(self) -> Option<Instant> {
        match self {
            Self::At(at) => Some(at),
            Self::Now | Self::Ever => None,
        }
    }
}

/// Drives an operation that has been tried already, within the limits of a call.
pub(crate) fn drive<A: Action>(
    operation: Operation<A>,
    until: Until,
    token: Option<&Token>,
) -> A::Output {
    match (until.deadline(), token) {
        (Some(at), Some(token)) => operation.deadline(at).cancel_on(token).wait(),
        (Some(at), None) => operation.deadline(at).wait(),
        (None, Some(token)) => operation.cancel_on(token).wait(),
        (None, None) => operation.wait(),
    }
}

/// Waits until a token is cancelled. False: the limit was reached before.
pub(crate) fn wait_for(token: &Token, until: Until) -> bool {
    match until {
        Until::Now => token.is_cancelled(),
        until => drive(token.cancelled(), until, None),
    }
}
