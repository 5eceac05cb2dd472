// SPDX-License-Identifier: BSD-3-Clause
//! What the pages name is there: files, metrics, options and settings.

use std::fs;
use std::path::Path;

use crate::{documents, root};

/// Pages that name files by their path within one crate's sources.
const INSIDE: [(&str, &str); 4] = [
    ("docs/src/inside/host.md", "crates/host/src"),
    ("docs/src/inside/channels.md", "crates/chan/src"),
    ("docs/src/inside/coroutines.md", "crates/coro/src"),
    ("docs/src/inside/ipc.md", "crates/ipc/src"),
];

/// Pages that name settings of the gateway, and no others.
const SETTINGS: [&str; 6] = [
    "docs/src/gateway.md",
    "docs/src/configuration.md",
    "docs/src/promises/trust.md",
    "docs/src/using/streaming.md",
    "docs/src/using/production.md",
    "docs/src/using/debugging.md",
];

/// Every piece of code within the text of these pages, or of all, for which `is_named` knows no thing.
fn unknown(pages: Option<&[&str]>, is_named: impl Fn(&Path, &str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for path in documents().into_iter().chain(["ARCHITECTURE.md".into(), "CONTRIBUTING.md".into()])
    {
        if pages.is_some_and(|pages| !pages.iter().any(|page| path == Path::new(page))) {
            continue;
        }
        let text = fs::read_to_string(root().join(&path)).unwrap();
        let mut is_block = false;
        for (line, content) in (1..).zip(text.lines()) {
            is_block ^= content.trim_start().starts_with("```");
            // Every second piece of a line stands between two backticks.
            let pieces = content.split('`').skip(1).step_by(2).filter(|_| !is_block);
            let wrong = pieces.filter(|piece| !is_named(&path, piece));
            found.extend(wrong.map(|piece| format!("{}:{line}: {piece}", path.display())));
        }
    }
    found
}

#[test]
fn files_that_pages_name_are_there() {
    let folders = ["crates/", "examples/", "sdk/", "bench/", "docs/", "xtask/"];
    let is_there = |page: &Path, piece: &str| {
        // `examples/plugins/LANGUAGE` stands for several.
        let is_path = !piece.contains([' ', '*', '{', '#'])
            && !piece.split('/').any(|part| part.len() > 1 && part.chars().all(char::is_uppercase));
        if !is_path {
            return true;
        }
        let path = piece.split(':').next().unwrap_or(piece);
        let inside = INSIDE.iter().find(|(inside, _)| page == Path::new(inside));
        if folders.iter().any(|folder| path.starts_with(folder)) {
            root().join(path).exists()
        } else if let Some((_, sources)) = inside
            && path.ends_with(".rs")
        {
            root().join(sources).join(path).exists()
        } else {
            true
        }
    };
    assert_eq!(unknown(None, is_there), [""; 0]);
}

#[test]
fn metrics_that_pages_name_are_there() {
    let page = fs::read_to_string(root().join("docs/src/metrics.md")).unwrap();
    let families = ["becket_plugin_", "becket_http_", "becket_websocket", "becket_config_"];
    let is_there = |_: &Path, piece: &str| {
        let name = piece.split('{').next().unwrap_or(piece);
        !families.iter().any(|family| name.starts_with(family))
            || page.contains(&format!("| `{name}` |"))
    };
    assert_eq!(unknown(None, is_there), [""; 0]);
}

#[test]
fn settings_that_pages_name_are_there() {
    let example = fs::read_to_string(root().join("examples/becket.toml")).unwrap();
    let is_there = |_: &Path, piece: &str| {
        let is_name =
            piece.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let is_setting = is_name && ["_max", "_ms"].iter().any(|unit| piece.ends_with(unit));
        !is_setting || example.contains(&format!("{piece} = "))
    };
    assert_eq!(unknown(Some(&SETTINGS), is_there), [""; 0]);
}

/// The table of headers is complete.
#[test]
fn the_page_names_every_header_of_the_c_library() {
    let page = fs::read_to_string(root().join("docs/src/c-api/reference.md")).unwrap();
    for entry in fs::read_dir(root().join("crates/capi/include")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.ends_with(".h") || page.contains(&format!("`{name}`")), "{name} is missing");
    }
}

/// Options of `becket`, on the pages that are about it alone.
#[test]
fn options_that_pages_name_are_there() {
    let reference = fs::read_to_string(root().join("docs/src/cli.md")).unwrap();
    let is_there = |_: &Path, piece: &str| {
        let others = ["cargo ", "curl ", "gdb ", "--tmpfs", "xtask"];
        let mut options = piece.split(' ').filter(|word| word.starts_with("--") && word.len() > 2);
        others.iter().any(|other| piece.contains(other))
            || options.all(|word| {
                let is_part = |c: char| c.is_ascii_lowercase() || c == '-';
                word.split(|c| !is_part(c)).next().is_some_and(|option| reference.contains(option))
            })
    };
    let pages = documents();
    let about: Vec<&str> = pages
        .iter()
        .filter_map(|page| page.to_str())
        .filter(|page| {
            !["c-api", "README", "start", "cluster"].iter().any(|other| page.contains(other))
        })
        .collect();
    assert_eq!(unknown(Some(&about), is_there), [""; 0]);
}

/// The hops of a message and of a call in `ARCHITECTURE.md`: a file name at the beginning of a line.
#[test]
fn files_of_the_ways_through_the_code_are_there() {
    let text = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let (_, ways) = text.split_once("## The way of a message").unwrap();
    let (ways, _) = ways.split_once("\n## ").unwrap();
    let sources = ["chan", "ipc", "wire", "host", "gateway"];
    let mut hops = 0;
    for file in ways.lines().filter_map(|line| line.split_whitespace().next()) {
        let file = file.trim_matches(['`', ',', ':', '(']);
        if file.ends_with(".rs") {
            hops += 1;
            let is_there = |name| root().join("crates").join(name).join("src").join(file).is_file();
            assert!(sources.into_iter().any(is_there), "no {file}");
        }
    }
    assert!(hops >= 20, "{hops}");
}
