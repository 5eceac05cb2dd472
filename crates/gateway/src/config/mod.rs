// SPDX-License-Identifier: BSD-3-Clause
//! The gateway's configuration: one TOML file, every field optional, every mistake shown.
//!
//! `examples/becket.toml` documents each field with its default; a test reads that file and
//! compares it with the defaults here, so the two cannot diverge.
//!
//! | module | what lives there |
//! |---|---|
//! | `access_log` | `[access_log]` |
//! | `admin` | `[admin]` |
//! | `check` | checks beyond the types: ranges, names, references between tables |
//! | `cluster` | `[cluster]` |
//! | `error` | [`ConfigError`]: the line, a caret, the cause and a hint |
//! | `files` | files that the gateway itself reads |
//! | `filter` | `filters` of a route |
//! | `health` | `health` of an upstream |
//! | `listen` | `listen` |
//! | `locate` | from a key's path to its place in the text |
//! | `rollout` | `[plugins.NAME.rollout]` |
//! | `route` | `[[routes]]`: what answers where |
//! | `tls` | `[tls]` |
//! | `trace` | `[trace]` |
//! | `sandbox` | `[plugins.NAME.sandbox]` |
//! | `workers` | the workers of a plugin in a process of its own |
//! | `upstream` | `upstream` of a route |
//! | `value` | values that are parsed into their type: digests, methods, names of choices |
//!
//! # Invariants
//!
//! 1. A `Config` that came out of [`Config::parse`] has passed [`Config::check`]; one that a
//!    program put together passes it in [`crate::Gateway::start`] and [`crate::Gateway::reload`].
//! 2. An unknown key is refused, with the nearest known one.
//! 3. Paths in a file are relative to that file's folder. A program runs in that folder.

mod access_log;
mod admin;
mod check;
mod cluster;
mod error;
mod files;
mod filter;
mod health;
mod listen;
mod locate;
mod rollout;
mod route;
mod sandbox;
#[cfg(test)]
mod testing;
mod tls;
mod trace;
mod upstream;
mod value;
mod workers;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use becket_host::{Dispatch, Layout};
use serde::Deserialize;

use crate::tls::Loaded;

pub(crate) use self::access_log::key as access_log_key;
pub use self::access_log::{AccessLogConfig, AccessLogFormat};
pub use self::admin::AdminConfig;
pub(crate) use self::admin::token_key as admin_token_key;
pub(crate) use self::check::Complaint;
pub use self::cluster::{ClusterConfig, Secret};
pub use self::error::ConfigError;
pub(crate) use self::error::{nearest, suggestion};
pub(crate) use self::files::read_token;
#[cfg_attr(not(feature = "tls"), expect(unused_imports))]
pub(crate) use self::files::{check_private, read as read_file};
pub use self::filter::FilterConfig;
pub use self::health::HealthConfig;
pub use self::listen::{ListenAt, ListenConfig};
pub(crate) use self::locate::KeyPath;
pub use self::rollout::RolloutConfig;
pub use self::route::RouteConfig;
pub use self::sandbox::{SandboxAllow, SandboxConfig, SandboxProfile};
pub(crate) use self::tls::root as tls_root;
pub use self::tls::{CertificateConfig, ClientCertificates, TlsConfig};
pub(crate) use self::trace::root as trace_root;
pub use self::trace::{HeaderText, TraceConfig};
#[cfg(feature = "otlp")]
pub(crate) use self::trace::{QUEUE_SPANS, wrong as wrong_receiver};
pub use self::upstream::{UpstreamConfig, UpstreamTlsConfig};
pub(crate) use self::upstream::{
    check_files as check_upstream_files, client_tls, files as upstream_files, tls_upstream,
};
pub use self::value::Sha256Digest;
pub use self::workers::{RestartConfig, StickyConfig};

