// SPDX-License-Identifier: BSD-3-Clause
//! Channels between processes, over Unix sockets and shared memory.
//!
//! One process serves channels, by name; other processes send into them and receive from them with
//! the operations of local channels: awaited or blocking, with a timeout, a deadline or a token, in
//! a select. A message is an [`Element`], some bytes.
//!
//! ```
//! use becket_chan::{Kind, bounded};
//! use becket_ipc::{Client, Element, Server};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("private/socket");
//! // One process: a channel of its own that other processes may send into.
//! let server = Server::bind(&path)?;
//! let (jobs, inbox) = bounded::<Element>(16);
//! server.export("jobs", Some(jobs), None)?;
//!
//! // Another process, here another thread.
//! let other = std::thread::spawn(move || -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//!     let client = Client::connect(&path).wait()?;
//!     let jobs = client.sender("jobs").wait()?;
//!     jobs.send("from elsewhere").wait()?; // until the channel has accepted it
//!     Ok(())
//! });
//! assert_eq!(inbox.recv().wait()?.as_slice(), b"from elsewhere");
//! # other.join().unwrap().unwrap();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Guarantees
//!
//! 1. **A send is acknowledged.** It completes when the channel has accepted the element, or
//!    refused it; a send that was transmitted and not acknowledged fails with
//!    [`SendError::Unknown`] and is never repeated.
//! 2. **A receive consumes what it returns**, and nothing else. An element that arrived and was not
//!    received here is requeued at the front of its channel, in order.
//! 3. **Dropping an operation cancels it**, as with a local channel: it has completed, or has no
//!    effect.
//! 4. **A disconnect ends every wait at once.** When a peer is gone, every operation that waits for
//!    it fails with a typed error; what was not transmitted to it is requeued; nothing is left in
//!    memory or on disk. What was transmitted is delivered at most once.
//! 5. **A peer is not trusted.** Lengths, numbers and descriptors are checked on a private copy; a
//!    peer that violates the protocol loses its own connection. Every table, queue and buffer has a
//!    bound.
//! 6. **No waiting thread per connection.** One I/O thread per process sleeps in epoll. Idle
//!    connections cost no CPU.
//! 7. **A waker may use what wakes it.** No task is woken while a connection is locked: its waker may
//!    use the connection, or end the server.
//!
//! # Modules
//!
//! | module | contents |
//! |---|---|
//! | `server`, [`channels`] | the listening side; the channels that it offers |
//! | `client`, `remote` | the connecting side; handles to channels and their operations |
//! | `streams` | a stream's elements into a channel, and out of one |
//! | [`reconnect`] | clients that reconnect, and exactly-once sends |
//! | `dedup` | what a channel remembers of those sends |
//! | `quota` | the memory that clients may fill |
//! | `connection` | a link, its session and the threads that drive it |
//! | [`session`] | sessions for other protocols than channels |
//! | [`transport`] | Unix sockets of bytes and of packets, memory; access control |
//! | [`shm`] | shared memory: rings and blocks in sealed memory |
//! | [`blocks`] | blocks of shared memory that cross as descriptors |
//! | `element` | a message: private bytes, or a block |
//! | [`v1`] | clients of protocol 1.0 |
//! | `handshake` | which protocol is spoken, over which transport |
//! | [`reactor`], `task` | the thread that waits for descriptors, and divides its time among the peers; futures that are polled by their wakes |
//! | [`monitor`] | the data for a monitor |
//! | `error` | errors, which return the element |
//! | `sync` | atomics and fences, which the models replace |
//!
//! The session itself, frame by frame, is `becket-wire`'s: its `protocol` module describes it.

pub mod blocks;
pub mod channels;
mod client;
mod connection;
mod dedup;
mod element;
mod error;
mod handshake;
pub mod monitor;
mod quota;
pub mod reactor;
pub mod reconnect;
mod remote;
mod server;
pub mod session;
pub mod shm;
mod streams;
mod sync;
mod task;
pub mod transport;
pub mod v1;

pub use client::sending::Posted;
pub use client::{
    Client, ConnectError, Connecting, OpenReceiver, OpenSender, Options, ReceiverOptions, Request,
};
pub use connection::{Ended, Status};
pub use element::Element;
pub use error::{OpenError, RecvError, SendError};
pub use handshake::HandshakeError;
pub use reconnect::{
    Backoff, OnceSender, ProducerId, Reconnecting, ReconnectingReceiver, ReconnectingSender,
};
pub use remote::receiver::{Closing, RemoteReceiver, RemoteRecv, Want};
pub use remote::sender::{Flush, RemoteSend, RemoteSender};
pub use server::{Builder, Reporter, ServeError, Server};
pub use streams::service::{Info, kind_name, kind_of};
