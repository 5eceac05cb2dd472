// SPDX-License-Identifier: BSD-3-Clause
//! Single-producer single-consumer channels: plain stores instead of read-modify-writes.
//!
//! The two handles cannot be cloned. A send stores the value and the tail position, and loads a
//! word that rarely changes; a receive does the same with the head position. Neither has a locked
//! instruction or a fence: the side that waits pays for both (see `channel`).
//!
//! | module | contents |
//! |---|---|
//! | `ring` | the slots and the two positions |
//! | `channel` | waiting, closing, counting |
//! | `job` | operations on one value |
//! | `batch` | many values under one publication |
//! | `handle` | the two handles and their builder |

mod batch;
mod channel;
mod handle;
mod job;
mod ring;

pub use self::{
    batch::{RecvAny, SendAll, SpscRecvMany, SpscSendMany},
    handle::{SpscBuilder, SpscReceiver, SpscSender, bounded_spsc},
    job::{Job, RecvOne, SendOne, Spsc, SpscOperation, SpscRecv, SpscSend},
};
