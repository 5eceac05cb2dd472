// SPDX-License-Identifier: BSD-3-Clause
//! Payload or secrets in what an adapter says about itself. Its flows are as they should be.

use std::fmt::Write as _;

use super::deviation::{Carries, Deviation, Healthy, ingress};
use super::{Saboteur, Shows, Witness};
use crate::contract::{AdapterError, Chunk, Context, Manifest};
use crate::source::Source;
use crate::target::Behaviour;

const PLAIN: Witness = Witness::new(Source::SmallBurst, Behaviour::Echo);

pub(super) const ALL: &[Saboteur] = &[
    Saboteur::ingress(
        "local_adapter_payload_trace_leak",
        "its summary has the last payload in it, in hexadecimal",
        |limits| ingress(limits, Tells::with(hex)),
        PLAIN,
    )
    .breaks(&["HYG-01"])
    .shows(Shows::InTexts),
    Saboteur::ingress(
        "local_adapter_secret_trace_leak",
        "its summary has the token by which it says who it is",
        |limits| ingress(limits, Secret),
        PLAIN,
    )
    .breaks(&["HYG-05"])
    .shows(Shows::InTexts),
    Saboteur::ingress(
        "local_adapter_leaks_payload_in_base64",
        "its summary has the last payload in it, in base64",
        |limits| ingress(limits, Tells::with(base64)),
        PLAIN,
    )
    .breaks(&["HYG-01"])
    .shows(Shows::InTexts),
    Saboteur::ingress(
        "local_adapter_leaks_payload_with_percent_signs",
        "its summary has the last payload in it, as an address on the web would",
        |limits| ingress(limits, Tells::with(percent)),
        PLAIN,
    )
    .breaks(&["HYG-01"])
    .shows(Shows::InTexts),
    Saboteur::ingress(
        "local_adapter_leaks_payload_reversed",
        "its summary has the last payload in it, backwards and in hexadecimal",
        |limits| ingress(limits, Tells::with(reversed)),
        PLAIN,
    )
    .breaks(&["HYG-01"])
    .shows(Shows::InTexts),
    Saboteur::ingress(
        "local_adapter_leaks_eight_bytes_of_payload",
        "its summary has eight bytes from the middle of the last payload in it",
        |limits| ingress(limits, Tells::with(piece)),
        PLAIN,
    )
    .breaks(&["HYG-01"])
    .shows(Shows::InTexts),
    Saboteur::ingress(
        "local_adapter_leaks_payload_as_a_list",
        "its summary has the last payload in it, as a list of numbers",
        |limits| ingress(limits, Tells::with(|bytes| format!("{bytes:?}"))),
        PLAIN,
    )
    .breaks(&["HYG-01"])
    .shows(Shows::InTexts),
    Saboteur::ingress(
        "local_adapter_leaks_payload_in_errors",
        "its errors repeat the bytes that it refused",
        |limits| ingress(limits, Repeats),
        Witness::new(Source::Malformed, Behaviour::Echo),
    )
    .breaks(&["HYG-02"])
    .shows(Shows::InTexts)
    .spares(PLAIN),
    Saboteur::ingress(
        "local_adapter_leaks_payload_in_its_name",
        "its manifest has the last payload in its name",
        |limits| ingress(limits, Named(Tells::with(hex))),
        PLAIN,
    )
    .breaks(&["HYG-03"])
    .shows(Shows::InTexts),
];

struct Named(Tells);

impl Deviation for Named {
    fn take(
        &mut self,
        it: Healthy<'_>,
        cx: &mut Context<'_>,
        chunk: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, AdapterError> {
        self.0.take(it, cx, chunk, bytes)
    }

    fn manifest(&self, it: &dyn Carries) -> Manifest {
        let manifest = it.manifest();
        let name = format!("{} {}", manifest.name, (self.0.write)(&self.0.last));
        Manifest { name, ..manifest }
    }
}

/// What it took last, and how it writes that.
struct Tells {
    last: Vec<u8>,
    write: fn(&[u8]) -> String,
}

impl Tells {
    fn with(write: fn(&[u8]) -> String) -> Self {
        Self { last: Vec::new(), write }
    }
}

impl Deviation for Tells {
    fn take(
        &mut self,
        it: Healthy<'_>,
        cx: &mut Context<'_>,
        chunk: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, AdapterError> {
        if !bytes.is_empty() {
            self.last = bytes.to_vec();
        }
        it.take(cx, chunk, bytes)
    }

    fn summary(&self, it: &dyn Carries) -> String {
        format!("{}, last {}", it.summary(), (self.write)(&self.last))
    }
}

struct Secret;

impl Deviation for Secret {
    fn summary(&self, it: &dyn Carries) -> String {
        format!("{}, token=5d41402abc4b2a76b9719d911017c592", it.summary())
    }
}

struct Repeats;

impl Deviation for Repeats {
    fn take(
        &mut self,
        it: Healthy<'_>,
        cx: &mut Context<'_>,
        chunk: &Chunk,
        bytes: &[u8],
    ) -> Result<usize, AdapterError> {
        it.take(cx, chunk, bytes).map_err(|error| AdapterError::Failed {
            flow: chunk.flow,
            what: format!("{error}: {}", hex(bytes)),
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A string takes everything.
        let _taken = write!(text, "{byte:02x}");
        text
    })
}

fn percent(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // A string takes everything.
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
        assert_eq!(piece(&(0..32).collect::<Vec<_>>()), "1011121314151617");
    }
}
