// SPDX-License-Identifier: BSD-3-Clause
//! Whether a text contains payload or secrets.
//!
//! A *canary* is a string of random bytes that is placed where secrets are: in payload, in the
//! configuration, in keys. No text may contain it in any encoding, nor any eight bytes of it; and none
//! may contain eight consecutive bytes of what a flow carries.
//!
//! Flows carry many bytes, each a function of seed, flow and offset; texts are short. So each text
//! is decoded in every way in which bytes can be written, see `decode`, and every eight consecutive
//! decoded bytes are looked up:
//!
//! ```text
//!   canary ─────────────────────────────────────────► its windows of 8 bytes ──┐
//!   every byte of every flow ──► windows ──► filter ──► those that may be in ──┴─► sought
//!                                              ▲        one of the texts             │
//!   texts ──decode──► windows of 8 bytes ──────┴─────────────────────────────► looked up: a leak
//! ```
//!
//! # Invariants
//!
//! 1. A leak is found whatever surrounds it, also with white space between the bytes.
//! 2. The report of a leak contains the canary's name, the encoding and the position: no byte of
//!    it.
//! 3. A match is hardly ever a coincidence: payload is random, so a million windows of text and a
//!    million of payload have one in common once in 10⁷ runs.

mod decode;
mod filter;

use std::collections::{BTreeSet, HashSet};
use std::fmt;

use strum::IntoStaticStr;

use self::decode::{Masked, masked_windows, of_bytes, windows};
use self::filter::Filter;
use crate::config::is_secret;
use crate::pattern::Pattern;
use crate::trace::Stage;

/// Length of a window, in bytes: the shortest part of a canary that is detected.
pub const PIECE_BYTES: usize = 8;

/// Minimum number of known bytes of a window whose other bytes are not text and were replaced.
const TEXT_BYTES_MIN: usize = 5;

/// Random bytes that no text may contain.
#[derive(Clone, PartialEq, Eq)]
pub struct Canary {
    /// What it stands for, in findings.
    pub name: &'static str,
    /// The bytes: at least eight.
    pub bytes: Vec<u8>,
}

/// Does not show the bytes.
impl fmt::Debug for Canary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, bytes) = (self.name, self.bytes.len());
        f.debug_struct("Canary").field("name", &name).field("bytes", &bytes).finish()
    }
}

/// How a leak was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Encoding {
    /// Byte for byte.
    Raw,
    /// The last byte first.
    Reversed,
    /// Two digits a byte, also with white space, commas, colons or dashes between them; or a list of
    /// such numbers, as slices are shown.
    Hex,
    /// RFC 4648, with either alphabet, at any alignment.
    Base64,
    /// As in a URL.
    Percent,
    /// Two bytes for each byte.
    #[strum(serialize = "utf-16")]
    Utf16,
    /// A list of numbers, as slices are shown.
    Decimal,
    /// With backslashes, as byte strings are shown.
    Escaped,
}

impl Encoding {
    /// Name in findings.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A text with a leak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leak {
    /// The canary.
    pub name: &'static str,
    /// Its encoding.
    pub encoding: Encoding,
    /// Its approximate position in the text: white space and the extra length of escapes may be
    /// left out.
    pub at: usize,
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TextKind {
    /// [`Adapter::summary`](crate::contract::Adapter::summary).
    Summary,
    /// An error of an adapter, as it is shown.
    Error,
    /// What `Debug` shows of an adapter.
    Debug,
    /// Something that the lab writes: events, logs, reports.
    Report,
}

/// A text that is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    /// What it is.
    pub kind: TextKind,
    /// Its origin: an adapter, or the lab ([`Stage::Network`]).
    pub place: Stage,
    /// The text.
    pub text: &'a str,
}

impl Text<'_> {
    /// Whether it contains a mark of a secret.
    #[must_use]
    pub fn has_secret_mark(&self) -> bool {
        is_secret(self.text)
    }
}

/// The bytes that one flow carries in one direction: the first `bytes` bytes of a pattern.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Carried {
    pub(crate) pattern: Pattern,
    pub(crate) bytes: u64,
}

/// Name of payload in findings.
const PAYLOAD: &str = "payload";
/// Size of a filter, as the binary logarithm of its number of bits: for the windows of texts, which
/// are many, and for the sought windows.
const SHOWN_BITS: u32 = 18;
const SOUGHT_BITS: u32 = 16;
/// Maximum number of different masked windows of the texts that are compared: five known bytes
/// match by chance more often than eight.
const MASKED_MAX: usize = 1024;

