// SPDX-License-Identifier: BSD-3-Clause
//! Words that documentation and comments avoid: pronouns as subjects, personification, and terms
//! that have a standard word.

use std::path::Path;

use super::written;
use crate::error::Error;

/// Each in lower case, with what to write instead.
const BANNED: [(&str, &str); 8] = [
    ("who", "the thing itself as the subject"),
    ("whoever", "the thing itself as the subject"),
    ("nobody", "no receiver, no thread, no caller"),
    ("told", "notified, reported, passed"),
    ("hears", "receives, is notified"),
    ("saboteur", "mutant"),
    ("saboteurs", "mutants"),
    ("distance", "placement"),
];

/// This file has to name them.
const HERE: &str = "xtask/src/checks/words.rs";

/// What breaks the rule under `root`.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, Error> {
    let mut broken = Vec::new();
    for (place, text) in &written(root)? {
        if place == HERE {
            continue;
        }
        broken.extend(
            occurrences(text)
                .map(|(line, word, instead)| format!("{place}:{line}: `{word}`: write {instead}")),
        );
    }
    Ok(broken)
}

/// Each banned word of a text with its line, counted from 1, and what to write instead.
fn occurrences(text: &str) -> impl Iterator<Item = (usize, &'static str, &'static str)> {
    (1..).zip(text.lines()).flat_map(|(number, line)| {
        let words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        words.filter_map(move |word| {
            let banned = BANNED.iter().find(|(banned, _)| word.eq_ignore_ascii_case(banned))?;
            Some((number, banned.0, banned.1))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_words_are_found_in_either_case_with_their_lines() {
        let text = "a whole word\nWho is told?\nwhose, `is_told`, nobody's";
        let found: Vec<_> = occurrences(text).map(|(line, word, _)| (line, word)).collect();
        assert_eq!(found, [(2, "who"), (2, "told"), (3, "nobody")]);
    }
}
