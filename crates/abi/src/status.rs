// SPDX-License-Identifier: BSD-3-Clause
//! Statuses of answers, frames and vtable functions.

use core::fmt;

/// The status of an answer, a frame or a vtable call: any `u32`.
///
/// The named values are constants, not enum variants, because a plugin may return any number: an
/// unknown one is carried as it is and counts as an error.
#[repr(transparent)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NrStatus(pub u32);

// The names are the C surface's and the seeds', so that existing sources read the same.
#[allow(non_upper_case_globals)]
impl NrStatus {
    /// Done; as a frame's status, "more may follow".
    pub const Ok: Self = Self(0);
    /// It failed while running.
    pub const Err: Self = Self(1);
    /// The input, the id or the state is wrong.
    pub const Invalid: Self = Self(2);
    /// Not offered: an unknown entry, an absent function.
    pub const Unsupported: Self = Self(3);
    /// The last frame of a stream that ended well.
    pub const StreamEnd: Self = Self(4);
    /// A panic or exception was caught at the boundary.
    pub const Panic: Self = Self(5);
    /// A bounded queue or quota is full; nothing was taken. Try again later.
    pub const Backpressure: Self = Self(6);
    /// What was waited for did not come in time.
    pub const Timeout: Self = Self(7);
    /// The wait was given up: the call that it was for has no caller any more, or the plugin is
    /// about to end.
    pub const Cancelled: Self = Self(8);
    /// Nothing more comes: the other side has closed.
    pub const Closed: Self = Self(9);
    /// It is longer than the host takes (`payload_bytes_max`): nothing of it was taken.
    pub const TooLong: Self = Self(10);

    /// The name in the C header, or `None` for a number without one.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        Some(match self.0 {
            0 => "Ok",
            1 => "Err",
            2 => "Invalid",
            3 => "Unsupported",
            4 => "StreamEnd",
            5 => "Panic",
            6 => "Backpressure",
            7 => "Timeout",
            8 => "Cancelled",
            9 => "Closed",
            10 => "TooLong",
            _ => return None,
        })
    }

    /// True for [`Self::Ok`] alone.
    #[inline]
    #[must_use]
    pub const fn is_ok(self) -> bool {
        self.0 == Self::Ok.0
    }

    /// True for every status that ends a stream: all but [`Self::Ok`].
    #[inline]
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        !self.is_ok()
    }
}

impl fmt::Display for NrStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "status {}", self.0),
        }
    }
}

impl fmt::Debug for NrStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

crate::assert_layout!(NrStatus, 4, {});
