// SPDX-License-Identifier: BSD-3-Clause
//! Subjects, streams and consumers; escaped text.

use std::borrow::Cow;

use crate::error::OpenError;
use crate::options::{CAPACITY_MAX, Kind};

/// The longest name of a channel, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// The longest namespace, in bytes.
const NAMESPACE_BYTES_MAX: usize = 32;
/// The number of patterns of a replicated gate is two to the power of this.
const GATE_TOKENS: usize = 16;

/// Where a channel is on the server.
#[derive(Debug)]
pub(crate) struct Names {
    /// The token of the subjects, and the record of the kind.
    pub(crate) token: String,
    /// The stream of the gate and, unless the channel is a rendezvous, of the values.
    pub(crate) stream: String,
    /// The subjects of that stream.
    pub(crate) stream_subjects: Vec<String>,
    /// The values; of a rendezvous, the offers.
    pub(crate) data: String,
    /// Empty while values are accepted.
    pub(crate) gate: String,
    /// Empty while values are accepted, and until all of them are stored. `None`: as the gate.
    pub(crate) end: Option<String>,
    /// Notes for waiting senders.
    pub(crate) room: String,
    /// Notes of senders that wait for a receiver of a rendezvous.
    pub(crate) call: String,
    /// The stream with the kinds of all channels.
    pub(crate) registry: String,
    pub(crate) registry_subjects: Vec<String>,
    /// The subject of the record of the kind.
    pub(crate) record: String,
}

impl Names {
    pub(crate) fn new(
        namespace: &str,
        name: &str,
        kind: Kind,
        replicas: usize,
    ) -> Result<Self, OpenError> {
        if !is_token(namespace, NAMESPACE_BYTES_MAX) {
            return Err(OpenError::BadName(shown(namespace)));
        }
        if !is_token(name, NAME_BYTES_MAX) {
            return Err(OpenError::BadName(shown(name)));
        }
        match kind {
            Kind::Bounded { capacity } if !(1..=CAPACITY_MAX).contains(&capacity) => {
                return Err(OpenError::BadCapacity(capacity));
            }
            Kind::Unlimited { bytes_max: 0 } => return Err(OpenError::BadCapacity(0)),
            _ => {}
        }
        if ![1, 3].contains(&replicas) {
            return Err(OpenError::BadReplicas(replicas));
        }
        // A rendezvous stores no values.
        let is_replicated = replicas > 1 && kind != Kind::Rendezvous;
        let mut token = kind.token();
        if is_replicated {
            token.push_str(&format!("-r{replicas}"));
        }
        let (gate, end) = if is_replicated {
            let zeros = ".0".repeat(GATE_TOKENS);
            let end = format!("{namespace}.{token}.e.{name}");
            (format!("{namespace}.{token}.g.{name}{zeros}"), Some(end))
        } else {
            (format!("{namespace}.{token}.g.{name}"), None)
        };
        let registry = format!("{namespace}-channels");
        let registry_subjects =
            vec![format!("{namespace}.channel.*"), format!("{namespace}.r.g.*")];
        let (stream, stream_subjects) = match kind {
            Kind::Rendezvous => (registry.clone(), registry_subjects.clone()),
            _ => (
                format!("{namespace}-{token}"),
                if is_replicated {
                    ["d.*", "g.>", "e.*"].map(|rest| format!("{namespace}.{token}.{rest}")).into()
                } else {
                    ["d.*", "g.*"].map(|rest| format!("{namespace}.{token}.{rest}")).into()
                },
            ),
        };
        Ok(Self {
            stream,
            stream_subjects,
            data: format!("{namespace}.{token}.d.{name}"),
            gate,
            end,
            room: format!("{namespace}.{token}.room.{name}"),
            call: format!("{namespace}.{token}.call.{name}"),
            registry,
            registry_subjects,
            record: format!("{namespace}.channel.{name}"),
            token,
        })
    }

    /// The subject that must be empty for a value to be accepted. Of a replicated channel one of many
    /// patterns that match the gate alone: a server refuses a message whose condition is, to the
    /// letter, that of one in process.
    pub(crate) fn condition(&self) -> Cow<'_, str> {
        match self.gate.len().checked_sub(2 * GATE_TOKENS).filter(|_| self.end.is_some()) {
            None => (&*self.gate).into(),
            Some(start) => {
                let mut pattern = self.gate.get(..start).unwrap_or_default().to_owned();
                let bits = fastrand::u32(..1 << GATE_TOKENS);
                for bit in 0..GATE_TOKENS {
                    pattern.push_str(if bits >> bit & 1 == 0 { ".0" } else { ".*" });
                }
                pattern.into()
            }
        }
    }
}

/// Whether the text may be one token of a subject, and the name of a consumer.
fn is_token(text: &str, bytes_max: usize) -> bool {
    (1..=bytes_max).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn shown(text: &str) -> String {
    text.chars().take(NAME_BYTES_MAX).collect()
}

/// Text with `%` and two digits for some bytes, as it was before. `None`: no such text.
pub(crate) fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| (digit as char).to_digit(16));
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_name_is_one_token_of_a_subject() {
        let of = |name: &str| Names::new("ns", name, Kind::Conflated, 1);
        assert_eq!(of("jobs-1_A").unwrap().data, "ns.c.d.jobs-1_A");
        for bad in ["", "a.b", "a*", ">", "a b", "a\n", "ä", &"a".repeat(129)] {
            assert!(matches!(of(bad), Err(OpenError::BadName(_))), "{bad:?}");
        }
        assert!(Names::new("a.b", "jobs", Kind::Conflated, 1).is_err());
    }

    #[test]
    fn text_that_was_not_escaped_is_none() {
        for text in ["%", "%4", "%zz", "%FF"] {
            assert_eq!(unescape(text), None, "{text}");
        }
    }

    #[test]
    fn a_capacity_is_in_range() {
        for capacity in [0, CAPACITY_MAX + 1] {
            let names = Names::new("ns", "jobs", Kind::Bounded { capacity }, 1);
            assert!(matches!(names, Err(OpenError::BadCapacity(_))), "{capacity}");
        }
    }

    #[test]
    fn there_are_one_or_three_replicas() {
        let of = |replicas| Names::new("ns", "jobs", Kind::Conflated, replicas);
        assert_ne!(of(1).unwrap().stream, of(3).unwrap().stream);
        for replicas in [0, 2, 4, 5] {
            assert_eq!(of(replicas).unwrap_err(), OpenError::BadReplicas(replicas));
        }
    }

    #[test]
    fn the_conditions_of_a_replicated_gate_differ_and_match_it() {
        let names = Names::new("ns", "jobs", Kind::Conflated, 3).unwrap();
        let patterns: HashSet<_> = (0..100).map(|_| names.condition().into_owned()).collect();
        assert!(patterns.len() > 90, "{}", patterns.len());
        for pattern in patterns {
            let (pattern, gate) = (pattern.split('.'), names.gate.split('.'));
            assert_eq!(pattern.clone().count(), gate.clone().count());
            assert!(pattern.zip(gate).all(|(token, of_gate)| token == "*" || token == of_gate));
        }
        let alone = Names::new("ns", "jobs", Kind::Conflated, 1).unwrap();
        assert_eq!(alone.condition(), alone.gate);
    }
}
