// SPDX-License-Identifier: BSD-3-Clause
//! `[plugins.NAME.sandbox]`: what the worker process of a plugin may do.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error, MapAccess, Visitor};

use super::check::Complaint;
use super::locate::KeyPath;
use super::{Placement, PluginConfig};

/// The least memory that a worker can begin with.
const MEMORY_BYTES_MIN: u64 = 64 << 20;
/// The least descriptors that a worker can begin with.
const DESCRIPTORS_MIN: u64 = 32;
/// A variable that the host sets.
const SOCKET_VARIABLE: &str = "BECKET_FD";

/// A set of measures, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxProfile {
    /// Resource limits, and the end with the host.
    None,
    /// Files can be read and not changed; no process is started by a native plugin, and nothing is done to
    /// another.
    #[default]
    Default,
    /// Of files, only libraries and what is named can be read. No network.
    Strict,
}

/// What is allowed beyond the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SandboxAllow {
    /// Sockets.
    Network,
    /// Other processes, in the same sandbox.
    Processes,
}

/// What the worker process of a plugin may do.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SandboxConfig {
    /// The set of measures.
    pub profile: SandboxProfile,
    /// Whether a measure that the kernel does not give fails the load.
    pub require: bool,
    /// What is allowed beyond the profile.
    pub allow: Vec<SandboxAllow>,
    /// Files and folders that can be read, and executed.
    pub read: Vec<PathBuf>,
    /// Files and folders that can be changed.
    pub write: Vec<PathBuf>,
    /// Variables of the environment, beside those that each worker has.
    pub env: BTreeMap<String, String>,
    /// The user to become, a name or a number; the host is root.
    pub user: Option<String>,
    /// The group to become; `None`: the user's.
    pub group: Option<String>,
    /// The folder of control groups (version 2) in which each worker gets one of its own, with
    /// `memory_bytes_max` and `processes_max` as the limits of all its processes together.
    pub cgroup: Option<PathBuf>,
    /// Bytes of private memory; 0: no limit.
    pub memory_bytes_max: u64,
    /// Open descriptors.
    pub descriptors_max: u64,
    /// Processes and threads of the worker's user; 0: no limit.
    pub processes_max: u64,
    /// Bytes of a file that is written; 0: no limit.
    pub file_bytes_max: u64,
}

impl Default for SandboxConfig {
    fn default() -> Self {
        Self {
            profile: SandboxProfile::default(),
            require: false,
            allow: Vec::new(),
            read: Vec::new(),
            write: Vec::new(),
            env: BTreeMap::new(),
            user: None,
            group: None,
            cgroup: None,
            memory_bytes_max: 4 << 30,
            descriptors_max: 1024,
            processes_max: 0,
            file_bytes_max: 0,
        }
    }
}

impl SandboxConfig {
    /// Makes relative paths relative to `base`.
    pub(super) fn resolve_paths(&mut self, base: &Path) {
        for path in self.read.iter_mut().chain(&mut self.write) {
            *path = base.join(&*path);
        }
    }
}

/// `sandbox = "strict"`, or a table.
pub(super) fn sandbox<'de, D: Deserializer<'de>>(d: D) -> Result<Option<SandboxConfig>, D::Error> {
    struct NameOrTable;

    impl<'de> Visitor<'de> for NameOrTable {
        type Value = SandboxConfig;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("\"none\", \"default\", \"strict\", or a table")
        }

        fn visit_str<E: Error>(self, name: &str) -> Result<SandboxConfig, E> {
            let profile = match name {
                "none" => SandboxProfile::None,
                "default" => SandboxProfile::Default,
                "strict" => SandboxProfile::Strict,
                other => return Err(E::unknown_variant(other, &["none", "default", "strict"])),
            };
            Ok(SandboxConfig { profile, ..SandboxConfig::default() })
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<SandboxConfig, A::Error> {
            SandboxConfig::deserialize(MapAccessDeserializer::new(map))
        }
    }

    d.deserialize_any(NameOrTable).map(Some)
}

