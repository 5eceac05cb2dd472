// SPDX-License-Identifier: BSD-3-Clause
//! `[cluster]`: the servers over which plugins are offered and called, and what the plugins say of it.
//!
//! # Invariants
//!
//! 1. No secret is in a configuration: a password or a token is in a file or in the environment, and is read when
//!    the connection is made. An address that holds one is refused, and its line is not shown.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{Deserializer, Error, SeqAccess, Unexpected, Visitor};

use super::check::Complaint;
use super::locate::KeyPath;
use super::{Config, Placement, PluginConfig};

/// The longest name of a plugin on the cluster: it is a part of subjects.
const NAME_BYTES_MAX: usize = 128;

/// The servers of the placement `cluster`, and what this gateway offers there.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// The servers, `nats://HOST:PORT` or `tls://HOST:PORT`; none: no cluster.
    #[serde(deserialize_with = "urls")]
    pub url: Vec<String>,
    /// A credentials file, as `nsc` makes it.
    pub credentials: Option<PathBuf>,
    /// A user, whose password is `password`.
    pub user: Option<String>,
    /// Where the user's password is.
    pub password: Option<Secret>,
    /// Where a token is, instead of a user.
    pub token: Option<Secret>,
    /// Certificates, as PEM, that a server's may be signed by, beside the system's.
    pub ca: Option<PathBuf>,
    /// The certificate, as PEM, that this program shows.
    pub certificate: Option<PathBuf>,
    /// The key of that certificate.
    pub key: Option<PathBuf>,
    /// Whether plugins that run here are offered to others, where they do not say it themselves.
    pub offer: bool,
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            url: Vec::new(),
            credentials: None,
            user: None,
            password: None,
            token: None,
            ca: None,
            certificate: None,
            key: None,
            offer: true,
        }
    }
}

/// What is expected where a secret may have been written: the line is not shown then.
pub(super) const SECRET: &str = "\"file:PATH\" or \"env:NAME\"";

/// Where a secret is: `file:PATH` or `env:NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Secret {
    /// The first line of a file.
    File(PathBuf),
    /// A variable of the environment.
    Env(String),
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = toml::Value::deserialize(deserializer)?;
        let secret = value.as_str().and_then(Self::parse);
        // What was written may be the secret.
        let wrong = || D::Error::invalid_value(Unexpected::Other("what is written"), &SECRET);
        secret.ok_or_else(wrong)
    }
}

impl Secret {
    /// Reads `file:PATH` or `env:NAME`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':')? {
            ("file", path) if !path.is_empty() => Some(Self::File(path.into())),
            ("env", name) if !name.is_empty() => Some(Self::Env(name.to_owned())),
            _ => None,
        }
    }
}

impl ClusterConfig {
    /// Makes relative paths relative to `base`.
    pub(super) fn resolve_paths(&mut self, base: &Path) {
        let secrets = [&mut self.password, &mut self.token];
        let secrets = secrets.into_iter().flatten().filter_map(|secret| match secret {
            Secret::File(path) => Some(path),
            Secret::Env(_) => None,
        });
        let files = [&mut self.credentials, &mut self.ca, &mut self.certificate, &mut self.key];
        for path in files.into_iter().flatten().chain(secrets) {
            *path = base.join(&*path);
        }
    }
}

impl Config {
    /// Whether a plugin that runs here is offered to others.
    #[must_use]
    pub fn offers(&self, plugin: &PluginConfig) -> bool {
        plugin.placement != Placement::Cluster && plugin.offer.unwrap_or(self.cluster.offer)
    }
}

/// One address or several.
fn urls<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    struct OneOrMore;

    impl<'de> Visitor<'de> for OneOrMore {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("the address of a server, \"nats://HOST:PORT\", or a list of them")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Vec<String>, E> {
            Ok(text.split(',').map(|url| url.trim().to_owned()).collect())
        }

        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<String>, A::Error> {
            let mut urls = Vec::new();
            while let Some(url) = seq.next_element()? {
                urls.push(url);
            }
            Ok(urls)
        }
    }

    d.deserialize_any(OneOrMore)
}

