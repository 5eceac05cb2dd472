// SPDX-License-Identifier: BSD-3-Clause
//! The meaning of `timeout_ms`: 0 does not wait, less than 0 waits without end, more is a bound.

use std::time::Duration;

use libc::c_long;

/// The limit of a call's wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    Not,
    For(Duration),
    Forever,
}

impl Wait {
    #[inline]
    pub(crate) fn of(timeout_ms: c_long) -> Self {
        match timeout_ms {
            0 => Self::Not,
            ms => {
                u64::try_from(ms).map_or(Self::Forever, |ms| Self::For(Duration::from_millis(ms)))
            }
        }
    }
}
