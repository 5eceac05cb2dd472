// SPDX-License-Identifier: BSD-3-Clause
//! Whether texts contain payload: any eight consecutive bytes of any flow, in any encoding.
//!
//! What flows carry is much, and known only to be a function of seed, flow and offset; what is said is
//! little. So the texts are decoded, in every way in which bytes can be written, and each eight bytes in
//! a row of what comes out are looked for in the payload.
//!
//! ```text
//!   texts ──decode──► windows of 8 bytes ──► filter ◄── windows of 8 bytes ◄── every byte of every flow
//!                          │                    │
//!                          │                    └─► those that may be in a text ─┐
//!                          └────────────── compared, once more ◄─────────────────┘
//! ```
//!
//! # Invariants
//!
//! 1. Both passes over a text see the same windows.
//! 2. A window that is found is eight bytes of payload: payload is as random as its generator, and of a
//!    million windows of text and a million of payload two are equal by chance once in 10⁷ runs.

use std::collections::{BTreeSet, HashSet};

use super::filter::Filter;
use super::{Encoding, Leak, PIECE_BYTES, TEXT_BYTES_MIN};
use crate::pattern::Pattern;

/// The bytes that one flow carries one way: the first so many of a pattern.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Carried {
    pub(crate) pattern: Pattern,
    pub(crate) bytes: u64,
}

/// What findings call it.
const NAME: &str = "payload";
const FILTER_BITS: u32 = 18;
/// Maximum number of different masked windows of the texts that are compared: five known bytes of eight
/// are equal by chance more often than eight.
const MASKED_MAX: usize = 1024;

/// Eight bytes of which some are known: a mask of those, and their values.
type Masked = (u64, u64);

/// Windows of payload that may be in the texts.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Sorted.
    windows: Vec<u64>,
    /// Those windows of the texts that are payload as far as they are known.
    masked: HashSet<Masked>,
}

impl Found {
    /// What of these flows may be in these texts.
    pub(super) fn new<'a>(
        texts: impl Iterator<Item = &'a str>,
        flows: impl Iterator<Item = Carried>,
    ) -> Self {
        let mut shown = Filter::new(FILTER_BITS);
        let mut shown_masked = HashSet::new();
        for text in texts {
            windows(text, &mut |window, _, _| shown.add(window));
            masked_windows(text, &mut |masked, _| {
                if shown_masked.len() < MASKED_MAX {
                    shown_masked.insert(masked);
                }
            });
        }
        if shown_masked.is_empty() && shown.is_empty() {
            return Self::default();
        }
        // At most as many as there are ways to know five bytes of eight.
        let masks: BTreeSet<u64> = shown_masked.iter().map(|(mask, _)| *mask).collect();
        let mut may_be_masked = Filter::new(FILTER_BITS);
        for (mask, known) in &shown_masked {
            may_be_masked.add(mask ^ known);
        }
        let (mut windows, mut masked) = (Vec::new(), HashSet::new());
        for Carried { pattern, bytes } in flows {
            pattern.windows(bytes, |window| {
                if shown.may_have(window) {
                    windows.push(window);
                }
                for mask in &masks {
                    let known = window & mask;
                    if may_be_masked.may_have(mask ^ known)
                        && shown_masked.contains(&(*mask, known))
                    {
                        masked.insert((*mask, known));
                    }
                }
            });
        }
        windows.sort_unstable();
        Self { windows, masked }
    }

    /// The first leak of one of the texts.
    pub(super) fn find(&self, text: &str) -> Option<Leak> {
        let mut leak = None::<Leak>;
        // Behind a leak none is looked for.
        let mut look = |encoding, at, is_leak: &dyn Fn() -> bool| {
            if leak.is_none_or(|leak| at < leak.at) && is_leak() {
                leak = Some(Leak { name: NAME, encoding, at });
            }
        };
        if !self.windows.is_empty() {
            windows(text, &mut |window, encoding, at| {
                look(encoding, at, &|| self.windows.binary_search(&window).is_ok());
            });
        }
        if !self.masked.is_empty() {
            masked_windows(text, &mut |masked, at| {
                look(Encoding::Raw, at, &|| self.masked.contains(&masked));
            });
        }
        leak
    }
}

