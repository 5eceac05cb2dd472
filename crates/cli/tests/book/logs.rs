// SPDX-License-Identifier: BSD-3-Clause
//! The table of log targets in *When something does not work*.

use std::fs;
use std::path::Path;

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
