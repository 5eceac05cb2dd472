// SPDX-License-Identifier: BSD-3-Clause
//! Channels for tasks, threads and coroutines at once.

pub mod fence;
pub mod timer;
