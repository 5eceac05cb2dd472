// SPDX-License-Identifier: BSD-3-Clause
//! The files of a connection, unchanged.

#[path = "../../../src/connection/claim.rs"]
pub(crate) mod claim;
#[path = "../../../src/connection/mark.rs"]
pub(crate) mod mark;
#[path = "../../../src/connection/waking.rs"]
pub(crate) mod waking;