/// What is wrong with the sandbox of a plugin.
pub(super) fn check(name: &str, plugin: &PluginConfig) -> Result<(), Complaint> {
    let Some(sandbox) = &plugin.sandbox else { return Ok(()) };
    let path = || KeyPath::default().key("plugins").key(name).key("sandbox");
    if plugin.command.is_none() && plugin.placement == Placement::Inline {
        return Err(Complaint::new(
            path(),
            format!("plugin `{name}` has a `sandbox` and runs inline"),
            "write `placement = \"process\"`, or remove `sandbox`",
        )
        .because("a plugin in this process can do what this process can"));
    }
    if sandbox.profile == SandboxProfile::None {
        let bounds = [
            ("allow", sandbox.allow.is_empty()),
            ("read", sandbox.read.is_empty()),
            ("write", sandbox.write.is_empty()),
        ];
        if let Some((key, _)) = bounds.into_iter().find(|(_, is_empty)| !is_empty) {
            return Err(Complaint::new(
                path().key(key),
                format!("the sandbox of plugin `{name}` has `{key}` and the profile `none`"),
                format!("remove `{key}`, or choose the profile `default` or `strict`"),
            )
            .because("the profile `none` bounds neither files nor system calls"));
        }
    }
    let ranges = [
        ("memory_bytes_max", sandbox.memory_bytes_max, MEMORY_BYTES_MIN, true),
        ("descriptors_max", sandbox.descriptors_max, DESCRIPTORS_MIN, false),
        ("processes_max", sandbox.processes_max, 8, true),
    ];
    for (key, value, min, may_be_zero) in ranges {
        if value < min && !(may_be_zero && value == 0) {
            let or_zero = if may_be_zero { ", or 0 for no limit" } else { "" };
            return Err(Complaint::new(
                path().key(key),
                format!("`{key}` of the sandbox of plugin `{name}` is {value}"),
                format!("write {min} or more{or_zero}"),
            )
            .because("the worker itself needs so much"));
        }
    }
    if sandbox.user.is_none() && sandbox.group.is_some() {
        return Err(Complaint::new(
            path().key("group"),
            format!("the sandbox of plugin `{name}` has a `group` and no `user`"),
            "name the user too",
        ));
    }
    if sandbox.cgroup.as_ref().is_some_and(|folder| !folder.is_absolute()) {
        return Err(Complaint::new(
            path().key("cgroup"),
            format!("`cgroup` of the sandbox of plugin `{name}` is not an absolute path"),
            "write the folder of a control group, such as \"/sys/fs/cgroup/becket\"",
        ));
    }
    let wrong = |(name, value): &(&String, &String)| {
        let has = |text: &str, bad: &[char]| text.contains(bad);
        name.is_empty()
            || has(name, &['=', '\0'])
            || has(value, &['\0'])
            || *name == SOCKET_VARIABLE
    };
    if let Some((variable, _)) = sandbox.env.iter().find(wrong) {
        return Err(Complaint::new(
            path().key("env").key(variable),
            format!("`{variable}` in `env` of plugin `{name}` cannot be set"),
            format!("a name has no `=`, a value no NUL, and `{SOCKET_VARIABLE}` is the host's"),
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::refused;
    use super::*;
    use crate::Config;

    const PLUGIN: &str = "[plugins.a]\npath = \"a/a.so\"\nplacement = \"process\"\n";

    fn parse(text: &str) -> SandboxConfig {
        let config = Config::parse(&format!("{PLUGIN}{text}"), "etc/becket.toml").unwrap();
        config.plugins["a"].sandbox.clone().unwrap()
    }

    #[test]
    fn a_profile_is_a_word_or_a_table() {
        for (word, profile) in [
            ("none", SandboxProfile::None),
            ("default", SandboxProfile::Default),
            ("strict", SandboxProfile::Strict),
        ] {
            let wanted = SandboxConfig { profile, ..SandboxConfig::default() };
            assert_eq!(parse(&format!("sandbox = \"{word}\"")), wanted);
            assert_eq!(parse(&format!("[plugins.a.sandbox]\nprofile = \"{word}\"")), wanted);
        }
        let text = refused(&format!("{PLUGIN}sandbox = \"strickt\""));
        assert!(text.contains("did you mean `strict`?"), "{text}");
        let text = refused(&format!("{PLUGIN}[plugins.a.sandbox]\nreads = []"));
        assert!(text.contains("did you mean `read`?"), "{text}");
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let sandbox = parse("[plugins.a.sandbox]\nread = [\"data\", \"/srv\"]\nwrite = [\"out\"]");
        assert_eq!(sandbox.read, [PathBuf::from("etc/data"), PathBuf::from("/srv")]);
        assert_eq!(sandbox.write, [PathBuf::from("etc/out")]);
    }

    #[test]
    fn what_cannot_hold_is_refused() {
        for (text, message) in [
            ("[plugins.a]\npath = \"a/a.so\"\nsandbox = \"strict\"", "runs inline"),
            ("[plugins.a]\nlinked = \"a\"\nsandbox = \"none\"", "runs inline"),
        ] {
            assert!(refused(text).contains(message), "{text}");
        }
        for (text, message) in [
            ("profile = \"none\"\nread = [\"/srv\"]", "has `read` and the profile `none`"),
            ("memory_bytes_max = 1", "write 67108864 or more, or 0"),
            ("descriptors_max = 0", "write 32 or more\n"),
            ("group = \"x\"", "name the user too"),
            ("cgroup = \"becket\"", "not an absolute path"),
            ("env = { BECKET_FD = \"1\" }", "cannot be set"),
        ] {
            let text = refused(&format!("{PLUGIN}[plugins.a.sandbox]\n{text}\n"));
            assert!(text.contains(message) && text.contains("hint: "), "{text}");
        }
        let command = "[plugins.a]\ncommand = [\"x\"]\nsandbox = \"strict\"";
        assert!(Config::parse(command, "t").is_ok());
    }
}
