// SPDX-License-Identifier: BSD-3-Clause
//! The kinds of channels, and their options.

use std::time::Duration;

/// The largest capacity of a bounded channel, in values.
pub(crate) const CAPACITY_MAX: usize = 1 << 20;

/// The kind of a channel. All that open a channel name the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A send completes when a receiver took the value. Nothing is stored.
    Rendezvous,
    /// Holds up to `capacity` values, exactly: 1 to 2^20.
    Bounded {
        /// The capacity in values. A value that was received and not acknowledged counts.
        capacity: usize,
    },
    /// Holds the latest value. A value that a receiver has leased while it is replaced is received
    /// too; values are received in the order in which they were sent.
    Conflated,
    /// Holds any number of values. Bounded by bytes only.
    Unlimited {
        /// What all unlimited channels of this limit and namespace hold together, in bytes on the
        /// server: values, subjects and headers. The server reserves that much.
        bytes_max: u64,
    },
}

impl Kind {
    /// The token of its subjects.
    pub(crate) fn token(self) -> String {
        match self {
            Self::Rendezvous => "r".into(),
            Self::Bounded { capacity } => format!("b{capacity}"),
            Self::Conflated => "c".into(),
            Self::Unlimited { bytes_max } => format!("u{bytes_max}"),
        }
    }

    /// The kind of a token.
    pub(crate) fn from_token(token: &str) -> Option<Self> {
        let (kind, number) = (token.get(..1)?, token.get(1..)?);
        match (kind, number) {
            ("r", "") => Some(Self::Rendezvous),
            ("c", "") => Some(Self::Conflated),
            ("b", _) => Some(Self::Bounded { capacity: number.parse().ok()? }),
            ("u", _) => Some(Self::Unlimited { bytes_max: number.parse().ok()? }),
            _ => None,
        }
    }

    /// Whether a send may find no room in its stream.
    pub(crate) const fn may_be_full(self) -> bool {
        matches!(self, Self::Bounded { .. } | Self::Unlimited { .. })
    }
}

/// Where the server stores values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Storage {
    /// In files: values survive the end of the server. By default servers write to disk every two
    /// minutes, so that a loss of power can lose acknowledged values: the server's setting
    /// `sync_interval: always` prevents that, at the price of a write to disk for each value.
    #[default]
    File,
    /// In memory: values end with the server.
    Memory,
}

/// The options of a channel.
#[derive(Debug, Clone)]
pub struct Options {
    pub(crate) namespace: String,
    pub(crate) ack_wait: Duration,
    pub(crate) window: usize,
    pub(crate) in_flight_max: usize,
    pub(crate) storage: Storage,
    pub(crate) replicas: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            namespace: "becket".into(),
            ack_wait: Duration::from_secs(30),
            window: 0,
            in_flight_max: 256,
            storage: Storage::File,
            replicas: 1,
        }
    }
}

impl Options {
    /// The prefix of all subjects and streams; the default is `becket`. Channels of the same name in
    /// two namespaces are two channels. Letters, digits, `-` and `_`, at most 32.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// How long a message may stay unacknowledged before the server delivers it again; the default
    /// is 30 s. The channel's first opening decides it. Less than a second is taken as a second.
    #[must_use]
    pub fn ack_wait(mut self, ack_wait: Duration) -> Self {
        self.ack_wait = ack_wait.max(Duration::from_secs(1));
        self
    }

    /// The number of values that a receiver may request before a receive waits for them; the default
    /// is none. Such values are held for this receiver: another gets them when this one requeues them,
    /// or after `ack_wait`. At most 4096.
    #[must_use]
    pub fn window(mut self, window: usize) -> Self {
        self.window = window.min(4096);
        self
    }

    /// The number of sends of this handle that may wait for the server's answer; the default is 256.
    /// Others wait for those. Zero is taken as one.
    #[must_use]
    pub fn in_flight_max(mut self, in_flight_max: usize) -> Self {
        self.in_flight_max = in_flight_max.clamp(1, 65_536);
        self
    }

    /// Where values are stored; the default is in files. The first opening of a channel of this kind
    /// and limit decides it for all of them.
    #[must_use]
    pub fn storage(mut self, storage: Storage) -> Self {
        self.storage = storage;
        self
    }

    /// The number of servers that store the channel, 1 (the default) or 3. With three, what was
    /// acknowledged outlives any one of them, and the channel goes on without it. All that open a
    /// channel name the same. Of a rendezvous, which stores nothing, only its close is replicated.
    ///
    /// It needs a cluster of at least three servers with JetStream, and costs two raft groups: one for
    /// all channels of the kind and limit, and one for each channel, of which about 2000 are advised.
    #[must_use]
    pub fn replicas(mut self, replicas: usize) -> Self {
        self.replicas = replicas;
        self
    }
}
