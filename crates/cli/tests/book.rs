// SPDX-License-Identifier: BSD-3-Clause
//! Commands in the book's pages print the shown output. `TRYCMD=overwrite` updates the pages.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::{env, fs};

/// Pages whose `console` blocks are run, each page in its own folder.
const PAGES: [&str; 1] = ["failure.md"];

#[test]
fn pages_show_what_is_printed() {
    let book = Path::new("../../docs/src/lab");
    // A reader has the command on the path: it then refers to itself by its name.
    let programs = Path::new(env!("CARGO_BIN_EXE_becket")).parent().unwrap().to_str().unwrap();
    for page in PAGES {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("book").join(page);
        // The folder of an earlier run, if there was one.
        let _absent = fs::remove_dir_all(&folder);
        let copy = folder.join(page);
        // trycmd runs the commands of a page in the folder with this name beside it.
        fs::create_dir_all(copy.with_extension("in")).unwrap();
        fs::copy(book.join(page), &copy).unwrap();
        trycmd::TestCases::new().env("PATH", programs).case(&copy).run();
        if env::var_os("TRYCMD").is_some_and(|mode| mode == "overwrite") {
            fs::copy(&copy, book.join(page)).unwrap();
        }
    }
}

/// The log targets in *When something does not work* are those of the code.
#[test]
fn the_page_names_the_log_targets_that_there_are() {
    let page = fs::read_to_string("../../docs/src/using/debugging.md").unwrap();
    let (_, table) = page.split_once("| log target |").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|') || line.contains('|'));
    let mut named: Vec<String> = rows
        .filter_map(|row| Some(row.strip_prefix("| `")?.split('`').next()?.to_owned()))
        .collect();
    named.sort();
    let mut logged = vec!["becket_host::load".to_owned()];
    for folder in ["../host/src", "../gateway/src"] {
        targets(Path::new(folder), &mut logged);
    }
    logged.sort();
    logged.dedup();
    assert_eq!(named, logged);
}

/// The targets in the sources of a folder: each is a literal that begins with `becket::`.
fn targets(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            targets(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") {
            let source = fs::read_to_string(&path).unwrap();
            let literals = source.split("\"becket::").skip(1);
            let names = literals.filter_map(|rest| rest.split('"').next());
            found.extend(names.map(|name| format!("becket::{name}")));
        }
    }
}
