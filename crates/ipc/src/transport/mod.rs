// SPDX-License-Identifier: BSD-3-Clause
//! Transports: how the frames of a connection reach the peer and back.
//!
//! | file | contents |
//! |---|---|
//! | `link` | [`Link`], the interface of every transport, and its rules |
//! | `error`, `limits`, `counters` | why a link ends, its bounds, its counters |
//! | `peer` | the process at the other end |
//! | `memory` | a pair of links in this process |
//! | `socket` | a connected Unix socket before it is a link, during the handshake |
//! | `rights` | file descriptors as ancillary data |
//! | `socket_link` | a link over a socket of either kind |
//! | `backlog` | bytes that wait to be written |
//! | `unix_stream` | frames in a byte stream: one buffer, few system calls |
//! | `seqpacket` | one frame per packet |
//! | `listen` | listening sockets and access control |
//! | `conformance` | with the feature of that name: the suite that any transport passes |

mod backlog;
#[cfg(feature = "conformance")]
pub mod conformance;
mod counters;
mod error;
mod limits;
mod link;
pub mod listen;
pub mod memory;
mod peer;
pub(crate) mod rights;
mod seqpacket;
mod socket;
mod socket_link;
mod unix_stream;

pub use counters::LinkCounters;
pub use error::LinkError;
pub use limits::LinkLimits;
pub use link::{Ancillary, DirectWait, Link, OnReady, Watch};
pub use peer::Peer;
pub use seqpacket::SeqpacketLink;
pub use socket::{Socket, SocketKind};
pub use unix_stream::UnixStreamLink;
