// SPDX-License-Identifier: BSD-3-Clause
//! The form of files, beyond what the formatters check.
//!
//! 1. A source file names its licence in its first three lines.
//! 2. A source file has at most [`LINES_MAX`] lines: one idea each.
//! 3. A crate that needs no `unsafe` forbids it.
//! 4. No file names a folder of somebody's machine.
//! 5. Nothing is left for later: no "to do" marks.
//! 6. A source file ends in one newline.

use std::path::Path;

use super::{is_source, written};
use crate::error::Error;
use crate::process::read;

/// The longest that a source file may be, in lines.
const LINES_MAX: usize = 700;

/// The roots of crates without `unsafe`.
const SAFE: [&str; 8] = [
    "crates/cli/src/main.rs",
    "crates/cluster/src/lib.rs",
    "crates/gateway/src/lib.rs",
    "crates/lab/src/lib.rs",
    "crates/pingora/src/lib.rs",
    "crates/wire/src/lib.rs",
    "xtask/load/src/main.rs",
    "xtask/src/main.rs",
];

/// What breaks the rules under `root`.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, Error> {
    let mut broken = Vec::new();
    for (place, text) in written(root)? {
        for defect in text_defects(&text, is_source(&place)) {
            broken.push(format!("{place}: {defect}"));
        }
    }
    for crate_root in SAFE {
        if !read(&root.join(crate_root))?.contains("#![forbid(unsafe_code)]") {
            broken.push(format!("{crate_root}: does not forbid unsafe code"));
        }
    }
    Ok(broken)
}

/// What breaks the rules in one file.
fn text_defects(text: &str, source: bool) -> Vec<String> {
    let mut defects = Vec::new();
    if source {
        let licence = concat!("SPDX-License-Identifier: ", "BSD-3-Clause");
        if !text.lines().take(3).any(|line| line.contains(licence)) {
            defects.push("no licence line at its beginning".to_owned());
        }
        let lines = text.lines().count();
        if lines > LINES_MAX {
            defects.push(format!("{lines} lines, at most {LINES_MAX}: what is the second idea?"));
        }
        if !text.ends_with('\n') || text.ends_with("\n\n") {
            defects.push("does not end in one newline".to_owned());
        }
    }
    // Spelt in parts, or this file would break its own rules.
    let homes = [concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/Us", "ers/")];
    let marks = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X:")];
    for (number, line) in (1..).zip(text.lines()) {
        if homes.iter().any(|home| line.contains(home)) {
            defects.push(format!("line {number} names a folder of somebody's machine"));
        }
        if marks.iter().any(|mark| line.contains(mark)) {
            defects.push(format!("line {number} leaves something for later"));
        }
    }
    defects
}

#[cfg(test)]
mod tests {
    use super::*;

    const LICENCE: &str = concat!("// SPDX-License-Identifier: ", "BSD-3-Clause\n");

    #[test]
    fn a_good_file_has_no_defect() {
        let text = format!("{LICENCE}fn main() {{}}\n");
        assert_eq!(text_defects(&text, true), Vec::<String>::new());
    }

    #[test]
    fn each_defect_is_found() {
        let found = |text: String| text_defects(&text, true).join("; ");
        assert!(found("fn main() {}\n".into()).contains("no licence line"));
        assert!(found(format!("{LICENCE}{}", "x\n".repeat(LINES_MAX))).contains("701 lines"));
        assert!(found(format!("{LICENCE}x")).contains("one newline"));
        assert!(found(format!("{LICENCE}\n\n")).contains("one newline"));
        assert!(found(format!("{LICENCE}{}me/ada/becket\n", "/ho")).contains("line 2 names"));
        assert!(found(format!("{LICENCE}// {}DO: more\n", "TO")).contains("line 2 leaves"));
    }
}
