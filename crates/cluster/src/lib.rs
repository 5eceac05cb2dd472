// SPDX-License-Identifier: BSD-3-Clause
//! Channels and plugins between machines, over NATS.
//!
//! A plugin that one program [`offer()`]s is called by others as a [`ClusterPlugin`]: see there. The rest of this page is
//! about channels, which are in JetStream.
//!
//! [`open`] gives a sender and a receiver of a channel that lives in a NATS server, with the operations
//! of local channels: a send or a receive is a value, which takes limits and is then awaited or
//! waited for. The server stores, the server decides; nothing of replication or discovery is here.
//!
//! ```no_run
//! use std::time::Duration;
//!
//! use becket_cluster::{Kind, Options};
//!
//! # futures_lite::future::block_on(async {
//! let (tx, rx) = becket_cluster::open(
//!     "nats://127.0.0.1:4222",
//!     "jobs",
//!     Kind::Bounded { capacity: 100 },
//!     Options::default(),
//! )
//! .await?;
//! tx.send("first").timeout(Duration::from_secs(5)).await?;
//! assert_eq!(&rx.recv().await?[..], b"first");
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! # The kinds
//!
//! | kind | a send completes when | at the limit |
//! |---|---|---|
//! | [`Rendezvous`](Kind::Rendezvous) | a receiver took the value | waits for a receiver |
//! | [`Bounded`](Kind::Bounded) | the server has stored it | waits for room; a message that was received and not acknowledged keeps its slot |
//! | [`Conflated`](Kind::Conflated) | the server has stored it | replaces the stored value |
//! | [`Unlimited`](Kind::Unlimited) | the server has stored it | waits once the channels of this limit hold `bytes_max` together |
//!
//! # On the server
//!
//! ```text
//!   stream NS-channels   NS.channel.NAME   what kind NAME is        NS.r.g.NAME   the gate of a rendezvous
//!   stream NS-b100       NS.b100.d.NAME    the values of NAME       NS.b100.g.NAME   its gate
//!   stream NS-c          NS.c.d.NAME                                NS.c.g.NAME
//!   stream NS-u1048576   NS.u1048576.d.NAME                         NS.u1048576.g.NAME
//!   no stream            NS.*.room.NAME    notes that there is room or a receiver
//!
//!   with three replicas:
//!   stream NS-b100-r3    NS.b100-r3.d.NAME   NS.b100-r3.g.NAME.0.0.0…   NS.b100-r3.e.NAME   its end
//! ```
//!
//! A stream serves all channels of one kind and limit: a channel is a subject and one durable
//! consumer.
//!
//! # Guarantees
//!
//! 1. **What was acknowledged is received.** A value is removed from the server when a receiver has
//!    acknowledged it, and not before. [`Receiver::recv`] returns a value after the server has
//!    confirmed that; [`Receiver::lease`] leaves the moment to the caller.
//! 2. **A retry is no second message.** A send that gets no answer is repeated with the same id, which the server
//!    recognises for two minutes. If the outcome is still not known then, the send fails with
//!    [`SendError::Unknown`].
//! 3. **The order is that of the first attempts.** A message that is delivered again, since its receiver died
//!    or requeued it, comes behind newer ones. So may a value whose send was left, by a limit or dropped, while its
//!    attempt was in flight.
//! 4. **No value is accepted after the close.** The close is a message on the channel's gate, and the
//!    server accepts a value only while the gate is empty: both are decided by the same stream, in
//!    one order. Receivers get all that was accepted before, and then closed: once no message is stored, also
//!    none that a receiver has leased, since it may be requeued. A receiver of a rendezvous takes values until
//!    the note of the close has reached it. Of a replicated channel a second message, the end, is behind all
//!    accepted values: module `server` has the reason.
//! 5. **Any operation may be dropped.** A dropped receive has taken nothing: see [`Receiver::recv`]. A dropped send that was
//!    transmitted may have been accepted: give it a limit to know.
//! 6. **Everything is bounded**: sends in flight, values requested and not received, notes.
//! 7. **Nothing polls.** A waiting send is woken by a note of a receiver; since notes may be lost,
//!    it also tries again after a second, and later every five.
//!
//! # Threads
//!
//! Operations may be driven by any executor, thread or coroutine. Each [`Connection`] has one thread of
//! its own for its sockets. A fork shares that connection: connect after it.
//!
//! # Modules
//!
//! | module | contents |
//! |---|---|
//! | `connection`, `logs` | the connection, its thread, its outgoing notes; what the client may log |
//! | `request` | requests, and the memory that they use again |
//! | `engine` | what the channels use of a connection; in tests, a model of a server |
//! | `options`, `names`, `error` | kinds and options; subjects and streams; errors |
//! | `server` | what is created and asked of the server |
//! | `channel` | what the two handles of a channel share: closing, notes, counters |
//! | `operation`, `limits` | operations as values; their limits |
//! | `sender`, `publish` | sending; one attempt and its answer |
//! | `arm` | a send as an arm of a select |
//! | `receiver`, `delivery` | receiving; a message until it is acknowledged |
//! | `hand_back` | the value of a receive that was dropped, when its process has no receiver any more |
//! | `pull`, `offers` | the task that gets messages of a stream; that of a rendezvous |
//! | `counters` | exact counts |
//! | `lab` | in tests: the rules of channels against a model of a server, in virtual time |
//! | `plugins` | plugins on other machines |
//! | `survey` | what is there: servers, nodes, channels |

#![forbid(unsafe_code)]

// The lab has a file of the integration tests.
#[cfg(test)]
extern crate self as becket_cluster;

mod arm;
mod channel;
mod connection;
mod counters;
mod delivery;
mod engine;
mod error;
mod hand_back;
#[cfg(test)]
mod lab;
mod limits;
mod logs;
mod names;
mod offers;
mod operation;
mod options;
mod plugins;
mod publish;
mod pull;
mod receiver;
mod request;
mod sender;
mod server;
mod survey;

pub use async_nats::ConnectOptions;

pub use crate::arm::{Attempt, SendArm};
pub use crate::connection::Connection;
pub use crate::counters::{Failures, Snapshot};
pub use crate::delivery::Delivery;
pub use crate::error::{AckError, CloseError, OpenError, RecvError, SendError};
pub use crate::operation::{Ack, Attempted, Close, Lease, Operation, Recv, Send};
pub use crate::options::{Kind, Options, Storage};
pub use crate::plugins::{
    Change, Changes, ClusterPlugin, EntryReport, Node, Offer, OfferError, offer, offer_as,
};
pub use crate::receiver::{Receiver, Want};
pub use crate::sender::Sender;
pub use crate::survey::{ChannelReport, JetStreamReport, ServerReport};

/// Connects to a server and opens a channel. For several channels [`Connection::connect`] once, and
/// [`Connection::open`] each.
///
/// # Errors
///
/// See [`OpenError`].
pub async fn open(
    url: &str,
    name: &str,
    kind: Kind,
    options: Options,
) -> Result<(Sender, Receiver), OpenError> {
    Connection::connect(url).await?.open(name, kind, options).await
}
