// SPDX-License-Identifier: BSD-3-Clause
//! Channels for tasks, threads and coroutines at once.

pub mod fence;
#[allow(missing_docs, reason = "being written")]
pub mod timer;
