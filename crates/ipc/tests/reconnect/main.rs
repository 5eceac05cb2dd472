// SPDX-License-Identifier: BSD-3-Clause
//! Servers and senders that are killed and restarted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod away;
mod bound_again;
mod flush;
mod killed;
mod leftover;
mod select;
mod together;
mod world;
