// SPDX-License-Identifier: BSD-3-Clause
//! `upstream` of a route: an address, several of them, or a table.

use std::fmt;
use std::path::{Path, PathBuf};

use http::Uri;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::Config;
use super::check::{Complaint, WAIT_MS_MAX, in_range};
use super::health::{self, HealthConfig};
use super::locate::KeyPath;
use crate::tls::ClientTls;

/// The most servers of one route.
const SERVERS_MAX: usize = 64;

/// The servers to which a route's requests are passed on.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamConfig {
    /// `http://HOST:PORT` or `https://HOST:PORT` of each; they take turns.
    #[serde(deserialize_with = "one_or_more")]
    pub urls: Vec<String>,
    /// How long a connection may take to open, all addresses of a name together.
    pub connect_timeout_ms: u64,
    /// How long the server may pause within an answer's body.
    pub idle_timeout_ms: u64,
    /// How long a WebSocket lasts in which nothing moves in either direction.
    pub websocket_idle_timeout_ms: u64,
    /// Idle connections that are kept for each server.
    pub idle_connections_max: u32,
    /// So many requests in a row that a server does not answer, or answers 502, 503 or 504, eject it; 0: never.
    pub eject_after: u32,
    /// How long it gets no requests then.
    pub eject_ms: u64,
    /// How the servers are checked; `None`: not at all.
    pub health: Option<HealthConfig>,
    /// How TLS is spoken to those that are `https`.
    pub tls: UpstreamTlsConfig,
}

/// How TLS is spoken to the servers of a route.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamTlsConfig {
    /// The certificates, as PEM, that a server's must be signed by; `None`: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// The name that a server's certificate must have; `None`: the host of its URL.
    pub server_name: Option<String>,
    /// What is shown to a server that asks for a certificate, and those that sign it, as PEM.
    pub certificate: Option<PathBuf>,
    /// Its private key, as PEM, without a passphrase.
    pub key: Option<PathBuf>,
}

impl UpstreamTlsConfig {
    /// Every file that it names.
    fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.ca, &self.certificate, &self.key].into_iter().flatten()
    }
}

impl UpstreamConfig {
    /// Makes relative paths relative to `base`.
    pub(super) fn resolve_paths(&mut self, base: &Path) {
        let UpstreamTlsConfig { ca, certificate, key, .. } = &mut self.tls;
        for path in [ca, certificate, key].into_iter().flatten() {
            *path = base.join(&*path);
        }
    }

    fn speaks_tls(&self) -> bool {
        self.urls.iter().any(|url| url.starts_with("https:"))
    }
}

/// The files of TLS to upstream servers.
pub(crate) fn files(config: &Config) -> impl Iterator<Item = &PathBuf> {
    let upstreams = config.routes.iter().filter_map(|route| route.upstream.as_ref());
    upstreams.flat_map(|upstream| upstream.tls.files())
}

/// Reads the files of TLS to the servers of a route; `None`: none of them is `https`.
pub(crate) fn client_tls(
    index: usize,
    upstream: &UpstreamConfig,
) -> Result<Option<ClientTls>, Complaint> {
    let path = KeyPath::default().key("routes").index(index).key("upstream");
    match upstream.speaks_tls() {
        true => ClientTls::read(&path.key("tls"), &upstream.tls).map(Some),
        false => Ok(None),
    }
}

/// The first upstream server to which TLS is spoken, and its route's key.
pub(crate) fn tls_upstream(config: &Config) -> Option<(KeyPath, &str)> {
    config.routes.iter().enumerate().find_map(|(index, route)| {
        let urls = route.upstream.as_ref()?.urls.iter();
        let url = urls.map(String::as_str).find(|url| url.starts_with("https:"))?;
        Some((KeyPath::default().key("routes").index(index).key("upstream"), url))
    })
}

/// Whether the files of TLS to upstream servers can be used.
pub(crate) fn check_files(config: &Config) -> Result<(), Complaint> {
    for (index, route) in config.routes.iter().enumerate() {
        if let Some(upstream) = &route.upstream {
            client_tls(index, upstream)?;
        }
    }
    Ok(())
}