/// What is wrong with the table.
pub(super) fn check(cluster: &ClusterConfig) -> Result<(), Complaint> {
    let path = |key| KeyPath::default().key("cluster").key(key);
    for url in &cluster.url {
        if url.contains('@') {
            return Err(Complaint::new(
                KeyPath::default().key("cluster"),
                "an address in `cluster.url` holds a password or a token".to_owned(),
                "write `user` and `password = \"file:PATH\"`, or `token = \"env:NAME\"`, in [cluster]",
            )
            .because("addresses are in logs, and command lines in lists of processes"));
        }
        let host = url.strip_prefix("nats://").or_else(|| url.strip_prefix("tls://"));
        if host.is_none_or(|host| host.is_empty() || host.contains(['/', ',', ' '])) {
            return Err(Complaint::new(
                path("url"),
                format!("`cluster.url` has `{url}`, which is not the address of a server"),
                "write `nats://HOST:PORT`, or `tls://HOST:PORT` for TLS alone",
            ));
        }
    }
    let pairs = [
        ("password", cluster.password.is_some(), "user", cluster.user.is_some()),
        ("user", cluster.user.is_some(), "password", cluster.password.is_some()),
        ("certificate", cluster.certificate.is_some(), "key", cluster.key.is_some()),
        ("key", cluster.key.is_some(), "certificate", cluster.certificate.is_some()),
    ];
    if let Some((key, _, other, _)) = pairs.into_iter().find(|(_, is, _, other)| *is && !other) {
        return Err(Complaint::new(
            path(key),
            format!("`cluster.{key}` is set and `cluster.{other}` is not"),
            format!("write `{other}` too, or remove `{key}`"),
        ));
    }
    let ways = [
        ("credentials", cluster.credentials.is_some()),
        ("user", cluster.user.is_some()),
        ("token", cluster.token.is_some()),
    ];
    let mut given = ways.into_iter().filter(|(_, is_given)| *is_given).map(|(key, _)| key);
    if let (Some(one), Some(other)) = (given.next(), given.next()) {
        return Err(Complaint::new(
            path(other),
            format!("[cluster] has both `{one}` and `{other}`"),
            "keep the one that the server asks for",
        ));
    }
    Ok(())
}

