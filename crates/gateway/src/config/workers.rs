// SPDX-License-Identifier: BSD-3-Clause
//! The workers of a plugin in a process of its own: how many, which calls stay together, and when one
//! that has ended is started again.

use serde::de::{Deserializer, Error, Unexpected};
use serde::{Deserialize, Serialize};

use super::check::{Complaint, WAIT_MS_MAX};
use super::locate::KeyPath;
use super::{Placement, PluginConfig};

/// The most workers of one plugin.
const WORKERS_MAX: u32 = 64;
/// The most attempts to start a worker again that are counted.
const ATTEMPTS_MAX: u32 = 1000;

/// When a worker that has ended is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RestartConfig {
    /// Attempts within `within_ms`; a worker that ends once more stays down.
    pub attempts_max: u32,
    /// The time within which attempts are counted.
    pub within_ms: u64,
    /// A worker from which nothing came for this time is pinged, and killed when nothing came for
    /// this time again.
    pub ping_timeout_ms: u64,
}

impl Default for RestartConfig {
    fn default() -> Self {
        Self { attempts_max: 20, within_ms: 10_000, ping_timeout_ms: 5000 }
    }
}

/// What keeps calls together on one worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub enum StickyConfig {
    /// Calls with the same value of this header.
    Header(String),
    /// Calls with the same path.
    Path,
}

pub(super) fn sticky<'de, D: Deserializer<'de>>(d: D) -> Result<Option<StickyConfig>, D::Error> {
    let text = String::deserialize(d)?;
    match text.split_once(':') {
        None if text == "path" => Ok(Some(StickyConfig::Path)),
        Some(("header", name)) if http::HeaderName::from_bytes(name.as_bytes()).is_ok() => {
            Ok(Some(StickyConfig::Header(name.to_owned())))
        }
        _ => Err(D::Error::invalid_value(
            Unexpected::Str(&text),
            &"\"path\", or \"header:\" and a header's name",
        )),
    }
}

pub(super) fn check(name: &str, plugin: &PluginConfig) -> Result<(), Complaint> {
    let path = || KeyPath::default().key("plugins").key(name);
    let given = [
        ("workers", plugin.workers.is_some()),
        ("sticky", plugin.sticky.is_some()),
        ("restart", plugin.restart.is_some()),
    ];
    if plugin.command.is_none()
        && plugin.placement == Placement::Inline
        && let Some((key, _)) = given.into_iter().find(|(_, is_given)| *is_given)
    {
        return Err(Complaint::new(
            path().key(key),
            format!("plugin `{name}` has `{key}` and runs inline"),
            format!("write `placement = \"process\"`, or remove `{key}`"),
        )
        .because("a plugin in this process has no workers"));
    }
    let workers = plugin.workers.unwrap_or(1);
    if workers == 0 || workers > WORKERS_MAX {
        return Err(Complaint::new(
            path().key("workers"),
            format!("`workers` of plugin `{name}` is {workers}"),
            format!("write a number from 1 to {WORKERS_MAX}"),
        ));
    }
    if plugin.sticky.is_some() && workers == 1 {
        return Err(Complaint::new(
            path().key("sticky"),
            format!("plugin `{name}` has `sticky` and one worker"),
            "write `workers = 2` or more, or remove `sticky`",
        )
        .because("all calls go to that one"));
    }
    let restart = plugin.restart.unwrap_or_default();
    let ranges = [
        ("attempts_max", restart.attempts_max.into(), 0, ATTEMPTS_MAX.into()),
        ("within_ms", restart.within_ms, 1, WAIT_MS_MAX),
        ("ping_timeout_ms", restart.ping_timeout_ms, 100, WAIT_MS_MAX),
    ];
    for (key, value, min, max) in ranges {
        if value < min || value > max {
            return Err(Complaint::new(
                path().key("restart").key(key),
                format!("`restart.{key}` of plugin `{name}` is {value}"),
                format!("write a number from {min} to {max}"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::refused;
    use super::*;
    use crate::Config;

    const PLUGIN: &str = "[plugins.a]\npath = \"a.so\"\nplacement = \"process\"\n";

    #[test]
    fn workers_belong_to_a_process() {
        for given in ["workers = 2", "workers = 2\nsticky = \"path\"", "restart = {}"] {
            let text = refused(&format!("[plugins.a]\npath = \"a.so\"\n{given}\n"));
            assert!(text.contains("runs inline") && text.contains("hint: "), "{text}");
        }
        for workers in [0, 65] {
            let text = refused(&format!("{PLUGIN}workers = {workers}\n"));
            assert!(text.contains("from 1 to 64"), "{text}");
        }
        let text = refused(&format!("{PLUGIN}sticky = \"path\"\n"));
        assert!(text.contains("and one worker"), "{text}");
        let text = refused(&format!("{PLUGIN}workers = 2\nsticky = \"cookie:a\"\n"));
        assert!(text.contains("\"header:\" and a header's name"), "{text}");
    }

    #[test]
    fn restarts_are_read_within_their_bounds() {
        let text = refused(&format!("{PLUGIN}[plugins.a.restart]\nattempts_max = 1001\n"));
        assert!(text.contains("from 0 to 1000"), "{text}");
        let text = refused(&format!("{PLUGIN}[plugins.a.restart]\nping_timeout_ms = 1\n"));
        assert!(text.contains("from 100 to "), "{text}");
        let text = refused(&format!("{PLUGIN}[plugins.a.restart]\nattempt_max = 1\n"));
        assert!(text.contains("did you mean `attempts_max`?"), "{text}");
        let text = format!(
            "{PLUGIN}workers = 4\nsticky = \"header:x-user\"\n[plugins.a.restart]\nwithin_ms = 1\n"
        );
        let read = Config::parse(&text, "t").unwrap().plugins["a"].clone();
        assert_eq!(read.sticky, Some(StickyConfig::Header("x-user".into())));
        let restart = RestartConfig { within_ms: 1, ..RestartConfig::default() };
        assert_eq!((read.workers, read.restart), (Some(4), Some(restart)));
    }
}
