// SPDX-License-Identifier: BSD-3-Clause
//! The tests that need no process of their own, in one program.
//!
//! | module | tests |
//! |---|---|
//! | `early` | a reader may answer the first frame of a session before the handler that opens it has returned |
//! | `long` | answers and frames that are longer than the host accepts: each call ends, with an error |
//! | `safe` | what the safe API promises, by kind of handler |
//! | `waits` | handlers that wait, over the fake host, in virtual time |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod early;
mod long;
mod safe;
mod waits;
