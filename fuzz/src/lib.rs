// SPDX-License-Identifier: BSD-3-Clause
//! What must hold whatever a peer sends, as functions that a fuzzer calls.
//!
//! | module | over what |
//! |---|---|
//! | `v1` | frames, attributes, requests and answers of protocol 1.0 |
//! | `decode` | bytes to frames of protocol 2 |
//! | `session` | one session of protocol 2, and a peer that sends any bytes |
//! | `pair` | two sessions of protocol 2, their applications and the way between them |
//! | `shm` | geometry, places and positions in a peer's shared memory |
//!
//! `targets` has a program for each, `corpus` inputs that reach far into each. `cargo test` runs the
//! committed corpus without a fuzzer.

pub mod decode;
pub mod pair;
mod pieces;
pub mod session;
pub mod shm;
pub mod v1;
