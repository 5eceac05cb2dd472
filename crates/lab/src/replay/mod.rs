// SPDX-License-Identifier: BSD-3-Clause
//! A run in a file: repeated, shown, compared, turned into a test.
//!
//! | file | holds |
//! |---|---|
//! | `case` | what a run is made of |

mod case;

pub use case::Case;
