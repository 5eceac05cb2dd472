// SPDX-License-Identifier: BSD-3-Clause
//! Channels between processes, over Unix sockets and shared memory.

pub mod channels;
mod client;
mod connection;
mod element;
mod error;
mod greeting;
pub mod monitor;
pub mod reactor;
mod remote;
mod server;
pub mod shm;
mod streams;
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
pub use remote::receiver::{Closing, RemoteReceiver, RemoteRecv, Want};
pub use remote::sender::{Flush, RemoteSend, RemoteSender};
pub use server::{Builder, Reporter, ServeError, Server};
pub use streams::service::{Info, kind_name, kind_of};
