// SPDX-License-Identifier: BSD-3-Clause
//! `health` of an `upstream`: how its servers are checked.

use serde::Deserialize;

use super::check::{Complaint, WAIT_MS_MAX, in_range};
use super::locate::KeyPath;

/// The most results in a row that may be asked for.
const IN_A_ROW_MAX: u64 = 1000;
/// The shortest pause between two checks.
const INTERVAL_MS_MIN: u64 = 100;

/// How the servers of a route are checked.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthConfig {
    /// What is asked for by GET; 2xx is well.
    pub path: String,
    /// The time from one check to the next.
    pub interval_ms: u64,
    /// How long the answer may take.
    pub timeout_ms: u64,
    /// So many checks in a row that are well take a server up.
    pub up_after: u32,
    /// So many that are not take it down.
    pub down_after: u32,
}

impl Default for HealthConfig {
    fn default() -> Self {
        Self {
            path: "/healthz".to_owned(),
            interval_ms: 5000,
            timeout_ms: 2000,
            up_after: 2,
            down_after: 3,
        }
    }
}

/// What is wrong with the checks, of which `path` is the key.
pub(super) fn check(path: &KeyPath, health: &HealthConfig) -> Result<(), Complaint> {
    let at = |key| path.clone().key(key);
    let is_path = health.path.starts_with('/')
        && health.path.parse::<http::uri::PathAndQuery>().is_ok()
        && !health.path.contains('#');
    if !is_path {
        return Err(Complaint::new(
            at("path"),
            format!("`{}` is `{}`, which is not a path", at("path"), health.path),
            "write it as in a URL: \"/healthz\"",
        ));
    }
    let ranges = [
        ("interval_ms", health.interval_ms, INTERVAL_MS_MIN, WAIT_MS_MAX),
        ("timeout_ms", health.timeout_ms, 1, WAIT_MS_MAX),
        ("up_after", health.up_after.into(), 1, IN_A_ROW_MAX),
        ("down_after", health.down_after.into(), 1, IN_A_ROW_MAX),
    ];
    for (key, value, min, max) in ranges {
        in_range(at(key), value, min, max)?;
    }
    Ok(())
}
