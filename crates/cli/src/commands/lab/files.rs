// SPDX-License-Identifier: BSD-3-Clause
//! Files that are written whole or not at all.
//!
//! ```text
//!   open(report.json)          write(text)
//!     .report.json.4711.0.part ────────────► report.json          by rename
//!            │
//!            └── dropped: removed
//! ```
//!
//! A file that cannot be written is reported before long work begins, and a reader never sees half
//! a report. A path that exists and is not a plain file, such as `/dev/null` or a pipe, is written
//! directly: it must not be replaced.

use std::fmt::Display;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use becket_lab::rules::Exit as LabExit;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Writes a report: as JSON to a destination, and in the requested form to stdout, unless the
/// destination is stdout.
pub(in crate::commands) fn report(
    output: Option<Output>,
    json: &str,
    text: impl FnOnce() -> String,
    ui: &Ui,
) -> Result<(), Failure> {
    let takes_stdout = output.as_ref().is_some_and(Output::is_stdout);
    if let Some(output) = output {
        output.write(json, ui)?;
    }
    match ui.json() {
        _ if takes_stdout => Ok(()),
        true => ui.bytes(json.as_bytes()),
        false => ui.text(&text()),
    }
}

/// A report as JSON, or the failure of the lab that it cannot be.
pub(in crate::commands) fn as_json(json: Result<String, impl Display>) -> Result<String, Failure> {
    json.map_err(|error| {
        Failure::new(Exit::Lab(LabExit::Internal), "the report cannot be written as JSON")
            .cause(error.to_string())
    })
}

/// The destination of a text that is written later.
#[derive(Debug)]
pub(in crate::commands) struct Output {
    path: PathBuf,
    to: To,
}

#[derive(Debug)]
enum To {
    Stdout,
    /// A temporary file in the same folder, renamed to the destination.
    Part(Part),
    /// An existing destination that is written directly.
    Straight,
}

/// A temporary file, removed on drop unless it was renamed.
#[derive(Debug)]
struct Part(Option<PathBuf>);

impl Drop for Part {
    fn drop(&mut self) {
        if let Some(path) = self.0.take() {
            // An error means that it has been removed already.
            let _ = fs::remove_file(path);
        }
    }
}

/// The number of temporary files of this process so far, for unique names.
static PARTS: AtomicU32 = AtomicU32::new(0);

impl Output {
    /// Opens a destination; `-` is stdout.
    pub(in crate::commands) fn open(path: &Path) -> Result<Self, Failure> {
        let refused = |error: io::Error| cannot("written", path, &error);
        if path == Path::new("-") {
            return Ok(Self { path: path.to_owned(), to: To::Stdout });
        }
        // A symbolic link is kept: its target is replaced.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let to = match fs::metadata(&target) {
            Ok(there) if there.is_dir() => {
                return Err(refused(io::ErrorKind::IsADirectory.into()));
            }
            Ok(there) if !there.is_file() => To::Straight,
            _ => {
                let part = part_of(&target);
                let opened = OpenOptions::new().write(true).create_new(true).open(&part);
                opened.map_err(refused)?;
                To::Part(Part(Some(part)))
            }
        };
        Ok(Self { path: target, to })
    }

    /// True if it is stdout.
    pub(in crate::commands) fn is_stdout(&self) -> bool {
        matches!(self.to, To::Stdout)
    }

    /// Writes the whole text there.
    pub(in crate::commands) fn write(self, text: &str, ui: &Ui) -> Result<(), Failure> {
        let Self { path, to } = self;
        let written = match to {
            To::Stdout => return ui.bytes(text.as_bytes()),
            To::Straight => OpenOptions::new().write(true).open(&path).and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.flush()
            }),
            To::Part(mut part) => match &part.0 {
                Some(from) => {
                    fs::write(from, text).and_then(|()| fs::rename(from, &path)).map(|()| {
                        // It has been renamed.
                        part.0 = None;
                    })
                }
                None => Ok(()),
            },
        };
        written.map_err(|error| cannot("written", &path, &error))
    }
}

fn part_of(target: &Path) -> PathBuf {
    let number = PARTS.fetch_add(1, Ordering::Relaxed);
    let begins = part_begins(target, std::process::id());
    target.with_file_name(format!("{begins}{number}.part"))
}

/// The prefix of the names of this process's temporary files for a destination.
fn part_begins(target: &Path, process: u32) -> String {
    format!(".{}.{process}.", target.file_name().unwrap_or_default().to_string_lossy())
}

/// Removes the temporary files for a destination of a process that was ended before it could.
pub(in crate::commands) fn sweep(path: &Path, process: u32) {
    let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let dir = target.parent().filter(|dir| !dir.as_os_str().is_empty());
    let begins = part_begins(&target, process);
    let entries = fs::read_dir(dir.unwrap_or(Path::new("."))).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(&begins)) {
        // An error means that it has been removed already.
        let _gone = fs::remove_file(entry.path());
    }
}

/// A failure for a file of the command line that could not be `verb`ed ("read", "written").
pub(in crate::commands) fn cannot(verb: &str, path: &Path, error: &io::Error) -> Failure {
    let failure =
        Failure::new(Exit::Lab(LabExit::Usage), format!("{} cannot be {verb}", path.display()));
    let failure = failure.cause(error.to_string());
    match error.kind() {
        io::ErrorKind::NotFound if verb == "written" => {
            failure.hint("make the directory first, or name another place")
        }
        io::ErrorKind::NotFound => failure.hint("is the name right, from this folder?"),
        io::ErrorKind::IsADirectory if verb == "read" => failure.hint("name a file in it"),
        io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => failure
            .hint("a part of the name is a file, and would have to be a directory; name another"),
        io::ErrorKind::PermissionDenied | io::ErrorKind::IsADirectory if verb == "written" => {
            failure.hint("name another place; `-` is stdout")
        }
        io::ErrorKind::PermissionDenied => {
            failure.hint("check its permissions: this user may not read it")
        }
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_there_when_it_is_whole_and_what_was_there_stays_until_then() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("report.json");
        fs::write(&path, "old").unwrap();
        let output = Output::open(&path).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(dir.path()).len(), 2);
        output.write("new", &Ui::plain(false)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        drop(Output::open(&path).unwrap());
        assert_eq!(names(dir.path()), ["report.json"]);
    }

    #[test]
    fn a_link_stays_a_link_and_what_is_no_plain_file_is_not_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real"), dir.path().join("link"));
        fs::write(&real, "old").unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        Output::open(&link).unwrap().write("new", &Ui::plain(false)).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&real).unwrap(), "new");
        let null = Path::new("/dev/null");
        Output::open(null).unwrap().write("gone", &Ui::plain(false)).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn what_cannot_be_written_is_told_when_it_is_opened() {
        let dir = tempfile::tempdir().unwrap();
        let missing = Output::open(&dir.path().join("no/such/report")).unwrap_err();
        assert_eq!(missing.exit().code(), 2);
        assert!(missing.advice().is_some());
        assert_eq!(Output::open(dir.path()).unwrap_err().exit().code(), 2);
    }
}
