// SPDX-License-Identifier: BSD-3-Clause
//! The same channels of another process, through the functions of `kcoro_session.h`: each process
//! offers the channel that it sends into, and receives from the other's.

use std::ffi::{CString, c_int, c_void};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::ptr;

use kcoro::chan::Chan;
use kcoro::chan::copy::{kc_chan_recv, kc_chan_send};
use kcoro::chan::make::kc_chan_destroy;
use kcoro::session::client::{
    OpenOpts, Session, SessionOpts, kc_session_close, kc_session_connect, kc_session_open,
};
use kcoro::session::msg::{
    Msg, kc_chan_make_msg, kc_msg_data, kc_msg_len, kc_msg_make, kc_msg_release,
};
use kcoro::session::server::{Serving, kc_server_close, kc_server_export, kc_server_listen};

use super::remote::{BACK, CAPACITY, Directory, THERE, WINDOW};
use super::ring::failed;
use crate::error::BenchError;
use crate::ipc::payload::Payload;
use crate::ipc::way::{Invitation, Kind, Way};
use crate::ipc::work::Work;

/// The column.
pub(crate) const COLUMN: &str = "Becket from C";

/// Over shared memory.
pub(crate) enum Shared {}
/// Over a Unix stream socket.
pub(crate) enum Unix {}

// As in `kcoro.h` and `kcoro_session.h`.
const BUFFERED: c_int = 1;
const NO_SHM_OF_SERVER: u32 = 1;
const NO_SHM_OF_SESSION: u32 = 2;
const OPEN_RECV: u32 = 2;
const FOR_EVER: i64 = -1;

/// An end.
pub(crate) struct End {
    out: *mut Chan,
    inward: *mut Chan,
    session: *mut Session,
    server: *mut Serving,
    payload: Payload,
    _directory: Option<Directory>,
}

/// A server, and its channel.
pub(crate) struct Offered {
    server: *mut Serving,
    out: *mut Chan,
}

macro_rules! kind {
    ($kind:ident, shared_memory: $shared_memory:literal) => {
        impl Kind for $kind {
            const COLUMN: &str = COLUMN;
            type Host = (UnixStream, Directory, Offered);
            type End = End;

            fn invite(_: Work) -> Result<(Invitation, Self::Host), BenchError> {
                let directory = Directory::new()?;
                let (ours, theirs) = UnixStream::pair().map_err(failed)?;
                let descriptors = vec![OwnedFd::from(theirs)];
                let text = directory.path().to_string_lossy().into_owned();
                let offered = offer(directory.path(), THERE, $shared_memory)?;
                Ok((Invitation { descriptors, text }, (ours, directory, offered)))
            }

            fn accept(host: Self::Host, work: Work) -> Result<End, BenchError> {
                let (mut aside, directory, offered) = host;
                // The other process listens now.
                aside.read_exact(&mut [0]).map_err(failed)?;
                let path = directory.path().to_owned();
                end(&path, BACK, $shared_memory, offered, work, Some(directory))
            }

            fn join(mut invitation: Invitation, work: Work) -> Result<End, BenchError> {
                let path = Path::new(&invitation.text).to_owned();
                let offered = offer(&path, BACK, $shared_memory)?;
                let mut aside = UnixStream::from(invitation.descriptor()?);
                aside.write_all(b"l").map_err(failed)?;
                end(&path, THERE, $shared_memory, offered, work, None)
            }
        }
    };
}

kind!(Shared, shared_memory: true);
kind!(Unix, shared_memory: false);

/// The result of a function of C.
fn done(what: &str, code: c_int) -> Result<(), BenchError> {
    match code {
        0 => Ok(()),
        code => Err(failed(format!("{what}: {code}"))),
    }
}

fn c_path(directory: &Path, name: &str) -> Result<CString, BenchError> {
    CString::new(directory.join(name).as_os_str().as_bytes()).map_err(failed)
}

