// SPDX-License-Identifier: BSD-3-Clause
//! A Pingora proxy with filters, in front of servers of the test.
//!
//! Its plugins in Rust are those of the gateway's own tests, from the same files: what works there works here.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod bodies;
mod common;
mod example;
mod filters;
mod handlers;
mod languages;
mod placements;
mod proxying;
mod reload;
