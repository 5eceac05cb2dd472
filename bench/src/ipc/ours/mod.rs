// SPDX-License-Identifier: BSD-3-Clause
//! becket-ipc: its ring alone, blocks handed over by descriptors in that ring, and channels of
//! another process; and these channels from C.

pub(crate) mod c;
pub(crate) mod handed;
pub(crate) mod remote;
pub(crate) mod ring;
pub(crate) mod streams;

/// Our column.
pub(crate) const COLUMN: &str = "Becket";
