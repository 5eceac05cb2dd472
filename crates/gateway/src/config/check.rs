// SPDX-License-Identifier: BSD-3-Clause
//! Checks beyond the types: ranges, names, references between tables.

use super::error::ConfigError;
use super::locate::{KeyPath, locate};
use super::{
    Config, HttpLimits, ListenAt, Placement, PluginConfig, access_log, cluster, listen, rollout,
    route, sandbox, tls, trace, workers,
};

/// Longest name of a plugin: it is part of URLs, log lines and metric labels.
const PLUGIN_NAME_BYTES_MAX: usize = 64;

/// The upper bound of every timeout: one day.
pub(super) const WAIT_MS_MAX: u64 = 24 * 60 * 60 * 1000;

/// What is wrong with the value at a key's path.
#[derive(Debug)]
pub(crate) struct Complaint {
    path: KeyPath,
    message: String,
    cause: Option<String>,
    hint: String,
}

impl Complaint {
    pub(crate) fn new(path: KeyPath, message: String, hint: impl Into<String>) -> Self {
        Self { path, message, cause: None, hint: hint.into() }
    }

    pub(crate) fn because(mut self, cause: impl Into<String>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    pub(super) fn locate(self, text: &str, origin: &str) -> ConfigError {
        let span = locate(text, &self.path);
        ConfigError::new(origin, self.message)
            .at(text, span)
            .because(self.cause)
            .hinted(Some(self.hint))
    }

    pub(crate) fn without_text(self) -> ConfigError {
        ConfigError::new("", self.message).because(self.cause).hinted(Some(self.hint))
    }
}

/// Refuses a number that is not from `min` to `max`.
pub(super) fn in_range(at: KeyPath, value: u64, min: u64, max: u64) -> Result<(), Complaint> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let message = format!("`{at}` is {value}");
    Err(Complaint::new(at, message, format!("write a number from {min} to {max}")))
}

pub(super) fn check(config: &Config) -> Result<(), Complaint> {
    listen::check(&config.listen, config.tls.is_some())?;
    check_admin(config)?;
    check_limits(&config.limits)?;
    access_log::check(&config.access_log)?;
    config.tls.as_ref().map_or(Ok(()), tls::check)?;
    config.trace.as_ref().map_or(Ok(()), trace::check)?;
    cluster::check(&config.cluster)?;
    for (name, plugin) in &config.plugins {
        check_plugin(name, plugin)?;
    }
    route::check(config)
}

fn check_admin(config: &Config) -> Result<(), Complaint> {
    let admin = &config.admin;
    let path = || KeyPath::default().key("admin").key("listen");
    if !admin.enabled {
        return Ok(());
    }
    if !admin.listen.ip().is_loopback() && !admin.allow_remote {
        return Err(Complaint::new(
            path(),
            format!("`admin.listen` is {}, which other machines can reach", admin.listen),
            "use 127.0.0.1 and a tunnel, or set `admin.allow_remote = true` on a closed network",
        )
        .because("the admin page and the metrics have no password"));
    }
    for (index, host) in admin.hosts.iter().enumerate() {
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
        if host.is_empty() || !host.chars().all(is_name) {
            return Err(Complaint::new(
                KeyPath::default().key("admin").key("hosts").index(index),
                format!("`admin.hosts[{index}]` is `{host}`, which is not the name of a host"),
                "write the name alone, without a port: \"becket.example.org\"",
            ));
        }
    }
    let is_same = |at: &ListenAt| matches!(at, ListenAt::Tcp(addr) if *addr == admin.listen);
    let same = config.listen.iter().position(|listener| is_same(&listener.at));
    if let Some(index) = same.filter(|_| admin.listen.port() != 0) {
        let listen = match config.listen.len() {
            1 => "listen".to_owned(),
            _ => format!("listen[{index}]"),
        };
        return Err(Complaint::new(
            path(),
            format!("`{listen}` and `admin.listen` are both {}", admin.listen),
            "give the admin listener another port",
        ));
    }
    Ok(())
}

