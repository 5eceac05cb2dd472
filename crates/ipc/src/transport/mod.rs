// SPDX-License-Identifier: BSD-3-Clause
//! Transports: how the frames of one connection get to the other side and back.
//!
//! | file | what it is |
//! |---|---|
//! | `link` | [`Link`], what every transport can do, and the rules it keeps |
//! | `error`, `limits`, `counters` | why a link ends, what bounds it, what it has done |
//! | `peer` | who is at the other end |
//! | `memory` | a pair of links in this process |
//! | `socket` | a connected Unix socket before it is a link: its greeting's bytes |
//! | `rights` | file descriptors beside bytes |
//! | `socket_link` | a link over a socket, whatever it carries |
//! | `backlog` | bytes that wait to be written |
//! | `unix_stream` | frames in a byte stream: one buffer, few system calls |
//! | `seqpacket` | a frame a packet |
//! | `impaired` | any link in bad weather, by a clock of the lab's |
//! | `listen` | who may connect, and where |

mod backlog;
mod counters;
mod error;
pub mod impaired;
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
pub use link::{Bell, Beside, Link, OnReady, Watch};
pub use peer::Peer;
pub use seqpacket::SeqpacketLink;
pub use socket::{Socket, SocketKind};
pub use unix_stream::UnixStreamLink;
