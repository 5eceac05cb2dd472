// SPDX-License-Identifier: BSD-3-Clause
//! A transport whose functions are C's (`kcoro_link.h`).
//!
//! # Safety
//!
//! C passed the functions and their link for this: until `destroy` they may be called on any thread, one at a time, with that
//! link. `put` reads a head and a body that live for the call; `take` returns a frame that lives until the next call;
//! descriptors that `watch` returns are open as long as the link.

use std::ffi::{c_int, c_void};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::ptr;
use std::sync::Arc;

use becket_ipc::transport::{Ancillary, Link, LinkCounters, LinkError, OnReady, Peer, Watch};
use becket_ipc::{Client, Server};
use becket_wire::{Decoder, Frame, Full, HEAD_BYTES, Head, Outlet};
use rustix::io::Errno;

use super::client::{self, Session, SessionOpts};
use super::server::{self, Serving};
use crate::boundary::answer;
use crate::errno;
use crate::handle::{give, place, shared};

/// The least length of the longest body: what the session itself sends fits.
const BODY_BYTES_MIN: usize = 1024;

/// `kc_link_ops_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "documented in kcoro_link.h")]
pub struct LinkOps {
    pub size: usize,
    pub body_bytes_max: usize,
    pub put:
        Option<unsafe extern "C" fn(*mut c_void, *const c_void, *const c_void, usize) -> c_int>,
    pub flush: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    pub take: Option<unsafe extern "C" fn(*mut c_void, *mut *const c_void, *mut usize) -> c_int>,
    pub watch: Option<unsafe extern "C" fn(*mut c_void, *mut c_int, *mut c_int)>,
    pub prepare_wait: Option<unsafe extern "C" fn(*mut c_void) -> c_int>,
    pub close: Option<unsafe extern "C" fn(*mut c_void)>,
    pub destroy: Option<unsafe extern "C" fn(*mut c_void)>,
}

impl LinkOps {
    const NONE: Self = Self {
        size: size_of::<Self>(),
        body_bytes_max: 0,
        put: None,
        flush: None,
        take: None,
        watch: None,
        prepare_wait: None,
        close: None,
        destroy: None,
    };
}

/// The functions that every link has.
#[derive(Clone, Copy)]
struct Needed {
    put: unsafe extern "C" fn(*mut c_void, *const c_void, *const c_void, usize) -> c_int,
    flush: unsafe extern "C" fn(*mut c_void) -> c_int,
    take: unsafe extern "C" fn(*mut c_void, *mut *const c_void, *mut usize) -> c_int,
    watch: unsafe extern "C" fn(*mut c_void, *mut c_int, *mut c_int),
    close: unsafe extern "C" fn(*mut c_void),
}

/// A link of C.
pub struct LinkOfC {
    needed: Needed,
    ops: LinkOps,
    link: *mut c_void,
    decoder: Decoder,
    peer: Peer,
    counters: LinkCounters,
    /// What every later call reports.
    failed: Option<LinkError>,
    /// What `take` reports after the last frame.
    ended: Option<LinkError>,
    is_closed: bool,
}

// SAFETY: the module's "Safety": any thread may call the functions.
unsafe impl Send for LinkOfC {}

impl LinkOfC {
    /// `None`: a function is missing, or `body_bytes_max` is too small.
    ///
    /// # Safety
    ///
    /// See the module.
    pub unsafe fn new(ops: LinkOps, link: *mut c_void) -> Option<Self> {
        let needed = Needed {
            put: ops.put?,
            flush: ops.flush?,
            take: ops.take?,
            watch: ops.watch?,
            close: ops.close?,
        };
        let body_bytes_max = u32::try_from(ops.body_bytes_max).unwrap_or(u32::MAX);
        (ops.body_bytes_max >= BODY_BYTES_MIN).then_some(())?;
        Some(Self {
            needed,
            ops: LinkOps { body_bytes_max: body_bytes_max as usize, ..ops },
            link,
            decoder: Decoder::new(body_bytes_max),
            peer: Peer::own(),
            counters: LinkCounters::default(),
            failed: None,
            ended: None,
            is_closed: false,
        })
    }

