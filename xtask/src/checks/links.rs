// SPDX-License-Identifier: BSD-3-Clause
//! The targets in documents exist: relative links, the files and anchors that the book includes.
//! Each chapter is in the book's summary.

use std::path::Path;

use crate::checks::files;
use crate::error::Error;
use crate::process::read;

/// The book's chapters.
const BOOK: &str = "docs/src";

/// What breaks the rule under `root`.
pub(crate) fn check(root: &Path) -> Result<Vec<String>, Error> {
    let summary = read(&root.join(BOOK).join("SUMMARY.md"))?;
    let mut broken = Vec::new();
    for file in files(root)? {
        if file.extension().is_none_or(|extension| extension != "md") {
            continue;
        }
        let text = read(&root.join(&file))?;
        let here = root.join(&file);
        let folder = here.parent().unwrap_or(root);
        let place = file.display();
        for target in links(&text) {
            if !folder.join(target).exists() {
                broken.push(format!("{place}: links to {target}, which is not there"));
            }
        }
        for include in includes(&text) {
            if let Some(reason) = include_defect(folder, include) {
                broken.push(format!("{place}: includes {include}: {reason}"));
            }
        }
        if let Ok(chapter) = file.strip_prefix(BOOK)
            && chapter != Path::new("SUMMARY.md")
            && !summary.contains(&format!("({})", chapter.display()))
            && !summary.contains(&format!("(./{})", chapter.display()))
        {
            broken.push(format!("{place}: is not in the book's SUMMARY.md"));
        }
    }
    Ok(broken)
}

/// The relative targets of the links in a text, without their fragments; except in code blocks.
fn links(text: &str) -> Vec<&str> {
    let mut fenced = false;
    let mut found = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        for rest in line.split("](").skip(1) {
            let Some((target, _)) = rest.split_once(')') else { continue };
            let target = target.split(['#', ' ']).next().unwrap_or_default();
            let elsewhere = target.is_empty() || target.contains(':');
            if !elsewhere {
                found.push(target);
            }
        }
    }
    found
}

/// What stands behind `{{#include` and `{{#rustdoc_include` in a text.
fn includes(text: &str) -> Vec<&str> {
    text.split("{{#")
        .skip(1)
        .filter_map(|rest| rest.split_once("}}"))
        .filter_map(|(directive, _)| {
            let (name, target) = directive.split_once(' ')?;
            matches!(name, "include" | "rustdoc_include").then_some(target.trim())
        })
        .collect()
}

/// Why `path`, `path:anchor` or `path:from:to` cannot be included.
fn include_defect(folder: &Path, include: &str) -> Option<String> {
    let mut parts = include.split(':');
    let path = folder.join(parts.next().unwrap_or_default());
    let Ok(text) = std::fs::read_to_string(path) else {
        return Some("no such file".into());
    };
    let anchor = parts.next().filter(|anchor| anchor.contains(char::is_alphabetic))?;
    let marked = text.lines().any(|line| {
        line.split_once("ANCHOR: ")
            .is_some_and(|(_, name)| name.split_whitespace().next() == Some(anchor))
    });
    (!marked).then(|| format!("no anchor {anchor} in it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_relative_and_outside_code() {
        let text = "[a](b.md#c) [d](https://e) ![f](g.png)\n```\n[no](h)\n```\n[i](#j)";
        assert_eq!(links(text), ["b.md", "g.png"]);
    }

    #[test]
    fn each_defect_is_found() {
        let root = tempfile::tempdir().expect("a folder");
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, text).expect("a file");
        };
        write("docs/src/SUMMARY.md", "[One](one.md)\n[Two](two.md)\n");
        write("docs/src/one.md", "{{#include ../code.c}} {{#include ../code.c:part}}\n");
        write("docs/src/two.md", "{{#include ../code.c:absent}} {{#include none.c}} [x](y.md)\n");
        write("docs/src/three.md", "\n");
        write("docs/code.c", "/* ANCHOR: part */\nint x;\n/* ANCHOR_END: part */\n");
        let broken = check(root.path()).expect("readable");
        assert_eq!(
            broken,
            [
                "docs/src/three.md: is not in the book's SUMMARY.md",
                "docs/src/two.md: links to y.md, which is not there",
                "docs/src/two.md: includes ../code.c:absent: no anchor absent in it",
                "docs/src/two.md: includes none.c: no such file",
            ]
        );
    }
}