fn check_limits(limits: &HttpLimits) -> Result<(), Complaint> {
    let ranges: [(&str, u64, u64, u64); 18] = [
        ("connections_max", limits.connections_max.into(), 1, 1 << 20),
        ("client_connections_max", limits.client_connections_max.into(), 0, 1 << 20),
        (
            "client_requests_per_second_max",
            limits.client_requests_per_second_max.into(),
            0,
            1_000_000,
        ),
        ("clients_max", limits.clients_max.into(), 16, 1 << 24),
        ("header_bytes_max", limits.header_bytes_max.into(), 256, 1 << 20),
        ("headers_max", limits.headers_max.into(), 1, 10_000),
        ("header_read_timeout_ms", limits.header_read_timeout_ms, 1, WAIT_MS_MAX),
        ("body_bytes_max", limits.body_bytes_max, 0, 1 << 40),
        ("bodies_bytes_max", limits.bodies_bytes_max, 0, 1 << 40),
        ("body_idle_timeout_ms", limits.body_idle_timeout_ms, 1, WAIT_MS_MAX),
        ("body_timeout_ms", limits.body_timeout_ms, 1, WAIT_MS_MAX),
        ("write_stall_timeout_ms", limits.write_stall_timeout_ms, 1, WAIT_MS_MAX),
        ("http2_streams_max", limits.http2_streams_max.into(), 1, 1 << 16),
        ("ws_frame_bytes_max", limits.ws_frame_bytes_max, 125, 1 << 30),
        ("ws_message_bytes_max", limits.ws_message_bytes_max, 125, 1 << 30),
        ("ws_ping_interval_ms", limits.ws_ping_interval_ms, 1, WAIT_MS_MAX),
        ("drain_ms", limits.drain_ms, 0, WAIT_MS_MAX),
        ("upgrade_ms", limits.upgrade_ms, 1, WAIT_MS_MAX),
    ];
    for (key, value, min, max) in ranges {
        in_range(KeyPath::default().key("limits").key(key), value, min, max)?;
    }
    let (one, all) = (limits.body_bytes_max, limits.bodies_bytes_max);
    if all < one {
        return Err(Complaint::new(
            KeyPath::default().key("limits").key("bodies_bytes_max"),
            format!("`limits.bodies_bytes_max` is {all} and `limits.body_bytes_max` is {one}"),
            format!("raise `bodies_bytes_max` to {one} or more, or lower `body_bytes_max`"),
        )
        .because("a body of the allowed length would never be taken"));
    }
    Ok(())
}

fn check_plugin(name: &str, plugin: &PluginConfig) -> Result<(), Complaint> {
    let path = || KeyPath::default().key("plugins").key(name);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > PLUGIN_NAME_BYTES_MAX || !name.chars().all(plain) {
        return Err(Complaint::new(
            path(),
            format!("`{name}` cannot be the name of a plugin"),
            format!("use letters, digits, `-`, `_` and `.`, at most {PLUGIN_NAME_BYTES_MAX}"),
        )
        .because("the name is part of URLs and metric labels"));
    }
    match (&plugin.path, &plugin.linked) {
        _ if plugin.command.is_some() => check_command(name, plugin)?,
        (Some(_), None) | (None, Some(_)) => {}
        (None, None) if plugin.placement == Placement::Cluster => {}
        (None, None) => {
            return Err(Complaint::new(
                path(),
                format!("plugin `{name}` has no `path`"),
                "write `path = \"libNAME.so\"`, or `linked = \"sample\"` for the built-in one",
            ));
        }
        (Some(_), Some(_)) => {
            return Err(Complaint::new(
                path().key("linked"),
                format!("plugin `{name}` has both `path` and `linked`"),
                "keep one of them",
            ));
        }
    }
    if plugin.linked.is_some() && plugin.placement == Placement::Process {
        return Err(Complaint::new(
            path().key("placement"),
            format!("plugin `{name}` is linked and has `placement = \"process\"`"),
            "load it from its file: write `path`",
        )
        .because("it is a part of this program"));
    }
    if plugin.protocol.is_some() && plugin.command.is_none() {
        return Err(Complaint::new(
            path().key("protocol"),
            format!("plugin `{name}` has a `protocol` and no `command`"),
            "remove `protocol`, or write `command = [\"./plugin.sh\"]` in place of `path`",
        )
        .because("a file is loaded: there is nothing to talk about"));
    }
    cluster::check_plugin(name, plugin)?;
    sandbox::check(name, plugin)?;
    workers::check(name, plugin)?;
    rollout::check(name, plugin)?;
    if plugin.linked.is_some() && plugin.sha256.is_some() {
        return Err(Complaint::new(
            path().key("sha256"),
            format!("plugin `{name}` is linked and has a `sha256`"),
            "remove `sha256`: there is no file to compare it with",
        ));
    }
    Ok(())
}

