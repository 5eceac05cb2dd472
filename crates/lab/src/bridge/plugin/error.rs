// SPDX-License-Identifier: BSD-3-Clause
//! Why a plugin cannot carry flows.

use becket_host::LoadError;

use crate::bridge::Failure;

/// Why a plugin cannot carry flows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PluginError {
    /// It cannot be loaded.
    #[error(transparent)]
    Load(Box<LoadError>),
    /// It has no such entry, or does not list it.
    #[error("the plugin has no entry {entry}")]
    NoEntry {
        /// The requested entry.
        entry: String,
        /// The entries that it has.
        known: Vec<String>,
    },
    /// The output differed from the input.
    #[error("the entry {entry} does not give back what it is given")]
    NoEcho {
        /// The entry.
        entry: String,
        /// The failure.
        why: Failure,
    },
}

impl PluginError {
    /// The cause, beyond what `Display` gives.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::Load(error) => error.cause(),
            Self::NoEntry { .. } => None,
            Self::NoEcho { why, .. } => Some(why.to_string()),
        }
    }

    /// What to try, if there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Load(error) => return error.hint(),
            Self::NoEntry { known, .. } if known.is_empty() => {
                "it describes no entries: name one that it has, as in PATH#ENTRY".to_owned()
            }
            Self::NoEntry { known, .. } => format!("it has: {}", known.join(", ")),
            Self::NoEcho { .. } => "name a unary entry that answers with its payload, or a \
                                    bidirectional one that sends back each message, as in PATH#ENTRY"
                .to_owned(),
        })
    }
}
