// SPDX-License-Identifier: BSD-3-Clause
//! In the place of `crates/ipc/src/shm/validate.rs`: the words that the doorbell uses.

pub(super) const WAIT: usize = 384;
pub(super) const BELL: usize = 512;

/// A word that is not there.
#[derive(Debug)]
pub(crate) struct Broken;
