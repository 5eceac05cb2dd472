// SPDX-License-Identifier: BSD-3-Clause
//! `listen`: where requests are taken.
//!
//! One listener is a text, or a table with the text as `at` and what is set for it alone. `listen` is one of them, or a
//! list.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor, value::MapAccessDeserializer};

use super::check::Complaint;
use super::locate::KeyPath;

/// How many listeners there may be.
const LISTENERS_MAX: usize = 64;

/// The mode of a socket's file, where none is set: its user alone.
const MODE: u32 = 0o600;

/// The longest path of a socket: the kernel has 108 bytes, including the terminating zero.
const PATH_BYTES_MAX: usize = 107;

/// The message of a text that is no listener, which `ConfigError` rewords.
pub(super) const NO_LISTENER: &str = "invalid listener syntax";

/// What serde says that it expected, which `ConfigError` rewords.
pub(super) const EXPECTED: &str = "listener";

/// What a listener may be.
pub(super) const FORMS: &str = "for example \"127.0.0.1:8080\" (names are not looked up), \
                                \"unix:/run/becket/http.sock\", \"systemd\" or \"systemd:NAME\"";

/// One listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenConfig {
    /// Where it listens.
    pub at: ListenAt,
    /// The mode of the socket's file; `None`: 0600. For a Unix socket.
    pub mode: Option<u32>,
    /// Whether it has the TLS of `[tls]`; `None`: if there is a `[tls]`, and for TCP alone.
    pub tls: Option<bool>,
}

/// Where a listener is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ListenAt {
    /// An address; port 0 lets the system choose.
    Tcp(SocketAddr),
    /// A Unix socket.
    Unix(PathBuf),
    /// Sockets that the service manager has opened (`LISTEN_FDS`): those of this name, or those that no other
    /// listener names.
    Systemd(Option<String>),
}

impl ListenConfig {
    /// The mode of the socket's file.
    pub(crate) fn mode(&self) -> u32 {
        self.mode.unwrap_or(MODE)
    }
}

impl From<ListenAt> for ListenConfig {
    fn from(at: ListenAt) -> Self {
        Self { at, mode: None, tls: None }
    }
}

impl From<SocketAddr> for ListenConfig {
    fn from(addr: SocketAddr) -> Self {
        ListenAt::Tcp(addr).into()
    }
}

impl fmt::Display for ListenAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(addr) => addr.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
            Self::Systemd(None) => f.write_str("systemd"),
            Self::Systemd(Some(name)) => write!(f, "systemd:{name}"),
        }
    }
}

impl FromStr for ListenAt {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            _ if text == "systemd" => Ok(Self::Systemd(None)),
            Some(("systemd", name)) if !name.is_empty() => Ok(Self::Systemd(Some(name.to_owned()))),
            Some(("unix", path)) if !path.is_empty() => Ok(Self::Unix(path.into())),
            _ => text.parse().map(Self::Tcp).map_err(
                |_| "write an address such as 127.0.0.1:8080, unix:PATH, systemd or systemd:NAME",
            ),
        }
    }
}

/// A listener with settings of its own.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    at: Text,
    mode: Option<u32>,
    tls: Option<bool>,
}

/// A listener as a text.
struct Text(ListenAt);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Self).map_err(|_| D::Error::custom(NO_LISTENER))
    }
}

impl<'de> Deserialize<'de> for ListenConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut listeners = deserializer.deserialize_any(Listeners { may_be_list: false })?;
        listeners.pop().ok_or_else(|| D::Error::custom(NO_LISTENER))
    }
}

/// One listener, or a list.
pub(super) fn listeners<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<ListenConfig>, D::Error> {
    d.deserialize_any(Listeners { may_be_list: true })
}

struct Listeners {
    may_be_list: bool,
}

