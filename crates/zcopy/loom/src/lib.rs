// SPDX-License-Identifier: BSD-3-Clause
//! The models of becket-zcopy, over the production file itself:
//!
//! | file of `crates/zcopy/src` | model |
//! |---|---|
//! | `region/state` | `models::flights`: a region is finished once, behind its last flight, whichever threads count it |
//!
//! The types that it uses from `crate::sync` are loom's here: see [`sync`].
#![cfg(feature = "loom")]
#![allow(dead_code, reason = "the models use most of what a region uses")]

#[path = "../../src/region/state.rs"]
mod state;
mod sync;

#[cfg(test)]
mod models;
