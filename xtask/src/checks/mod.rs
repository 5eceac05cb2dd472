// SPDX-License-Identifier: BSD-3-Clause
//! Rules of this repository that no other tool checks. Each check returns its violations, one line
//! each.
//!
//! | module | the rule |
//! |---|---|
//! | `layers` | a crate uses only the crates that ARCHITECTURE.md lets it use |
//! | `tidy` | licence lines, file lengths, `forbid(unsafe_code)`, no machine's paths |
//! | `links` | the targets that documents link to and include exist |
//! | `words` | no banned words |

pub(crate) mod layers;
pub(crate) mod links;
pub(crate) mod tidy;
pub(crate) mod words;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error::Error;
use crate::process::read;

/// Folders of built or fetched files.
const BUILT: [&str; 7] =
    ["target", ".git", ".tools", "docs/book", "zig-out", ".zig-cache", "zig-pkg"];

/// Every written file under `root`, as paths relative to it, sorted.
pub(crate) fn files(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut found = Vec::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let failed = |source| Error::File { action: "list", path: folder.clone(), source };
        for entry in std::fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let kind = entry.file_type().map_err(failed)?;
            let path = entry.path();
            if kind.is_dir() {
                if !BUILT.iter().any(|built| path.ends_with(built)) {
                    folders.push(path);
                }
            } else if kind.is_file()
                && let Ok(relative) = path.strip_prefix(root)
            {
                found.push(relative.to_path_buf());
            }
        }
    }
    found.sort();
    Ok(found)
}

/// The extensions of source files.
const SOURCES: [&str; 15] = [
    "c", "cpp", "css", "go", "h", "hpp", "html", "js", "py", "rs", "sh", "toml", "ts", "zig", "zon",
];

/// Sources without an extension.
const SCRIPTS: [&str; 1] = [".ci/run"];

/// Folders whose text is not the project's own: inputs and expected outputs of tests, templates of
/// `becket plugin new`.
const OTHERS: [&str; 4] = ["fixtures", "snapshots", "templates", "testdata"];

/// Whether a path is a source file's.
fn is_source(place: &str) -> bool {
    let extension = Path::new(place).extension().and_then(OsStr::to_str).unwrap_or_default();
    SOURCES.contains(&extension) || SCRIPTS.contains(&place)
}

/// Every source file and document in the project's own words under `root`: its path and its text.
fn written(root: &Path) -> Result<Vec<(String, String)>, Error> {
    let mut written = Vec::new();
    for file in files(root)? {
        let place = file.display().to_string();
        let is_others = file.iter().any(|part| OTHERS.iter().any(|other| part == *other));
        let is_document = file.extension().is_some_and(|extension| extension == "md");
        if !is_others && (is_document || is_source(&place)) {
            let text = read(&root.join(&file))?;
            written.push((place, text));
        }
    }
    Ok(written)
}

/// An error if there are violations.
pub(crate) fn verdict(broken: Vec<String>) -> Result<(), Error> {
    if broken.is_empty() { Ok(()) } else { Err(Error::Rules(broken)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rules hold for this repository, also where only `cargo test` is run.
    #[test]
    fn the_repository_keeps_its_rules() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("xtask has a parent");
        let broken = [
            layers::check_architecture(root),
            tidy::check(root),
            words::check(root),
            links::check(root),
        ];
        for broken in broken {
            assert_eq!(broken.expect("the repository is readable"), Vec::<String>::new());
        }
    }
}