impl<'de> Visitor<'de> for Listeners {
    type Value = Vec<ListenConfig>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(EXPECTED)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        let at: ListenAt = text.parse().map_err(|_| E::custom(NO_LISTENER))?;
        Ok(vec![at.into()])
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        let Table { at: Text(at), mode, tls } =
            Table::deserialize(MapAccessDeserializer::new(map))?;
        Ok(vec![ListenConfig { at, mode, tls }])
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        if !self.may_be_list {
            return Err(A::Error::custom(NO_LISTENER));
        }
        let mut listeners = Vec::new();
        while let Some(listener) = seq.next_element()? {
            listeners.push(listener);
        }
        Ok(listeners)
    }
}

/// Makes relative paths relative to `base`.
pub(super) fn resolve_paths(listeners: &mut [ListenConfig], base: &Path) {
    for listener in listeners {
        if let ListenAt::Unix(path) = &mut listener.at {
            *path = base.join(&*path);
        }
    }
}

pub(super) fn check(listeners: &[ListenConfig], has_tls: bool) -> Result<(), Complaint> {
    let root = || KeyPath::default().key("listen");
    if listeners.is_empty() || listeners.len() > LISTENERS_MAX {
        return Err(Complaint::new(
            root(),
            format!("`listen` has {} listeners", listeners.len()),
            format!("write 1 to {LISTENERS_MAX}, {FORMS}"),
        ));
    }
    let mut taken = HashMap::new();
    for (index, listener) in listeners.iter().enumerate() {
        let path = || root().index(index);
        let at = &listener.at;
        let may_repeat = matches!(at, ListenAt::Tcp(addr) if addr.port() == 0);
        if let Some(other) = taken.insert(at, index).filter(|_| !may_repeat) {
            return Err(Complaint::new(
                path(),
                format!("`listen[{other}]` and `listen[{index}]` are both {at}"),
                "remove one of them",
            ));
        }
        if let ListenAt::Unix(path_of_socket) = at {
            check_path(path(), path_of_socket)?;
        }
        match (listener.mode, at) {
            (Some(mode), ListenAt::Unix(_)) if mode > 0o777 => {
                return Err(Complaint::new(
                    path().key("mode"),
                    format!("`mode` of {at} is 0o{mode:o}"),
                    "write it in octal, from 0o000 to 0o777: `mode = 0o660`",
                ));
            }
            (Some(_), ListenAt::Tcp(_) | ListenAt::Systemd(_)) => {
                return Err(Complaint::new(
                    path().key("mode"),
                    format!("{at} has a `mode`"),
                    "remove it; the service manager sets that of its sockets (`SocketMode=`)",
                )
                .because("only the file of a Unix socket that the gateway makes has one"));
            }
            _ => {}
        }
        match (listener.tls, at) {
            (Some(true), ListenAt::Unix(_)) => {
                return Err(Complaint::new(
                    path().key("tls"),
                    format!("{at} has `tls = true`"),
                    "remove `tls`",
                )
                .because("a Unix socket has no TLS: what it carries stays on this machine"));
            }
            (Some(true), _) if !has_tls => {
                return Err(Complaint::new(
                    path().key("tls"),
                    format!("{at} has `tls = true`, and there is no [tls]"),
                    "name a certificate and its key in [tls]",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

fn check_path(key: KeyPath, path: &Path) -> Result<(), Complaint> {
    let bytes = path.as_os_str().as_encoded_bytes();
    let complaint = |what: String, hint: &str| Err(Complaint::new(key, what, hint));
    if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"@")) {
        let hint = "write a path: an abstract socket has no mode, and every user could connect";
        return complaint(format!("unix:{} is no path", path.display()), hint);
    }
    if path.file_name().is_none() || bytes.ends_with(b"/") {
        let hint = "write the path of the socket, such as \"unix:/run/becket/http.sock\"";
        return complaint(format!("unix:{} is no name of a file", path.display()), hint);
    }
    if bytes.len() > PATH_BYTES_MAX {
        let what = format!("the path unix:{} has {} bytes", path.display(), bytes.len());
        return complaint(what, "shorten it to 107 bytes, the most that a socket may have");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use super::super::testing::refused;
    use super::*;

    fn listen(text: &str) -> Vec<ListenConfig> {
        Config::parse(&format!("listen = {text}"), "/etc/becket.toml").unwrap().listen
    }

    #[test]
    fn one_or_several_as_text_or_table() {
        let tcp = ListenConfig::from(SocketAddr::from(([127, 0, 0, 1], 80)));
        assert_eq!(listen("\"127.0.0.1:80\""), std::slice::from_ref(&tcp));
        assert_eq!(listen("[\"127.0.0.1:80\"]"), std::slice::from_ref(&tcp));
        assert_eq!(listen("{ at = \"127.0.0.1:80\" }"), std::slice::from_ref(&tcp));
        let several = listen(
            "[\"127.0.0.1:80\", { at = \"unix:a.sock\", mode = 0o660, tls = false }, \"systemd\", \"systemd:b\"]",
        );
        let unix = ListenConfig {
            at: ListenAt::Unix("/etc/a.sock".into()),
            mode: Some(0o660),
            tls: Some(false),
        };
        let named = ListenAt::Systemd(Some("b".into())).into();
        assert_eq!(several, [tcp, unix, ListenAt::Systemd(None).into(), named]);
        for at in ["127.0.0.1:80", "[::1]:80", "unix:/a", "systemd", "systemd:b"] {
            assert_eq!(at.parse::<ListenAt>().unwrap().to_string(), at);
        }
    }

    #[test]
    fn each_mistake_is_shown_where_it_stands() {
        let long = format!("unix:/{}", "a".repeat(107));
        for (text, column, message) in [
            ("[]", 10, "`listen` has 0 listeners"),
            ("[\"127.0.0.1:1\", \"127.0.0.1\"]", 26, "expected an address and a port"),
            ("[\"127.0.0.1:1\", 3]", 26, "expected an address and a port, not integer `3`"),
            ("[[\"127.0.0.1:1\"]]", 11, "expected an address and a port"),
            ("[\"unix:a\", \"unix:a\"]", 21, "`listen[0]` and `listen[1]` are both unix:a"),
            ("[\"systemd\", \"systemd\"]", 22, "are both systemd"),
            ("\"unix:\"", 10, "expected an address and a port"),
            ("\"unix:@a\"", 10, "unix:@a is no path"),
            ("\"unix:a/\"", 10, "unix:a/ is no name of a file"),
            (&format!("\"{long}\""), 10, "has 108 bytes"),
            ("{ at = \"unix:a\", mode = 660 }", 34, "`mode` of unix:a is 0o1224"),
            ("{ at = \"127.0.0.1:1\", mode = 0o600 }", 39, "127.0.0.1:1 has a `mode`"),
            ("[\"systemd\", { at = \"systemd:a\", mode = 0o600 }]", 49, "systemd:a has a `mode`"),
            ("{ at = \"unix:a\", tls = true }", 33, "unix:a has `tls = true`"),
            ("{ at = \"127.0.0.1:1\", tls = true }", 38, "and there is no [tls]"),
            ("{ at = \"127.0.0.1:1\", mod = 0 }", 32, "did you mean `mode`?"),
        ] {
            let error = refused(&format!("listen = {text}\n"));
            assert!(error.contains(message) && error.contains("\nhint: "), "{text}: {error}");
            assert!(error.starts_with(&format!("error: t:1:{column}: ")), "{text}: {error}");
        }
        let twice = "listen = [\"127.0.0.1:1\", \"127.0.0.1:9900\"]\n";
        assert!(refused(twice).contains("`listen[1]` and `admin.listen` are both 127.0.0.1:9900"));
        assert_eq!(listen("[\"127.0.0.1:0\", \"127.0.0.1:0\"]").len(), 2);
    }
}
