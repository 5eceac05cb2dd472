// SPDX-License-Identifier: BSD-3-Clause
//! Channels between processes, over Unix sockets and shared memory.
//!
//! One process serves channels, by name; others send into them and receive from them with the
//! operations that local channels have: awaited or waited for, with a timeout, a deadline or a token,
//! in a select. What crosses is an [`Element`], some bytes.
//!
//! ```
//! use becket_chan::{Kind, bounded};
//! use becket_ipc::{Client, Element, Server};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("private/socket");
//! // One process: a channel of its own that others may send into.
//! let server = Server::bind(&path)?;
//! let (jobs, inbox) = bounded::<Element>(16);
//! server.export("jobs", Some(jobs), None)?;
//!
//! // Another, here on another thread.
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
//! # What holds
//!
//! 1. **A send is answered.** It is over when the channel has accepted the element, or has not; one
//!    that was handed over and got no answer says so ([`SendError::Unknown`]) and is repeated by
//!    nobody.
//! 2. **A receive takes what it returns**, and nothing else. An element that came and that nobody here
//!    takes goes back in front of its channel, in order.
//! 3. **Dropping an operation takes it back**, as of a local one: it has happened or leaves no trace.
//! 4. **An end reaches everybody at once.** When a peer goes, whoever waits for it hears of it with a
//!    typed error; what was not handed to it goes back; nothing is left in memory or on disk. What it
//!    had been handed is delivered at most once.
//! 5. **Nothing from the other side is believed.** Lengths, numbers and descriptors are checked on a
//!    private copy; a peer that breaks a rule loses its own connection. Every table, queue and buffer
//!    has a bound.
//! 6. **No thread waits in somebody's place** but one for the whole process, which sleeps in epoll.
//!    Idle connections cost no CPU.
//!
//! # Where things are
//!
//! | module | what lives there |
//! |---|---|
//! | `server`, [`channels`] | who listens; the channels that it offers |
//! | `client`, `remote` | who connects; handles to channels and their operations |
//! | `streams` | a stream's elements into a channel, and out of one |
//! | [`reconnect`] | clients that connect again, and sends that happen exactly once |
//! | `dedup` | what a channel remembers of those sends |
//! | `connection` | a link, a session and who looks after them |
//! | [`transport`] | Unix sockets of bytes and of packets, memory, bad weather; who may connect |
//! | [`shm`] | shared memory: rings and blocks in sealed memory |
//! | [`blocks`] | blocks of shared memory that cross as descriptors |
//! | `element` | what crosses: bytes of one's own, or a block |
//! | [`v1`] | clients of protocol 1.0 |
//! | `greeting` | which protocol is spoken, over what |
//! | [`reactor`], `task` | the thread that waits for descriptors; what is driven by wakes |
//! | [`monitor`] | what a monitor is shown |
//! | `error` | what fails, with the element back |
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
mod greeting;
pub mod monitor;
pub mod reactor;
pub mod reconnect;
mod remote;
mod server;
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
pub use greeting::GreetingError;
pub use reconnect::{
    Backoff, OnceSender, ProducerId, Reconnecting, ReconnectingReceiver, ReconnectingSender,
};
pub use remote::receiver::{Closing, RemoteReceiver, RemoteRecv, Want};
pub use remote::sender::{Flush, RemoteSend, RemoteSender};
pub use server::{Builder, Reporter, ServeError, Server};
pub use streams::service::{Info, kind_name, kind_of};
