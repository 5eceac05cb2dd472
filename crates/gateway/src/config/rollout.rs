// SPDX-License-Identifier: BSD-3-Clause
//! `[plugins.NAME.rollout]`: a new version of the plugin gets a share of the calls first.

use becket_host::Rollout;
use serde::Deserialize;

use super::PluginConfig;
use super::check::Complaint;
use super::locate::KeyPath;
use super::workers::{self, StickyConfig};

/// The most calls that a rollout may wait for.
const CALLS_MAX: u64 = 1_000_000_000;

/// How a new version of a plugin gets its calls.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutConfig {
    /// The share of the calls that it gets first. 100: all of them; 0: none, it is not started.
    pub percent: u32,
    /// After so many of its calls it gets all.
    pub calls_min: u64,
    /// When more of its calls than that have failed, the version before gets all again.
    pub errors_max: u64,
    /// After so long without either, the version before gets all again; 0: no limit.
    pub timeout_ms: u64,
    /// Which calls go to the same version; `None`: as the plugin's `sticky` says.
    #[serde(deserialize_with = "workers::sticky")]
    pub sticky: Option<StickyConfig>,
}

impl Default for RolloutConfig {
    fn default() -> Self {
        let Rollout { percent, calls_min, errors_max, timeout_ms, .. } = Rollout::default();
        Self { percent, calls_min, errors_max, timeout_ms, sticky: None }
    }
}

impl PluginConfig {
    /// How its next version is rolled out; `None`: it is reloaded.
    pub(crate) fn rollout(&self) -> Option<Rollout> {
        let rollout = self.rollout.as_ref()?;
        let sticky = rollout.sticky.as_ref().or(self.sticky.as_ref());
        Some(Rollout {
            percent: rollout.percent,
            calls_min: rollout.calls_min,
            errors_max: rollout.errors_max,
            timeout_ms: rollout.timeout_ms,
            sticky: sticky.map(|sticky| match sticky {
                StickyConfig::Header(name) => becket_host::Sticky::Header(name.clone()),
                StickyConfig::Path => becket_host::Sticky::Path,
            }),
        })
    }
}

pub(super) fn check(name: &str, plugin: &PluginConfig) -> Result<(), Complaint> {
    let Some(rollout) = &plugin.rollout else { return Ok(()) };
    let path = |key| KeyPath::default().key("plugins").key(name).key("rollout").key(key);
    let ranges = [
        ("percent", rollout.percent.into(), 0, 100),
        ("calls_min", rollout.calls_min, 1, CALLS_MAX),
        ("errors_max", rollout.errors_max, 0, CALLS_MAX),
    ];
    for (key, value, min, max) in ranges {
        if value < min || value > max {
            let complaint = Complaint::new(
                path(key),
                format!("`rollout.{key}` of plugin `{name}` is {value}"),
                format!("write a number from {min} to {max}"),
            );
            return Err(match key {
                "percent" => complaint.because("a version cannot get more than all of the calls"),
                _ => complaint,
            });
        }
    }
    let (calls_min, errors_max) = (rollout.calls_min, rollout.errors_max);
    if errors_max >= calls_min {
        return Err(Complaint::new(
            path("errors_max"),
            format!(
                "`rollout.errors_max` of plugin `{name}` is {errors_max} and `rollout.calls_min` \
                 is {calls_min}"
            ),
            format!("write a number below {calls_min}, or raise `calls_min`"),
        )
        .because("a version of which every call fails would get all of them"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Config;

    fn refused(rollout: &str) -> String {
        let text = format!("[plugins.a]\npath = \"a.so\"\nrollout = {rollout}\n");
        Config::parse(&text, "t").unwrap_err().render()
    }

    fn read(rollout: &str) -> Option<Rollout> {
        let text = format!("[plugins.a]\npath = \"a.so\"\n{rollout}\n");
        Config::parse(&text, "t").unwrap().plugins["a"].rollout()
    }

    #[test]
    fn the_share_alone_suffices() {
        assert_eq!(read(""), None);
        let wanted = Rollout { percent: 25, ..Rollout::default() };
        assert_eq!(read("rollout = { percent = 25 }"), Some(wanted));
        assert_eq!(read("rollout = {}"), Some(Rollout::default()));
        assert_eq!(read("rollout = { timeout_ms = 0 }").unwrap().timeout_ms, 0);
        let sticky = read("rollout = { sticky = \"header:x-user\" }").unwrap().sticky;
        assert_eq!(sticky, Some(becket_host::Sticky::Header("x-user".to_owned())));
    }

    #[test]
    fn a_plugins_own_key_is_that_of_its_rollout() {
        let text = "[plugins.a]\npath = \"a.so\"\nplacement = \"process\"\nworkers = 2\n\
                    sticky = \"path\"\nrollout = {}\n";
        let rollout = Config::parse(text, "t").unwrap().plugins["a"].rollout().unwrap();
        assert_eq!(rollout.sticky, Some(becket_host::Sticky::Path));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (rollout, hint) in [
            ("{ percent = 101 }", "from 0 to 100"),
            ("{ calls_min = 0 }", "from 1 to "),
            ("{ errors_max = 100 }", "below 100"),
            ("{ calls_min = 5, errors_max = 7 }", "below 5"),
            ("{ percents = 5 }", "did you mean `percent`?"),
            ("{ sticky = \"cookie:a\" }", ""),
        ] {
            let text = refused(rollout);
            assert!(text.starts_with("error: t:3:") && text.contains(hint), "{text}");
        }
        let text = refused("{ percent = 101 }");
        assert!(text.contains("cause: ") && text.contains("hint: "), "{text}");
    }
}
