// SPDX-License-Identifier: BSD-3-Clause
//! Handles to channels of another process.
//!
//! | file | contents |
//! |---|---|
//! | `sender` | sending |
//! | `receiver` | receiving |
//! | `limits` | deadline and token of an operation |
//! | `wait` | driving an operation from straight-line code |

pub(crate) mod limits;
pub(crate) mod receiver;
pub(crate) mod sender;
pub(crate) mod wait;