/// Searches texts for canaries and for payload.
pub struct Search {
    canaries: Vec<(u64, &'static str)>,
    /// Windows of the canaries, and windows of payload that the texts may contain, each with its
    /// name. Sorted.
    sought: Vec<(u64, &'static str)>,
    /// The windows in `sought`.
    filter: Filter,
    /// Masked windows of the texts whose known bytes are payload.
    masked: HashSet<Masked>,
}

/// Does not show what is sought.
impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search").field("windows", &self.sought.len()).finish()
    }
}

impl Search {
    /// A search for these canaries. A canary shorter than a window is ignored.
    #[must_use]
    pub fn new(canaries: &[Canary]) -> Self {
        let windows = canaries.iter().flat_map(|canary| {
            let windows = canary.bytes.array_windows();
            windows.map(|window| (u64::from_le_bytes(*window), canary.name))
        });
        Self::of(windows.collect(), &[], HashSet::new())
    }

    fn of(canaries: Vec<(u64, &'static str)>, payload: &[u64], masked: HashSet<Masked>) -> Self {
        let mut sought = canaries.clone();
        sought.extend(payload.iter().map(|window| (*window, PAYLOAD)));
        sought.sort_unstable();
        let mut filter = Filter::new(SOUGHT_BITS);
        for (window, _) in &sought {
            filter.add(*window);
        }
        Self { canaries, sought, filter, masked }
    }

    /// Also searches for everything that these flows carry. Payload is found only in these texts;
    /// other texts are searched only for canaries.
    #[must_use]
    pub(crate) fn and_carried<'a>(
        self,
        texts: impl Iterator<Item = &'a str>,
        flows: impl Iterator<Item = Carried>,
    ) -> Self {
        let mut shown = Filter::new(SHOWN_BITS);
        let mut shown_masked = HashSet::new();
        for text in texts {
            windows(text.as_bytes(), &mut |window, _, _| shown.add(window));
            masked_windows(text.as_bytes(), &mut |masked, _| {
                if shown_masked.len() < MASKED_MAX {
                    shown_masked.insert(masked);
                }
            });
        }
        if shown_masked.is_empty() && shown.is_empty() {
            return self;
        }
        // At most as many as there are masks with five to seven known bytes of eight.
        let masks: BTreeSet<u64> = shown_masked.iter().map(|(mask, _)| *mask).collect();
        let mut may_be_masked = Filter::new(SHOWN_BITS);
        for (mask, known) in &shown_masked {
            may_be_masked.add(mask ^ known);
        }
        let (mut payload, mut masked) = (Vec::new(), HashSet::new());
        for Carried { pattern, bytes } in flows {
            pattern.windows(bytes, |window| {
                if shown.may_have(window) {
                    payload.push(window);
                }
                for mask in &masks {
                    let one = (*mask, window & mask);
                    if may_be_masked.may_have(one.0 ^ one.1) && shown_masked.contains(&one) {
                        masked.insert(one);
                    }
                }
            });
        }
        Self::of(self.canaries, &payload, masked)
    }

    /// The first leak of a text; if there is none, of the same text without its white space.
    #[must_use]
    pub fn find(&self, text: &[u8]) -> Option<Leak> {
        let is_space = u8::is_ascii_whitespace;
        self.find_in(text).or_else(|| {
            let dense: Vec<u8> = text.iter().copied().filter(|byte| !is_space(byte)).collect();
            (dense.len() < text.len()).then(|| self.find_in(&dense)).flatten()
        })
    }

