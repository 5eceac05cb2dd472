// SPDX-License-Identifier: BSD-3-Clause
//! Payload or secrets in the texts of an adapter. Its flows are correct.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::defect::{Carries, Defect, Done, FlowCall, Took, ingress};
use super::{Mutant, Shows, Witness};
use crate::contract::{AdapterError, Chunk, Descriptor, FlowId, Manifest, Secret};
use crate::source::Source;
use crate::target::Behaviour;

const PLAIN: Witness = Witness::new(Source::SmallBurst, Behaviour::Echo);

pub(super) const ALL: &[Mutant] = &[
    Mutant::ingress(
        "payload_trace_leak",
        "its summary has the last payload in it, in hexadecimal",
        |limits| ingress(limits, Tells::with(hex)),
        PLAIN,
    )
    .breaks(&["HYG-01"])
    .shows(Shows::InTexts),
    Mutant::ingress(
        "secret_trace_leak",
        "its summary contains the token by which it authenticates itself",
        |limits| ingress(limits, LeaksIdentity),
        PLAIN,
    )
    .breaks(&["HYG-05"])
    .shows(Shows::InTexts),
    Mutant::ingress(
        "leaks_payload_in_base64",
        "its summary has the last payload in it, in base64",
        |limits| ingress(limits, Tells::with(base64)),
        PLAIN,
    )
    .breaks(&["HYG-01"])
    .shows(Shows::InTexts),
    Mutant::ingress(
        "leaks_payload_with_percent_signs",
        "its summary has the last payload in it, as an address on the web would",
        |limits| ingress(limits, Tells::with(percent)),
        PLAIN,
    )
    .breaks(&["HYG-01"])
    .shows(Shows::InTexts),
    Mutant::ingress(
        "leaks_payload_reversed",
        "its summary has the last payload in it, backwards and in hexadecimal",
        |limits| ingress(limits, Tells::with(reversed)),
        PLAIN,
    )
    .breaks(&["HYG-01"])
    .shows(Shows::InTexts),
    Mutant::ingress(
        "leaks_eight_bytes_of_payload",
        "its summary has eight bytes from the middle of the last payload in it",
        |limits| ingress(limits, Tells::with(piece)),
        PLAIN,
    )
    .breaks(&["HYG-01"])
    .shows(Shows::InTexts),
    Mutant::ingress(
        "leaks_payload_as_a_list",
        "its summary has the last payload in it, as a list of numbers",
        |limits| ingress(limits, Tells::with(|bytes| format!("{bytes:?}"))),
        PLAIN,
    )
    .breaks(&["HYG-01"])
    .shows(Shows::InTexts),
    Mutant::ingress(
        "leaks_payload_in_errors",
        "its errors repeat the bytes that it refused",
        |limits| ingress(limits, Repeats),
        Witness::new(Source::Malformed, Behaviour::Echo),
    )
    .breaks(&["HYG-02"])
    .shows(Shows::InTexts)
    .spares(PLAIN),
    Mutant::ingress(
        "leaks_payload_in_its_name",
        "its manifest has the last payload in its name",
        |limits| ingress(limits, Named(Tells::with(hex))),
        PLAIN,
    )
    .breaks(&["HYG-03"])
    .shows(Shows::InTexts),
    Mutant::ingress(
        "leaks_keys_in_errors",
        "its errors repeat the key of the flow",
        |limits| ingress(limits, Keys::default()),
        Witness::new(Source::LateWrite, Behaviour::Echo),
    )
    .breaks(&["HYG-02"])
    .shows(Shows::InTexts)
    .spares(PLAIN),
    Mutant::ingress(
        "leaks_its_configuration",
        "its summary contains its authentication token, in base64",
        |limits| ingress(limits, Identity::default()),
        PLAIN,
    )
    .breaks(&["HYG-01"])
    .shows(Shows::InTexts),
    Mutant::ingress(
        "leaks_payload_as_it_is",
        "its summary has the last payload in it, byte for byte, as far as that is text",
        |limits| ingress(limits, Tells::with(|bytes| String::from_utf8_lossy(bytes).into())),
        PLAIN,
    )
    .breaks(&["HYG-01"])
    .shows(Shows::InTexts),
    Mutant::ingress(
        "leaks_payload_in_utf_16",
        "its summary has the last payload in it, two bytes a byte",
        |limits| ingress(limits, Tells::with(utf16)),
        PLAIN,
    )
    .breaks(&["HYG-01"])
    .shows(Shows::InTexts),
    Mutant::ingress(
        "leaks_payload_behind_its_start",
        "its summary has sixteen bytes in it that stand at offset 64 of a flow, in hexadecimal",
        |limits| ingress(limits, Later::new(0, hex)),
        Witness::new(Source::HalfClose, Behaviour::FixedResponse),
    )
    .breaks(&["HYG-01"])
    .shows(Shows::InTexts),
    Mutant::ingress(
        "leaks_payload_of_its_second_flow",
        "its summary has sixteen bytes in it that stand at offset 128 of the second flow, in base64",
        |limits| ingress(limits, Later::new(1, base64)),
        Witness::new(Source::ExactLimit, Behaviour::Discard).flows(2),
    )
    .breaks(&["HYG-01"])
    .shows(Shows::InTexts),
];

/// The keys of flows, by flow.
#[derive(Default)]
struct Keys(BTreeMap<FlowId, Secret>);

