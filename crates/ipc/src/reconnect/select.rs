// SPDX-License-Identifier: BSD-3-Clause
//! Channels of reconnecting handles in a select.
//!
//! ```text
//!   with a connection       want ──► the inbox of its stream       ahead ──► its outbox
//!   without one             want, ahead ──► a gate: empty, closed when that changes
//! ```
//!
//! A select commits where it waits, at a local channel, and that channel belongs to one connection. So
//! the select is made again for each connection, of another `want` or `ahead`. Until it commits,
//! nothing has been received and nothing handed over: making it again loses and repeats nothing.

use std::sync::Arc;

use crate::client::state::Over;
use crate::connection::Ended;

/// Why a select found the channel of a reconnecting handle closed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum WhyClosed {
    /// A connection was made, or there are elements of an earlier one: the select is to be made
    /// again.
    Changed,
    /// The channel itself is closed.
    Closed {
        /// The reason given when it was closed, if any.
        reason: Option<Arc<str>>,
    },
    /// The connection ended while the select waited, or there will be no further one. Nothing was
    /// received or handed over.
    Ended(Ended),
}

impl WhyClosed {
    /// Of a stream, whose local channel was found closed.
    pub(super) fn of(over: Option<Over>) -> Self {
        match over {
            Some(Over::Ended(ended)) => Self::Ended(ended),
            Some(Over::Closed(reason)) => Self::Closed { reason },
            Some(Over::Reset { why, .. }) => Self::Closed { reason: Some(why) },
            None => Self::Closed { reason: None },
        }
    }
}
