// SPDX-License-Identifier: BSD-3-Clause
//! Limits of a run.

use std::fmt;

/// Marks of secrets. A name may contain none of them, because it appears in every report.
const SECRET_MARKS: [&str; 7] =
    ["secret", "token", "password", "private", "credential", "key=", "raw_secret"];

/// Maximum length of a name, in characters.
const NAME_CHARS_MAX: usize = 64;

/// The limits of a run. Every field has bounds, which [`validate`](Self::validate) enforces.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// Name of the adapter under test, for reports.
    pub name: String,
    /// Number of the runtime that the flows belong to. Stored as `trace_enabled` is; without effect
    /// in the lab.
    pub runtime_id: u64,
    /// Flows that may be open at once: 1 to 64.
    pub max_flows: u32,
    /// Bytes that may be in flight between source and sink: 1 to 8 MiB.
    pub max_buffered_bytes: u64,
    /// Length of a chunk in bytes: 1 to 256 KiB, and at most `max_buffered_bytes`.
    pub max_chunk_bytes: u64,
    /// Events after which a run is aborted: 1 to 2¹⁸.
    pub max_events: u32,
    /// Whether events are kept. Stored in profiles, replays and generated modules; without effect
    /// in the lab.
    pub trace_enabled: bool,
    /// The seed of everything.
    pub deterministic_seed: u64,
}

const FLOWS_MAX: u64 = 64;
const BUFFERED_BYTES_MAX: u64 = 8 << 20;
const CHUNK_BYTES_MAX: u64 = 256 << 10;
const EVENTS_MAX: u64 = 1 << 18;

impl Default for Config {
    fn default() -> Self {
        Self {
            name: "local-adapter".into(),
            runtime_id: 1,
            max_flows: 16,
            max_buffered_bytes: 512 << 10,
            max_chunk_bytes: 64 << 10,
            max_events: 4096,
            trace_enabled: true,
            deterministic_seed: 1,
        }
    }
}

/// An invalid configuration. Its messages never repeat a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The name is empty.
    #[error("the name is empty")]
    EmptyName,
    /// The name is too long.
    #[error("the name has more than {NAME_CHARS_MAX} characters")]
    LongName,
    /// The name contains a mark of a secret.
    #[error("the name looks like a secret, and would get into every report")]
    SecretName,
    /// A number is out of bounds.
    #[error("{field} is {value}, and must be from 1 to {max}")]
    OutOfBounds {
        /// The field.
        field: &'static str,
        /// Its value.
        value: u64,
        /// The upper bound.
        max: u64,
    },
    /// A chunk may be longer than the whole buffer.
    #[error("max_chunk_bytes is {chunk}, more than max_buffered_bytes, which is {buffered}")]
    ChunkBeyondBuffer {
        /// `max_chunk_bytes`.
        chunk: u64,
        /// `max_buffered_bytes`.
        buffered: u64,
    },
}

impl Config {
    /// Checks all bounds.
    ///
    /// # Errors
    ///
    /// The first bound that is violated.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.name.is_empty() {
            return Err(ConfigError::EmptyName);
        }
        if self.name.chars().count() > NAME_CHARS_MAX {
            return Err(ConfigError::LongName);
        }
        if is_secret(&self.name) {
            return Err(ConfigError::SecretName);
        }
        let bounded = [
            ("max_flows", self.max_flows.into(), FLOWS_MAX),
            ("max_buffered_bytes", self.max_buffered_bytes, BUFFERED_BYTES_MAX),
            ("max_chunk_bytes", self.max_chunk_bytes, CHUNK_BYTES_MAX),
            ("max_events", self.max_events.into(), EVENTS_MAX),
        ];
        for (field, value, max) in bounded {
            if value == 0 || value > max {
                return Err(ConfigError::OutOfBounds { field, value, max });
            }
        }
        let (chunk, buffered) = (self.max_chunk_bytes, self.max_buffered_bytes);
        if chunk > buffered {
            return Err(ConfigError::ChunkBeyondBuffer { chunk, buffered });
        }
        Ok(())
    }
}

/// Whether a text contains a mark of a secret, ignoring case.
#[must_use]
pub fn is_secret(text: &str) -> bool {
    let text = text.to_lowercase();
    SECRET_MARKS.iter().any(|mark| text.contains(mark))
}

/// Hides a name that looks like a secret.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = if is_secret(&self.name) { "(hidden)" } else { &self.name };
        f.debug_struct("Config")
            .field("name", &name)
            .field("runtime_id", &self.runtime_id)
            .field("max_flows", &self.max_flows)
            .field("max_buffered_bytes", &self.max_buffered_bytes)
            .field("max_chunk_bytes", &self.max_chunk_bytes)
            .field("max_events", &self.max_events)
            .field("trace_enabled", &self.trace_enabled)
            .field("deterministic_seed", &self.deterministic_seed)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Config {
        Config { name: name.into(), ..Config::default() }
    }

    #[test]
    fn every_bound_is_enforced() {
        assert_eq!(Config::default().validate(), Ok(()));
        type Set = fn(&mut Config, u64);
        let set: [(&str, u64, Set); 4] = [
            ("max_flows", 64, |config, value| config.max_flows = value as u32),
            ("max_buffered_bytes", 8 << 20, |config, value| config.max_buffered_bytes = value),
            ("max_chunk_bytes", 256 << 10, |config, value| config.max_chunk_bytes = value),
            ("max_events", 1 << 18, |config, value| config.max_events = value as u32),
        ];
        for (field, max, set) in set {
            for value in [0, 1, max, max + 1] {
                let mut config = Config { max_chunk_bytes: 1, ..Config::default() };
                set(&mut config, value);
                let is_in = value >= 1 && value <= max;
                let expected = Err(ConfigError::OutOfBounds { field, value, max });
                assert_eq!(config.validate(), if is_in { Ok(()) } else { expected }, "{value}");
            }
        }
        let config = Config { max_buffered_bytes: 100, max_chunk_bytes: 101, ..Config::default() };
        let beyond = ConfigError::ChunkBeyondBuffer { chunk: 101, buffered: 100 };
        assert_eq!(config.validate(), Err(beyond));
    }

    #[test]
    fn names_are_neither_empty_nor_secrets_and_secrets_are_never_repeated() {
        assert_eq!(named("").validate(), Err(ConfigError::EmptyName));
        assert_eq!(named(&"n".repeat(64)).validate(), Ok(()));
        assert_eq!(named(&"n".repeat(65)).validate(), Err(ConfigError::LongName));
        for mark in SECRET_MARKS {
            let name = format!("my-{}-71af", mark.to_uppercase());
            let config = named(&name);
            let said = config.validate().map_err(|error| error.to_string());
            let shown = format!("{said:?} {config:?}");
            assert_eq!(config.validate(), Err(ConfigError::SecretName));
            assert!(!shown.contains("71af") && shown.contains("(hidden)"), "{shown}");
        }
    }
}
