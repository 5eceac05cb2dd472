// SPDX-License-Identifier: BSD-3-Clause
//! Log lines, sent to the host.
#![forbid(unsafe_code)]

use becket_abi::{BK_LOG_DEBUG, BK_LOG_ERROR, BK_LOG_INFO, BK_LOG_TRACE, BK_LOG_WARN};

/// How much a line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u32)]
pub enum Level {
    /// Something failed.
    Error = BK_LOG_ERROR,
    /// Something looks wrong.
    Warn = BK_LOG_WARN,
    /// Something worth knowing happened.
    Info = BK_LOG_INFO,
    /// For debugging the plugin.
    Debug = BK_LOG_DEBUG,
    /// Everything.
    Trace = BK_LOG_TRACE,
}

/// Logs a formatted line: `log!(host, Level::Info, "{n} calls")`.
///
/// The arguments are evaluated only if the host wants the level. The target is the module's path,
/// or given: `log!(target: "sample", host, Level::Info, "ready")`.
#[macro_export]
macro_rules! log {
    (target: $target:expr, $host:expr, $level:expr, $($format:tt)+) => {{
        let host: $crate::Host = $host;
        let level: $crate::Level = $level;
        if host.log_enabled(level) {
            host.log(level, $target, ::core::format_args!($($format)+));
        }
    }};
    ($host:expr, $level:expr, $($format:tt)+) => {
        $crate::log!(target: ::core::module_path!(), $host, $level, $($format)+)
    };
}
