// SPDX-License-Identifier: BSD-3-Clause
//! The tests that need no process of their own, in one program.
//!
//! | module | tests |
//! |---|---|
//! | `channel` | channels of descriptors: `zref` by the suite for backends, the registry, attaching |
//! | `memfd` | regions of another process: seals, checks of the importer, reads during writes |
//! | `pool` | pools: against a model, from many threads, at their bound, with wrong descriptors |
//! | `region` | regions: reference counts, release, stale ids |
//! | `table` | the table of regions against a model, under random sequences of operations |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod channel;
mod common;
#[cfg(not(miri))]
mod memfd;
mod pool;
mod region;
mod table;
