// SPDX-License-Identifier: BSD-3-Clause
//! Who may connect.

use super::super::peer::Peer;

/// The users and groups that may connect. One of both lists is enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    uids: Vec<u32>,
    gids: Vec<u32>,
}

impl Access {
    /// Nobody.
    #[must_use]
    pub const fn nobody() -> Self {
        Self { uids: Vec::new(), gids: Vec::new() }
    }

    /// The user that this process runs as.
    #[must_use]
    pub fn own_user() -> Self {
        Self::nobody().user(Peer::own().uid)
    }

    /// This user too.
    #[must_use]
    pub fn user(mut self, uid: u32) -> Self {
        self.uids.push(uid);
        self
    }

    /// Whoever has this effective group, too.
    #[must_use]
    pub fn group(mut self, gid: u32) -> Self {
        self.gids.push(gid);
        self
    }

    /// May this one connect?
    #[must_use]
    pub fn admits(&self, peer: &Peer) -> bool {
        self.uids.contains(&peer.uid) || self.gids.contains(&peer.gid)
    }
}

impl Default for Access {
    /// The user that this process runs as.
    fn default() -> Self {
        Self::own_user()
    }
}