/// A `command` is the whole plugin: no file is loaded, and it never runs in this process.
fn check_command(name: &str, plugin: &PluginConfig) -> Result<(), Complaint> {
    let path = || KeyPath::default().key("plugins").key(name).key("command");
    let other = [
        ("path", plugin.path.is_some()),
        ("linked", plugin.linked.is_some()),
        ("sha256", plugin.sha256.is_some()),
        ("layout", plugin.layout.is_some()),
    ];
    if let Some((key, _)) = other.into_iter().find(|(_, is_given)| *is_given) {
        return Err(Complaint::new(
            path(),
            format!("plugin `{name}` has both `command` and `{key}`"),
            "keep one of them",
        )
        .because("a program that is a plugin has no file that is loaded"));
    }
    if plugin.command.as_ref().is_some_and(Vec::is_empty) {
        return Err(Complaint::new(
            path(),
            format!("`command` of plugin `{name}` is empty"),
            "name the program and its arguments: `command = [\"python3\", \"plugin.py\"]`",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{PLUGIN, refused};
    use crate::Config;

    #[test]
    fn an_open_admin_listener_must_be_asked_for() {
        let open = "[admin]\nlisten = \"0.0.0.0:9900\"\n";
        assert!(refused(open).contains("error: t:2:10: `admin.listen` is 0.0.0.0:9900"));
        assert!(Config::parse(&format!("{open}allow_remote = true"), "t").is_ok());
    }

    #[test]
    fn hosts_of_the_admin_listener_are_names() {
        for host in ["", "a:9900", "http://a", "a b"] {
            let text = refused(&format!("[admin]\nhosts = [\"a.test\", \"{host}\"]\n"));
            assert!(text.contains("error: t:2:20: `admin.hosts[1]` is `"), "{text}");
        }
        assert!(Config::parse("[admin]\nhosts = [\"a-1.test\"]\n", "t").is_ok());
    }

    #[test]
    fn all_bodies_together_may_be_as_long_as_one() {
        let text = refused("[limits]\nbody_bytes_max = 10\nbodies_bytes_max = 9\n");
        assert!(text.starts_with("error: t:3:20: `limits.bodies_bytes_max` is 9"), "{text}");
        assert!(text.contains("\ncause: ") && text.contains("raise `bodies_bytes_max` to 10"));
        assert!(Config::parse("[limits]\nbody_bytes_max = 9\nbodies_bytes_max = 9\n", "t").is_ok());
        // Raised alone, the one does not pass the default of the other unseen.
        assert!(refused("[limits]\nbody_bytes_max = 300_000_000\n").contains("bodies_bytes_max"));
    }

    #[test]
    fn a_plugin_has_exactly_one_source() {
        assert!(refused("[plugins.a]\n").contains("has no `path`"));
        assert!(refused(&format!("{PLUGIN}path = \"x\"")).contains("both"));
    }

    #[test]
    fn a_protocol_is_that_of_a_program() {
        let protocol = |rest: &str| format!("[plugins.a]\nprotocol = \"json-lines\"\n{rest}");
        assert!(Config::parse(&protocol("command = [\"./a.sh\"]"), "t").is_ok());
        let text = refused(&protocol("path = \"a.so\""));
        assert!(text.contains("a `protocol` and no `command`"), "{text}");
        let text = refused("[plugins.a]\ncommand = [\"x\"]\nprotocol = \"lines\"");
        assert!(text.contains("json-lines"), "{text}");
    }

    #[test]
    fn a_plugins_name_is_fit_for_a_url() {
        for name in ["\"a/b\"", "\"\"", "\"a b\"", "\"é\""] {
            assert!(refused(&format!("[plugins.{name}]\nlinked = \"a\"")).contains("name"));
        }
    }
}
