// SPDX-License-Identifier: BSD-3-Clause
//! Access control: which users and groups may connect.

use super::super::peer::Peer;

/// The users and groups that may connect. A match in either list suffices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    uids: Vec<u32>,
    gids: Vec<u32>,
}

impl Access {
    /// No user and no group.
    #[must_use]
    pub const fn none() -> Self {
        Self { uids: Vec::new(), gids: Vec::new() }
    }

    /// The effective user of this process.
    #[must_use]
    pub fn own_user() -> Self {
        Self::none().user(Peer::own().uid)
    }

    /// Adds a user.
    #[must_use]
    pub fn user(mut self, uid: u32) -> Self {
        self.uids.push(uid);
        self
    }

    /// Adds an effective group.
    #[must_use]
    pub fn group(mut self, gid: u32) -> Self {
        self.gids.push(gid);
        self
    }

    /// Whether a peer may connect.
    #[must_use]
    pub fn admits(&self, peer: &Peer) -> bool {
        self.uids.contains(&peer.uid) || self.gids.contains(&peer.gid)
    }
}

impl Default for Access {
    /// The effective user of this process.
    fn default() -> Self {
        Self::own_user()
    }
}
