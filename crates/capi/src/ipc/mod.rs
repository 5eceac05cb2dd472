// SPDX-License-Identifier: BSD-3-Clause
//! Protocol 1.0 for C: `kcoro_ipc_posix.h`, `kcoro_ipc_chan.h`, `kcoro_ipc_server.h`.
//!
//! | file | holds |
//! |---|---|
//! | `code` | error numbers of the system and of the wire, as C is told |
//! | `handle` | a counted value behind a pointer |
//! | `listener` | a socket that is listened on: its path, who may connect |
//! | `outgoing` | frames that wait for room in the socket |
//! | `conn` | a connection: frames in, frames out, its end |
//! | `posix` | sockets and frames: the C functions |
//! | `tlv` | writing attributes: the C functions |
//! | `calls` | requests that wait for their answers |
//! | `remote` | channels of another process: the C functions |
//! | `served` | a connection as a client of a server (`becket_ipc::v1`) |
//! | `server` | channels for other processes: the C functions |
//!
//! ```text
//!   kc_ipc_chan_t* ──► RemoteChan ──► Conn ─┬─ incoming   packets become frames (wire::v1)
//!   kc_ipc_conn_t* ───────────────────►     ├─ outgoing   frames become packets
//!                                           ├─ calls      requests by number, who reads for all
//!                                           └─ socket     SOCK_SEQPACKET
//! ```
//!
//! # Invariants
//!
//! 1. No lock is held while anything waits, so that a coroutine never holds up a worker.
//! 2. A connection that is over stays over: its socket is shut down, which ends every wait on it,
//!    and every later call answers with the same number.

mod calls;
mod code;
pub mod conn;
mod handle;
pub mod listener;
mod outgoing;
pub mod posix;
pub mod remote;
mod served;
pub mod server;
pub mod tlv;
