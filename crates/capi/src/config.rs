// SPDX-License-Identifier: BSD-3-Clause
//! The runtime configuration: a JSON file with four known numbers.
//!
//! ```json
//! {"channel": {"metrics": {"emit_min_ops": 1024, "emit_min_ms": 50,
//!                          "auto_enable": false, "pipe_capacity": 64}}}
//! ```
//!
//! The file is the given one, or `$KCORO_CONFIG`, or `kcoro_config.json`. A missing file means the
//! defaults; one that cannot be read or parsed changes nothing, and is reported by the result. The
//! first use of the configuration loads it, unless it was loaded before.
//!
//! C gets a pointer to the numbers in place: it stays valid, and shows the last load.

use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{ErrorKind, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU64, AtomicUsize, Ordering};

use libc::{c_char, c_int};
use parking_lot::Mutex;
use serde::Deserialize;

use crate::boundary::{answer, call};
use crate::errno;

/// A larger file is refused.
const FILE_BYTES_MAX: u64 = 1 << 20;
const FILE_NAME: &str = "kcoro_config.json";

/// `struct kc_runtime_config`. Each number is written at once: C reads whole ones.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs, reason = "documented in kcoro_config_runtime.h")]
pub struct RuntimeConfig {
    pub chan_metrics_emit_min_ops: AtomicU64,
    pub chan_metrics_emit_min_ms: AtomicI64,
    pub chan_metrics_auto_enable: AtomicI32,
    pub chan_metrics_pipe_capacity: AtomicUsize,
}

static CONFIG: RuntimeConfig = RuntimeConfig {
    chan_metrics_emit_min_ops: AtomicU64::new(1024),
    chan_metrics_emit_min_ms: AtomicI64::new(50),
    chan_metrics_auto_enable: AtomicI32::new(0),
    chan_metrics_pipe_capacity: AtomicUsize::new(64),
};
static LOADED: Once = Once::new();
static LOADING: Mutex<()> = Mutex::new(());

#[derive(Deserialize, Default)]
#[serde(default)]
struct Document {
    channel: ChannelPart,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct ChannelPart {
    metrics: MetricsPart,
}

#[derive(Deserialize)]
#[serde(default)]
struct MetricsPart {
    emit_min_ops: u64,
    emit_min_ms: i64,
    auto_enable: Switch,
    pipe_capacity: usize,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Switch {
    Bool(bool),
    Number(i64),
}

impl Default for MetricsPart {
    fn default() -> Self {
        let auto_enable = Switch::Bool(false);
        Self { emit_min_ops: 1024, emit_min_ms: 50, auto_enable, pipe_capacity: 64 }
    }
}

/// The current configuration.
pub(crate) fn current() -> &'static RuntimeConfig {
    LOADED.call_once(|| {
        let _kept_as_it_is = load(None);
    });
    &CONFIG
}

fn load(path: Option<&Path>) -> Result<(), c_int> {
    let _loading = LOADING.try_lock().ok_or(errno::EALREADY)?;
    let path = path.map_or_else(default_path, Path::to_owned);
    let text = match read(&path) {
        Ok(text) => text,
        Err(ErrorKind::NotFound) => {
            install(&MetricsPart::default());
            return Ok(());
        }
        Err(ErrorKind::FileTooLarge) => return Err(errno::EFBIG),
        Err(_) => return Err(errno::EIO),
    };
    let document: Document = serde_json::from_slice(&text).map_err(|_| errno::EINVAL)?;
    install(&document.channel.metrics);
    Ok(())
}

fn default_path() -> PathBuf {
    std::env::var_os("KCORO_CONFIG")
        .filter(|path| !path.is_empty())
        .map_or_else(|| FILE_NAME.into(), PathBuf::from)
}

fn read(path: &Path) -> Result<Vec<u8>, ErrorKind> {
    let mut text = Vec::new();
    let file = File::open(path).map_err(|error| error.kind())?;
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut text).map_err(|error| error.kind())?;
    if text.len() as u64 > FILE_BYTES_MAX { Err(ErrorKind::FileTooLarge) } else { Ok(text) }
}

fn install(metrics: &MetricsPart) {
    let auto_enable = match metrics.auto_enable {
        Switch::Bool(on) => on,
        Switch::Number(number) => number != 0,
    };
    CONFIG.chan_metrics_emit_min_ops.store(metrics.emit_min_ops, Ordering::Relaxed);
    CONFIG.chan_metrics_emit_min_ms.store(metrics.emit_min_ms, Ordering::Relaxed);
    CONFIG.chan_metrics_auto_enable.store(auto_enable.into(), Ordering::Relaxed);
    CONFIG.chan_metrics_pipe_capacity.store(metrics.pipe_capacity, Ordering::Relaxed);
}

/// See `kcoro_config_runtime.h`.
///
/// # Safety
///
/// `path` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_runtime_config_init(path: *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { kc_runtime_config_reload(path) }
}

/// See `kcoro_config_runtime.h`.
///
/// # Safety
///
/// `path` is null or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn kc_runtime_config_reload(path: *const c_char) -> c_int {
    answer(|| {
        // SAFETY: the caller's promise.
        let path = (!path.is_null())
            .then(|| unsafe { CStr::from_ptr(path) })
            .filter(|path| !path.is_empty())
            .map(|path| Path::new(OsStr::from_bytes(path.to_bytes())));
        // An explicit load replaces the implicit one.
        LOADED.call_once(|| {});
        load(path)
    })
}

/// See `kcoro_config_runtime.h`.
#[unsafe(no_mangle)]
pub extern "C" fn kc_runtime_config_get() -> *const RuntimeConfig {
    call(std::ptr::null(), || std::ptr::from_ref(current()))
}
