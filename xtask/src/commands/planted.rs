// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask planted`: plants bugs in this project's own code, which the lab must find.
//!
//! ```text
//!   the repository ──copy──► build ──► the check passes
//!                     │
//!                     └─ one bug ──► build ──► the check fails ──► its file repeats the
//!                                                failure here, and not in the healthy build
//! ```
//!
//! Each bug is planted alone, in a copy of the repository under `target/planted`. Its check must
//! pass without the bug and fail with it.
//!
//! For a bug in checked code ([`Sees::Small`]) the lab must write a small failure to a file. The
//! build with the bug must repeat the failure from that file, and the healthy build must not; a
//! diff shows where the two runs part. For a bug in the lab, in a plugin, or one that disturbs
//! every run ([`Sees::Ends`]), the exit code and words of the report must match.

mod bugs;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use serde_json::Value;

use self::bugs::{BUGS, Bug, Sees};
use crate::checks;
use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cargo, create_folder, read, spawn_error};
use crate::samples::{self, Language};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only these.
    #[arg(value_name = "BUG")]
    names: Vec<String>,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    start(context, &arguments.names, &mut Output::Screen)?;
    Ok(ExitCode::SUCCESS)
}

/// All of them.
pub(crate) fn check(context: &Context, output: &mut Output) -> Result<(), Error> {
    start(context, &[], output)
}

fn start(context: &Context, names: &[String], output: &mut Output) -> Result<(), Error> {
    let is_asked = |bug: &&Bug| names.is_empty() || names.iter().any(|name| name == bug.name);
    let bugs: Vec<_> = BUGS.iter().filter(is_asked).collect();
    let is_unknown = |name: &&String| BUGS.iter().all(|bug| bug.name != **name);
    if let Some(name) = names.iter().find(is_unknown) {
        let known = BUGS.iter().map(|bug| bug.name).collect::<Vec<_>>().join(", ");
        return Err(Error::Unknown { what: "bug", name: name.into(), known });
    }
    let copy = Copied::new(context)?;
    if bugs.iter().any(|bug| bug.is_of_plugins()) {
        samples::build(context, Language::C, output)?;
    }
    let healthy = copy.build("healthy", output)?;
    let mut missed = Vec::new();
    for bug in bugs {
        output.say(&format!("\n{}: {}", bug.name, bug.what));
        copy.plant(bug)?;
        let built = copy.build(bug.name, output);
        copy.restore(bug)?;
        let found = Trial { bug, copy: &copy, healthy: &healthy, planted: &built? }.run(output)?;
        missed.extend(found.err().map(|why| format!("{}: {why}", bug.name)));
    }
    if missed.is_empty() { Ok(()) } else { Err(Error::Rules(missed)) }
}

/// A copy of the repository, for the builds with bugs.
struct Copied {
    root: PathBuf,
    plugin: PathBuf,
    tree: PathBuf,
    folder: PathBuf,
}

impl Copied {
    fn new(context: &Context) -> Result<Self, Error> {
        let folder = context.target().join("planted");
        let copy = Self {
            root: context.root().into(),
            plugin: samples::place(context, Language::C),
            tree: folder.join("tree"),
            folder,
        };
        let files = checks::files(&copy.root)?;
        for file in &files {
            copy.copy(file)?;
        }
        copy.remove_others(&copy.tree, &files.into_iter().collect())?;
        Ok(copy)
    }

    /// Removes files that the repository no longer has: after a move a module would have two files.
    fn remove_others(&self, folder: &Path, files: &BTreeSet<PathBuf>) -> Result<(), Error> {
        let error = |action| move |source| Error::File { action, path: folder.into(), source };
        for entry in fs::read_dir(folder).map_err(error("list"))? {
            let entry = entry.map_err(error("list"))?;
            let path = entry.path();
            if entry.file_type().map_err(error("look at"))?.is_dir() {
                self.remove_others(&path, files)?;
            } else if path.strip_prefix(&self.tree).is_ok_and(|file| !files.contains(file)) {
                fs::remove_file(&path).map_err(error("remove from"))?;
            }
        }
        Ok(())
    }

