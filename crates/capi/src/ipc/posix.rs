// SPDX-License-Identifier: BSD-3-Clause
//! Sockets and frames: the C functions of `kcoro_ipc_posix.h`.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::ptr;
use std::slice;
use std::sync::Arc;

use becket_ipc::transport::Socket;
use becket_wire::v1::{ABI_MAJOR, Command, Frame, Hello};

use super::code::EPROTO;
use super::conn::{Conn, frame};
use super::listener::{self, Listener};
use crate::blocking::Until;
use crate::boundary::{answer, call};
use crate::errno;
use crate::handle::{give, place, share, shared, take_back, write_any};

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// `path` is null or a string; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_srv_listen(path: *const c_char, out: *mut *mut Listener) -> c_int {
    // SAFETY: the caller's promise.
    with_errno(answer(|| unsafe { at(path, out, Listener::new) }))
}

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// `handle` is null or valid; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_srv_accept(handle: *mut Listener, out: *mut *mut Conn) -> c_int {
    // SAFETY: the caller's promise.
    with_errno(answer(|| unsafe { accept(handle, out, Listener::accept) }))
}

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// As for [`kc_ipc_srv_accept`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_srv_accept_nb(handle: *mut Listener, out: *mut *mut Conn) -> c_int {
    // SAFETY: the caller's promise.
    with_errno(answer(|| unsafe { accept(handle, out, Listener::accept_now) }))
}

/// # Safety
///
/// As for [`kc_ipc_srv_accept`].
unsafe fn accept(
    handle: *mut Listener,
    out: *mut *mut Conn,
    accept: fn(&Listener) -> Result<Socket, c_int>,
) -> Result<(), c_int> {
    place(out)?;
    // SAFETY: the caller's promise.
    unsafe { give(out, accept(&*shared(handle)?).and_then(Conn::new)) }
}

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_srv_set_nb(handle: *mut Listener, on: c_int) -> c_int {
    // SAFETY: the caller's promise.
    answer(|| unsafe { shared(handle) }.map(|listener| listener.set_waits(on == 0)))
}

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_srv_fd(handle: *mut Listener) -> c_int {
    // SAFETY: the caller's promise.
    call(-1, || unsafe { share(handle) }.map_or(-1, |listener| listener.fd()))
}

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// `handle` is null, or valid and not used again. Calls that wait on it may still be there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_srv_close(handle: *mut Listener) {
    call((), || {
        // SAFETY: the caller's promise.
        if let Some(listener) = unsafe { take_back(handle) } {
            listener.close();
        }
    });
}

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// `path` is null or a string; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_connect(path: *const c_char, out: *mut *mut Conn) -> c_int {
    let connect = |path: &CStr| listener::connect(path).and_then(Conn::new);
    // SAFETY: the caller's promise.
    with_errno(answer(|| unsafe { at(path, out, connect) }))
}

/// Sets C's `errno` too if a call has failed: programs print its text (`perror`).
fn with_errno(code: c_int) -> c_int {
    if code < 0 {
        // SAFETY: the address of the calling thread's `errno`.
        unsafe { *libc::__errno_location() = -code };
    }
    code
}

/// Makes a value from a path.
///
/// # Safety
///
/// `path` is null or a string; `out` is null or valid for a write.
unsafe fn at<T>(
    path: *const c_char,
    out: *mut *mut T,
    make: impl FnOnce(&CStr) -> Result<T, c_int>,
) -> Result<(), c_int> {
    place(out)?;
    if path.is_null() {
        return Err(errno::EINVAL);
    }
    // SAFETY: the caller's promise.
    unsafe { give(out, make(CStr::from_ptr(path))) }
}

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// `handle` is null or valid; the others are null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_hs_cli(
    handle: *mut Conn,
    major: *mut u32,
    minor: *mut u32,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let conn = unsafe { shared(handle) }?;
        greet(&conn)?;
        // SAFETY: the caller's promise.
        unsafe { greeted_by(greeting(&conn)?, major, minor) }
    })
}

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// As for [`kc_ipc_hs_cli`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_hs_srv(
    handle: *mut Conn,
    major: *mut u32,
    minor: *mut u32,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let conn = unsafe { shared(handle) }?;
        let hello = greeting(&conn)?;
        // The other version is answered with ours, so that the peer can report the mismatch.
        greet(&conn)?;
        // SAFETY: the caller's promise.
        unsafe { greeted_by(hello, major, minor) }
    })
}

/// Sends our handshake.
fn greet(conn: &Conn) -> Result<(), c_int> {
    let mut bytes = Vec::new();
    Hello::V1.encode(&mut bytes).map_err(|_| errno::EIO)?;
    conn.send(bytes, Until::Ever)
}

/// Waits for the peer's handshake.
fn greeting(conn: &Conn) -> Result<Hello, c_int> {
    conn.recv(Until::Ever, |frame| {
        let is_hello = frame.header.command == Command::Hello.number() && frame.is_whole();
        let hello = is_hello.then(|| Hello::decode(frame.payload).ok()).flatten();
        hello.ok_or(EPROTO)
    })?
}

