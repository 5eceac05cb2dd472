// SPDX-License-Identifier: BSD-3-Clause
//! The bytes that a text may stand for. A text is decoded in every way in which bytes can be
//! written; every eight consecutive decoded bytes are a *window*.
//!
//! A window is a number whose lowest byte is the first one. It comes with its encoding and its
//! approximate start: in a text with escapes, the position in the decoded bytes.

use super::{Encoding, PIECE_BYTES, TEXT_BYTES_MIN};

/// A window with unknown bytes: the mask of the known ones, and their values.
pub(super) type Masked = (u64, u64);

/// A sliding window over bytes that are decoded one by one.
#[derive(Default)]
struct Window {
    bytes: u64,
    count: usize,
    /// Positions of the last eight bytes.
    places: [usize; PIECE_BYTES],
}

impl Window {
    fn clear(&mut self) {
        self.count = 0;
    }

    /// Adds the byte at position `at`. Returns the window that ends with it, and its start.
    #[inline]
    fn push(&mut self, byte: u8, at: usize) -> Option<(u64, usize)> {
        self.bytes = self.bytes >> 8 | u64::from(byte) << 56;
        if let Some(place) = self.places.get_mut(self.count % PIECE_BYTES) {
            *place = at;
        }
        self.count += 1;
        let begin =
            self.places.get(self.count % PIECE_BYTES).filter(|_| self.count >= PIECE_BYTES)?;
        Some((self.bytes, *begin))
    }
}

/// A callback: receives a window, its encoding and its approximate start.
pub(super) trait Each: FnMut(u64, Encoding, usize) {}

impl<F: FnMut(u64, Encoding, usize)> Each for F {}

