// SPDX-License-Identifier: BSD-3-Clause
//! Channels of another process: the C functions of `kcoro_ipc_chan.h`.

use std::ffi::{c_int, c_long, c_void};
use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use becket_wire::v1::{ELEMENT_BYTES_MAX, Request, Timeout};

use super::calls::{self, Answer};
use super::code::{EMSGSIZE, EPROTO, of_wire};
use super::conn::Conn;
use crate::blocking::Until;
use crate::boundary::{answer, call};
use crate::chan::KC_UNLIMITED;
use crate::errno;
use crate::handle::{give, place, share, shared, take_back};

/// The time after its deadline for which a server's answer is still awaited.
const GRACE: Duration = Duration::from_secs(1);

/// `kc_ipc_chan_t`.
pub struct RemoteChan {
    conn: Arc<Conn>,
    id: u32,
    elem_size: usize,
}

/// The limits of a timeout for the server, and for this side.
fn limits(timeout_ms: c_long) -> (Timeout, Until) {
    match u64::try_from(timeout_ms) {
        Err(_) => (Timeout::Forever, Until::Ever),
        Ok(ms) => {
            let time = Duration::from_millis(ms).saturating_add(GRACE);
            let until = Until::At(becket_chan::timer::after(time));
            // Longer than the protocol can express: then only this side keeps it.
            match i32::try_from(ms) {
                Ok(ms) => (Timeout::Ms(ms.cast_unsigned()), until),
                Err(_) => (Timeout::Forever, until),
            }
        }
    }
}

/// See `kcoro_ipc_chan.h`.
///
/// # Safety
///
/// `handle` is null or valid; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_chan_make(
    handle: *mut Conn,
    kind: c_int,
    elem_sz: usize,
    capacity: usize,
    out: *mut *mut RemoteChan,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        unsafe {
            let conn = checked(handle, elem_sz, out)?;
            give(out, make(conn, kind, elem_sz, capacity))
        }
    })
}

fn make(
    conn: Arc<Conn>,
    kind: c_int,
    elem_size: usize,
    capacity: usize,
) -> Result<RemoteChan, c_int> {
    let number = |size| u32::try_from(size).map_err(|_| errno::EINVAL);
    let request =
        Request::ChanMake { kind, elem_size: number(elem_size)?, capacity: number(capacity)? };
    match ask(&conn, &request, Until::Ever)? {
        Answer::Made(id) => Ok(RemoteChan { conn, id, elem_size }),
        Answer::Result(result) if result < 0 => Err(of_wire(result)),
        _ => Err(EPROTO),
    }
}

/// See `kcoro_ipc_chan.h`.
///
/// # Safety
///
/// As for [`kc_ipc_chan_make`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_chan_open(
    handle: *mut Conn,
    chan_id: u32,
    kind: c_int,
    elem_sz: usize,
    out: *mut *mut RemoteChan,
) -> c_int {
    answer(|| {
        // No channel has the number 0.
        if kind < KC_UNLIMITED || chan_id == 0 {
            return Err(errno::EINVAL);
        }
        // SAFETY: the caller's promise.
        unsafe {
            let conn = checked(handle, elem_sz, out)?;
            give(out, Ok(RemoteChan { conn, id: chan_id, elem_size: elem_sz }))
        }
    })
}

/// The connection, if a channel of such elements is possible, and a place for its handle.
///
/// # Safety
///
/// `handle` is null or valid.
unsafe fn checked(
    handle: *mut Conn,
    elem_sz: usize,
    out: *mut *mut RemoteChan,
) -> Result<Arc<Conn>, c_int> {
    // SAFETY: the caller's promise.
    let conn = unsafe { shared(handle) }?;
    place(out)?;
    let elem_max = usize::try_from(ELEMENT_BYTES_MAX).unwrap_or(usize::MAX);
    if elem_sz == 0 || elem_sz > elem_max {
        return Err(EMSGSIZE);
    }
    Ok(conn)
}

/// See `kcoro_ipc_chan.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_chan_id(handle: *const RemoteChan) -> u32 {
    // SAFETY: the caller's promise.
    call(0, || unsafe { share(handle) }.map_or(0, |chan| chan.id))
}