/// # Safety
///
/// Both are null or valid for a write.
unsafe fn greeted_by(hello: Hello, major: *mut u32, minor: *mut u32) -> Result<(), c_int> {
    // SAFETY: the caller's promise.
    unsafe {
        write_any(major, hello.major);
        write_any(minor, hello.minor);
    }
    if hello.major == ABI_MAJOR { Ok(()) } else { Err(EPROTO) }
}

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// `handle` is null or valid; `payload` is valid for `len` reads, or null and `len` 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_send(
    handle: *mut Conn,
    command: u16,
    payload: *const c_void,
    len: usize,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (conn, frame) = unsafe { outgoing(handle, command, payload, len) }?;
        if conn.waits() { conn.send(frame, Until::Ever) } else { conn.send_or_not(frame) }
    })
}

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// As for [`kc_ipc_send`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_send_nb(
    handle: *mut Conn,
    command: u16,
    payload: *const c_void,
    len: usize,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (conn, frame) = unsafe { outgoing(handle, command, payload, len) }?;
        if conn.send_later(frame)? { Ok(()) } else { Err(errno::EAGAIN) }
    })
}

/// # Safety
///
/// As for [`kc_ipc_send`].
unsafe fn outgoing(
    handle: *mut Conn,
    command: u16,
    payload: *const c_void,
    len: usize,
) -> Result<(Arc<Conn>, Vec<u8>), c_int> {
    // SAFETY: the caller's promise.
    let conn = unsafe { shared(handle) }?;
    // SAFETY: the caller's promise.
    let payload = unsafe { bytes(payload.cast(), len) }?;
    Ok((conn, frame(command, payload)?))
}

/// A payload.
///
/// # Safety
///
/// `payload` is valid for `len` reads for as long as it is used, or null.
pub(super) unsafe fn bytes<'a>(payload: *const u8, len: usize) -> Result<&'a [u8], c_int> {
    match (payload.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(errno::EINVAL),
        // SAFETY: the caller's promise.
        (false, len) => Ok(unsafe { slice::from_raw_parts(payload, len) }),
    }
}

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_flush(handle: *mut Conn) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        if unsafe { shared(handle) }?.flush()? { Ok(()) } else { Err(errno::EAGAIN) }
    })
}

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// `handle` is null or valid; the others are null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_recv(
    handle: *mut Conn,
    command: *mut u16,
    payload: *mut *mut u8,
    len: *mut usize,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let conn = unsafe { shared(handle) }?;
        let waits = conn.waits();
        // SAFETY: the caller's promise.
        unsafe { receive(&conn, waits, command, payload, len) }
    })
}

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// As for [`kc_ipc_recv`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_recv_nb(
    handle: *mut Conn,
    command: *mut u16,
    payload: *mut *mut u8,
    len: *mut usize,
) -> c_int {
    // SAFETY: the caller's promise.
    answer(|| unsafe { receive(&*shared(handle)?, false, command, payload, len) })
}

/// A frame, its payload in memory that C frees.
struct Received {
    command: u16,
    payload: *mut u8,
    len: usize,
}

/// # Safety
///
/// As for [`kc_ipc_recv`].
unsafe fn receive(
    conn: &Conn,
    waits: bool,
    command: *mut u16,
    payload: *mut *mut u8,
    len: *mut usize,
) -> Result<(), c_int> {
    let (command, payload, len) = (place(command)?, place(payload)?, place(len)?);
    let received = if waits {
        conn.recv(Until::Ever, |frame| copied(&frame))
    } else {
        conn.recv_now(|frame| copied(&frame)).and_then(|frame| frame.ok_or(errno::EAGAIN))
    };
    let received = received??;
    // SAFETY: the caller's promise.
    unsafe {
        command.write(received.command);
        payload.write(received.payload);
        len.write(received.len);
    }
    Ok(())
}

/// A frame that does not match its header has one byte more for C, which is no attribute: so that
/// the reader of the payload treats it as malformed, and only once.
fn copied(frame: &Frame<'_>) -> Result<Received, c_int> {
    let bytes = frame.payload.len();
    let len = bytes + usize::from(!frame.is_whole());
    let mut payload = ptr::null_mut();
    if len > 0 {
        // SAFETY: allocates memory.
        payload = unsafe { libc::calloc(len, 1) }.cast::<u8>();
        if payload.is_null() {
            return Err(errno::ENOMEM);
        }
        // SAFETY: there is room for that many, and no other reference to it.
        unsafe { ptr::copy_nonoverlapping(frame.payload.as_ptr(), payload, bytes) };
    }
    Ok(Received { command: frame.header.command, payload, len })
}

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_conn_set_nb(handle: *mut Conn, on: c_int) -> c_int {
    // SAFETY: the caller's promise.
    answer(|| unsafe { shared(handle) }?.set_waits(on == 0))
}

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_conn_fd(handle: *mut Conn) -> c_int {
    // SAFETY: the caller's promise.
    call(-1, || unsafe { share(handle) }.map_or(-1, |conn| conn.fd()))
}

/// See `kcoro_ipc_posix.h`.
///
/// # Safety
///
/// `handle` is null, or valid and not used again. Calls that wait on it may still be there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_ipc_conn_close(handle: *mut Conn) {
    call((), || {
        // SAFETY: the caller's promise.
        if let Some(conn) = unsafe { take_back(handle) } {
            conn.close();
        }
    });
}
