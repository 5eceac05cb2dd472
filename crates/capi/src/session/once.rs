// SPDX-License-Identifier: BSD-3-Clause
//! Messages that are accepted exactly once, over all connections of a session.

use std::ffi::{c_char, c_int, c_long, c_ulong};
use std::ptr::NonNull;
use std::sync::Arc;

use becket_ipc::ProducerId;

use super::client::{self, OpenOpts, SEND, Session};
use super::remote::Outlet;
use super::{code, wait};
use crate::boundary::answer;
use crate::chan::{self, Chan};
use crate::current_token;
use crate::errno;
use crate::handle::{place, shared, write_any};
use crate::limit::Until;

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `handle` is null or valid; `channel` is null or a string; `opts` is null or valid for reads of the
/// size that it begins with; `producer` is null or valid for reads of 16 bytes; `out` is null or valid
/// for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_session_open_once(
    handle: *const Session,
    channel: *const c_char,
    opts: *const OpenOpts,
    producer: *const u8,
    out: *mut *mut Chan,
) -> c_int {
    answer(|| {
        let (out, defaults) = (place(out)?, OpenOpts::defaults(SEND));
        // SAFETY: the caller's promise.
        let (session, channel, opts) = unsafe {
            (shared(handle)?, client::name(channel)?, client::read_options(opts, defaults)?)
        };
        let producer = match NonNull::new(producer.cast_mut()) {
            // SAFETY: the caller's promise; bytes have no alignment.
            Some(id) => u128::from_le_bytes(unsafe { id.cast::<[u8; 16]>().read() }).into(),
            None => ProducerId::random(),
        };
        let made = client::open(&session, channel, &opts, Some(producer))?;
        // SAFETY: the caller's promise.
        unsafe { out.write(made) };
        Ok(())
    })
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `handle` is null or valid; `accepted` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_session_accepted(
    handle: *mut Chan,
    timeout_ms: c_long,
    accepted: *mut c_ulong,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let chan = unsafe { chan::known(handle) }?;
        // A reference for as long as it waits.
        let chan = Arc::clone(&chan);
        let Some(Outlet::Once(to)) = chan.port().and_then(|port| port.remote_outlet()) else {
            return Err(errno::EINVAL);
        };
        let token = current_token::token();
        let count = wait::within(Until::of(timeout_ms), token.as_ref(), to.accepted())?;
        let count = count.map_err(|ended| code::of_end(&ended))?;
        // SAFETY: the caller's promise.
        unsafe { write_any(accepted, count as c_ulong) };
        Ok(())
    })
}
