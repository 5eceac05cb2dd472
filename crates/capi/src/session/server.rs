// SPDX-License-Identifier: BSD-3-Clause
//! `kc_server_t`: a socket at which this process offers channels. `kc_channels_t`: channels that
//! outlive their server.

use std::ffi::{OsStr, c_char, c_int, c_uint};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::{Arc, Weak};

use becket_ipc::channels::Channels;
use becket_ipc::monitor::SessionReport;
use becket_ipc::{Options, Server, Status};
use parking_lot::Mutex;

use super::client::{self, RECV, SEND};
use super::code;
use crate::boundary::{answer, call};
use crate::chan::{Chan, known};
use crate::errno;
use crate::handle::{give, shared, take_back};

/// `KC_SERVER_NO_SHM`.
const NO_SHM: c_uint = 1 << 0;
/// `KC_SERVER_V1`.
const V1: c_uint = 1 << 1;

/// The servers whose connections a monitor shows.
static ALL: Mutex<Vec<Listed>> = Mutex::new(Vec::new());

/// Never upgraded: a server ends where its handle is closed.
struct Listed {
    server: Weak<Server>,
    sessions: Box<dyn Fn() -> Vec<Status> + Send + Sync>,
}

/// The channels of a table at most, as of a server without one.
const CHANNELS_MAX: usize = 65_536;

/// `kc_channels_t`.
pub struct Offered(Arc<Channels>);

/// `kc_server_t`.
pub struct Serving(pub(super) Arc<Server>);

/// The longest message of a session, and room for it: the limits of both sides have to allow it.
pub(super) fn allow_bytes(options: &mut Options, bytes_max: usize) -> Result<(), c_int> {
    if bytes_max == 0 {
        return Ok(());
    }
    let bytes = u32::try_from(bytes_max).map_err(|_| errno::EINVAL)?;
    options.limits.element_bytes_max = bytes;
    let room = u64::from(bytes).saturating_mul(2);
    let limits = &mut options.limits;
    limits.session_credit_bytes = limits.session_credit_bytes.max(room);
    limits.session_queue_bytes_max = limits.session_queue_bytes_max.max(room);
    Ok(())
}

/// The connections of this process's servers, for a monitor.
pub(crate) fn reports() -> Vec<SessionReport> {
    let all = ALL.lock();
    all.iter()
        .flat_map(|listed| (listed.sessions)())
        .map(|seen| SessionReport::new(&seen))
        .collect()
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `out` is null or valid for a write; `path` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_server_listen(
    out: *mut *mut Serving,
    path: *const c_char,
    flags: c_uint,
    message_bytes_max: usize,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let path = unsafe { client::text(path) }?;
        let path = Path::new(OsStr::from_bytes(path.to_bytes()));
        // SAFETY: the caller's promise.
        unsafe { give(out, listen(path, flags, message_bytes_max, None)) }
    })
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// As for [`kc_server_listen`]; `channels` is null or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_server_listen_with(
    out: *mut *mut Serving,
    path: *const c_char,
    flags: c_uint,
    message_bytes_max: usize,
    channels: *const Offered,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (path, channels) = unsafe { (client::text(path)?, shared(channels)?) };
        let path = Path::new(OsStr::from_bytes(path.to_bytes()));
        // SAFETY: the caller's promise.
        unsafe { give(out, listen(path, flags, message_bytes_max, Some(&channels.0))) }
    })
}

fn listen(
    path: &Path,
    flags: c_uint,
    message_bytes_max: usize,
    channels: Option<&Arc<Channels>>,
) -> Result<Serving, c_int> {
    if flags & !(NO_SHM | V1) != 0 {
        return Err(errno::EINVAL);
    }
    let mut options = Options::default();
    options.shared_memory = flags & NO_SHM == 0;
    allow_bytes(&mut options, message_bytes_max)?;
    let mut builder = Server::builder().options(options).channels_max(CHANNELS_MAX);
    if let Some(channels) = channels {
        builder = builder.channels(channels.clone());
    }
    let bound = if flags & V1 == 0 { builder.bind(path) } else { builder.bind_both(path) };
    Ok(listed(bound.map_err(|error| code::of_serve(&error))?))
}

/// A server that serves only the links that it is given.
pub(super) fn without_socket(message_bytes_max: usize) -> Result<Serving, c_int> {
    let mut options = Options::default();
    allow_bytes(&mut options, message_bytes_max)?;
    Ok(listed(Server::builder().options(options).without_socket()))
}

/// A server whose connections a monitor shows.
fn listed(server: Server) -> Serving {
    let server = Arc::new(server);
    let mut all = ALL.lock();
    all.retain(|listed| listed.server.strong_count() > 0);
    let sessions = Box::new(server.sessions_later());
    all.push(Listed { server: Arc::downgrade(&server), sessions });
    Serving(server)
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `handle` and `chan` are null or valid; `name` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_server_export(
    handle: *const Serving,
    name: *const c_char,
    chan: *mut Chan,
    flags: c_uint,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (serving, name, chan) = unsafe { (shared(handle)?, client::name(name)?, known(chan)?) };
        export(serving.0.channels(), name, &chan, flags)
    })
}

fn export(channels: &Channels, name: &str, chan: &Chan, flags: c_uint) -> Result<(), c_int> {
    if flags & !(SEND | RECV) != 0 || flags == 0 {
        return Err(errno::EINVAL);
    }
    let ends = chan.port().and_then(|port| port.messages()).ok_or(errno::ENOTSUP)?;
    let sender = if flags & SEND != 0 { ends.tx.clone() } else { None };
    let receiver = if flags & RECV != 0 { ends.rx.clone() } else { None };
    if (flags & SEND != 0 && sender.is_none()) || (flags & RECV != 0 && receiver.is_none()) {
        return Err(errno::ENOTSUP);
    }
    let exported = channels.export(name, sender, receiver);
    exported.map(drop).map_err(|error| code::of_channel(&error))
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `out` is null or valid for a write.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_channels_make(out: *mut *mut Offered) -> c_int {
    // SAFETY: the caller's promise.
    answer(|| unsafe { give(out, Ok(Offered(Arc::new(Channels::new(CHANNELS_MAX))))) })
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `handle` and `chan` are null or valid; `name` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_channels_export(
    handle: *const Offered,
    name: *const c_char,
    chan: *mut Chan,
    flags: c_uint,
) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let (offered, name, chan) = unsafe { (shared(handle)?, client::name(name)?, known(chan)?) };
        export(&offered.0, name, &chan, flags)
    })
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `handle` is null, or valid and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_channels_release(handle: *const Offered) {
    // SAFETY: the caller's promise.
    call((), || drop(unsafe { take_back(handle) }));
}

/// See `kcoro_session.h`.
///
/// # Safety
///
/// `handle` is null, or valid and not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_server_close(handle: *const Serving) {
    // SAFETY: the caller's promise.
    call((), || drop(unsafe { take_back(handle) }));
}