    /// Copies one file, unless the copy is equal already: an unchanged file is not built again. A
    /// written file gets the current time, or cargo would not notice that a bug was taken out.
    fn copy(&self, file: &Path) -> Result<(), Error> {
        let (from, to) = (self.root.join(file), self.tree.join(file));
        let error = |source| Error::File { action: "copy", path: from.clone(), source };
        let wanted = fs::read(&from).map_err(error)?;
        if fs::read(&to).is_ok_and(|there| there == wanted) {
            return Ok(());
        }
        if let Some(folder) = to.parent() {
            create_folder(folder)?;
        }
        fs::write(&to, wanted).map_err(error)
    }

    fn plant(&self, bug: &Bug) -> Result<(), Error> {
        let path = self.tree.join(bug.file);
        let text = read(&path)?;
        if text.matches(bug.healthy).count() != 1 {
            let broken = format!("{}: what bug {} replaces is not there once", bug.file, bug.name);
            return Err(Error::Rules(vec![broken]));
        }
        let text = text.replacen(bug.healthy, bug.planted, 1);
        fs::write(&path, text).map_err(|source| Error::File { action: "write", path, source })
    }

    fn restore(&self, bug: &Bug) -> Result<(), Error> {
        self.copy(Path::new(bug.file))
    }

    /// Builds the command, and moves it aside.
    fn build(&self, name: &str, output: &mut Output) -> Result<PathBuf, Error> {
        let target = self.folder.join("build");
        let mut command = cargo();
        command.current_dir(&self.tree).args(["build", "--locked", "--package=becket"]);
        output.run(command.env("CARGO_TARGET_DIR", &target))?;
        let built = self.folder.join(format!("becket-{name}"));
        let from = target.join("debug/becket");
        fs::copy(&from, &built).map_err(|source| Error::File {
            action: "copy",
            path: from,
            source,
        })?;
        Ok(built)
    }
}

/// One bug, and the builds without and with it.
struct Trial<'a> {
    bug: &'a Bug,
    copy: &'a Copied,
    healthy: &'a Path,
    planted: &'a Path,
}

/// The exit code of a command, and what it printed.
struct Ended {
    code: i32,
    text: String,
}