impl Default for UpstreamConfig {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            connect_timeout_ms: 5000,
            idle_timeout_ms: 60_000,
            websocket_idle_timeout_ms: 3_600_000,
            idle_connections_max: 32,
            eject_after: 5,
            eject_ms: 10_000,
            health: None,
            tls: UpstreamTlsConfig::default(),
        }
    }
}

fn one_or_more<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    upstream(d).map(|upstream| upstream.map(|it| it.urls).unwrap_or_default())
}

/// `upstream = "http://127.0.0.1:9000"`, a list of such, or a table with `urls`.
pub(super) fn upstream<'de, D: Deserializer<'de>>(
    d: D,
) -> Result<Option<UpstreamConfig>, D::Error> {
    struct AnyForm;

    impl<'de> Visitor<'de> for AnyForm {
        type Value = UpstreamConfig;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("\"http://HOST:PORT\", a list of such, or a table with `urls`")
        }

        fn visit_str<E: Error>(self, url: &str) -> Result<UpstreamConfig, E> {
            Ok(UpstreamConfig { urls: vec![url.to_owned()], ..UpstreamConfig::default() })
        }

        fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<UpstreamConfig, A::Error> {
            let urls = Vec::deserialize(SeqAccessDeserializer::new(seq))?;
            Ok(UpstreamConfig { urls, ..UpstreamConfig::default() })
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<UpstreamConfig, A::Error> {
            UpstreamConfig::deserialize(MapAccessDeserializer::new(map))
        }
    }

    d.deserialize_any(AnyForm).map(Some)
}

/// What is wrong with the servers of a route, of which `path` is the key.
pub(super) fn check(path: &KeyPath, upstream: &UpstreamConfig) -> Result<(), Complaint> {
    let at = |key| path.clone().key(key);
    if upstream.urls.is_empty() || upstream.urls.len() > SERVERS_MAX {
        return Err(Complaint::new(
            path.clone(),
            format!("`{path}` names {} servers", upstream.urls.len()),
            format!(
                "write `upstream = \"http://127.0.0.1:9000\"`, or a list of up to {SERVERS_MAX}"
            ),
        ));
    }
    for url in &upstream.urls {
        if let Some((what, hint)) = wrong(url) {
            return Err(Complaint::new(path.clone(), format!("`{path}` is `{url}`, {what}"), hint));
        }
    }
    let ranges = [
        ("connect_timeout_ms", upstream.connect_timeout_ms, 1, WAIT_MS_MAX),
        ("idle_timeout_ms", upstream.idle_timeout_ms, 1, WAIT_MS_MAX),
        ("websocket_idle_timeout_ms", upstream.websocket_idle_timeout_ms, 1, WAIT_MS_MAX),
        ("idle_connections_max", upstream.idle_connections_max.into(), 0, 10_000),
        ("eject_after", upstream.eject_after.into(), 0, 1_000_000),
        ("eject_ms", upstream.eject_ms, 1, WAIT_MS_MAX),
    ];
    for (key, value, min, max) in ranges {
        in_range(at(key), value, min, max)?;
    }
    check_tls(&at("tls"), upstream)?;
    upstream.health.as_ref().map_or(Ok(()), |checks| health::check(&at("health"), checks))
}

/// What is wrong with the table, without a look at the files.
fn check_tls(path: &KeyPath, upstream: &UpstreamConfig) -> Result<(), Complaint> {
    let UpstreamTlsConfig { certificate, key, .. } = &upstream.tls;
    let (what, hint) = if upstream.tls != UpstreamTlsConfig::default() && !upstream.speaks_tls() {
        ("is set, and no server is https", "write https:// in front of a server, or remove it")
    } else if certificate.is_some() != key.is_some() {
        (
            "has only one of `certificate` and `key`",
            "name two PEM files: `certificate = \"client.pem\"` and `key = \"client.key\"`",
        )
    } else {
        return Ok(());
    };
    Err(Complaint::new(path.clone(), format!("`{path}` {what}"), hint))
}