/// The last eight bytes of some that are read one after the other.
#[derive(Default)]
struct Window {
    bytes: u64,
    count: usize,
}

impl Window {
    fn clear(&mut self) {
        self.count = 0;
    }

    fn push(&mut self, byte: u8) -> Option<u64> {
        self.bytes = self.bytes >> 8 | u64::from(byte) << 56;
        self.count += 1;
        (self.count >= PIECE_BYTES).then_some(self.bytes)
    }
}

/// Is given a window, how it was written, and about where.
trait Each: FnMut(u64, Encoding, usize) {}

impl<F: FnMut(u64, Encoding, usize)> Each for F {}

/// Each eight bytes in a row that are written in a text.
fn windows(text: &str, each: &mut impl Each) {
    let bytes = text.as_bytes();
    if !text.is_ascii() {
        of_bytes(bytes, Encoding::Raw, each);
        // Where bytes became characters, each for itself.
        let mut wide = Vec::with_capacity(bytes.len());
        wide.extend(text.chars().map(|it| u8::try_from(it).unwrap_or(b'?')));
        of_bytes(&wide, Encoding::Raw, each);
    }
    wide(bytes, each);
    if bytes.contains(&b'\\') {
        of_bytes(&unescaped(bytes), Encoding::Escaped, each);
    }
    if bytes.contains(&b'%') {
        of_bytes(&unquoted(bytes), Encoding::Percent, each);
    }
    hex(bytes, each);
    numbers(bytes, each);
    base64(bytes, each);
}

/// As they are, and reversed. A plain ASCII text is not searched for this: payload is random, and
/// about every second byte of it is not ASCII.
fn of_bytes(bytes: &[u8], encoding: Encoding, each: &mut impl Each) {
    let mut window = Window::default();
    for (at, byte) in bytes.iter().enumerate() {
        if let Some(shown) = window.push(*byte) {
            each(shown, encoding, at);
            each(shown.swap_bytes(), Encoding::Reversed, at);
        }
    }
    wide(bytes, each);
}

/// With a zero before or behind each.
fn wide(bytes: &[u8], each: &mut impl Each) {
    if !bytes.contains(&0) {
        return;
    }
    let mut windows = [Window::default(), Window::default()];
    for (at, pair) in bytes.windows(2).enumerate() {
        let Some(window) = windows.get_mut(at % 2) else { continue };
        match *pair {
            [byte, 0] | [0, byte] => {
                if let Some(shown) = window.push(byte) {
                    each(shown, Encoding::Utf16, at);
                }
            }
            _ => window.clear(),
        }
    }
}

/// Two digits a byte, with or without something between bytes, words of two, four or eight bytes, and
/// single digits as lists have them.
fn hex(text: &[u8], each: &mut impl Each) {
    let mut give = |window: u64, at| {
        each(window, Encoding::Hex, at);
        each(window.swap_bytes(), Encoding::Reversed, at);
    };
    // Digits in a row, at each of them, of which the first is the highest.
    let (mut digits, mut run) = (0_u64, 0_usize);
    // Bytes with something between them.
    let mut window = Window::default();
    for (at, character) in text.iter().enumerate() {
        if let Some(digit) = digit(*character) {
            digits = digits << 4 | u64::from(digit);
            run += 1;
            if run >= 2 * PIECE_BYTES {
                give(digits.swap_bytes(), at);
            }
            continue;
        }
        // The digit of `0x`, which is no byte.
        let is_prefix = run == 1 && digits == 0 && matches!(character, b'x' | b'X');
        if !is_prefix {
            token(digits, run, &mut window, |window| give(window, at));
            if !is_between(*character) {
                window.clear();
            }
        }
        (digits, run) = (0, 0);
    }
    token(digits, run, &mut window, |window| give(window, text.len()));
}

