// SPDX-License-Identifier: BSD-3-Clause
//! Channels with one sender and one receiver, which cannot be cloned: plain stores instead of
//! read-modify-writes.
//!
//! A send is a store of the value, a store of the position, and a look at a word that hardly ever
//! changes; a receive is the same. Neither has a locked instruction or a fence. Who waits pays for
//! that: see [`channel`].
//!
//! | module | what lives there |
//! |---|---|
//! | [`ring`] | the slots and the two positions |
//! | [`channel`] | waiting, closing, counting |
//! | [`op`] | operations, and how they are driven |
//! | [`batch`] | many values under one publication |
//! | [`handle`] | the two handles and their builder |

mod batch;
mod channel;
mod handle;
mod op;
mod ring;

pub use self::{
    batch::{RecvAny, SendAll, SoleRecvMany, SoleSendMany},
    handle::{SoleBuilder, SoleReceiver, SoleSender, bounded_sole},
    op::{Job, RecvOne, SendOne, SoleOperation, SoleRecv, SoleSend},
};
