// SPDX-License-Identifier: BSD-3-Clause
//! `[admin]`: the admin listener.

use std::net::SocketAddr;

use serde::Deserialize;

use super::cluster::Secret;
use super::locate::KeyPath;

/// The admin listener: metrics, health, the page.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AdminConfig {
    /// Whether there is one.
    pub enabled: bool,
    /// Where it listens; port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Whether `listen` may be reachable from other machines. What it shows has no password.
    pub allow_remote: bool,
    /// Names by which it is asked for, beside `localhost` and addresses.
    pub hosts: Vec<String>,
    /// Where the token is that actions need; `None`: there are no actions.
    pub token: Option<Secret>,
}

impl Default for AdminConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            listen: SocketAddr::from(([127, 0, 0, 1], 9900)),
            allow_remote: false,
            hosts: Vec::new(),
            token: None,
        }
    }
}

/// Where the admin token is.
pub(crate) fn token_key() -> KeyPath {
    KeyPath::default().key("admin").key("token")
}
