// SPDX-License-Identifier: BSD-3-Clause
//! Names, numbers and hostile text in the forms for people.
//!
//! Names of adapters and commands come from outside: they may contain quotes, tags, control
//! characters, bidirectional marks, and have any length. [`shown`] removes what no form can carry;
//! each form escapes the rest itself.

use std::borrow::Cow;

/// Maximum number of characters of a text from outside.
pub(super) const TEXT_CHARS_MAX: usize = 300;

/// A text from outside: control characters, bidirectional marks and zero-width characters become
/// `�`; a text that is too long ends in `…`.
pub(super) fn shown(text: &str) -> Cow<'_, str> {
    let is_fit = |c: char| !is_unfit(c);
    if text.len() <= TEXT_CHARS_MAX && text.chars().all(is_fit) {
        return Cow::Borrowed(text);
    }
    let mut left = text.chars();
    let mut short: String = left
        .by_ref()
        .take(TEXT_CHARS_MAX)
        .map(|c| if is_unfit(c) { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if left.next().is_some() {
        short.push('…');
    }
    Cow::Owned(short)
}

/// Characters that would break a line, or change how the text is displayed.
fn is_unfit(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

/// A count in groups of three, `1 234 567`, with non-breaking spaces.
pub(super) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push('\u{a0}');
        }
        text.push(digit);
    }
    text
}

/// `1 run`, `2 runs`.
pub(super) fn plural(n: u64, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {noun}{s}", count(n))
}

/// Thousandths as a share: `0.940`, `1.000`.
pub(super) fn share(per_mille: u64) -> String {
    format!("{}.{:03}", per_mille / 1000, per_mille % 1000)
}

/// A count of bytes: `64 KiB`, `96 B`.
pub(super) fn bytes(value: u64) -> String {
    match value {
        0..1024 => format!("{value} B"),
        _ if value.is_multiple_of(1 << 20) => format!("{} MiB", value >> 20),
        _ if value.is_multiple_of(1 << 10) => format!("{} KiB", count(value >> 10)),
        _ => format!("{} B", count(value)),
    }
}

/// Milliseconds in a unit that people read.
pub(super) fn elapsed(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..120_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        _ => format!("{} min {} s", ms / 60_000, ms % 60_000 / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_form_can_carry_is_replaced() {
        assert_eq!(shown("plain-name"), "plain-name");
        assert_eq!(shown("a\u{1b}[31m\nb\0"), "a\u{fffd}[31m\u{fffd}b\u{fffd}");
        assert_eq!(shown("x\u{202e}fdp"), "x\u{fffd}fdp");
        let long = shown(&"é".repeat(1000)).into_owned();
        assert_eq!(long.chars().count(), TEXT_CHARS_MAX + 1);
        assert!(long.ends_with("é…"));
    }

    #[test]
    fn a_length_in_bytes_beyond_the_bound_may_be_one_in_characters_within() {
        let text = "é".repeat(TEXT_CHARS_MAX);
        assert_eq!(shown(&text), text);
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(1_234_567), "1\u{a0}234\u{a0}567");
        assert_eq!((plural(1, "run"), plural(20, "run")), ("1 run".into(), "20 runs".into()));
        assert_eq!(
            (share(940), share(1000), share(7)),
            ("0.940".into(), "1.000".into(), "0.007".into())
        );
        assert_eq!(
            (bytes(96), bytes(65536), bytes(1 << 20)),
            ("96 B".into(), "64 KiB".into(), "1 MiB".into())
        );
        assert_eq!(
            (elapsed(999), elapsed(61_200), elapsed(125_000)),
            ("999 ms".into(), "61.2 s".into(), "2 min 5 s".into())
        );
    }
}