    /// One frame; `None`: none has arrived.
    fn take_one(
        &mut self,
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> Result<Option<()>, LinkError> {
        let (mut frame, mut len) = (ptr::null(), 0);
        // SAFETY: the module's "Safety".
        match unsafe { (self.needed.take)(self.link, &raw mut frame, &raw mut len) } {
            errno::OK if !frame.is_null() => {}
            errno::OK => return Err(LinkError::System(Errno::PROTO)),
            errno::EAGAIN => return Ok(None),
            code => return Err(of_code(code)),
        }
        // SAFETY: the module's "Safety": `len` bytes, until the next call.
        let bytes = unsafe { std::slice::from_raw_parts(frame.cast::<u8>(), len) };
        let cut = LinkError::NotOneFrame { packet_bytes: len, frame_bytes: HEAD_BYTES };
        let (frame, frame_bytes) = self.decoder.decode(bytes)?.ok_or(cut)?;
        if frame_bytes != len {
            return Err(LinkError::NotOneFrame { packet_bytes: len, frame_bytes });
        }
        sink(frame, Ancillary::nothing());
        self.counters.frames_in += 1;
        self.counters.bytes_in += len as u64;
        Ok(Some(()))
    }
}

/// Why a link has ended, by a negative number of `errno.h`.
fn of_code(code: c_int) -> LinkError {
    match code {
        errno::EPIPE => LinkError::Closed,
        code => {
            LinkError::System(Errno::from_raw_os_error(code.checked_neg().unwrap_or(libc::EIO)))
        }
    }
}

impl Outlet for LinkOfC {
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        let bytes_max = self.ops.body_bytes_max;
        if head.length as usize != body.len() || body.len() > bytes_max {
            self.failed.get_or_insert(LinkError::OwnFrame { bytes: body.len(), bytes_max });
            return Err(Full);
        }
        let bytes = (HEAD_BYTES + body.len()) as u64;
        if self.is_closed {
            self.counters.bytes_discarded += bytes;
            return Ok(());
        }
        let head = head.encode();
        let (head, body_at) = (head.as_ptr().cast(), body.as_ptr().cast());
        // SAFETY: the module's "Safety".
        match unsafe { (self.needed.put)(self.link, head, body_at, body.len()) } {
            errno::OK => {
                self.counters.frames_out += 1;
                self.counters.bytes_out += bytes;
                Ok(())
            }
            errno::EAGAIN => Err(Full),
            // The end is reported by `take`.
            _ => {
                self.counters.bytes_discarded += bytes;
                Ok(())
            }
        }
    }
}