/// The whole configuration of a gateway.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Where requests are taken.
    #[serde(deserialize_with = "listen::listeners")]
    pub listen: Vec<ListenConfig>,
    /// Whether every entry is at `/PLUGIN/ENTRY`, beside the routes of `routes`.
    pub default_routes: bool,
    /// Whether answers that say what failed also say what to try.
    pub error_hints: bool,
    /// Whether a request without a `traceparent` gets one.
    pub traceparent: bool,
    /// Whether a plugin is reloaded when its file changes; `becket serve` also reads a changed
    /// configuration file then.
    pub watch: bool,
    /// Folders in which a plugin's `path` without a `/` is looked for.
    pub plugin_path: Vec<PathBuf>,
    /// TLS on the listeners of `listen` that are TCP; `None`: without.
    pub tls: Option<TlsConfig>,
    /// A line for each request.
    pub access_log: AccessLogConfig,
    /// Spans of requests; `None`: without.
    pub trace: Option<TraceConfig>,
    /// The admin listener.
    pub admin: AdminConfig,
    /// The bounds on what clients may ask for.
    pub limits: HttpLimits,
    /// The servers of the placement `cluster`.
    pub cluster: ClusterConfig,
    /// The plugins, by the name that routes and URLs call them.
    pub plugins: BTreeMap<String, PluginConfig>,
    /// Paths that lead to entries.
    pub routes: Vec<RouteConfig>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: vec![SocketAddr::from(([127, 0, 0, 1], 8080)).into()],
            default_routes: true,
            error_hints: true,
            traceparent: false,
            watch: true,
            plugin_path: Vec::new(),
            tls: None,
            access_log: AccessLogConfig::default(),
            trace: None,
            admin: AdminConfig::default(),
            limits: HttpLimits::default(),
            cluster: ClusterConfig::default(),
            plugins: BTreeMap::new(),
            routes: Vec::new(),
        }
    }
}

/// The bounds on what clients may ask for. Units are the last word of each name.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HttpLimits {
    /// Connections open at once, WebSockets included; one more is answered 503 and closed.
    pub connections_max: u32,
    /// Connections open at once from one address; one more is answered 429 and closed. 0: as many as there may be.
    pub client_connections_max: u32,
    /// Requests of one address in a second; one more is answered 429. 0: any number.
    pub client_requests_per_second_max: u32,
    /// How many addresses are counted; one for which there is no room has no limit of its own.
    pub clients_max: u32,
    /// The request line and all headers together; more is answered 431.
    pub header_bytes_max: u32,
    /// How many headers; more is answered 431.
    pub headers_max: u32,
    /// How long a connection may be without a complete request, whether it trickles headers or is
    /// silent; then it is closed. It may take up to half as long again.
    pub header_read_timeout_ms: u64,
    /// A request's body; more is answered 413.
    pub body_bytes_max: u64,
    /// The bodies of all requests together, each from its first byte until its call releases it;
    /// more is answered 503. At least `body_bytes_max`.
    pub bodies_bytes_max: u64,
    /// The pause between two pieces of a body; longer is answered 408.
    pub body_idle_timeout_ms: u64,
    /// The whole of a body; longer is answered 408.
    pub body_timeout_ms: u64,
    /// How long a client may read nothing of an answer before its connection is cut.
    pub write_stall_timeout_ms: u64,
    /// Requests at once on one HTTP/2 connection.
    pub http2_streams_max: u32,
    /// One frame of a WebSocket; more closes it with 1009.
    pub ws_frame_bytes_max: u64,
    /// One message of a WebSocket, all its frames together; more closes it with 1009.
    pub ws_message_bytes_max: u64,
    /// How often a silent WebSocket is pinged; one that stays silent for three times this is
    /// closed.
    pub ws_ping_interval_ms: u64,
    /// The timeout that `becket serve` passes to [`crate::Gateway::drain`].
    pub drain_ms: u64,
    /// How long `becket serve` gives a new binary to be ready.
    pub upgrade_ms: u64,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            client_connections_max: 0,
            client_requests_per_second_max: 0,
            clients_max: 1 << 16,
            header_bytes_max: 64 << 10,
            headers_max: 100,
            header_read_timeout_ms: 10_000,
            body_bytes_max: 16 << 20,
            bodies_bytes_max: 256 << 20,
            body_idle_timeout_ms: 10_000,
            body_timeout_ms: 60_000,
            write_stall_timeout_ms: 30_000,
            http2_streams_max: 256,
            ws_frame_bytes_max: 1 << 20,
            ws_message_bytes_max: 4 << 20,
            ws_ping_interval_ms: 20_000,
            drain_ms: 10_000,
            upgrade_ms: 60_000,
        }
    }
}

/// Where a plugin runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// In this process.
    #[default]
    Inline,
    /// In a process of its own.
    Process,
    /// On other machines, which offer it. Where its file is may be said, and is not used.
    Cluster,
}

