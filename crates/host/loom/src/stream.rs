// SPDX-License-Identifier: BSD-3-Clause
//! The production files.

#[path = "../../src/stream/credit.rs"]
pub(crate) mod credit;
#[path = "../../src/stream/queue.rs"]
pub(crate) mod queue;
