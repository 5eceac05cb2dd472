// SPDX-License-Identifier: BSD-3-Clause
//! `kc_session_t`: a connection to a server, or one that is made again whenever it has ended.

use std::ffi::{CStr, OsStr, c_char, c_int, c_long, c_uint, c_ulong};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use becket_chan::{Kind, timer};
use becket_ipc::monitor::SessionReport;
use becket_ipc::{
    Backoff, Client, Ended, Info, Options, ProducerId, ReceiverOptions, Reconnecting, kind_of,
};
use parking_lot::Mutex;

use super::remote::{Inlet, Outlet, Remote};
use super::{code, wait};
use crate::boundary::{answer, call};
use crate::chan::{self, Chan, make};
use crate::current_token;
use crate::errno;
use crate::handle::{place, shared, take_back, write_any};
use crate::limit::Until;

/// `KC_SESSION_RECONNECT`.
const RECONNECT: c_uint = 1 << 0;
/// `KC_SESSION_NO_SHM`.
const NO_SHM: c_uint = 1 << 1;
/// `KC_OPEN_SEND`.
pub(super) const SEND: c_uint = 1 << 0;
/// `KC_OPEN_RECV`.
pub(super) const RECV: c_uint = 1 << 1;
/// `KC_OPEN_MAKE`.
const MAKE: c_uint = 1 << 2;

/// A session that is closed waits so long for the server to have back what was prefetched.
const RETURNED_WITHIN: Duration = Duration::from_secs(1);

/// The sessions that a monitor shows.
static ALL: Mutex<Vec<Weak<Session>>> = Mutex::new(Vec::new());

/// `kc_session_opts_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "documented in kcoro_session.h")]
pub struct SessionOpts {
    pub size: usize,
    pub flags: c_uint,
    pub attempts_max: c_uint,
    pub backoff_first_ms: c_ulong,
    pub backoff_max_ms: c_ulong,
    pub handshake_ms: c_ulong,
    pub message_bytes_max: usize,
}

impl SessionOpts {
    const DEFAULTS: Self = Self {
        size: size_of::<Self>(),
        flags: 0,
        attempts_max: 0,
        backoff_first_ms: 0,
        backoff_max_ms: 0,
        handshake_ms: 0,
        message_bytes_max: 0,
    };
}

/// `kc_open_opts_t`.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "documented in kcoro_session.h")]
pub struct OpenOpts {
    pub size: usize,
    pub flags: c_uint,
    pub window: c_uint,
    pub kind: c_int,
    pub reserved: c_uint,
    pub capacity: usize,
}

impl OpenOpts {
    /// The defaults, with these directions.
    pub(super) const fn defaults(flags: c_uint) -> Self {
        Self { size: size_of::<Self>(), flags, window: 0, kind: 0, reserved: 0, capacity: 0 }
    }
}

/// `kc_session_t`.
pub struct Session {
    link: Link,
    /// The longest message that is received.
    message_bytes_max: u32,
}

enum Link {
    Plain(Client),
    Reconnecting(Reconnecting),
}

impl Session {
    /// Over a link, which was set up with these options.
    pub(super) fn over(client: Client, options: &Options) -> Self {
        let message_bytes_max = options.limits.element_bytes_max;
        Self { link: Link::Plain(client), message_bytes_max }
    }

    /// The connection, unless it is made again.
    pub(super) fn client(&self) -> Option<&Client> {
        match &self.link {
            Link::Plain(client) => Some(client),
            Link::Reconnecting(_) => None,
        }
    }

    /// Closes a channel for all its users, as far as the server can be reached.
    pub(super) fn close_channel(&self, name: &str) {
        // The result is lost on C, whose function has none: a channel that is gone is closed.
        let _closed = match &self.link {
            Link::Plain(client) => {
                wait::wait(Some(client), client.close_channel(name, None)).is_ok()
            }
            Link::Reconnecting(again) => again.client().is_some_and(|client| {
                wait::wait(Some(&client), client.close_channel(name, None)).is_ok()
            }),
        };
    }

    fn close(&self) {
        match &self.link {
            Link::Plain(client) => {
                // Late: the server is silent, and what is not back is lost with the connection.
                let until = Until::At(timer::after(RETURNED_WITHIN));
                let _late = wait::within(until, None, client.returned());
                client.close();
            }
            Link::Reconnecting(again) => again.close(),
        }
    }
}

/// A session that a monitor shows.
pub(super) fn listed(session: Session) -> Arc<Session> {
    let session = Arc::new(session);
    let mut all = ALL.lock();
    all.retain(|session| session.strong_count() > 0);
    all.push(Arc::downgrade(&session));
    session
}

/// The options of a session over a link, which has no socket to connect to.
///
/// # Safety
///
/// As for [`read_options`].
pub(super) unsafe fn options_over(opts: *const SessionOpts) -> Result<Options, c_int> {
    // SAFETY: the caller's promise.
    let opts = unsafe { read_options(opts, SessionOpts::DEFAULTS) }?;
    if opts.flags & !NO_SHM != 0 {
        return Err(errno::EINVAL);
    }
    options(&opts)
}

