// SPDX-License-Identifier: BSD-3-Clause
//! Text of a plugin, escaped for a log and a terminal.
//!
//! A plugin's log messages, name, version and help texts are shown by programs that write lines. A
//! line break in one of them begins a line that the program did not write; an escape sequence moves
//! the cursor, hides text or changes the terminal's title. Such characters become visible escapes
//! where the text enters the host, so that no code behind it has to escape them again.

use std::borrow::Cow;
use std::fmt::Write;

/// `text` with each character that ends a line, drives a terminal or reorders what is shown in its
/// place replaced by its escape: `\n`, `\r`, `\u{1b}`. A tab stays.
///
/// Escaped are the control characters (C0, DEL, C1), the line and paragraph separators (U+2028,
/// U+2029) and the bidirectional controls. A text without any is borrowed, not copied. Backslashes
/// are not escaped: the result is for people, not for a parser.
#[must_use]
pub fn escape_controls(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(is_escaped) else { return Cow::Borrowed(text) };
    let (clean, rest) = text.split_at(first);
    let mut out = String::with_capacity(text.len() + 16);
    out.push_str(clean);
    for c in rest.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            // Writing to a `String` cannot fail.
            c if is_escaped(c) => drop(write!(out, "\\u{{{:x}}}", u32::from(c))),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

fn is_escaped(c: char) -> bool {
    match c {
        '\t' => false,
        ' '..='~' => false,
        '\u{200e}' | '\u{200f}' | '\u{61c}' => true,
        '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        c => c.is_control(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_a_line_or_drives_a_terminal_is_escaped_and_nothing_else() {
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let text = format!("a{c}b");
            let shown = escape_controls(&text);
            let drives = c != '\t' && (c.is_control() || "\u{2028}\u{2029}\u{202e}".contains(c));
            assert!(!drives || shown != text, "{c:?} stays");
            assert!(!shown.chars().any(is_escaped), "{c:?} leaves something");
            assert!(c.is_control() || shown == text || shown.contains("\\u{"), "{c:?}");
        }
        for text in ["", "plain", "tab\there", "C:\\new", "naïve 日本 👍🏽 שלום"] {
            assert!(matches!(escape_controls(text), Cow::Borrowed(same) if same == text));
        }
        assert_eq!(escape_controls("a\nb\r\u{1b}[2J\u{85}"), "a\\nb\\r\\u{1b}[2J\\u{85}");
    }
}