impl Trial<'_> {
    /// The inner result is an error, with the reason, if the bug was not found as [`Sees`] demands.
    fn run(&self, output: &mut Output) -> Result<Result<(), String>, Error> {
        let kept = self.copy.folder.join("kept").join(self.bug.name);
        if kept.exists() {
            fs::remove_dir_all(&kept).map_err(|source| Error::File {
                action: "remove",
                path: kept.clone(),
                source,
            })?;
        }
        let kept = kept.display().to_string();
        let plugin = self.copy.plugin.display().to_string();
        // For a plugin no failure is written: a plugin's behaviour is no function of a seed.
        let rest =
            if self.bug.is_of_plugins() { vec![&*plugin] } else { vec!["--artefacts", &*kept] };
        let arguments = [&["--json", "check"], self.bug.check, &rest].concat();

        let passes = self.command(self.healthy, &arguments)?;
        if passes.code != 0 {
            return Ok(Err(format!("the check ends with {} without the bug", passes.code)));
        }
        let fails = self.command(self.planted, &arguments)?;
        if fails.code == 0 {
            return Ok(Err("the check does not find it".into()));
        }
        let size_max = match self.bug.sees {
            Sees::Ends { code, says } => return Ok(ends(&fails, code, says, output)),
            Sees::Small(size_max) => size_max,
        };
        let is_small = |size: &Value| size.as_u64().is_some_and(|size| size <= size_max);
        let unreadable =
            |what: String| Error::Output { command: "becket check --json".into(), what };
        let report: Value =
            serde_json::from_str(&fails.text).map_err(|error| unreadable(error.to_string()))?;
        let failure = failures(&report)
            .find(|failure| failure.pointer("/small/size").is_some_and(&is_small))
            .or_else(|| failures(&report).next());
        let Some(failure) = failure else { return Ok(Err("no failure is kept".into())) };
        let text = |key: &str| failure.get(key).and_then(Value::as_str).unwrap_or("-");
        let (rule, scenario, file) = (text("rule"), text("scenario"), text("replay"));
        output.say(&format!("found: {rule} in {scenario}, kept in {file}"));
        output.say(&format!("small: {}", failure.get("small").unwrap_or(&Value::Null)));
        if !failure.pointer("/small/size").is_some_and(&is_small) {
            return Ok(Err(format!("it is not made as small as {size_max}")));
        }

        let again = self.command(self.planted, &["lab", "replay", file])?;
        let gone = self.command(self.healthy, &["lab", "replay", file])?;
        if again.code != 0 || !again.text.contains("the same run as was kept") {
            return Ok(Err("its file does not repeat it".into()));
        }
        if gone.code == 0 {
            return Ok(Err("its file fails without the bug too".into()));
        }
        self.show_diff(&again, &gone, output)?;
        Ok(Ok(()))
    }

    fn command(&self, program: &Path, arguments: &[&str]) -> Result<Ended, Error> {
        let mut command = Command::new(program);
        command.current_dir(&self.copy.tree).args(arguments).stdin(Stdio::null());
        let output = command
            .stderr(Stdio::null())
            .output()
            .map_err(|source| spawn_error(&command, source))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(Ended { code: output.status.code().unwrap_or(-1), text })
    }

    /// Prints where the run with the bug departs from the one without.
    fn show_diff(&self, again: &Ended, gone: &Ended, output: &mut Output) -> Result<(), Error> {
        let write = |name: &str, ended: &Ended| {
            let path = self.copy.folder.join(format!("{}.{name}.txt", self.bug.name));
            fs::write(&path, &ended.text).map(|()| path.clone()).map_err(|source| Error::File {
                action: "write",
                path,
                source,
            })
        };
        let (healthy, planted) = (write("healthy", gone)?, write("planted", again)?);
        let mut command = Command::new("git");
        command.args(["diff", "--no-index", "--no-color"]).arg(healthy).arg(planted);
        // git ends with 1 when there are differences, which is expected here.
        let shown = command.output().map_err(|source| spawn_error(&command, source))?;
        output.say(&String::from_utf8_lossy(&shown.stdout));
        Ok(())
    }
}

fn failures(report: &Value) -> impl Iterator<Item = &Value> {
    // One report, or one for each adapter.
    let reports = report.as_array().map_or(std::slice::from_ref(report), Vec::as_slice);
    reports.iter().filter_map(|report| report.get("failures")?.as_array()).flatten()
}

/// Whether the check ended with this code, and its report contains `says`.
fn ends(ended: &Ended, code: i32, says: &str, output: &mut Output) -> Result<(), String> {
    if ended.code != code {
        return Err(format!("the check ends with {} and not with {code}", ended.code));
    }
    if !ended.text.contains(says) {
        return Err(format!("its report does not say {says:?}"));
    }
    output.say(&format!("found: it ends with {code}, and says {says:?}"));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_the_repository_has_no_more_leaves_the_copy() {
        let folder = std::env::temp_dir().join(format!("becket-planted-{}", std::process::id()));
        let copy = Copied {
            root: PathBuf::new(),
            plugin: PathBuf::new(),
            tree: folder.join("tree"),
            folder: folder.clone(),
        };
        fs::create_dir_all(copy.tree.join("ring")).expect("a folder");
        for file in ["ring.rs", "ring/mod.rs"] {
            fs::write(copy.tree.join(file), "").expect("a file");
        }
        let files = BTreeSet::from([PathBuf::from("ring/mod.rs")]);
        copy.remove_others(&copy.tree, &files).expect("removed");
        assert!(!copy.tree.join("ring.rs").exists() && copy.tree.join("ring/mod.rs").exists());
        fs::remove_dir_all(&folder).expect("removed");
    }
}