/// See `kcoro_ipc_chan.h`.
///
/// # Safety
///
/// `handle` is null or valid; `msg` is null or valid for reads of an element.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_chan_send(
    handle: *mut RemoteChan,
    msg: *const c_void,
    timeout_ms: c_long,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let remote = unsafe { shared(handle) }?;
        if msg.is_null() {
            return Err(errno::EINVAL);
        }
        // SAFETY: the caller's promise.
        let element = unsafe { slice::from_raw_parts(msg.cast::<u8>(), remote.elem_size) };
        let (timeout, until) = limits(timeout_ms);
        let chan = remote.id;
        let request = match timeout {
            Timeout::Ms(0) => Request::ChanTrySend { chan, element },
            timeout => Request::ChanSend { chan, timeout: Some(timeout), element },
        };
        plain(ask(&remote.conn, &request, until))
    })
}

/// See `kcoro_ipc_chan.h`.
///
/// # Safety
///
/// `handle` is null or valid; `out` is null or valid for writes of an element.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_chan_recv(
    handle: *mut RemoteChan,
    out: *mut c_void,
    timeout_ms: c_long,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (remote, out) = (unsafe { shared(handle) }?, place(out)?);
        let (timeout, until) = limits(timeout_ms);
        let chan = remote.id;
        let request = match timeout {
            Timeout::Ms(0) => Request::ChanTryRecv { chan },
            timeout => Request::ChanRecv { chan, timeout: Some(timeout) },
        };
        match ask(&remote.conn, &request, until) {
            Ok(Answer::Element(element)) if element.len() == remote.elem_size => {
                // SAFETY: the caller's promise: room for an element.
                unsafe { out.cast::<u8>().as_ptr().copy_from(element.as_ptr(), element.len()) };
                Ok(())
            }
            Ok(Answer::Element(element)) => {
                // The channel was opened with another size.
                remote.conn.calls.keep(chan, element);
                Err(errno::EINVAL)
            }
            other => plain(other),
        }
    })
}

/// See `kcoro_ipc_chan.h`.
///
/// # Safety
///
/// As for [`kc_ipc_chan_send`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_chan_try_send(
    handle: *mut RemoteChan,
    msg: *const c_void,
) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { kc_ipc_chan_send(handle, msg, 0) }
}

/// See `kcoro_ipc_chan.h`.
///
/// # Safety
///
/// As for [`kc_ipc_chan_recv`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_chan_try_recv(handle: *mut RemoteChan, out: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { kc_ipc_chan_recv(handle, out, 0) }
}

/// See `kcoro_ipc_chan.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_chan_close(handle: *mut RemoteChan) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let remote = unsafe { shared(handle) }?;
        let request = Request::ChanClose { chan: remote.id };
        plain(ask(&remote.conn, &request, Until::Ever))
    })
}

/// See `kcoro_ipc_chan.h`.
///
/// # Safety
///
/// `handle` is null, or valid and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_chan_destroy(handle: *mut RemoteChan) {
    call((), || {
        // SAFETY: the caller's promise.
        let Some(remote) = (unsafe { take_back(handle) }) else { return };
        let mut frame = Vec::new();
        let request = Request::ChanDestroy { chan: remote.id };
        if request.encode(None, &mut frame).is_ok() {
            // A server that is gone, or does not read, drops it with the connection.
            let _ = remote.conn.send(frame, Until::At(Instant::now() + GRACE));
        }
        remote.conn.calls.forget(remote.id);
    });
}

/// Sends a request and waits for its answer. A timeout, also that of the caller's context, has the
/// number that it has with other channels.
fn ask(conn: &Conn, request: &Request<'_>, until: Until) -> Result<Answer, c_int> {
    calls::ask(conn, request, until).map_err(|code| match code {
        code if code == -libc::ETIMEDOUT => errno::ETIME,
        code => code,
    })
}

/// The result of an answer without a payload.
fn plain(answered: Result<Answer, c_int>) -> Result<(), c_int> {
    match answered {
        Ok(Answer::Result(errno::OK)) => Ok(()),
        Ok(Answer::Result(result)) => Err(of_wire(result)),
        Ok(_) => Err(EPROTO),
        Err(code) => Err(code),
    }
}
