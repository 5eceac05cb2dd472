// SPDX-License-Identifier: BSD-3-Clause
//! Where the two processes run.

use crate::machine::{FIRST_CPU, SECOND_CPU};

/// A row's places.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// A CPU each.
    Apart,
    /// Both on one.
    Packed,
}

impl Place {
    /// The CPU of the other process.
    pub(crate) fn second(self) -> usize {
        match self {
            Self::Apart => SECOND_CPU,
            Self::Packed => FIRST_CPU,
        }
    }
}
