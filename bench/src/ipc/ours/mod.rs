// SPDX-License-Identifier: BSD-3-Clause
//! becket-ipc: its ring alone, blocks handed over by descriptors in that ring, and channels of
//! another process.

pub(crate) mod handed;
pub(crate) mod remote;
pub(crate) mod ring;
pub(crate) mod streams;

/// Our column.
pub(crate) const COLUMN: &str = "Becket";