/// All windows of a text. Raw windows of a plain ASCII text are left out: see `of_bytes`.
pub(super) fn windows(bytes: &[u8], each: &mut impl Each) {
    if !bytes.is_ascii() {
        of_bytes(bytes, Encoding::Raw, each);
        // Bytes that were converted to characters one by one (Latin-1).
        if let Ok(text) = str::from_utf8(bytes) {
            let mut narrow = Vec::with_capacity(bytes.len());
            narrow.extend(text.chars().map(|it| u8::try_from(it).unwrap_or(b'?')));
            of_bytes(&narrow, Encoding::Raw, each);
        }
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

/// The windows of the bytes themselves, forwards and reversed, and of their UTF-16 form.
pub(super) fn of_bytes(bytes: &[u8], encoding: Encoding, each: &mut impl Each) {
    let mut window = Window::default();
    for (at, byte) in bytes.iter().enumerate() {
        if let Some((shown, begin)) = window.push(*byte, at) {
            each(shown, encoding, begin);
            each(shown.swap_bytes(), Encoding::Reversed, begin);
        }
    }
    wide(bytes, each);
}

/// UTF-16: a zero before or after each byte.
fn wide(bytes: &[u8], each: &mut impl Each) {
    if !bytes.contains(&0) {
        return;
    }
    let mut windows = [Window::default(), Window::default()];
    for (at, pair) in bytes.windows(2).enumerate() {
        let Some(window) = windows.get_mut(at % 2) else { continue };
        match *pair {
            [byte, 0] | [0, byte] => {
                if let Some((shown, begin)) = window.push(byte, at) {
                    each(shown, Encoding::Utf16, begin);
                }
            }
            _ => window.clear(),
        }
    }
}

/// Hexadecimal: two digits per byte, with or without separators; words of two, four or eight bytes;
/// and single digits, as in lists.
fn hex(text: &[u8], each: &mut impl Each) {
    let mut give = |window: u64, at| {
        each(window, Encoding::Hex, at);
        each(window.swap_bytes(), Encoding::Reversed, at);
    };
    // The latest consecutive digits, the first one highest, and their number.
    let (mut digits, mut run) = (0_u64, 0_usize);
    // Bytes with separators between them.
    let mut window = Window::default();
    for (at, character) in text.iter().enumerate() {
        if let Some(digit) = digit(*character) {
            digits = digits << 4 | u64::from(digit);
            run += 1;
            if run >= 2 * PIECE_BYTES {
                give(digits.swap_bytes(), at + 1 - 2 * PIECE_BYTES);
            }
            continue;
        }
        // The `0` of the prefix `0x` is not a byte.
        let is_prefix = run == 1 && digits == 0 && matches!(character, b'x' | b'X');
        if !is_prefix {
            token(digits, run, at, &mut window, &mut give);
            if !is_between(*character) {
                window.clear();
            }
        }
        (digits, run) = (0, 0);
    }
    token(digits, run, text.len(), &mut window, &mut give);
}

/// Converts the run of digits that ends before `end` to bytes, if its length allows.
fn token(
    digits: u64,
    run: usize,
    end: usize,
    window: &mut Window,
    give: &mut impl FnMut(u64, usize),
) {
    match run {
        0 => {}
        1 | 2 | 4 | 8 | 16 => {
            let bytes = digits.to_be_bytes();
            for byte in bytes.iter().skip(PIECE_BYTES - run.div_ceil(2)) {
                if let Some((shown, begin)) = window.push(*byte, end - run) {
                    give(shown, begin);
                }
            }
        }
        _ => window.clear(),
    }
}

/// Decimal: a list of numbers, as slices are shown.
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
                    if let Some((shown, begin)) = window.push(byte, at - run) {
                        each(shown, Encoding::Decimal, begin);
                        each(shown.swap_bytes(), Encoding::Reversed, begin);
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
    /// At six bits each, this many characters hold more than eight bytes.
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
        let begin = (at + 1).saturating_sub(CHARACTERS);
        let mut give = |window: u128| each((window as u64).swap_bytes(), Encoding::Base64, begin);
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

/// The byte of the hexadecimal digits before a closing brace, and the text after the brace.
fn braced(text: &[u8]) -> (Option<u8>, &[u8]) {
    let Some(end) = text.iter().take(7).position(|it| *it == b'}') else { return (None, text) };
    let (digits, behind) = text.split_at(end);
    let number = digits.iter().try_fold(0_u32, |all, it| Some(all << 4 | u32::from(digit(*it)?)));
    (number.and_then(|number| u8::try_from(number).ok()), behind.get(1..).unwrap_or_default())
}

fn two_digits(high: u8, low: u8) -> Option<u8> {
    Some(digit(high)? << 4 | digit(low)?)
}

/// Decodes percent-encoding, as in a URL.
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

/// Windows in which bytes that are not text were replaced by U+FFFD.
pub(super) fn masked_windows(text: &[u8], each: &mut impl FnMut(Masked, usize)) {
    let Ok(text) = str::from_utf8(text) else { return };
    if !text.contains(char::REPLACEMENT_CHARACTER) {
        return;
    }
    let (mut mask, mut bytes) = (Window::default(), Window::default());
    for (at, character) in text.char_indices() {
        let mut encoded = [0; 4];
        let units = character.encode_utf8(&mut encoded).as_bytes();
        let is_known = character != char::REPLACEMENT_CHARACTER;
        for byte in units.iter().take(if is_known { 4 } else { 1 }) {
            let known = if is_known { (0xff, *byte) } else { (0, 0) };
            if let Some(((mask, begin), (bytes, _))) =
                mask.push(known.0, at).zip(bytes.push(known.1, at))
                && mask != u64::MAX
                && mask.count_ones() as usize >= 8 * TEXT_BYTES_MIN
            {
                each((mask, bytes), begin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::super::{Carried, MASKED_MAX, Search};
    use super::*;
    use crate::contract::FlowId;
    use crate::pattern::{Direction, Pattern};

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
        let search = Search::new(&[]).and_carried([text].into_iter(), flows());
        Some(search.find(text.as_bytes())?.encoding)
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