/// What is wrong with what a plugin says of the cluster.
pub(super) fn check_plugin(name: &str, plugin: &PluginConfig) -> Result<(), Complaint> {
    let path = |key| KeyPath::default().key("plugins").key(name).key(key);
    if plugin
        .cluster_name
        .as_ref()
        .is_some_and(|there| !(1..=NAME_BYTES_MAX).contains(&there.len()))
    {
        return Err(Complaint::new(
            path("cluster_name"),
            format!("`cluster_name` of plugin `{name}` is empty or too long"),
            format!("write a name of at most {NAME_BYTES_MAX} bytes, or leave it out"),
        ));
    }
    if plugin.placement != Placement::Cluster {
        return Ok(());
    }
    let given = [
        ("sandbox", plugin.sandbox.is_some()),
        ("workers", plugin.workers.is_some()),
        ("sticky", plugin.sticky.is_some()),
        ("restart", plugin.restart.is_some()),
        ("offer", plugin.offer.is_some()),
    ];
    match given.into_iter().find(|(_, is_given)| *is_given) {
        Some((key, _)) => Err(Complaint::new(
            path(key),
            format!("plugin `{name}` has `{key}` and `placement = \"cluster\"`"),
            format!("remove `{key}`: it is for the nodes on which the plugin runs"),
        )
        .because("it does not run on this machine")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::refused;
    use super::*;

    #[test]
    fn a_plugin_moves_to_the_cluster_by_one_word() {
        for rest in ["", "path = \"a.so\"", "linked = \"sample\"", "command = [\"./a\"]"] {
            let text = format!("[plugins.a]\nplacement = \"cluster\"\n{rest}\n");
            let config = Config::parse(&text, "t").unwrap();
            assert_eq!(config.plugins["a"].placement, Placement::Cluster);
            assert!(!config.offers(&config.plugins["a"]));
        }
        let name = |name: &str| format!("[plugins.a]\nlinked = \"a\"\ncluster_name = \"{name}\"\n");
        assert!(Config::parse(&name("other"), "t").is_ok());
        for long in ["".to_owned(), "a".repeat(129)] {
            assert!(refused(&name(&long)).contains("at most 128 bytes"));
        }
        for key in ["sandbox = \"none\"", "workers = 2", "offer = true", "restart = {}"] {
            let text = refused(&format!("[plugins.a]\nplacement = \"cluster\"\n{key}\n"));
            assert!(text.contains("placement = \"cluster\"") && text.contains("hint: "), "{text}");
        }
    }

    #[test]
    fn what_runs_here_is_offered_unless_it_is_said_otherwise() {
        let text = "[plugins.a]\nlinked = \"a\"\n[plugins.b]\nlinked = \"a\"\noffer = OWN\n";
        for (own, all, offered) in
            [("false", "true", [true, false]), ("true", "false", [false, true])]
        {
            let text = format!("[cluster]\noffer = {all}\n{}", text.replace("OWN", own));
            let config = Config::parse(&text, "t").unwrap();
            assert_eq!(["a", "b"].map(|name| config.offers(&config.plugins[name])), offered);
        }
    }

    #[test]
    fn addresses_are_one_or_several() {
        let read = |url: &str| {
            Config::parse(&format!("[cluster]\nurl = {url}\n"), "t").unwrap().cluster.url
        };
        assert_eq!(read("\"nats://a:1\""), ["nats://a:1"]);
        assert_eq!(read("\"nats://a:1, tls://b\""), ["nats://a:1", "tls://b"]);
        assert_eq!(read("[\"nats://a:1\", \"tls://b\"]"), ["nats://a:1", "tls://b"]);
        for url in ["\"\"", "\"a:4222\"", "\"http://a\"", "\"nats://\"", "[\"nats://a/b\"]"] {
            let text = refused(&format!("[cluster]\nurl = {url}\n"));
            assert!(text.contains("nats://HOST:PORT"), "{text}");
        }
    }

    #[test]
    fn no_secret_is_in_a_file_or_in_an_error() {
        for line in [
            "url = \"nats://zoe:s3cret@a\"",
            "url = \"nats://s3cret@a\"",
            "token = \"s3cret\"",
            "token = [\"s3cret\"]",
            "user = \"zoe\"\npassword = \"s3cret\"",
        ] {
            let text = refused(&format!("[cluster]\n{line}\n"));
            assert!(!text.contains("s3cret") && text.contains("file:PATH"), "{text}");
        }
        let config = "[cluster]\nuser = \"zoe\"\npassword = \"file:secret\"\nca = \"ca.pem\"\n";
        let cluster = Config::parse(config, "etc/becket.toml").unwrap().cluster;
        assert_eq!(cluster.password, Some(Secret::File("etc/secret".into())));
        assert_eq!(cluster.ca, Some("etc/ca.pem".into()));
    }

    #[test]
    fn what_belongs_together_is_given_together() {
        for (lines, message) in [
            ("user = \"zoe\"", "`cluster.password` is not"),
            ("password = \"env:P\"", "`cluster.user` is not"),
            ("certificate = \"c\"", "`cluster.key` is not"),
            ("credentials = \"c\"\ntoken = \"env:T\"", "both `credentials` and `token`"),
        ] {
            let text = refused(&format!("[cluster]\n{lines}\n"));
            assert!(text.contains(message), "{text}");
        }
    }
}