/// The sessions of this process, for a monitor.
pub(crate) fn reports() -> Vec<SessionReport> {
    let all: Vec<_> = ALL.lock().iter().filter_map(Weak::upgrade).collect();
    let statuses = all.iter().filter_map(|session| match &session.link {
        Link::Plain(client) => client.status(),
        Link::Reconnecting(again) => again.client()?.status(),
    });
    statuses.filter(|status| !status.is_over).map(|status| SessionReport::new(&status)).collect()
}

/// A string of C.
///
/// # Safety
///
/// It is null or a string, for as long as the result is used.
pub(super) unsafe fn text<'a>(text: *const c_char) -> Result<&'a CStr, c_int> {
    if text.is_null() {
        return Err(errno::EINVAL);
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { CStr::from_ptr(text) })
}

/// As [`text`], which has to be a channel's name.
///
/// # Safety
///
/// As for [`text`].
pub(super) unsafe fn name<'a>(name: *const c_char) -> Result<&'a str, c_int> {
    // SAFETY: the caller's promise.
    unsafe { text(name) }?.to_str().map_err(|_| errno::EINVAL)
}

/// Options, as far as the caller's version of the structure has them.
///
/// # Safety
///
/// `given` is null or begins with its size in bytes, of which so many are valid for reads.
pub(super) unsafe fn read_options<T: Copy>(given: *const T, defaults: T) -> Result<T, c_int> {
    if given.is_null() {
        return Ok(defaults);
    }
    let mut options = defaults;
    // SAFETY: the caller's promise: a size is first.
    let size = unsafe { given.cast::<usize>().read() };
    if size < size_of::<usize>() || size > size_of::<T>() {
        // Of a later version, whose fields are unknown here.
        return Err(errno::EINVAL);
    }
    // SAFETY: the caller's promise; every bit pattern is valid for integers.
    unsafe {
        given.cast::<u8>().copy_to_nonoverlapping((&raw mut options).cast::<u8>(), size);
    }
    Ok(options)
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `out` is null or valid for a write; `path` is null or a string; `opts` is null or valid for reads
/// of the size that it begins with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_session_connect(
    out: *mut *mut Session,
    path: *const c_char,
    opts: *const SessionOpts,
) -> c_int {
    answer(|| {
        place(out)?;
        // SAFETY: the caller's promise.
        let (path, opts) = unsafe { (text(path)?, read_options(opts, SessionOpts::DEFAULTS)?) };
        let path = Path::new(OsStr::from_bytes(path.to_bytes()));
        let session = listed(connect(path, &opts)?);
        // SAFETY: the caller's promise.
        unsafe { out.write(crate::handle::lend(session)) };
        Ok(())
    })
}

fn connect(path: &Path, opts: &SessionOpts) -> Result<Session, c_int> {
    if opts.flags & !(RECONNECT | NO_SHM) != 0 {
        return Err(errno::EINVAL);
    }
    let options = options(opts)?;
    let message_bytes_max = options.limits.element_bytes_max;
    let link = if opts.flags & RECONNECT == 0 {
        let connecting = Client::connect_with(path, options);
        Link::Plain(wait::wait(None, connecting).map_err(|error| code::of_connect(&error))?)
    } else {
        let mut backoff = Backoff::default();
        if opts.backoff_first_ms != 0 {
            backoff.first = Duration::from_millis(opts.backoff_first_ms);
        }
        if opts.backoff_max_ms != 0 {
            backoff.max = Duration::from_millis(opts.backoff_max_ms);
        }
        backoff.attempts_max = Some(opts.attempts_max).filter(|&attempts| attempts != 0);
        Link::Reconnecting(Reconnecting::new(path, options, backoff))
    };
    Ok(Session { link, message_bytes_max })
}

fn options(opts: &SessionOpts) -> Result<Options, c_int> {
    let mut options = Options::default();
    options.shared_memory = opts.flags & NO_SHM == 0;
    if opts.handshake_ms != 0 {
        options.handshake_timeout = Duration::from_millis(opts.handshake_ms);
    }
    super::server::allow_bytes(&mut options, opts.message_bytes_max)?;
    Ok(options)
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `handle` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_session_wait(handle: *const Session, timeout_ms: c_long) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let session = unsafe { shared(handle) }?;
        match &session.link {
            Link::Plain(client) => client.ended().map_or(Ok(()), |ended| Err(code::of_end(&ended))),
            Link::Reconnecting(again) => {
                let token = current_token::token();
                let until = Until::of(timeout_ms);
                let connected = wait::within(until, token.as_ref(), again.connected())?;
                connected.map_err(|ended: Ended| code::of_end(&ended))
            }
        }
    })
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `handle` is null, or valid and not used again. Its channels may still be there.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_session_close(handle: *const Session) {
    call((), || {
        // SAFETY: the caller's promise.
        if let Some(session) = unsafe { take_back(handle) } {
            session.close();
        }
    });
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `handle` is null or valid; `channel` is null or a string; `opts` is null or valid for reads of the
/// size that it begins with; `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_session_open(
    handle: *const Session,
    channel: *const c_char,
    opts: *const OpenOpts,
    out: *mut *mut Chan,
) -> c_int {
    answer(|| {
        let (out, defaults) = (place(out)?, OpenOpts::defaults(SEND | RECV));
        // SAFETY: the caller's promise.
        let (session, channel, opts) =
            unsafe { (shared(handle)?, name(channel)?, read_options(opts, defaults)?) };
        let made = open(&session, channel, &opts, None)?;
        // SAFETY: the caller's promise.
        unsafe { out.write(made) };
        Ok(())
    })
}