    fn find_in(&self, text: &[u8]) -> Option<Leak> {
        let mut leak = None::<Leak>;
        if self.sought.is_empty() && self.masked.is_empty() {
            return leak;
        }
        // Only the first leak counts: later positions are skipped.
        let mut look = |encoding, at, name: &dyn Fn() -> Option<&'static str>| {
            if leak.is_none_or(|leak| at < leak.at)
                && let Some(name) = name()
            {
                leak = Some(Leak { name, encoding, at });
            }
        };
        let mut each = |window, encoding, at| {
            if self.filter.may_have(window) {
                look(encoding, at, &|| self.name_of(window));
            }
        };
        windows(text, &mut each);
        if text.is_ascii() {
            of_bytes(text, Encoding::Raw, &mut each);
        }
        masked_windows(text, &mut |masked, at| {
            look(Encoding::Raw, at, &|| self.name_of_masked(masked));
        });
        leak
    }

    fn name_of(&self, window: u64) -> Option<&'static str> {
        let at = self.sought.binary_search_by_key(&window, |(sought, _)| *sought).ok()?;
        self.sought.get(at).map(|(_, name)| *name)
    }

    fn name_of_masked(&self, (mask, known): Masked) -> Option<&'static str> {
        let is_it = |(window, _): &&(u64, &str)| window & mask == known;
        let canary = self.canaries.iter().find(is_it).map(|(_, name)| *name);
        canary.or_else(|| self.masked.contains(&(mask, known)).then_some(PAYLOAD))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::choice::Random;
    use crate::contract::FlowId;
    use crate::pattern::Direction;

    fn canary() -> Canary {
        let mut random = Random::new(7);
        let mut bytes: Vec<_> = (0..16).map(|_| random.below(256) as u8).collect();
        (bytes[3], bytes[9]) = (0, b'\n');
        Canary { name: "key", bytes }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn found(text: &[u8]) -> Option<Encoding> {
        let leak = Search::new(&[canary()]).find(text)?;
        assert_eq!(leak.name, "key");
        Some(leak.encoding)
    }

    /// RFC 4648, another way than above.
    fn encoded(bytes: &[u8]) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::new();
        for group in bytes.chunks(3) {
            let all = group.iter().fold(0_u32, |all, byte| all << 8 | u32::from(*byte));
            let all = all << (8 * (3 - group.len()));
            for at in 0..=group.len() {
                text.push(char::from(ALPHABET[(all >> (18 - 6 * at)) as usize & 63]));
            }
        }
        text
    }

    #[test]
    fn every_disguise_is_seen_through_at_every_place() {
        let canary = canary().bytes;
        for from in 0..=8 {
            let piece = &canary[from..from + 8];
            let back: Vec<_> = piece.iter().rev().copied().collect();
            let wide = |order: [usize; 2]| -> Vec<u8> {
                let wide = piece.iter().flat_map(|byte| [*byte, 0]);
                let wide: Vec<u8> = wide.collect();
                wide.chunks(2).flat_map(|two| order.map(|at| two[at])).collect()
            };
            let digits = |between: &str, byte: fn(&u8) -> String| {
                piece.iter().map(byte).collect::<Vec<_>>().join(between).into_bytes()
            };
            let plain = |byte: &u8| byte.is_ascii_alphanumeric().then(|| char::from(*byte).into());
            let url = |escaped: fn(&u8) -> String| {
                let text = piece.iter().map(|byte| plain(byte).unwrap_or_else(|| escaped(byte)));
                text.collect::<String>().into_bytes()
            };
            let texts: [(Encoding, Vec<u8>); 27] = [
                (Encoding::Hex, digits(":", |byte| format!("{byte:02x}"))),
                (Encoding::Hex, digits(":", |byte| format!("{byte:02X}"))),
                (Encoding::Hex, digits("-", |byte| format!("{byte:02x}"))),
                (Encoding::Hex, digits("-", |byte| format!("{byte:02X}"))),
                (Encoding::Hex, digits(" ", |byte| format!("{byte:02X}"))),
                (Encoding::Hex, format!("{piece:02X?}").into_bytes()),
                (Encoding::Hex, format!("{piece:#04X?}").into_bytes()),
                (Encoding::Hex, format!("{piece:x?}").into_bytes()),
                (Encoding::Hex, format!("{piece:#X?}").into_bytes()),
                (Encoding::Reversed, hex(&back).to_uppercase().into_bytes()),
                (Encoding::Percent, url(|byte| format!("%{byte:02X}"))),
                (Encoding::Percent, url(|byte| format!("%{byte:02x}"))),
                (Encoding::Raw, piece.to_vec()),
                (Encoding::Reversed, back.clone()),
                (Encoding::Reversed, hex(&back).into_bytes()),
                (Encoding::Hex, hex(piece).into_bytes()),
                (Encoding::Hex, hex(piece).to_uppercase().into_bytes()),
                (Encoding::Hex, format!("{piece:02x?}").into_bytes()),
                (Encoding::Hex, format!("{piece:#04x?}").into_bytes()),
                (Encoding::Decimal, format!("{piece:?}").into_bytes()),
                (Encoding::Decimal, format!("{piece:#?}").into_bytes()),
                (Encoding::Escaped, format!("{:?}", Bytes::copy_from_slice(piece)).into_bytes()),
                (Encoding::Escaped, piece.escape_ascii().to_string().into_bytes()),
                (Encoding::Utf16, wide([0, 1])),
                (Encoding::Utf16, wide([1, 0])),
                (Encoding::Base64, encoded(piece).into_bytes()),
                (
                    Encoding::Percent,
                    piece.iter().flat_map(|byte| format!("%{byte:02x}").into_bytes()).collect(),
                ),
            ];
            for (encoding, text) in texts {
                for around in ["", "x", "<<12,"] {
                    let text = [around.as_bytes(), &text, around.as_bytes()].concat();
                    assert_eq!(found(&text), Some(encoding), "{from} {:?}", text.escape_ascii());
                }
            }
        }
    }

    #[test]
    fn bytes_that_became_characters_are_seen() {
        let canary = canary().bytes;
        let characters = |bytes: &[u8]| bytes.iter().map(|byte| char::from(*byte)).collect();
        let one: String = characters(&canary[3..11]);
        assert_eq!(found(format!("é {one} é").as_bytes()), Some(Encoding::Raw));
        let two: String = one.chars().flat_map(|one| [one, '\0']).collect();
        assert_eq!(found(two.as_bytes()), Some(Encoding::Utf16));
        // As far as it is text.
        let bytes = b"pass\xffword\xfe\xfd, and on".to_vec();
        let search = Search::new(&[Canary { name: "key", bytes: bytes.clone() }]);
        let text = format!("last {}", String::from_utf8_lossy(&bytes[2..]));
        assert_eq!(search.find(text.as_bytes()).map(|leak| leak.encoding), Some(Encoding::Raw));
        let other = String::from_utf8_lossy(&[0xff; 40]).into_owned();
        assert_eq!(search.find(other.as_bytes()), None);
    }

    #[test]
    fn base64_is_seen_at_every_alignment() {
        let canary = canary().bytes;
        for before in 0..5 {
            for after in 0..4 {
                let bytes = [&vec![0x5a; before][..], &canary, &vec![0xa5; after]].concat();
                let text = encoded(&bytes);
                assert_eq!(found(text.as_bytes()), Some(Encoding::Base64), "{text}");
                let url = text.replace('+', "-").replace('/', "_");
                assert_eq!(found(url.as_bytes()), Some(Encoding::Base64), "{url}");
            }
        }
    }

    #[test]
    fn seven_bytes_and_other_bytes_are_no_leak() {
        let canary = canary().bytes;
        for from in 0..=9 {
            let piece = &canary[from..from + 7];
            assert_eq!(found(piece), None);
            assert_eq!(found(hex(piece).as_bytes()), None);
            assert_eq!(found(format!("{piece:?}").as_bytes()), None);
        }
        let other: Vec<_> = canary.iter().map(|byte| byte ^ 1).collect();
        assert_eq!(found(&other), None);
        assert_eq!(found(hex(&other).as_bytes()), None);
        assert_eq!(found(b""), None);
        assert!(
            Search::new(&[Canary { name: "short", bytes: vec![1; 7] }]).find(&[1; 9]).is_none()
        );
    }

    #[test]
    fn of_a_long_canary_fifteen_bytes_are_found_anywhere() {
        let mut random = Random::new(9);
        let bytes: Vec<_> = (0..5000).map(|_| random.below(256) as u8).collect();
        let search = Search::new(&[Canary { name: "payload", bytes: bytes.clone() }]);
        for at in (0..bytes.len() - 15).step_by(97) {
            let text = hex(&bytes[at..at + 15]);
            assert!(search.find(text.as_bytes()).is_some(), "{at}");
        }
        assert_eq!(search.find(&bytes).map(|leak| leak.at), Some(0));
    }

    /// Also where no canary is sought and nothing else of the text is payload.
    #[test]
    fn masked_payload_is_found_without_canaries() {
        const BYTES: u64 = 40;
        let is_found = |seed: u64| {
            let pattern = Pattern::new(seed, FlowId::new(1), Direction::Request);
            let mut bytes = vec![0; BYTES as usize];
            pattern.fill(0, &mut bytes);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let carried = Carried { pattern, bytes: BYTES };
            let search =
                Search::new(&[]).and_carried([text.as_str()].into_iter(), [carried].into_iter());
            search.find(text.as_bytes()).is_some_and(|leak| leak.name == PAYLOAD)
        };
        // Of few eight in a row of 40 are five known.
        let missed = (0..100).filter(|seed| !is_found(*seed)).count();
        assert!(missed < 10, "{missed}");
    }

    #[test]
    fn nothing_of_a_canary_is_shown() {
        let canaries = [canary()];
        let shown = format!("{canaries:?} {:?}", Search::new(&canaries));
        assert_eq!(found(shown.as_bytes()), None, "{shown}");
        assert!(shown.contains("bytes: 16"), "{shown}");
    }
}