/// How the program of a [`PluginConfig::command`] and the host talk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Protocol {
    /// The session of a plugin, over a socket.
    #[default]
    Session,
    /// JSON lines, over stdin and stdout.
    JsonLines,
}

/// One plugin.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PluginConfig {
    /// The shared library. Without a `/` it is looked for in the search path.
    pub path: Option<PathBuf>,
    /// A plugin in this binary, instead of `path`.
    pub linked: Option<String>,
    /// A program that serves a plugin's session, and its arguments, instead of `path`.
    pub command: Option<Vec<String>>,
    /// Where the program runs, and what the relative paths of `command` are relative to: the file's folder; `None`:
    /// the host's working directory.
    #[serde(skip)]
    pub folder: Option<PathBuf>,
    /// How it and the host talk; `None`: by a session. With `command`.
    pub protocol: Option<Protocol>,
    /// Where the plugin runs.
    pub placement: Placement,
    /// Its name on the cluster; `None`: its name here.
    pub cluster_name: Option<String>,
    /// Whether it is offered to others; `None`: as [`ClusterConfig::offer`] says.
    pub offer: Option<bool>,
    /// What its process may do; `None`: the default profile. For a plugin in a process of its own.
    #[serde(deserialize_with = "sandbox::sandbox")]
    pub sandbox: Option<SandboxConfig>,
    /// How many processes it has; `None`: one. For a plugin in a process of its own, as the next two.
    pub workers: Option<u32>,
    /// Which calls go to the same process.
    #[serde(deserialize_with = "workers::sticky")]
    pub sticky: Option<StickyConfig>,
    /// When a process that has ended is started again.
    pub restart: Option<RestartConfig>,
    /// How a new version gets its calls; `None`: all of them at once.
    pub rollout: Option<RolloutConfig>,
    /// Passed to the plugin as JSON.
    #[serde(deserialize_with = "value::json_object")]
    pub config: serde_json::Map<String, serde_json::Value>,
    /// What the plugin may use.
    pub limits: becket_host::Limits,
    /// The vtable's layout; `None`: the host detects it.
    #[serde(deserialize_with = "value::layout")]
    pub layout: Option<Layout>,
    /// The digest that the file must have.
    pub sha256: Option<Sha256Digest>,
    /// Which thread runs the plugin's handlers.
    pub dispatch: Dispatch,
    /// Whether a private copy of the file is mapped, so that a reload runs the new bytes.
    pub private_copy: bool,
    /// Whether this file is watched; `None`: as [`Config::watch`] says.
    pub watch: Option<bool>,
}

impl Default for PluginConfig {
    fn default() -> Self {
        Self {
            path: None,
            linked: None,
            command: None,
            folder: None,
            protocol: None,
            placement: Placement::default(),
            cluster_name: None,
            offer: None,
            sandbox: None,
            workers: None,
            sticky: None,
            restart: None,
            rollout: None,
            config: serde_json::Map::new(),
            limits: becket_host::Limits::default(),
            layout: None,
            sha256: None,
            dispatch: Dispatch::default(),
            private_copy: true,
            watch: None,
        }
    }
}

impl PluginConfig {
    /// Whether a plugin loaded with `other` need not be loaded again for `self`.
    pub(crate) fn loads_like(&self, other: &Self) -> bool {
        let what =
            |plugin: &Self| Self { watch: None, rollout: None, offer: None, ..plugin.clone() };
        what(self) == what(other)
    }
}

impl Config {
    /// Reads a configuration from text. `origin` is the name that errors show: the file's path.
    ///
    /// # Errors
    /// [`ConfigError`], with the line in question.
    pub fn parse(text: &str, origin: &str) -> Result<Self, ConfigError> {
        let mut config: Self =
            toml::from_str(text).map_err(|error| ConfigError::from_toml(&error, text, origin))?;
        check::check(&config).map_err(|complaint| complaint.locate(text, origin))?;
        config.resolve_paths(Path::new(origin).parent());
        Ok(config)
    }

