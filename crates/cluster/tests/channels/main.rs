// SPDX-License-Identifier: BSD-3-Clause
//! Channels over a real server: started on loopback for each test, and stopped by its process id.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

mod access;
mod closing;
mod death;
mod failures;
mod kinds;
mod open;
mod rendezvous;
mod replicas;
mod secrets;
#[path = "../server/mod.rs"]
mod server;
