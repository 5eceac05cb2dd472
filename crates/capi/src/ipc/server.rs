// SPDX-License-Identifier: BSD-3-Clause
//! Channels for other processes: the C functions of `kcoro_ipc_server.h`, on the server's side of
//! protocol 1.0 that `becket_ipc::v1` is.
//!
//! A command is passed to the connection's session, which does not wait. Its answer is sent by the
//! thread that completes it: the caller, the thread that sends the value that a receive waits for,
//! a timer.

use std::ffi::c_int;
use std::ptr;
use std::sync::Arc;

use becket_ipc::channels::Channels;
use becket_ipc::v1::{Limits, Server};

use super::conn::Conn;
use super::posix::bytes;
use super::served::Served;
use crate::boundary::{answer, call};
use crate::handle::{lend, shared, take_back};

/// The largest number of channels of a context, of all clients together.
const CHANNELS_MAX: usize = 4096;

/// See `kcoro_ipc_server.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_ipc_server_ctx_create() -> *mut Server {
    call(ptr::null_mut(), || {
        lend(Server::new(Arc::new(Channels::new(CHANNELS_MAX)), Limits::default()))
    })
}

/// See `kcoro_ipc_server.h`.
///
/// # Safety
///
/// `handle` is null, or valid and not used again. Commands that wait may still be there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_server_ctx_destroy(handle: *mut Server) {
    call((), || {
        // SAFETY: the caller's promise.
        if let Some(server) = unsafe { take_back(handle) } {
            server.channels().close_all("the server ends");
        }
    });
}

/// See `kcoro_ipc_server.h`.
///
/// # Safety
///
/// `handle` and `conn` are null or valid; `payload` is valid for `len` reads, or null and `len` 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_handle_command(
    handle: *mut Server,
    conn: *mut Conn,
    command: u16,
    payload: *const u8,
    len: usize,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (server, conn, payload) =
            unsafe { (shared(handle)?, shared(conn)?, bytes(payload, len)?) };
        // A client that does not read its answers is not served further.
        conn.wait_for_room()?;
        Served::session(&conn, &server)?.request(command, payload);
        Ok(())
    })
}
