// SPDX-License-Identifier: BSD-3-Clause
//! Channels for tasks, threads and coroutines at once.

mod batch;
mod builder;
mod channel;
mod counters;
mod direction;
mod error;
#[cfg(not(feature = "loom"))]
pub mod fence;
mod gate;
mod handle;
mod iter;
mod limit;
mod lock;
#[cfg(not(feature = "loom"))]
mod metrics;
#[cfg(all(test, feature = "loom"))]
mod models;
mod op;
pub mod park;
mod ring;
mod select;
#[cfg(feature = "sink")]
mod sink;
mod spill;
mod spin;
mod stream;
mod sync;
pub mod timer;
mod token;
mod waiter;

pub use crate::{
    batch::{RecvMany, SendMany},
    builder::{Builder, bounded, conflated, rendezvous, unlimited},
    counters::{Failures, Rate, Snapshot, rate},
    direction::{Direction, Receiving, Sending},
    error::{RecvError, SendError, SendManyError, TryRecvError, TrySendError},
    gate::{Kind, Overflow},
    handle::{Reason, Receiver, Sender},
    iter::{IntoIter, Iter, TryIter},
    limit::{Free, Limit, Limited},
    op::{Operation, Recv, Send},
    select::dynamic::{Ready, RecvCase, Select, SelectError, SelectReady, SendCase},
    stream::RecvStream,
    token::{Cancelled, Token},
};

#[cfg(feature = "sink")]
pub use crate::sink::SendSink;

/// What `select!` is made of.
#[doc(hidden)]
pub mod __private {
    pub use crate::limit::none as limits;
    pub use crate::select::{arm::Arm, race::Outcome, race::Race};
}