    /// Reads a configuration from a file.
    ///
    /// # Errors
    /// [`ConfigError`] if the file cannot be read, is not text or is refused by [`Self::parse`].
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        Self::parse(&read(path)?, &path.display().to_string())
    }

    /// [`Self::load`], and looks into the files of `[tls]` and the admin token, which [`crate::Gateway::start`] does too: so what is
    /// wrong with one is shown with its line.
    ///
    /// # Errors
    /// [`ConfigError`] as [`Self::load`], and if a certificate, a key or the token cannot be used.
    pub fn load_with_files(path: &Path) -> Result<Self, ConfigError> {
        let (text, origin) = (read(path)?, path.display().to_string());
        let config = Self::parse(&text, &origin)?;
        if let Some(tls) = &config.tls {
            Loaded::read(tls).map_err(|complaint| complaint.locate(&text, &origin))?;
        }
        upstream::check_files(&config).map_err(|complaint| complaint.locate(&text, &origin))?;
        crate::otlp::check(config.trace.as_ref()).map_err(|it| it.locate(&text, &origin))?;
        config.check_token().map_err(|complaint| complaint.locate(&text, &origin))?;
        config.check_folders().map_err(|complaint| complaint.locate(&text, &origin))?;
        Ok(config)
    }

    /// Whether the folders of routes are there.
    pub(crate) fn check_folders(&self) -> Result<(), Complaint> {
        route::check_folders(self)
    }

    /// Whether the admin token can be read.
    pub(crate) fn check_token(&self) -> Result<(), Complaint> {
        match &self.admin.token {
            Some(token) if self.admin.enabled => {
                read_token(&admin_token_key(), token).map(|_token| ())
            }
            _ => Ok(()),
        }
    }

    /// Reads the configuration that replaces the one in force. Writing a file in place truncates it
    /// first, so a blank file is an error: it is being written, and is no request for no plugins.
    ///
    /// # Errors
    /// [`ConfigError`] as [`Self::load`], and if there is nothing but white space in the file.
    pub fn load_next(path: &Path) -> Result<Self, ConfigError> {
        let text = read(path)?;
        if text.trim().is_empty() {
            return Err(ConfigError::blank(path));
        }
        Self::parse(&text, &path.display().to_string())
    }

    /// Checks what the types do not: ranges, names, references between tables.
    ///
    /// # Errors
    /// [`ConfigError`], with the key in question.
    pub fn check(&self) -> Result<(), ConfigError> {
        check::check(self).map_err(Complaint::without_text)
    }

    /// Makes relative paths relative to `base`. A plugin's path without a `/` stays as it is: it
    /// is a name for the search path.
    fn resolve_paths(&mut self, base: Option<&Path>) {
        let Some(base) = base.filter(|base| !base.as_os_str().is_empty()) else { return };
        for path in &mut self.plugin_path {
            *path = base.join(&*path);
        }
        listen::resolve_paths(&mut self.listen, base);
        self.access_log.resolve_paths(base);
        if let Some(Secret::File(path)) = &mut self.admin.token {
            *path = base.join(&*path);
        }
        self.cluster.resolve_paths(base);
        for folder in self.routes.iter_mut().filter_map(|route| route.files.as_mut()) {
            *folder = base.join(&*folder);
        }
        for upstream in self.routes.iter_mut().filter_map(|route| route.upstream.as_mut()) {
            upstream.resolve_paths(base);
        }
        if let Some(tls) = &mut self.tls {
            tls.resolve_paths(base);
        }
        for sandbox in self.plugins.values_mut().filter_map(|plugin| plugin.sandbox.as_mut()) {
            sandbox.resolve_paths(base);
        }
        for plugin in self.plugins.values_mut().filter(|plugin| plugin.command.is_some()) {
            plugin.folder = Some(base.to_owned());
        }
        for path in self.plugins.values_mut().filter_map(|plugin| plugin.path.as_mut()) {
            if path.components().count() > 1 {
                *path = base.join(&*path);
            }
        }
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| ConfigError::unreadable(path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = include_str!("../../../../examples/becket.toml");

    fn refused(text: &str) -> String {
        Config::parse(text, "becket.toml").unwrap_err().render()
    }

    #[test]
    fn nothing_is_a_valid_configuration() {
        assert_eq!(Config::parse("", "becket.toml").unwrap(), Config::default());
    }

    /// The example shows each field twice: set, where a reader needs to see one in use, or as a
    /// comment `# key = default`. Uncommented as a whole it must parse, and every default that it
    /// states must be the one in force.
    #[test]
    fn the_example_states_every_field_and_its_default() {
        let shown = Config::parse(EXAMPLE, "becket.toml").unwrap();
        assert_eq!(shown.listen, Config::default().listen);
        assert_eq!(shown.admin, Config::default().admin);
        assert_eq!(shown.tls, None);
        assert_eq!(shown.trace, None);
        assert_eq!(shown.access_log, Config::default().access_log);
        assert_eq!(shown.limits, Config::default().limits);
        assert_eq!(shown.cluster, Config::default().cluster);
        let sample = &shown.plugins["sample"];
        assert_eq!(sample.limits, becket_host::Limits::default());
        assert_eq!(sample.dispatch, PluginConfig::default().dispatch);
        for key in [
            "listen",
            "default_routes",
            "error_hints",
            "traceparent",
            "watch",
            "plugin_path",
            "enabled",
            "allow_remote",
            "hosts",
            "connections_max",
            "client_connections_max",
            "client_requests_per_second_max",
            "clients_max",
            "header_bytes_max",
            "headers_max",
            "header_read_timeout_ms",
            "body_bytes_max",
            "bodies_bytes_max",
            "body_idle_timeout_ms",
            "body_timeout_ms",
            "write_stall_timeout_ms",
            "http2_streams_max",
            "ws_frame_bytes_max",
            "ws_message_bytes_max",
            "ws_ping_interval_ms",
            "drain_ms",
            "upgrade_ms",
            "path",
            "linked",
            "command",
            "protocol",
            "placement",
            "cluster_name",
            "url",
            "credentials",
            "password",
            "token",
            "ca",
            "certificate",
            "key",
            "format",
            "file",
            "query",
            "endpoint",
            "service_name",
            "sample_ratio",
            "headers",
            "queue_spans_max",
            "buffer_bytes_max",
            "client_certificates",
            "client_ca",
            "handshake_timeout_ms",
            "offer",
            "sandbox",
            "workers",
            "sticky",
            "attempts_max",
            "within_ms",
            "ping_timeout_ms",
            "rollout",
            "profile",
            "require",
            "allow",
            "read",
            "write",
            "env",
            "user",
            "group",
            "cgroup",
            "memory_bytes_max",
            "descriptors_max",
            "processes_max",
            "file_bytes_max",
            "layout",
            "sha256",
            "dispatch",
            "private_copy",
            "prefix",
            "methods",
            "plugin",
            "entry",
            "kind",
            "content_type",
            "timeout_ms",
            "filters",
            "upstream",
            "files",
        ] {
            let stated = |line: &str| {
                let line = line.trim_start_matches(['#', ' ']);
                line.strip_prefix(key).is_some_and(|rest| rest.trim_start().starts_with('='))
            };
            assert!(EXAMPLE.lines().any(stated), "the example does not show `{key}`");
        }
        let (_, table) = EXAMPLE.split_once("# [plugins.thumbnails]\n").unwrap();
        let keys = table.lines().filter_map(|line| line.strip_prefix("# "));
        let keys = keys.filter(|line| line.starts_with('[') || line.contains(" = "));
        let text = format!("[plugins.thumbnails]\n{}", keys.collect::<Vec<_>>().join("\n"));
        let shown = Config::parse(&text, "becket.toml").unwrap();
        assert_eq!(shown.plugins["thumbnails"].restart, Some(RestartConfig::default()));
        let shown = shown.plugins["thumbnails"].sandbox.clone().unwrap();
        let user = Some("thumbnails".to_owned());
        let cgroup = Some("/sys/fs/cgroup/becket".into());
        let default =
            SandboxConfig { user: user.clone(), group: user, cgroup, ..Default::default() };
        assert_eq!(shown, default);
        let limits = serde_json::to_value(becket_host::Limits::default()).unwrap();
        for (key, value) in limits.as_object().unwrap() {
            assert!(
                EXAMPLE.contains(&format!("{key} = {value}")),
                "`{key} = {value}` is not shown"
            );
        }
    }

    #[test]
    fn an_unknown_key_is_shown_with_the_nearest_one() {
        assert_eq!(
            refused("watch = true\nlisten_ = \"127.0.0.1:1\"\n"),
            "error: becket.toml:2:1: unknown key `listen_`\n  |\n2 | listen_ = \"127.0.0.1:1\"\n  \
             | ^^^^^^^\nhint: did you mean `listen`?\n"
        );
        assert!(refused("[limits]\nbody_byte_max = 1").contains("did you mean `body_bytes_max`?"));
        assert!(
            refused("[plugins.a]\nlinked = \"a\"\n[plugins.a.limits]\ndeadline = 1")
                .contains("did you mean `deadline_ms`?")
        );
    }

    #[test]
    fn a_wrong_type_is_named_in_words_of_the_file() {
        for (text, message, hint) in [
            ("admin = \"127.0.0.1:9\"", "expected a table, not string", "hint: write its keys"),
            ("[plugins]\np = 3", "expected a table, not integer `3`", "hint: write its keys"),
            ("[plugins.p]\ncommand = \"python3 p.py\"", "expected a list, not string", "`[\"…\""),
            ("[routes]\npath = \"/\"", "expected a list, not a table", "in brackets"),
            ("listen = 8080", "expected an address and a port, not integer", "127.0.0.1:8080"),
            ("listen = \"localhost:80\"", "expected an address and a port\n", "not looked up"),
        ] {
            let error = refused(text);
            assert!(error.contains(message) && error.contains(hint), "{text}: {error}");
            assert!(!error.contains("struct"), "{error}");
        }
    }

    #[test]
    fn a_wrong_value_is_shown_with_its_line() {
        let text = refused("\n\nlisten = \"localhost\"\n");
        assert!(text.starts_with("error: becket.toml:3:10: "), "{text}");
        assert!(text.contains("3 | listen = \"localhost\"\n  |          ^^^^^^^^^^^\n"), "{text}");
        let text = refused("[limits]\nheaders_max = 0\n");
        assert!(text.starts_with("error: becket.toml:2:15: `limits.headers_max` is 0\n"), "{text}");
    }

    #[test]
    fn a_route_to_an_unknown_plugin_names_the_nearest() {
        let text = refused(
            "[plugins.rust]\nlinked = \"sample\"\n[[routes]]\npath = \"/\"\nplugin = \"rst\"\n\
             entry = \"echo\"\n",
        );
        assert!(text.starts_with("error: becket.toml:5:10: "), "{text}");
        assert!(text.contains("hint: did you mean `rust`?"), "{text}");
    }

    #[test]
    fn broken_toml_says_where() {
        let text = refused("listen = \n");
        assert!(text.starts_with("error: becket.toml:1:"), "{text}");
    }

    #[test]
    fn a_missing_file_says_which() {
        let error = Config::load(Path::new("/nonexistent/becket.toml")).unwrap_err();
        assert!(error.to_string().contains("/nonexistent/becket.toml"));
        assert!(error.hint().is_some());
    }

    #[test]
    fn a_blank_file_does_not_follow_a_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("becket.toml");
        for blank in ["", " \n\t\n"] {
            std::fs::write(&path, blank).unwrap();
            assert_eq!(Config::load(&path).unwrap(), Config::default());
            let error = Config::load_next(&path).unwrap_err();
            assert!(error.to_string().ends_with("becket.toml: the configuration is empty"));
            assert!(error.cause().is_some() && error.hint().is_some());
        }
        std::fs::write(&path, "watch = false\n").unwrap();
        assert!(!Config::load_next(&path).unwrap().watch);
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let config = Config::parse(
            "plugin_path = [\"plugins\"]\n[plugins.a]\npath = \"./a.so\"\n[plugins.b]\npath = \
             \"b.so\"\n[plugins.c]\npath = \"/c.so\"\n",
            "/etc/becket/becket.toml",
        )
        .unwrap();
        assert_eq!(config.plugin_path, [PathBuf::from("/etc/becket/plugins")]);
        assert_eq!(config.plugins["a"].path, Some(PathBuf::from("/etc/becket/./a.so")));
        assert_eq!(config.plugins["b"].path, Some(PathBuf::from("b.so")));
        assert_eq!(config.plugins["c"].path, Some(PathBuf::from("/c.so")));
        assert_eq!(config.plugins["c"].folder, None);
        let program = "[plugins.d]\ncommand = [\"./d.sh\"]\n";
        let config = Config::parse(program, "/etc/becket/becket.toml").unwrap();
        assert_eq!(config.plugins["d"].folder, Some(PathBuf::from("/etc/becket")));
        let config = Config::parse(program, "becket.toml").unwrap();
        assert_eq!(config.plugins["d"].folder, None);
    }
}
