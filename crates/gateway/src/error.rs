// SPDX-License-Identifier: BSD-3-Clause
//! Why a gateway did not start, or did not take another configuration.

use std::io;
use std::net::SocketAddr;

use becket_host::{CallError, LoadError, ReloadError};

use crate::config::{ConfigError, suggestion};
use crate::listen::ListenError;

/// Why a gateway did not start, or kept what it had.
///
/// `Display` says what failed with which value; [`Self::cause`] why, [`Self::hint`] what to try.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GatewayError {
    /// The configuration contradicts itself.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// An address cannot be listened on.
    #[error("cannot listen on {addr} for {purpose}")]
    Bind {
        /// The address.
        addr: SocketAddr,
        /// `requests` or `the admin page`.
        purpose: &'static str,
        /// The system's error.
        #[source]
        source: io::Error,
    },
    /// A Unix socket, or one that the service manager passes, cannot be listened at.
    #[error("cannot listen on {listener} for requests")]
    Listen {
        /// The listener, as the configuration has it.
        listener: String,
        /// Why.
        #[source]
        source: ListenError,
    },
    /// A plugin was not loaded.
    #[error("plugin `{plugin}` was not loaded: {source}")]
    Load {
        /// Its name in the configuration.
        plugin: String,
        /// What the host says.
        #[source]
        source: Box<LoadError>,
    },
    /// A plugin was not loaded again as another configuration wants it; the one before goes on.
    #[error("plugin `{plugin}` was not replaced: {source}")]
    Replace {
        /// Its name in the configuration.
        plugin: String,
        /// What the host says.
        #[source]
        source: Box<ReloadError>,
    },
    /// `linked` names a plugin that is not in this binary.
    #[error("plugin `{plugin}` is linked to `{linked}`, which is not in this binary")]
    NotLinked {
        /// Its name in the configuration.
        plugin: String,
        /// The value of `linked`.
        linked: String,
        /// What is in this binary.
        known: Vec<String>,
    },
    /// A plugin is to run in a process of its own, which this program does not offer.
    #[error("plugin `{plugin}` cannot run in a process of its own here")]
    NoProcesses {
        /// Its name in the configuration.
        plugin: String,
    },
    /// A plugin is on other machines, and this program is on no cluster.
    #[error("plugin `{plugin}` cannot be called on other machines here")]
    NoCluster {
        /// Its name in the configuration.
        plugin: String,
    },
    /// A route leads to an entry that its plugin does not have.
    #[error("`routes[{index}]` leads to entry `{entry}`, which plugin `{plugin}` does not have")]
    NoSuchEntry {
        /// The route's place in the configuration.
        index: usize,
        /// The plugin.
        plugin: String,
        /// The entry.
        entry: String,
        /// What the host says.
        #[source]
        source: Box<CallError>,
    },
    /// A route has a filter that its plugin does not have.
    #[error("`routes[{index}]` has the filter `{entry}`, which plugin `{plugin}` does not have")]
    NoSuchFilter {
        /// The route's place in the configuration.
        index: usize,
        /// The plugin.
        plugin: String,
        /// The entry that is to be a filter.
        entry: String,
        /// What the host says.
        #[source]
        source: Box<CallError>,
    },
    /// A filter is not unary.
    #[error("`routes[{index}]` has the filter `{entry}` of plugin `{plugin}`, which is not unary")]
    FilterKind {
        /// The route's place in the configuration.
        index: usize,
        /// The plugin.
        plugin: String,
        /// The entry that is to be a filter.
        entry: String,
    },
    /// Changes of the plugins' files cannot be watched.
    #[error("cannot watch the plugins' files")]
    Watch(#[source] notify::Error),
}

impl GatewayError {
    /// Why it failed, where that is known.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.cause().map(str::to_owned),
            Self::Bind { source, .. } => Some(source.to_string()),
            Self::Listen { source, .. } => Some(source.to_string()),
            Self::Load { source, .. } => source.cause(),
            Self::Replace { source, .. } => source.cause(),
            Self::Watch(error) => Some(error.to_string()),
            Self::NoProcesses { .. } => {
                Some("this program was built without the placement `process`".to_owned())
            }
            Self::NoCluster { .. } => {
                Some("it has `placement = \"cluster\"`, and no server is named".to_owned())
            }
            Self::FilterKind { .. } => {
                Some("a filter gives one answer to each call of it".to_owned())
            }
            Self::NotLinked { .. } | Self::NoSuchEntry { .. } | Self::NoSuchFilter { .. } => None,
        }
    }

    /// What to try.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.hint().map(str::to_owned),
            Self::Bind { source, .. } => Some(match source.kind() {
                io::ErrorKind::AddrInUse => "another process has this port; stop it, or choose \
                     another by `--listen`, `--admin` or the configuration"
                    .to_owned(),
                io::ErrorKind::PermissionDenied => "choose a port above 1023".to_owned(),
                _ => "choose an address of this machine, such as 127.0.0.1:8080".to_owned(),
            }),
            Self::Listen { source, .. } => Some(source.hint()),
            Self::Load { source, .. } => source.hint(),
            Self::Replace { source, .. } => source.hint(),
            Self::NotLinked { linked, known, .. } => {
                let known: Vec<&str> = known.iter().map(String::as_str).collect();
                Some(suggestion(linked, &known))
            }
            Self::NoSuchEntry { source, entry, .. } | Self::NoSuchFilter { source, entry, .. } => {
                match &**source {
                    CallError::UnknownEntry(unknown) => {
                        let known: Vec<&str> = unknown.known.iter().map(String::as_str).collect();
                        Some(suggestion(entry, &known))
                    }
                    other => other.hint(),
                }
            }
            Self::NoProcesses { .. } => {
                Some("remove `placement`, or use a whole build of `becket`".to_owned())
            }
            Self::NoCluster { .. } => Some(
                "name one at the start: `--cluster nats://HOST:4222`, or `url` in [cluster]"
                    .to_owned(),
            ),
            Self::FilterKind { .. } => Some(
                "name a unary entry: `becket plugin inspect` lists a plugin's entries".to_owned(),
            ),
            Self::Watch(_) => Some("set `watch = false`, and reload by SIGHUP".to_owned()),
        }
    }
}