impl Link for LinkOfC {
    fn take(
        &mut self,
        frames_max: usize,
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
    ) -> Result<usize, LinkError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let mut frames = 0;
        while frames < frames_max && self.ended.is_none() {
            match self.take_one(sink) {
                Ok(Some(())) => frames += 1,
                Ok(None) => break,
                Err(error) => self.ended = Some(error),
            }
        }
        match self.ended {
            Some(error) if frames == 0 && frames_max > 0 => Err(error),
            _ => Ok(frames),
        }
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        // SAFETY: the module's "Safety".
        let flushed = self.is_closed || unsafe { (self.needed.flush)(self.link) } != errno::EAGAIN;
        Ok(flushed)
    }

    fn put_descriptors(&mut self, descriptors: Vec<OwnedFd>) -> Result<(), LinkError> {
        match descriptors.len() {
            0 => Ok(()),
            count => Err(LinkError::TooManyDescriptors { count, count_max: 0 }),
        }
    }

    fn watch(&self) -> Watch<'_> {
        let (mut readable, mut writable) = (-1, -1);
        // SAFETY: the module's "Safety".
        unsafe { (self.needed.watch)(self.link, &raw mut readable, &raw mut writable) };
        // SAFETY: as above: an open descriptor, for as long as the link.
        let [readable, writable] =
            [readable, writable].map(|fd| (fd >= 0).then(|| unsafe { BorrowedFd::borrow_raw(fd) }));
        readable.map_or_else(Watch::nothing, Watch::readable).and_writable(writable)
    }

    fn on_ready(&mut self, _: OnReady) {}

    fn prepare_wait(&mut self) -> bool {
        self.failed.is_some()
            || self.ended.is_some()
            // SAFETY: the module's "Safety".
            || self.ops.prepare_wait.is_some_and(|prepare| unsafe { prepare(self.link) } != 0)
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn name(&self) -> &'static str {
        "of-c"
    }

    fn body_bytes_max(&self) -> usize {
        self.ops.body_bytes_max
    }

    fn counters(&self) -> LinkCounters {
        self.counters
    }

    fn close(&mut self) {
        if !std::mem::replace(&mut self.is_closed, true) {
            // SAFETY: the module's "Safety"; once.
            unsafe { (self.needed.close)(self.link) };
            self.ended.get_or_insert(LinkError::Closed);
        }
    }
}

impl Drop for LinkOfC {
    fn drop(&mut self) {
        self.close();
        if let Some(destroy) = self.ops.destroy {
            // SAFETY: the module's "Safety"; once, and nothing calls the link afterwards.
            unsafe { destroy(self.link) };
        }
    }
}

/// # Safety
///
/// `ops` is null or valid for reads of the size that it begins with; see also the module.
unsafe fn link(ops: *const LinkOps, link: *mut c_void) -> Result<Box<dyn Link>, c_int> {
    if ops.is_null() {
        return Err(errno::EINVAL);
    }
    // SAFETY: the caller's promise.
    let ops = unsafe { client::read_options(ops, LinkOps::NONE) }?;
    // SAFETY: the caller's promise.
    let link = unsafe { LinkOfC::new(ops, link) }.ok_or(errno::EINVAL)?;
    Ok(Box::new(link))
}

fn of_io(error: &std::io::Error) -> c_int {
    error.raw_os_error().map_or(errno::EIO, |number| -number)
}

/// See `kcoro_link.h`.
///
/// # Safety
///
/// `out` is null or valid for a write; `ops` and `opts` are null or valid for reads of the size that they begin with; the
/// functions may be called with `link` until `destroy` is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_session_over(
    out: *mut *mut Session,
    ops: *const LinkOps,
    link: *mut c_void,
    opts: *const SessionOpts,
) -> c_int {
    answer(|| {
        let out = place(out)?;
        // SAFETY: the caller's promise.
        let options = unsafe { client::options_over(opts) }?;
        // SAFETY: the caller's promise.
        let link = unsafe { self::link(ops, link) }?;
        let client = Client::over(link, &options).map_err(|error| of_io(&error))?;
        let session = client::listed(Session::over(client, &options));
        // SAFETY: the caller's promise.
        unsafe { out.write(crate::handle::lend(session)) };
        Ok(())
    })
}

/// See `kcoro_link.h`.
///
/// # Safety
///
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_server_make(out: *mut *mut Serving, message_bytes_max: usize) -> c_int {
    answer(|| {
        let made = server::without_socket(message_bytes_max);
        // SAFETY: the caller's promise.
        unsafe { give(out, made) }
    })
}

/// See `kcoro_link.h`.
///
/// # Safety
///
/// `handle` is null or valid; the rest as for [`kc_session_over`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_server_serve(
    handle: *const Serving,
    ops: *const LinkOps,
    link: *mut c_void,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let serving = unsafe { shared(handle) }?;
        let server: &Arc<Server> = &serving.0;
        // SAFETY: the caller's promise.
        let link = unsafe { self::link(ops, link) }?;
        server.serve(link).map_err(|error| of_io(&error))
    })
}
