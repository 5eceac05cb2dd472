// SPDX-License-Identifier: BSD-3-Clause
//! Quantities, durations and payloads as text.

use std::time::Duration;

use serde_json::{Map, Value};

/// A count with thin groups of three: `1 234 567`.
pub(crate) fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

/// A duration in the unit that leaves one to three digits before the point.
pub(crate) fn duration(value: Duration) -> String {
    let ns = value.as_nanos();
    match ns {
        0..1_000 => format!("{ns} ns"),
        1_000..1_000_000 => format!("{:.2} µs", ns as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.2} ms", ns as f64 / 1e6),
        _ => format!("{:.2} s", value.as_secs_f64()),
    }
}

/// `1 frame`, `2 frames`.
pub(crate) fn plural(n: u64, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{} {noun}{s}", count(n))
}

/// Wraps words into lines of `width` columns; all but the first line begin with `indent` blanks,
/// and the first is assumed to begin at that column too. A no-break space (U+00A0) keeps words
/// together, and becomes a blank.
#[cfg(any(test, feature = "lab"))]
pub(crate) fn wrapped(text: &str, width: usize, indent: usize) -> String {
    let (mut lines, mut at) = (String::new(), indent);
    for word in text.split([' ', '\n']).filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if at > indent && at + 1 + length > width {
            lines.push_str(&format!("\n{:indent$}", ""));
            at = indent;
        }
        if at > indent {
            lines.push(' ');
            at += 1;
        }
        lines.push_str(&word.replace('\u{a0}', " "));
        at += length;
    }
    lines
}

/// Adds a payload to a JSON object: `"body"` if it is text, else `"body_hex"`.
pub(crate) fn put_payload(object: &mut Map<String, Value>, payload: &[u8]) {
    match std::str::from_utf8(payload) {
        Ok(text) => object.insert("body".into(), text.into()),
        Err(_) => object.insert("body_hex".into(), hex(payload).into()),
    };
}

/// Lower-case hexadecimal, two digits a byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `text` as one word of a POSIX shell.
pub(crate) fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_grouped_from_the_right() {
        assert_eq!(count(0), "0");
        assert_eq!(count(999), "999");
        assert_eq!(count(1_000), "1 000");
        assert_eq!(count(1_234_567), "1 234 567");
    }

    #[test]
    fn durations_choose_their_unit() {
        assert_eq!(duration(Duration::from_nanos(999)), "999 ns");
        assert_eq!(duration(Duration::from_nanos(1_500)), "1.50 µs");
        assert_eq!(duration(Duration::from_millis(20)), "20.00 ms");
        assert_eq!(duration(Duration::from_secs(3)), "3.00 s");
    }

    #[test]
    fn words_are_wrapped_behind_their_indent() {
        assert_eq!(wrapped("one two three", 80, 4), "one two three");
        assert_eq!(wrapped("one two three", 12, 4), "one two\n    three");
        assert_eq!(wrapped("a-word-that-is-long b", 6, 2), "a-word-that-is-long\n  b");
        assert_eq!(wrapped("a b\u{a0}c", 5, 0), "a b c");
        assert_eq!(wrapped("aa b\u{a0}c", 5, 0), "aa\nb c");
        assert_eq!(wrapped("", 6, 2), "");
    }

    #[test]
    fn a_shell_reads_back_one_word() {
        assert_eq!(shell_word("target/becket"), "target/becket");
        assert_eq!(shell_word("my dir/becket"), "'my dir/becket'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }
}
