// SPDX-License-Identifier: BSD-3-Clause
//! Handles to channels of another process.
//!
//! | file | holds |
//! |---|---|
//! | `sender` | sending |
//! | `receiver` | receiving |
//! | `limits` | what may end an operation |
//! | `wait` | driving one from straight-line code |

pub(crate) mod limits;
pub(crate) mod receiver;
pub(crate) mod sender;
pub(crate) mod wait;
