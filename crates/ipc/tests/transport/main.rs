// SPDX-License-Identifier: BSD-3-Clause
//! The rules of every transport, checked for each; and the properties of single transports.
//!
//! A transport joins the suite with one line: `link_conforms!(its_name, ItsFactory);`, and, if the other
//! side can be another process, with `dies_well!(its_name, ItsFactory);`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod death;
mod factory;
mod hostile;
mod impaired;
#[path = "../impaired_link/mod.rs"]
mod impaired_link;
mod listen;
mod namespaces;
mod syscalls;

use factory::{Memory, Seqpacket, Stream};
use impaired::Calm;

becket_ipc::link_conforms!(memory, Memory);
becket_ipc::link_conforms!(unix_stream, Stream);
becket_ipc::link_conforms!(unix_seqpacket, Seqpacket);
becket_ipc::link_conforms!(impaired_by_nothing, Calm);

death::dies_well!(unix_stream_process, Stream);
death::dies_well!(unix_seqpacket_process, Seqpacket);
