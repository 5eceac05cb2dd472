// SPDX-License-Identifier: BSD-3-Clause
//! The files of a connection, unchanged.

#[path = "../../../src/connection/claim.rs"]
pub(crate) mod claim;
#[path = "../../../src/connection/pending_lock.rs"]
pub(crate) mod pending_lock;
#[path = "../../../src/connection/waking.rs"]
pub(crate) mod waking;