/// Digits that stand by themselves become bytes, if they can be some.
fn token(digits: u64, run: usize, window: &mut Window, mut give: impl FnMut(u64)) {
    match run {
        0 => {}
        1 | 2 | 4 | 8 | 16 => {
            let bytes = digits.to_be_bytes();
            for byte in bytes.iter().skip(PIECE_BYTES - run.div_ceil(2)) {
                if let Some(shown) = window.push(*byte) {
                    give(shown);
                }
            }
        }
        _ => window.clear(),
    }
}

/// A list of numbers, as slices are shown.
fn numbers(text: &[u8], each: &mut impl Each) {
    let (mut number, mut run, mut window) = (0_u32, 0_usize, Window::default());
    for (at, character) in text.iter().chain(b" ").enumerate() {
        if character.is_ascii_digit() {
            number = number.saturating_mul(10).saturating_add(u32::from(character - b'0'));
            run += 1;
            continue;
        }
        if run > 0 {
            match u8::try_from(number) {
                Ok(byte) => {
                    if let Some(shown) = window.push(byte) {
                        each(shown, Encoding::Decimal, at);
                        each(shown.swap_bytes(), Encoding::Reversed, at);
                    }
                }
                Err(_) => window.clear(),
            }
        }
        if !is_between(*character) {
            window.clear();
        }
        (number, run) = (0, 0);
    }
}

const fn is_between(character: u8) -> bool {
    character.is_ascii_whitespace() || matches!(character, b',' | b':' | b'-' | b';' | b'_')
}

fn digit(character: u8) -> Option<u8> {
    char::from(character).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// RFC 4648, with either alphabet, at any alignment, in lines that may be indented.
fn base64(text: &[u8], each: &mut impl Each) {
    /// Six bits a character: so many are more than eight bytes.
    const CHARACTERS: usize = 11;
    let (mut bits, mut run, mut begins_line) = (0_u128, 0_usize, false);
    for (at, character) in text.iter().enumerate() {
        let value = match character {
            b'A'..=b'Z' => character - b'A',
            b'a'..=b'z' => character - b'a' + 26,
            b'0'..=b'9' => character - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'\r' => continue,
            b'\n' | b' ' | b'\t' if *character == b'\n' || begins_line => {
                begins_line = true;
                continue;
            }
            _ => {
                run = 0;
                continue;
            }
        };
        begins_line = false;
        bits = bits << 6 | u128::from(value);
        run += 1;
        let mut give = |window: u128| each((window as u64).swap_bytes(), Encoding::Base64, at);
        if run >= CHARACTERS {
            give(bits >> 2);
            give(bits);
        }
        if run > CHARACTERS {
            give(bits >> 4);
        }
    }
}

/// `\x1f`, `\u{1f}`, `\n` and the like become bytes.
fn unescaped(text: &[u8]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((first, behind)) = rest.split_first() {
        let (byte, behind) = match behind {
            [b'x', high, low, behind @ ..] if *first == b'\\' => (two_digits(*high, *low), behind),
            [b'u', b'{', behind @ ..] if *first == b'\\' => braced(behind),
            [b'n', behind @ ..] if *first == b'\\' => (Some(b'\n'), behind),
            [b'r', behind @ ..] if *first == b'\\' => (Some(b'\r'), behind),
            [b't', behind @ ..] if *first == b'\\' => (Some(b'\t'), behind),
            [b'0', behind @ ..] if *first == b'\\' => (Some(0), behind),
            [other, behind @ ..] if *first == b'\\' => (Some(*other), behind),
            _ => (Some(*first), behind),
        };
        bytes.push(byte.unwrap_or(b'?'));
        rest = behind;
    }
    bytes
}

/// What stands before a brace, in hexadecimal digits.
fn braced(text: &[u8]) -> (Option<u8>, &[u8]) {
    let Some(end) = text.iter().take(7).position(|it| *it == b'}') else { return (None, text) };
    let (digits, behind) = text.split_at(end);
    let number = digits.iter().try_fold(0_u32, |all, it| Some(all << 4 | u32::from(digit(*it)?)));
    (number.and_then(|number| u8::try_from(number).ok()), behind.get(1..).unwrap_or_default())
}

fn two_digits(high: u8, low: u8) -> Option<u8> {
    Some(digit(high)? << 4 | digit(low)?)
}

/// As in a URL.
fn unquoted(text: &[u8]) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((first, behind)) = rest.split_first() {
        rest = behind;
        let quoted = match behind {
            [high, low, behind @ ..] if *first == b'%' => {
                two_digits(*high, *low).map(|byte| (byte, behind))
            }
            _ => None,
        };
        if let Some((_, behind)) = quoted {
            rest = behind;
        }
        bytes.push(quoted.map_or(*first, |(byte, _)| byte));
    }
    bytes
}