/// Opens a channel; with a producer, for messages that are accepted exactly once.
pub(super) fn open(
    session: &Arc<Session>,
    channel: &str,
    opts: &OpenOpts,
    once: Option<ProducerId>,
) -> Result<*mut Chan, c_int> {
    let remote = remote(session, channel, opts, once)?;
    let kind = make::kind_as_lane(remote.kind);
    Ok(make::lend_made(make::over(Box::new(remote), kind, 0, size_of::<usize>())))
}

fn remote(
    session: &Arc<Session>,
    channel: &str,
    opts: &OpenOpts,
    once: Option<ProducerId>,
) -> Result<Remote, c_int> {
    let (sends, receives) = (opts.flags & SEND != 0, opts.flags & RECV != 0);
    let has_end = sends || (receives && once.is_none());
    if opts.flags & !(SEND | RECV | MAKE) != 0 || !has_end {
        return Err(errno::EINVAL);
    }
    let made = match opts.flags & MAKE != 0 {
        true => Some(make::kind_for_rust(opts.kind, opts.capacity).ok_or(errno::EINVAL)?),
        false => None,
    };
    let mut options = ReceiverOptions::window(opts.window);
    options.window_bytes = options.window_bytes.max(session.message_bytes_max.into());
    match &session.link {
        Link::Plain(_) if once.is_some() => Err(errno::ENOTSUP),
        Link::Plain(client) => {
            let failed = |error| code::of_open(&error);
            if let Some((kind, capacity)) = made {
                let request = client.make_or_open(channel, kind, capacity, true);
                wait::wait(Some(client), request).map_err(failed)?;
            }
            let outlet = match sends {
                true => Some(wait::wait(Some(client), client.sender(channel)).map_err(failed)?),
                false => None,
            };
            let inlet = match receives {
                true => {
                    let opening = client.receiver_with(channel, options);
                    Some(wait::wait(Some(client), opening).map_err(failed)?)
                }
                false => None,
            };
            let info = outlet.as_ref().map(|end| end.info());
            let info = info.or_else(|| inlet.as_ref().map(|end| end.info()));
            let kind = info.and_then(kind_of_info).unwrap_or(Kind::Unlimited);
            let ends = (outlet.map(Outlet::Plain), inlet.map(Inlet::Plain));
            Ok(Remote::new(session.clone(), channel, ends.0, ends.1, kind))
        }
        Link::Reconnecting(again) => {
            let reopened = || {
                let channel = again.channel(channel);
                match made {
                    Some((kind, capacity)) => channel.make(kind, capacity),
                    None => channel,
                }
            };
            let outlet = sends.then(|| match once {
                Some(producer) => Outlet::Once(reopened().once(producer)),
                None => Outlet::Reconnecting(reopened().sender()),
            });
            let inlet = receives.then(|| Inlet::Reconnecting(reopened().receiver(options)));
            let kind = made.map_or(Kind::Unlimited, |(kind, _)| kind);
            Ok(Remote::new(session.clone(), channel, outlet, inlet, kind))
        }
    }
}

fn kind_of_info(info: &Info) -> Option<Kind> {
    kind_of(&info.kind)
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `handle` is null or valid; the others are null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_session_flush(
    handle: *mut Chan,
    accepted: *mut c_ulong,
    refused: *mut c_ulong,
    unknown: *mut c_ulong,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let chan = unsafe { chan::known(handle) }?;
        // A reference for as long as it waits.
        let chan = Arc::clone(&chan);
        let remote = chan.port().and_then(|port| port.remote_outlet()).ok_or(errno::EINVAL)?;
        let posted = match remote {
            Outlet::Plain(to) => wait::wait(None, to.flush()),
            Outlet::Reconnecting(to) => wait::wait(None, to.flush()),
            Outlet::Once(to) => wait::wait(None, to.flush()),
        };
        // SAFETY: the caller's promise.
        unsafe {
            write_any(accepted, posted.accepted as c_ulong);
            write_any(refused, posted.refused as c_ulong);
            write_any(unknown, posted.unknown as c_ulong);
        }
        Ok(())
    })
}