impl Defect for Keys {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        self.0.insert(on.flow, descriptor.key);
        on.open(descriptor)
    }

    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        on.take(chunk, bytes).map_err(|error| {
            let key = self.0.get(&chunk.flow).copied().unwrap_or_default();
            let what = format!("{error}, of {}", hex(key.bytes()));
            AdapterError::Failed { flow: chunk.flow, what }
        })
    }
}

/// The identity of the adapter, from the latest descriptor.
#[derive(Default)]
struct Identity(Secret);

impl Defect for Identity {
    fn open(&mut self, on: &mut FlowCall<'_, '_>, descriptor: &Descriptor) -> Done {
        self.0 = descriptor.identity;
        on.open(descriptor)
    }

    fn summary(&self, it: &dyn Carries) -> String {
        format!("{}, as {}", it.summary(), base64(self.0.bytes()))
    }
}

struct Named(Tells);

impl Defect for Named {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        self.0.take(on, chunk, bytes)
    }

    fn manifest(&self, it: &dyn Carries) -> Manifest {
        let manifest = it.manifest();
        let name = format!("{} {}", manifest.name, (self.0.write)(&self.0.last));
        Manifest { name, ..manifest }
    }
}

/// The latest bytes that it took, and how it encodes them.
struct Tells {
    last: Vec<u8>,
    write: fn(&[u8]) -> String,
}

impl Tells {
    fn with(write: fn(&[u8]) -> String) -> Self {
        Self { last: Vec::new(), write }
    }
}

impl Defect for Tells {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        if !bytes.is_empty() {
            self.last = bytes.to_vec();
        }
        on.take(chunk, bytes)
    }

    fn summary(&self, it: &dyn Carries) -> String {
        format!("{}, last {}", it.summary(), (self.write)(&self.last))
    }
}

/// Sixteen bytes of one flow, from beyond its first bytes.
struct Later {
    /// Flows whose bytes are not leaked. The first flow after these is the one that leaks.
    spared: Vec<FlowId>,
    spared_max: usize,
    leaked: Option<String>,
    write: fn(&[u8]) -> String,
}

impl Later {
    fn new(spared_max: usize, write: fn(&[u8]) -> String) -> Self {
        Self { spared: Vec::new(), spared_max, leaked: None, write }
    }
}

impl Defect for Later {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        const OFFSET: u64 = 64;
        if self.spared.len() < self.spared_max && !self.spared.contains(&chunk.flow) {
            self.spared.push(chunk.flow);
        }
        let at = (OFFSET << self.spared_max).checked_sub(chunk.offset);
        let later = at.and_then(|at| bytes.get(at as usize..)?.first_chunk::<16>());
        if let Some(later) = later.filter(|_| !self.spared.contains(&chunk.flow)) {
            self.leaked.get_or_insert_with(|| (self.write)(later));
        }
        on.take(chunk, bytes)
    }

    fn summary(&self, it: &dyn Carries) -> String {
        match &self.leaked {
            Some(leaked) => format!("{}, then {leaked}", it.summary()),
            None => it.summary(),
        }
    }
}

struct LeaksIdentity;

impl Defect for LeaksIdentity {
    fn summary(&self, it: &dyn Carries) -> String {
        format!("{}, token=5d41402abc4b2a76b9719d911017c592", it.summary())
    }
}

struct Repeats;

impl Defect for Repeats {
    fn take(&mut self, on: &mut FlowCall<'_, '_>, chunk: &Chunk, bytes: &[u8]) -> Took {
        on.take(chunk, bytes).map_err(|error| AdapterError::Failed {
            flow: chunk.flow,
            what: format!("{error}: {}", hex(bytes)),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _taken = write!(text, "{byte:02x}");
        text
    })
}

fn percent(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _taken = write!(text, "%{byte:02X}");
        text
    })
}

fn reversed(bytes: &[u8]) -> String {
    hex(&bytes.iter().rev().copied().collect::<Vec<_>>())
}

fn piece(bytes: &[u8]) -> String {
    let middle = bytes.len() / 2;
    hex(bytes.get(middle..).unwrap_or_default().first_chunk::<8>().unwrap_or(&[0; 8]))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let word = three.iter().fold(0, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - three.len()));
        for digit in 0..4 {
            let value = (word >> (18 - 6 * digit)) & 63;
            let known = DIGITS.get(value as usize).filter(|_| digit <= three.len());
            text.push(known.map_or('=', |digit| char::from(*digit)));
        }
    }
    text
}

fn utf16(bytes: &[u8]) -> String {
    bytes.iter().flat_map(|byte| [char::from(*byte), '\0']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_is_written_as_said() {
        let bytes = [0xfb, 0xff, 0x00, 0x41];
        assert_eq!(hex(&bytes), "fbff0041");
        assert_eq!(percent(&bytes), "%FB%FF%00%41");
        assert_eq!(reversed(&bytes), "4100fffb");
        assert_eq!(base64(b"any carnal pleasure."), "YW55IGNhcm5hbCBwbGVhc3VyZS4=");
        assert_eq!(base64(b"any carnal pleasure"), "YW55IGNhcm5hbCBwbGVhc3VyZQ==");
        assert_eq!(base64(&bytes), "+/8AQQ==");
        assert_eq!(utf16(b"ab"), "a\0b\0");
        assert_eq!(piece(&(0..32).collect::<Vec<_>>()), "1011121314151617");
    }
}