/// Each eight bytes in a row of which some were no text, and were replaced.
fn masked_windows(text: &str, each: &mut impl FnMut(Masked, usize)) {
    if !text.contains(char::REPLACEMENT_CHARACTER) {
        return;
    }
    let (mut mask, mut bytes) = (Window::default(), Window::default());
    for (at, character) in text.chars().enumerate() {
        let mut encoded = [0; 4];
        let units = character.encode_utf8(&mut encoded).as_bytes();
        let is_known = character != char::REPLACEMENT_CHARACTER;
        for byte in units.iter().take(if is_known { 4 } else { 1 }) {
            let known = if is_known { (0xff, *byte) } else { (0, 0) };
            if let Some((mask, bytes)) = mask.push(known.0).zip(bytes.push(known.1))
                && mask != u64::MAX
                && mask.count_ones() as usize >= 8 * TEXT_BYTES_MIN
            {
                each((mask, bytes), at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use crate::contract::FlowId;
    use crate::pattern::Direction;

    const BYTES: u64 = 40_000;

    fn flows() -> impl Iterator<Item = Carried> {
        (1..=3).map(|flow| Carried {
            pattern: Pattern::new(7, FlowId::new(flow), Direction::Request),
            bytes: BYTES,
        })
    }

    fn payload(flow: u32, offset: u64, bytes: usize) -> Vec<u8> {
        let mut payload = vec![0; bytes];
        Pattern::new(7, FlowId::new(flow), Direction::Request).fill(offset, &mut payload);
        payload
    }

    fn found(text: &str) -> Option<Encoding> {
        Some(Found::new([text].into_iter(), flows()).find(text)?.encoding)
    }

    fn encoded(bytes: &[u8], last_two: &[u8; 2]) -> String {
        const FIRST: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        let alphabet = [FIRST.as_slice(), last_two].concat();
        let bits: Vec<u8> =
            bytes.iter().flat_map(|it| (0..8).rev().map(move |at| it >> at & 1)).collect();
        let value = |six: &[u8]| six.iter().fold(0, |all, bit| all << 1 | usize::from(*bit));
        bits.chunks_exact(6).map(|six| char::from(alphabet[value(six)])).collect()
    }

    #[test]
    fn every_byte_of_every_flow_is_found_in_every_encoding() {
        for (flow, offset) in [(1, 0), (1, 64), (2, 4095), (3, 39_992), (2, 20_003), (3, 1)] {
            let piece = payload(flow, offset, 8);
            let back: Vec<_> = piece.iter().rev().copied().collect();
            let joined = |bytes: &[u8], between: &str, each: fn(&u8) -> String| {
                bytes.iter().map(each).collect::<Vec<_>>().join(between)
            };
            let low: fn(&u8) -> String = |byte| format!("{byte:02x}");
            let high: fn(&u8) -> String = |byte| format!("{byte:02X}");
            let wide = |order: [usize; 2]| -> String {
                let pair = |byte: &u8| order.map(|at| [char::from(*byte), '\0'][at]);
                piece.iter().flat_map(pair).collect()
            };
            let words = joined(&piece, "", low);
            let (left, right) = words.split_at(8);
            let texts = [
                (Encoding::Raw, piece.iter().map(|byte| char::from(*byte)).collect()),
                (Encoding::Reversed, back.iter().map(|byte| char::from(*byte)).collect()),
                (Encoding::Reversed, joined(&back, "", low)),
                (Encoding::Reversed, format!("{back:?}")),
                (Encoding::Hex, words.clone()),
                (Encoding::Hex, format!("{left} {right}")),
                (Encoding::Hex, joined(&piece, "", high)),
                (Encoding::Hex, joined(&piece, ":", low)),
                (Encoding::Hex, joined(&piece, "-", high)),
                (Encoding::Hex, joined(&piece, " ", high)),
                (Encoding::Hex, format!("{piece:02x?}")),
                (Encoding::Hex, format!("{piece:x?}")),
                (Encoding::Hex, format!("{piece:#04X?}")),
                (Encoding::Decimal, format!("{piece:?}")),
                (Encoding::Decimal, format!("{piece:#?}")),
                (Encoding::Percent, joined(&piece, "", |byte| format!("%{byte:02X}"))),
                (Encoding::Escaped, piece.iter().map(|byte| format!("\\x{byte:02x}")).collect()),
                (Encoding::Escaped, joined(&piece, "", |byte| format!("\\u{{{byte:x}}}"))),
                (Encoding::Utf16, wide([0, 1])),
                (Encoding::Utf16, wide([1, 0])),
            ];
            for (encoding, text) in texts {
                for around in ["", "§", "| ", "="] {
                    let text = format!("{around}{text}{around}");
                    assert_eq!(found(&text), Some(encoding), "{text:?}");
                }
            }
            for before in 0..3 {
                let (text, alphabets) = (payload(flow, offset, 8), [b"+/", b"-_"]);
                for last_two in alphabets {
                    let text =
                        encoded(&[&vec![7; before], text.as_slice(), &[9; 3]].concat(), last_two);
                    assert_eq!(found(&text), Some(Encoding::Base64), "{before} {text}");
                    let (left, right) = text.split_at(6);
                    let split = format!("{left}\n {right}");
                    assert_eq!(found(&split), Some(Encoding::Base64), "{before} {split}");
                }
            }
        }
    }

    #[test]
    fn what_is_left_of_bytes_that_are_no_text_is_found() {
        let mut missed = 0;
        for offset in (0..4000).step_by(40) {
            let text = String::from_utf8_lossy(&payload(2, offset, 40)).into_owned();
            missed += usize::from(found(&text) != Some(Encoding::Raw));
        }
        // Of few eight in a row of 40 are five known.
        assert!(missed < 10, "{missed}");
    }

    #[test]
    fn what_is_said_again_and_again_takes_no_room_from_what_is_looked_for() {
        let text = String::from_utf8_lossy(&payload(2, 80, 40)).into_owned();
        assert_eq!(found(&text), Some(Encoding::Raw));
        let before = "\u{fffd} reading, ".repeat(MASKED_MAX);
        assert_eq!(found(&before), None);
        assert_eq!(found(&format!("{before}{text}")), Some(Encoding::Raw));
    }

    #[test]
    fn what_is_no_payload_is_not_found() {
        let other = Pattern::new(8, FlowId::new(1), Direction::Request);
        for offset in 0..50 {
            let mut bytes = vec![0; 64];
            other.fill(offset * 64, &mut bytes);
            for text in [
                format!("{bytes:02x?}"),
                format!("{bytes:?}"),
                encoded(&bytes, b"+/"),
                bytes.iter().map(|byte| char::from(*byte)).collect(),
                String::from_utf8_lossy(&bytes).into_owned(),
            ] {
                assert_eq!(found(&text), None, "{text:?}");
            }
        }
        // Seven bytes, and what lies behind the end.
        assert_eq!(found(&format!("{:02x?}", payload(1, 64, 7))), None);
        assert_eq!(found(&format!("{:02x?}", payload(1, BYTES - 7, 8))), None);
        assert_eq!(
            found("0, 0, 0, 0, 0, 0, 0, 0, 0, 00000000000000000000 AAAAAAAAAAAAAAAAAAAA"),
            None
        );
    }
}