/// Listens, and offers a channel from which others receive.
fn offer(directory: &Path, name: &str, shared_memory: bool) -> Result<Offered, BenchError> {
    let path = c_path(directory, name)?;
    let name = CString::new(name).map_err(failed)?;
    let (mut server, mut out) = (ptr::null_mut(), ptr::null_mut());
    let flags = if shared_memory { 0 } else { NO_SHM_OF_SERVER };
    // SAFETY: valid places, and strings that end with a zero.
    unsafe {
        done("listen", kc_server_listen(&raw mut server, path.as_ptr(), flags, 0))?;
        done("make", kc_chan_make_msg(&raw mut out, BUFFERED, CAPACITY))?;
        done("export", kc_server_export(server, name.as_ptr(), out, OPEN_RECV))?;
    }
    Ok(Offered { server, out })
}

fn end(
    directory: &Path,
    theirs: &str,
    shared_memory: bool,
    offered: Offered,
    work: Work,
    kept: Option<Directory>,
) -> Result<End, BenchError> {
    let path = c_path(directory, theirs)?;
    let name = CString::new(theirs).map_err(failed)?;
    let flags = if shared_memory { 0 } else { NO_SHM_OF_SESSION };
    let options = SessionOpts {
        size: size_of::<SessionOpts>(),
        flags,
        attempts_max: 0,
        backoff_first_ms: 0,
        backoff_max_ms: 0,
        handshake_ms: 0,
        message_bytes_max: 0,
    };
    let open = OpenOpts {
        size: size_of::<OpenOpts>(),
        flags: OPEN_RECV,
        window: WINDOW,
        kind: 0,
        reserved: 0,
        capacity: 0,
    };
    let (mut session, mut inward) = (ptr::null_mut(), ptr::null_mut());
    // SAFETY: valid places, options of their size, and strings that end with a zero.
    unsafe {
        done("connect", kc_session_connect(&raw mut session, path.as_ptr(), &raw const options))?;
        done("open", kc_session_open(session, name.as_ptr(), &raw const open, &raw mut inward))?;
    }
    let payload = Payload::new(COLUMN, work.bytes());
    let Offered { server, out } = offered;
    Ok(End { out, inward, session, server, payload, _directory: kept })
}

impl End {
    /// The next message, within so many milliseconds.
    fn next(&self, timeout_ms: i64) -> Result<Option<u64>, BenchError> {
        let mut message: *mut Msg = ptr::null_mut();
        // SAFETY: the channel is valid until this end is dropped; an element is a handle.
        let code =
            unsafe { kc_chan_recv(self.inward, (&raw mut message).cast::<c_void>(), timeout_ms) };
        if timeout_ms == 0 && code != 0 {
            return Ok(None);
        }
        done("receive", code)?;
        // SAFETY: a message that was received, whose bytes are valid until its release.
        let read = unsafe {
            let bytes = kc_msg_data(message).cast::<u8>();
            let read = self.payload.read(std::slice::from_raw_parts(bytes, kc_msg_len(message)));
            kc_msg_release(message);
            read
        };
        read.map(Some)
    }
}

impl Way for End {
    fn put(&mut self, number: u64) -> Result<(), BenchError> {
        let mut message: *mut Msg = ptr::null_mut();
        let bytes = self.payload.stamped(number);
        // SAFETY: valid bytes and a valid place; the channel is valid, and takes the message.
        unsafe {
            done("make", kc_msg_make(&raw mut message, bytes.as_ptr().cast(), bytes.len()))?;
            done("send", kc_chan_send(self.out, (&raw const message).cast::<c_void>(), FOR_EVER))
        }
    }

    fn take(&mut self) -> Result<u64, BenchError> {
        self.next(FOR_EVER)?.ok_or(BenchError::Worker)
    }

    fn take_now(&mut self) -> Result<Option<u64>, BenchError> {
        self.next(0)
    }
}

impl Drop for End {
    fn drop(&mut self) {
        // SAFETY: each handle is valid, and this is the last use of it.
        unsafe {
            kc_chan_destroy(self.inward);
            kc_session_close(self.session);
            kc_server_close(self.server);
            kc_chan_destroy(self.out);
        }
    }
}
