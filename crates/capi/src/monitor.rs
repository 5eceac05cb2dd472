// SPDX-License-Identifier: BSD-3-Clause
//! `kcoro_monitor.h`: what `becket mon` shows of this process.
//!
//! ```text
//!   kc_chan_make ──► Shown ──weak── Exporter ◄── Server ◄── becket mon
//!   kc_sched_init ─► RUNTIMES ──────────┘ │
//!   kc_session_*, kc_server_* ─────────────┘   read when a monitor requests a report
//! ```
//!
//! Until the process is watched, a channel that is made reads `STATE`, and is in no list.
//!
//! # Invariants
//!
//! 1. `STATE` leaves `UNKNOWN` once: when the environment has been read, or at the first
//!    `kc_monitor_serve`. It is `ON` from the first socket on, so that a channel which is made while
//!    no socket is served is shown by the next one.
//! 2. A channel has at most one entry in the exporter, whose number is in its `Shown`; the entry goes
//!    when the channel is dropped. It holds the channel weakly.
//! 3. The socket is closed at `exit()` by the process that opened it, and by no child of a fork.

use std::borrow::Cow;
use std::ffi::{CStr, OsStr, c_char, c_int, c_void};
use std::io::Write as _;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Once, OnceLock};

use becket_coro::Handle;
use becket_ipc::monitor::{ExportError, Exporter, SessionReport};
use becket_ipc::{ServeError, Server};
use parking_lot::Mutex;

use crate::boundary::{answer, call};
use crate::chan::{Chan, known};
use crate::errno;
use crate::session::code::of_serve;
use crate::session::{client, server};
use crate::stats;

/// The environment has not been read.
const UNKNOWN: u8 = 0;
const OFF: u8 = 1;
const ON: u8 = 2;

static STATE: AtomicU8 = AtomicU8::new(UNKNOWN);
static EXPORTER: OnceLock<Arc<Exporter>> = OnceLock::new();
static SERVED: Mutex<Option<Served>> = Mutex::new(None);
/// The schedulers' runtimes, from their start to their end.
static RUNTIMES: Mutex<Vec<Handle>> = Mutex::new(Vec::new());

struct Served {
    server: Server,
    /// The process that opened it.
    pid: u32,
}

/// The number of a channel's entry, if it is shown.
#[derive(Default)]
pub(crate) struct Shown(Mutex<Option<u64>>);

impl Drop for Shown {
    fn drop(&mut self) {
        if let (Some(id), Some(exporter)) = (*self.0.get_mut(), EXPORTER.get()) {
            exporter.remove_channel(id);
        }
    }
}

/// Whether the process is watched, or was.
#[inline]
pub(crate) fn is_on() -> bool {
    match STATE.load(Ordering::Acquire) {
        UNKNOWN => read_environment(),
        state => state == ON,
    }
}

#[cold]
fn read_environment() -> bool {
    static READ: Once = Once::new();
    READ.call_once(|| {
        if let Some(path) = std::env::var_os("KCORO_MON").filter(|path| !path.is_empty())
            && let Err(error) = serve(Path::new(&path))
        {
            // Standard error may be closed; then the reason cannot be reported.
            let _ = writeln!(std::io::stderr(), "kcoro: not watched (KCORO_MON): {error}");
        }
        let _serves = STATE.compare_exchange(UNKNOWN, OFF, Ordering::AcqRel, Ordering::Relaxed);
    });
    STATE.load(Ordering::Acquire) == ON
}

/// Shows a channel that was made, if the process is watched.
#[inline]
pub(crate) fn made(chan: &Arc<Chan>) {
    if is_on() {
        // At the bound it is not shown.
        let _bound = show(chan, None);
    }
}

/// Shows a channel, or renames it.
#[cold]
fn show(chan: &Arc<Chan>, name: Option<&str>) -> Result<(), c_int> {
    let exporter = EXPORTER.get().filter(|_| is_on()).ok_or(errno::EAGAIN)?;
    let mut shown = chan.shown.0.lock();
    let id = match *shown {
        Some(id) => id,
        None => {
            let weak = Arc::downgrade(chan);
            let look = move || weak.upgrade().map(|chan| stats::for_monitor(&chan));
            *shown.insert(exporter.channel_with("", look).map_err(|_| errno::ENOSPC)?)
        }
    };
    exporter.rename_channel(id, name.map_or_else(|| format!("#{id}"), str::to_owned));
    Ok(())
}

/// A scheduler has started.
pub(crate) fn started(runtime: &Handle) {
    RUNTIMES.lock().push(runtime.clone());
    // Reads the environment, if this is the first.
    is_on();
}

/// A scheduler ends.
pub(crate) fn ended(runtime: &Handle) {
    RUNTIMES.lock().retain(|other| other != runtime);
}

