// SPDX-License-Identifier: BSD-3-Clause
//! Words that documentation and comments do without: pronouns as subjects, personification, and terms
//! that have a standard word.
//!
//! [`LEFT`] has the number of occurrences per folder that are not rewritten yet. It only decreases; a
//! folder that is not named there has none.

use std::collections::BTreeMap;
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

/// Occurrences that are left, by folder.
const LEFT: [(&str, usize); 1] = [("crates/host", 206)];

/// This file has to name them.
const HERE: &str = "xtask/src/checks/words.rs";

/// What breaks the rule under `root`.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, Error> {
    let mut found = BTreeMap::<&str, Vec<String>>::new();
    let files = written(root)?;
    for (place, text) in &files {
        if place == HERE {
            continue;
        }
        let places = occurrences(text)
            .map(|(line, word, instead)| format!("{place}:{line}: `{word}`: write {instead}"));
        found.entry(folder(place)).or_default().extend(places);
    }
    let mut broken = Vec::new();
    for (folder, places) in found {
        let left = LEFT.iter().find(|(name, _)| *name == folder).map_or(0, |(_, left)| *left);
        if places.len() > left {
            let count = places.len();
            broken.push(format!("{folder}: {count} banned words, at most {left}"));
            broken.extend(places);
        }
    }
    Ok(broken)
}

/// The first two parts of a path below `crates`, else the first one.
fn folder(place: &str) -> &str {
    let parts = if place.starts_with("crates/") { 2 } else { 1 };
    let end = place.match_indices('/').nth(parts - 1).map_or(place.len(), |(at, _)| at);
    place.get(..end).unwrap_or(place)
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

    #[test]
    fn folders_are_crates_or_top_level() {
        assert_eq!(folder("crates/wire/src/lib.rs"), "crates/wire");
        assert_eq!(folder("docs/src/cli.md"), "docs");
        assert_eq!(folder("README.md"), "README.md");
    }
}
