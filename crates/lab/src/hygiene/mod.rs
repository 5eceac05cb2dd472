// SPDX-License-Identifier: BSD-3-Clause
//! Whether a text contains payload or secrets.
//!
//! A *canary* is a string of random bytes that is placed where secrets are: in payload, in the
//! configuration, in keys. No text may contain it in any encoding, nor any eight bytes of it.
//!
//! ```text
//!   canary ──► its pieces of 8 bytes ──► each in every encoding ──► needles
//!   text   ──► one pass, by the first 8 bytes of a needle ──► the first leak
//! ```
//!
//! Payload is too much for needles: what flows carry is searched the other way round, see `carried`.
//!
//! # Invariants
//!
//! 1. A leak is found whatever surrounds it, also with white space between the bytes.
//! 2. The report of a leak contains the canary's name, the encoding and the position: no byte of
//!    it.

mod carried;
mod filter;

use std::fmt::{self, Write as _};

use bytes::Bytes;

pub(crate) use self::carried::Carried;
use self::carried::Found;
use self::filter::Filter;

use strum::IntoStaticStr;

use crate::config::is_secret;
use crate::trace::Stage;

/// A canary is looked for in pieces of so many bytes.
pub const PIECE_BYTES: usize = 8;
/// Of a canary that is longer, pieces behind this begin at each eighth byte only: fifteen bytes in a
/// row are found wherever they begin.
const DENSE_BYTES: usize = 256;

/// Of a piece that is shown as text so many bytes are looked for, if the others are no text.
const TEXT_BYTES_MIN: usize = 5;

/// Random bytes that no text may have in it.
#[derive(Clone, PartialEq, Eq)]
pub struct Canary {
    /// What it stands for, as findings have it.
    pub name: &'static str,
    /// The bytes, eight at least.
    pub bytes: Vec<u8>,
}

/// Its bytes are not shown.
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
    /// Two bytes a byte.
    #[strum(serialize = "utf-16")]
    Utf16,
    /// A list of numbers, as slices are shown.
    Decimal,
    /// With backslashes, as byte strings are shown.
    Escaped,
}

impl Encoding {
    /// As findings have it.
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
    /// Its position in the text; white space may not be counted.
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
    /// Whose it is; the network's is the lab's.
    pub place: Stage,
    /// The text.
    pub text: &'a str,
}

impl Text<'_> {
    /// Whether it has a mark of a secret in it.
    #[must_use]
    pub fn has_secret_mark(&self) -> bool {
        is_secret(self.text)
    }
}

#[derive(Debug)]
struct Needle {
    bytes: Vec<u8>,
    name: &'static str,
    encoding: Encoding,
}

/// Looks for canaries.
pub struct Search {
    /// Sorted by their bytes.
    needles: Vec<Needle>,
    /// The first eight bytes of each needle.
    starts: Filter,
    /// What flows carry, as far as it may be in the texts.
    found: Found,
}

/// Needles are not shown.
impl fmt::Debug for Search {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Search").field("needles", &self.needles.len()).finish()
    }
}

const FILTER_BITS: u32 = 16;

impl Search {
    /// For these canaries. One that is too short is not looked for.
    #[must_use]
    pub fn new(canaries: &[Canary]) -> Self {
        let mut needles = Vec::new();
        for canary in canaries {
            let pieces = canary.bytes.windows(PIECE_BYTES).enumerate();
            let pieces = pieces.filter(|(at, _)| *at < DENSE_BYTES || at % PIECE_BYTES == 0);
            for (_, piece) in pieces {
                let mut add = |encoding, bytes: Vec<u8>| {
                    needles.push(Needle { bytes, name: canary.name, encoding });
                };
                encodings(piece, &mut add);
            }
        }
        needles.sort_by(|one, other| one.bytes.cmp(&other.bytes));
        let mut starts = Filter::new(FILTER_BITS);
        for needle in &needles {
            starts.add(start(&needle.bytes));
        }
        Self { needles, starts, found: Found::default() }
    }

    /// And for everything that these flows carry, in these texts: others are searched for canaries alone.
    #[must_use]
    pub(crate) fn and_carried<'a>(
        self,
        texts: impl Iterator<Item = &'a str>,
        flows: impl Iterator<Item = Carried>,
    ) -> Self {
        Self { found: Found::new(texts, flows), ..self }
    }

    /// The first leak of a text. Where bytes became characters, each for itself, they are seen as
    /// bytes again.
    #[must_use]
    pub fn find(&self, text: &[u8]) -> Option<Leak> {
        let wide = || {
            let text = std::str::from_utf8(text).ok().filter(|text| !text.is_ascii())?;
            let bytes: Vec<u8> = text.chars().map(|it| u8::try_from(it).unwrap_or(b'?')).collect();
            self.find_spaced(&bytes)
        };
        let carried = || self.found.find(std::str::from_utf8(text).ok()?);
        self.find_spaced(text).or_else(wide).or_else(carried)
    }

    fn find_spaced(&self, text: &[u8]) -> Option<Leak> {
        let spaced = text.iter().any(u8::is_ascii_whitespace);
        let dense = || {
            let dense = text.iter().copied().filter(|byte| !byte.is_ascii_whitespace());
            self.find_in(&dense.collect::<Vec<u8>>())
        };
        self.find_in(text).or_else(|| spaced.then(dense).flatten())
    }

    fn find_in(&self, text: &[u8]) -> Option<Leak> {
        let mut last = 0_u64;
        text.iter().enumerate().find_map(|(at, byte)| {
            last = last << 8 | u64::from(*byte);
            let may_begin = self.starts.may_have(last);
            let begin = (at + 1).checked_sub(PIECE_BYTES).filter(|_| may_begin)?;
            let found = self.begins(last, text.get(begin..)?)?;
            Some(Leak { name: found.name, encoding: found.encoding, at: begin })
        })
    }

    /// A needle with which this text begins.
    fn begins(&self, first: u64, text: &[u8]) -> Option<&Needle> {
        let from = self.needles.partition_point(|needle| start(&needle.bytes) < first);
        let same = self.needles.get(from..)?.iter().take_while(|it| start(&it.bytes) == first);
        same.into_iter().find(|needle| text.starts_with(&needle.bytes))
    }
}