/// What is wrong with a server's address, and what to write instead.
fn wrong(url: &str) -> Option<(&'static str, &'static str)> {
    let uri = url.parse::<Uri>().ok();
    let is_http = |uri: &Uri| matches!(uri.scheme_str(), Some("http" | "https"));
    let uri = uri.filter(|uri| is_http(uri) && uri.host() != Some(""));
    let Some(authority) = uri.as_ref().and_then(Uri::authority) else {
        let hint = "write \"http://HOST:PORT\" or \"https://HOST:PORT\"";
        return Some(("which is not a server's address", hint));
    };
    if authority.as_str().contains('@') {
        return Some(("and has a name or a password", "let a filter set `authorization` instead"));
    }
    let path = uri.as_ref().map(|uri| (uri.path(), uri.query()));
    if path != Some(("/", None)) || url.ends_with('/') || url.contains('#') {
        let hint = "write \"http://HOST:PORT\" alone: the path is that of the request, or what a filter makes of it";
        return Some(("which has more than a host and a port", hint));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::{Config, RouteConfig};
    use super::*;

    fn parse(upstream: &str) -> Result<RouteConfig, String> {
        let text = format!("[[routes]]\npath = \"/x\"\nupstream = {upstream}\n");
        let mut config = Config::parse(&text, "t").map_err(|error| error.render())?;
        Ok(config.routes.remove(0))
    }

    #[test]
    fn servers_are_one_or_several_or_a_table() {
        let of = |urls: &[&str]| UpstreamConfig {
            urls: urls.iter().map(|url| (*url).to_owned()).collect(),
            ..UpstreamConfig::default()
        };
        let one = of(&["http://127.0.0.1:9000"]);
        assert_eq!(parse("\"http://127.0.0.1:9000\"").unwrap().upstream, Some(one.clone()));
        let two = of(&["http://a", "http://[::1]:80"]);
        assert_eq!(parse("[\"http://a\", \"http://[::1]:80\"]").unwrap().upstream, Some(two));
        let table = "{ urls = \"http://127.0.0.1:9000\", connect_timeout_ms = 1, idle_timeout_ms = 2, idle_connections_max = 0 }";
        let wanted = UpstreamConfig {
            connect_timeout_ms: 1,
            idle_timeout_ms: 2,
            idle_connections_max: 0,
            ..one
        };
        assert_eq!(parse(table).unwrap().upstream, Some(wanted));
    }

    #[test]
    fn each_mistake_in_an_upstream_is_named() {
        for (upstream, message) in [
            ("\"127.0.0.1:9000\"", "not a server's address"),
            ("\"ftp://a\"", "not a server's address"),
            ("\"http://\"", "not a server's address"),
            ("\"https://\"", "not a server's address"),
            ("{ urls = \"http://a\", tls = { ca = \"ca.pem\" } }", "no server is https"),
            ("{ urls = \"https://a\", tls = { key = \"a.key\" } }", "has only one of"),
            ("{ urls = \"https://a\", tls = { certificate = \"a.pem\" } }", "has only one of"),
            ("{ urls = \"https://a\", tls = { cert = \"a.pem\" } }", "unknown"),
            ("\"http://a:b@c\"", "a password"),
            ("\"http://a/b\"", "more than a host"),
            ("\"http://a/\"", "more than a host"),
            ("\"http://a?b\"", "more than a host"),
            ("[]", "names 0 servers"),
            ("{}", "names 0 servers"),
            ("7", "a table with `urls`"),
            ("{ url = \"http://a\" }", "did you mean `urls`?"),
            (
                "{ urls = [\"http://a\"], idle_timeout_ms = 0 }",
                "`routes[0].upstream.idle_timeout_ms` is 0",
            ),
            ("{ urls = [\"http://a\"], eject_ms = 0 }", "`routes[0].upstream.eject_ms` is 0"),
            (
                "{ urls = \"http://a\", health = { path = \"x\" } }",
                "`routes[0].upstream.health.path` is `x`",
            ),
            (
                "{ urls = \"http://a\", health = { interval_ms = 1 } }",
                "`routes[0].upstream.health.interval_ms` is 1",
            ),
            ("{ urls = \"http://a\", health = { interval = 1 } }", "`interval_ms`?"),
        ] {
            let refused = parse(upstream).unwrap_err();
            assert!(refused.contains("error: t:3:") && refused.contains(message), "{refused}");
        }
    }
}
