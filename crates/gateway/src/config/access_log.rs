// SPDX-License-Identifier: BSD-3-Clause
//! `[access_log]`: a line for each request.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::check::{Complaint, in_range};
use super::locate::KeyPath;

/// The bounds of `buffer_bytes_max`.
const BUFFER_BYTES: [u64; 2] = [16 << 10, 1 << 30];

/// A line for each request.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AccessLogConfig {
    /// How a line reads.
    pub format: AccessLogFormat,
    /// The file that lines are added to; `None`: stdout.
    pub file: Option<PathBuf>,
    /// Whether a request's query is shown. It may hold secrets.
    pub query: bool,
    /// Lines that wait to be written; at the bound a line is dropped and counted.
    pub buffer_bytes_max: u64,
}

impl Default for AccessLogConfig {
    fn default() -> Self {
        Self {
            format: AccessLogFormat::default(),
            file: None,
            query: false,
            buffer_bytes_max: 1 << 20,
        }
    }
}

/// How a line of the access log reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AccessLogFormat {
    /// There are no lines.
    #[default]
    Off,
    /// One JSON object.
    Json,
    /// The combined log format of web servers.
    Combined,
}

impl AccessLogConfig {
    /// Makes relative paths relative to `base`.
    pub(super) fn resolve_paths(&mut self, base: &Path) {
        if let Some(file) = &mut self.file {
            *file = base.join(&*file);
        }
    }
}

/// A key of the table.
pub(crate) fn key(key: &str) -> KeyPath {
    KeyPath::default().key("access_log").key(key)
}

/// What is wrong with the table.
pub(super) fn check(log: &AccessLogConfig) -> Result<(), Complaint> {
    if log.format == AccessLogFormat::Off && log.file.is_some() {
        return Err(Complaint::new(
            key("file"),
            "`access_log.file` is set and `access_log.format` is not".to_owned(),
            "write `format = \"json\"` or \"combined\", or remove `file`",
        ));
    }
    let [min, max] = BUFFER_BYTES;
    in_range(key("buffer_bytes_max"), log.buffer_bytes_max, min, max)
}

#[cfg(test)]
mod tests {
    use super::super::Config;

    #[test]
    fn a_log_has_a_format_and_room() {
        for (lines, message) in [
            ("file = \"a.log\"", "error: t:2:8: `access_log.file` is set"),
            ("format = \"jsn\"", "did you mean `json`?"),
            ("buffer_bytes_max = 1", "error: t:2:20: `access_log.buffer_bytes_max` is 1"),
        ] {
            let text = format!("[access_log]\n{lines}\n");
            let text = Config::parse(&text, "t").unwrap_err().render();
            assert!(text.contains(message) && text.contains("hint: "), "{text}");
        }
        let text = "[access_log]\nformat = \"combined\"\nfile = \"a.log\"\n";
        let log = Config::parse(text, "/var/becket.toml").unwrap().access_log;
        assert_eq!(log.file, Some("/var/a.log".into()));
    }
}