/// The first eight bytes, by which needles are ordered.
fn start(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
}

/// A piece in every encoding.
fn encodings(piece: &[u8], add: &mut impl FnMut(Encoding, Vec<u8>)) {
    let mut back = piece.to_vec();
    back.reverse();
    add(Encoding::Raw, piece.to_vec());
    // What is no text is replaced; if most of it is, it says nothing of the piece.
    if piece.iter().filter(|byte| byte.is_ascii()).count() >= TEXT_BYTES_MIN {
        add(Encoding::Raw, String::from_utf8_lossy(piece).into_owned().into_bytes());
    }
    add(Encoding::Reversed, back.clone());
    add(Encoding::Utf16, piece.iter().flat_map(|byte| [*byte, 0]).collect());
    add(Encoding::Utf16, piece.iter().flat_map(|byte| [0, *byte]).collect());
    for between in ["", ",", ":", "-", ",0x"] {
        add(Encoding::Hex, joined(piece, between, |text, byte| write!(text, "{byte:02X}")));
        add(Encoding::Hex, joined(piece, between, |text, byte| write!(text, "{byte:02x}")));
    }
    // A list leaves zeros out that are in front: `[a, 0, 1f]`.
    for between in [",", ",0x"] {
        add(Encoding::Hex, joined(piece, between, |text, byte| write!(text, "{byte:X}")));
        add(Encoding::Hex, joined(piece, between, |text, byte| write!(text, "{byte:x}")));
    }
    let hex = joined(&back, "", |text, byte| write!(text, "{byte:02x}"));
    add(Encoding::Reversed, hex.to_ascii_uppercase());
    add(Encoding::Reversed, hex);
    add(Encoding::Decimal, joined(piece, ",", |text, byte| write!(text, "{byte}")));
    for skipped_bits in [0, 4, 2] {
        add(Encoding::Base64, base64(piece, skipped_bits, *b"+/"));
        add(Encoding::Base64, base64(piece, skipped_bits, *b"-_"));
    }
    let all = joined(piece, "", |text, byte| write!(text, "%{byte:02X}"));
    add(Encoding::Percent, all.to_ascii_lowercase());
    add(Encoding::Percent, all);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    for is_upper in [true, false] {
        let some = joined(piece, "", |text, byte| match is_upper {
            _ if is_plain(byte) => write!(text, "{}", char::from(byte)),
            true => write!(text, "%{byte:02X}"),
            false => write!(text, "%{byte:02x}"),
        });
        add(Encoding::Percent, some);
    }
    add(Encoding::Escaped, piece.escape_ascii().to_string().into_bytes());
    let shown = format!("{:?}", Bytes::copy_from_slice(piece));
    let shown = shown.strip_prefix("b\"").and_then(|shown| shown.strip_suffix('"'));
    add(Encoding::Escaped, shown.unwrap_or_default().as_bytes().to_vec());
}

fn joined(
    bytes: &[u8],
    between: &str,
    mut each: impl FnMut(&mut String, u8) -> fmt::Result,
) -> Vec<u8> {
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 {
            text.push_str(between);
        }
        // A string takes everything.
        let _infallible = each(&mut text, *byte);
    }
    text.into_bytes()
}

/// The characters that these bytes decide, if so many bits of them are in the character before.
fn base64(bytes: &[u8], skipped_bits: usize, last_two: [u8; 2]) -> Vec<u8> {
    let bit = |at: usize| bytes.get(at / 8).map_or(0, |byte| byte >> (7 - at % 8) & 1);
    let character = |value: u8| match value {
        0..=25 => b'A' + value,
        26..=51 => b'a' + (value - 26),
        52..=61 => b'0' + (value - 52),
        62 => last_two[0],
        _ => last_two[1],
    };
    let count = (bytes.len() * 8 - skipped_bits) / 6;
    let starts = (0..count).map(|at| skipped_bits + 6 * at);
    starts.map(|at| character((at..at + 6).fold(0, |value, at| value << 1 | bit(at)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::Random;

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

    #[test]
    fn nothing_of_a_canary_is_shown() {
        let canaries = [canary()];
        let shown = format!("{canaries:?} {:?}", Search::new(&canaries));
        assert_eq!(found(shown.as_bytes()), None, "{shown}");
        assert!(shown.contains("bytes: 16"), "{shown}");
    }
}
