// SPDX-License-Identifier: BSD-3-Clause
//! Subjects, streams and consumers; escaped text.

use crate::error::OpenError;
use crate::options::{CAPACITY_MAX, Kind};

/// The longest name of a channel, in bytes.
const NAME_BYTES_MAX: usize = 128;
/// The longest namespace, in bytes.
const NAMESPACE_BYTES_MAX: usize = 32;

/// Where a channel is on the server.
#[derive(Debug)]
pub(crate) struct Names {
    /// The stream of the gate and, unless the channel is a rendezvous, of the values.
    pub(crate) stream: String,
    /// The subjects of that stream.
    pub(crate) stream_subjects: Vec<String>,
    /// The values; of a rendezvous, the offers.
    pub(crate) data: String,
    /// Empty while the channel is open.
    pub(crate) gate: String,
    /// Notes for waiting senders.
    pub(crate) room: String,
    /// Notes of senders that wait for a receiver of a rendezvous.
    pub(crate) call: String,
    /// The stream with the kinds of all channels.
    pub(crate) registry: String,
    pub(crate) registry_subjects: Vec<String>,
    /// The record of the kind.
    pub(crate) record: String,
}

impl Names {
    pub(crate) fn new(namespace: &str, name: &str, kind: Kind) -> Result<Self, OpenError> {
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
        let token = kind.token();
        let registry = format!("{namespace}-channels");
        let registry_subjects =
            vec![format!("{namespace}.channel.*"), format!("{namespace}.r.g.*")];
        let (stream, stream_subjects) = match kind {
            Kind::Rendezvous => (registry.clone(), registry_subjects.clone()),
            _ => (
                format!("{namespace}-{token}"),
                vec![format!("{namespace}.{token}.d.*"), format!("{namespace}.{token}.g.*")],
            ),
        };
        Ok(Self {
            stream,
            stream_subjects,
            data: format!("{namespace}.{token}.d.{name}"),
            gate: format!("{namespace}.{token}.g.{name}"),
            room: format!("{namespace}.{token}.room.{name}"),
            call: format!("{namespace}.{token}.call.{name}"),
            registry,
            registry_subjects,
            record: format!("{namespace}.channel.{name}"),
        })
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

    use super::*;

    #[test]
    fn a_name_is_one_token_of_a_subject() {
        let of = |name: &str| Names::new("ns", name, Kind::Conflated);
        assert_eq!(of("jobs-1_A").unwrap().data, "ns.c.d.jobs-1_A");
        for bad in ["", "a.b", "a*", ">", "a b", "a\n", "ä", &"a".repeat(129)] {
            assert!(matches!(of(bad), Err(OpenError::BadName(_))), "{bad:?}");
        }
        assert!(Names::new("a.b", "jobs", Kind::Conflated).is_err());
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
            let names = Names::new("ns", "jobs", Kind::Bounded { capacity });
            assert!(matches!(names, Err(OpenError::BadCapacity(_))), "{capacity}");
        }
    }
}
