// SPDX-License-Identifier: BSD-3-Clause
//! Whether printed output is the shown one.
//!
//! In a page `…` stands for any text within a line, and a line of `…` alone for any lines. Durations
//! are not compared.

/// The units of durations, as the command prints them.
const UNITS: [&str; 5] = ["ns", "µs", "ms", "s", "min"];

/// Whether `printed` is what `shown` stands for.
pub(crate) fn is_shown(shown: &[String], printed: &[String]) -> bool {
    let Some((first, rest)) = shown.split_first() else { return printed.is_empty() };
    if first.trim() == "…" {
        return (0..=printed.len()).any(|skipped| is_shown(rest, &printed[skipped..]));
    }
    printed.split_first().is_some_and(|(line, others)| {
        is_line(&without_durations(first), &without_durations(line)) && is_shown(rest, others)
    })
}

/// Whether every shown line was printed, in this order, whatever stands between them.
pub(crate) fn has_appeared(shown: &[String], printed: &[String]) -> bool {
    let mut shown = shown.iter().filter(|line| line.trim() != "…").peekable();
    for line in printed {
        let line = without_durations(line);
        shown.next_if(|wanted| is_line(&without_durations(wanted), &line));
    }
    shown.peek().is_none()
}

/// Whether a line is the shown one, with any text in place of each `…`.
fn is_line(shown: &str, printed: &str) -> bool {
    let Some((head, tail)) = shown.split_once('…') else {
        return shown.trim_end() == printed.trim_end();
    };
    printed.strip_prefix(head).is_some_and(|rest| {
        let starts = rest.char_indices().map(|(at, _)| at).chain([rest.len()]);
        starts.into_iter().any(|at| rest.get(at..).is_some_and(|rest| is_line(tail, rest)))
    })
}

/// A line with `TIME` in place of each duration, such as `1.5 ms`.
fn without_durations(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let mut kept = Vec::new();
    let mut at = 0;
    while at < words.len() {
        let unit = words.get(at + 1).map(|word| word.trim_end_matches([',', '.', ':', ')']));
        let number = words[at].trim_start_matches('(');
        let is_number = number.starts_with(|c: char| c.is_ascii_digit())
            && number.chars().all(|c| c.is_ascii_digit() || c == '.');
        match unit.filter(|unit| is_number && UNITS.contains(unit)) {
            Some(unit) => {
                kept.push(format!("TIME{}", words[at + 1].trim_start_matches(unit)));
                at += 2;
            }
            None => {
                kept.push(words[at].to_owned());
                at += 1;
            }
        }
    }
    kept.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<String> {
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn any_text_and_any_lines_are_left_out_by_dots() {
        for (shown, printed) in [
            ("a\n…\nd", "a\nb\nc\nd"),
            ("a\n…\nd", "a\nd"),
            ("a … c …", "a b b c "),
            ("in 1.5 ms, done", "in 700 µs, done"),
            ("… 17 the same", "… 17 the same"),
        ] {
            assert!(is_shown(&lines(shown), &lines(printed)), "{shown:?} {printed:?}");
        }
        for (shown, printed) in
            [("a", "a\nb"), ("a\n…\nd", "a\nb"), ("a …c", "a b"), ("1.5 MB", "1.6 MB"), ("", "a")]
        {
            assert!(!is_shown(&lines(shown), &lines(printed)), "{shown:?} {printed:?}");
        }
    }

    #[test]
    fn what_has_appeared_keeps_its_order() {
        assert!(has_appeared(&lines("a\n…\nc"), &lines("log\na\nlog\nb\nc\nlog")));
        assert!(!has_appeared(&lines("a\nc"), &lines("c\na")));
    }
}
