// SPDX-License-Identifier: BSD-3-Clause
//! Protocol 1.0 for C: `kcoro_ipc_posix.h`, `kcoro_ipc_chan.h`, `kcoro_ipc_server.h`.
//!
//! | file | contents |
//! |---|---|
//! | `code` | error numbers of the system and of the wire, in C's form |
//! | `listener` | a listening socket of `becket_ipc`, with C's waits; connecting |
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
//!   kc_ipc_conn_t* ───────────────────►     ├─ outgoing   frames become packets (ipc::v1)
//!                                           ├─ calls      requests by number, one reader for all
//!                                           └─ socket     SOCK_SEQPACKET
//! ```
//!
//! # Invariants
//!
//! 1. No lock is held during a wait, so that a coroutine never blocks a worker.
//! 2. A connection that is over stays over: its socket is shut down, which ends every wait on it,
//!    and every later call returns the same error.

mod calls;
mod code;
pub mod conn;
pub mod listener;
pub mod posix;
pub mod remote;
mod served;
pub mod server;
pub mod tlv;
