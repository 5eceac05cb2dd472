// SPDX-License-Identifier: BSD-3-Clause
//! Replaces `crates/ipc/src/shm/validate.rs`: the offsets that the doorbell uses.

pub(super) const WAIT: usize = 384;
pub(super) const BELL: usize = 512;

/// A word that does not exist.
#[derive(Debug)]
pub(crate) struct Violation;
