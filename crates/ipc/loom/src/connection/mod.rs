// SPDX-License-Identifier: BSD-3-Clause
//! Files of a connection as they are.

#[path = "../../../src/connection/claim.rs"]
pub(crate) mod claim;
#[path = "../../../src/connection/mark.rs"]
pub(crate) mod mark;
#[path = "../../../src/connection/waking.rs"]
pub(crate) mod waking;
