// SPDX-License-Identifier: BSD-3-Clause
//! The documents do what they show: every code block of the book and of the README is tested, or says
//! beside it why not.
//!
//! Each page has a folder of its own and a shell, in which its `console` blocks run from top to bottom,
//! so that a page is one session. The folder has `crates`, `examples` and `sdk` of the repository, which
//! is at `$REPOSITORY`, and the built command is on the path. A comment above a block, which a reader of
//! the page does not see, changes what is done with it:
//!
//! | comment | what it means |
//! |---|---|
//! | `<!-- not run: REASON -->` | the block cannot run here |
//! | `<!-- tested by: PATH -->` | that file of the repository tests the same |
//! | `<!-- stays -->` | the command keeps running, until the next such block or the page's end |
//! | `<!-- before: COMMAND -->` | run first, for what the page takes as given; it has to succeed |
//! | `<!-- file: NAME -->` | the block is the content of that file |
//!
//! Shown output is compared with what is printed: `…` stands for any text, a line of `…` alone for any
//! lines, and durations are not compared. Where no output is shown the command only has to succeed.
//!
//! | module | what it does |
//! |---|---|
//! | `page` | the blocks of a page, and the comments above them |
//! | `session` | runs the commands of a page |
//! | `shell` | a shell, and a command that keeps running |
//! | `compare` | shown and printed output |
//! | `code` | blocks that are not commands |
//! | `logs` | the table of log targets |
//! | `names` | files, metrics, options and settings that the text names |
//!
//! `BOOK=using/monitor.md cargo test -p becket --test book` tests one page;
//! `SNAPSHOTS=overwrite` writes what is printed into the pages.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io, thread};

use parking_lot::Mutex;

use crate::page::{Mark, Page};
use crate::session::Session;

mod code;
mod compare;
mod logs;
mod names;
mod page;
mod session;
mod shell;

/// Whether what is printed replaces what is shown.
fn is_overwriting() -> bool {
    env::var("SNAPSHOTS").is_ok_and(|mode| mode == "overwrite")
}

/// The repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// What was done with a page's blocks.
#[derive(Default)]
struct Report {
    /// What does not hold, each with its place.
    wrong: Vec<String>,
    commands: usize,
    checked: usize,
    elsewhere: usize,
    /// Each block that is not run, with its reason.
    not_run: Vec<String>,
}

#[test]
fn the_documents_do_what_they_show() {
    let pages = Mutex::new(documents());
    let reports = Mutex::new(BTreeMap::new());
    let threads = thread::available_parallelism().map_or(2, |count| count.get().max(2));
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while let Some(path) = { pages.lock().pop() } {
                    let report = test(&path);
                    reports.lock().insert(path, report);
                }
            });
        }
    });
    let reports = reports.into_inner();
    let sum = |of: fn(&Report) -> usize| reports.values().map(of).sum::<usize>();
    // Past the capture of the test harness: these numbers are for every run.
    let mut said = format!(
        "book: {} pages: {} commands run, {} other blocks checked, {} tested elsewhere, {} not run\n",
        reports.len(),
        sum(|page| page.commands),
        sum(|page| page.checked),
        sum(|page| page.elsewhere),
        sum(|page| page.not_run.len()),
    );
    for line in reports.values().flat_map(|page| &page.not_run) {
        said.push_str(&format!("  not run: {line}\n"));
    }
    io::stderr().write_all(said.as_bytes()).unwrap();
    let wrong: Vec<_> = reports.values().flat_map(|page| page.wrong.iter().cloned()).collect();
    assert!(wrong.is_empty(), "{} differences\n\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(env::var_os("BOOK").is_some() || reports.len() >= 50, "where are the pages?");
}

/// The pages, those with most to run last, because they are taken from the end.
fn documents() -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("README.md")];
    let mut folders = vec![PathBuf::from("docs/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            if root().join(&path).is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|kind| kind == "md") {
                found.push(path);
            }
        }
    }
    if let Ok(one) = env::var("BOOK") {
        found.retain(|path| path.ends_with(&one));
        assert!(!found.is_empty(), "no page {one}");
    }
    found
        .sort_by_key(|path| fs::read_to_string(root().join(path)).unwrap().matches("\n$ ").count());
    found
}

/// Tests one page, given by its path in the repository.
fn test(path: &Path) -> Report {
    let mut report = Report::default();
    let text = fs::read_to_string(root().join(path)).unwrap();
    let page = match Page::of(&text) {
        Ok(page) => page,
        Err(wrong) => {
            report.wrong.push(format!("{}:{wrong}", path.display()));
            return report;
        }
    };
    let mut session = None;
    let mut printed = Vec::new();
    for block in &page.blocks {
        let place = format!("{}:{}", path.display(), block.line);
        if let Some(reason) = block.marked(Mark::NotRun) {
            report.not_run.push(format!("{place}: {reason}"));
            continue;
        }
        if let Some(test) = block.marked(Mark::TestedBy) {
            report.elsewhere += 1;
            if !root().join(test).is_file() {
                report.wrong.push(format!("{place}: no file {test}"));
            }
            continue;
        }
        let needs_session = block.is_session() || block.marked(Mark::File).is_some();
        if needs_session && session.is_none() {
            session = Some(Session::start(path));
        }
        let session = session.as_mut();
        let wrong = match (block.marked(Mark::File), session) {
            (Some(name), Some(session)) => session.write(block, name),
            (None, Some(session)) if block.is_session() => {
                session.run(block, &mut report.commands, &mut printed)
            }
            _ => {
                report.checked += usize::from(block.language != "text");
                code::check(&root().join(path), block)
            }
        };
        if let Err(wrong) = wrong {
            report.wrong.push(format!("{place}: {wrong}"));
            // What comes after it in the session depends on it.
            if block.is_session() {
                break;
            }
        }
    }
    if !printed.is_empty() {
        fs::write(root().join(path), page::replaced(&text, &printed)).unwrap();
    }
    report
}