/// The name of a C function: its symbol, or its place in its file.
pub(crate) fn function_name(function: *const c_void) -> Option<String> {
    let mut found = MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: it writes the place that it is given, if it finds the address.
    if unsafe { libc::dladdr(function, found.as_mut_ptr()) } == 0 {
        return None;
    }
    // SAFETY: written.
    let found = unsafe { found.assume_init() };
    let text = |text: *const c_char| -> Option<Cow<'_, str>> {
        if text.is_null() {
            return None;
        }
        // SAFETY: a string of a loaded file, which stays loaded while its code may run.
        Some(unsafe { CStr::from_ptr(text) }.to_string_lossy())
    };
    // The nearest symbol may be another function's.
    if found.dli_saddr.cast_const() == function {
        return text(found.dli_sname).map(Cow::into_owned);
    }
    let file = text(found.dli_fname)?;
    let offset = function.addr().checked_sub(found.dli_fbase.addr())?;
    Some(format!("{}+{offset:#x}", file.rsplit('/').next()?))
}

/// Why the process is not watched.
#[derive(Debug)]
enum NotServed {
    Already,
    Serve(ServeError),
    Export(ExportError),
}

impl std::fmt::Display for NotServed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Already => f.write_str("it is watched already"),
            Self::Serve(error) => error.fmt(f),
            Self::Export(error) => error.fmt(f),
        }
    }
}

impl NotServed {
    fn errno(&self) -> c_int {
        match self {
            Self::Already => errno::EALREADY,
            Self::Serve(error) => of_serve(error),
            Self::Export(_) => errno::ENOSPC,
        }
    }
}

fn serve(path: &Path) -> Result<(), NotServed> {
    let mut served = SERVED.lock();
    if served.is_some() {
        return Err(NotServed::Already);
    }
    let exporter = match EXPORTER.get() {
        Some(exporter) => exporter.clone(),
        None => {
            let exporter = exporter().map_err(NotServed::Export)?;
            // Under the lock: no other thread sets it.
            EXPORTER.get_or_init(|| exporter).clone()
        }
    };
    let server = becket_ipc::monitor::serve(path, exporter).map_err(NotServed::Serve)?;
    static AT_EXIT: Once = Once::new();
    AT_EXIT.call_once(|| {
        // SAFETY: a function without arguments. Without memory for it the file stays, and the next
        // process replaces it.
        let _is_set = unsafe { libc::atexit(at_exit) };
    });
    *served = Some(Served { server, pid: std::process::id() });
    STATE.store(ON, Ordering::Release);
    Ok(())
}

/// What every socket of this process answers with.
fn exporter() -> Result<Arc<Exporter>, ExportError> {
    let exporter = Arc::new(Exporter::new(program_name()));
    exporter.runtime_with(|| RUNTIMES.lock().clone())?;
    exporter.sessions(monitors)?;
    exporter.sessions(client::reports)?;
    exporter.sessions(server::reports)?;
    Ok(exporter)
}

fn program_name() -> String {
    let program = std::env::args_os().next().unwrap_or_default();
    Path::new(&program)
        .file_name()
        .map_or_else(|| "kcoro".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The connections of the monitors.
fn monitors() -> Vec<SessionReport> {
    // While the socket is opened or closed there are none.
    let Some(served) = SERVED.try_lock() else { return Vec::new() };
    let sessions = served.as_ref().map(|served| served.server.sessions()).unwrap_or_default();
    sessions.iter().map(SessionReport::new).collect()
}

fn stop() {
    let served = SERVED.lock().take();
    // Outside the lock: it ends connections whose reports may ask for the monitors.
    drop(served);
}

extern "C" fn at_exit() {
    call((), || {
        let own = std::process::id();
        let served =
            SERVED.try_lock().and_then(|mut served| served.take_if(|served| served.pid == own));
        drop(served);
    });
}

/// See `kcoro_monitor.h`.
///
/// # Safety
///
/// `path` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_monitor_serve(path: *const c_char) -> c_int {
    answer(|| {
        if path.is_null() {
            return Err(errno::EINVAL);
        }
        // SAFETY: the caller's promise.
        let path = unsafe { CStr::from_ptr(path) }.to_bytes();
        serve(Path::new(OsStr::from_bytes(path))).map_err(|error| error.errno())
    })
}

/// See `kcoro_monitor.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_monitor_stop() {
    call((), stop);
}

/// See `kcoro_monitor.h`.
///
/// # Safety
///
/// `handle` is null or valid; `name` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_monitor_channel(handle: *mut Chan, name: *const c_char) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let chan = unsafe { known(handle) }?;
        if name.is_null() {
            return Err(errno::EINVAL);
        }
        // SAFETY: the caller's promise.
        show(&chan, Some(&unsafe { CStr::from_ptr(name) }.to_string_lossy()))
    })
}
