// SPDX-License-Identifier: BSD-3-Clause
//! The public API of the crates, compared with that of the last release.
//!
//! The baseline is the newest tag `vMAJOR.MINOR.PATCH` before this commit. Without one nothing is compared, and the
//! step's line in the summary says so: there is no promise yet that could be broken. A crate that the baseline does
//! not have is named there too. The rules are those of `cargo-semver-checks`; whether a change is allowed depends on how
//! far the version in `Cargo.toml` is from the baseline's. becket-pingora is compared apart: it is a workspace of its own.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::commands::pingora;
use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, probe};

/// What a release is tagged with.
const TAGS: &str = "v[0-9]*.[0-9]*.[0-9]*";

pub(super) fn semver(context: &Context, output: &mut Output) -> Result<(), Error> {
    let Some(tag) = baseline(context.root()) else {
        output.remark(
            "no baseline: no tag vMAJOR.MINOR.PATCH is before this commit, so nothing was compared",
        );
        return Ok(());
    };
    let mut crates = public(context.metadata());
    crates.push((pingora::NAME.to_owned(), pingora::FOLDER.to_owned()));
    let (old, new): (Vec<_>, Vec<_>) =
        crates.into_iter().partition(|(_, folder)| is_in(context.root(), &tag, folder));
    let names = |crates: &[(String, String)]| {
        crates.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ")
    };
    if !new.is_empty() {
        output.remark(&format!("not in the baseline {tag}, so not compared: {}", names(&new)));
    }
    if old.is_empty() {
        return Ok(());
    }
    let tool = context.tools.cargo_semver_checks(output)?;
    let compare = || {
        let mut command = Command::new(tool);
        command.args(["semver-checks", "check-release", "--baseline-rev", &tag]);
        command
    };
    let (apart, ours): (Vec<_>, Vec<_>) = old.iter().partition(|(name, _)| name == pingora::NAME);
    if !ours.is_empty() {
        let mut command = compare();
        command.current_dir(context.root());
        command.args(ours.iter().flat_map(|(name, _)| ["--package", name]));
        output.run(&mut command)?;
    }
    if !apart.is_empty() {
        let cmake = context.tools.cmake(output)?;
        output.run(&mut pingora::in_workspace(compare(), context, cmake))?;
    }
    output.remark(&format!("compared with {tag}: {}", names(&old)));
    Ok(())
}

/// The newest tag of a release before this commit. A release's own tag is on it, and is no baseline.
fn baseline(root: &Path) -> Option<String> {
    let mut git = Command::new("git");
    git.current_dir(root).args(["describe", "--tags", "--abbrev=0", "--match", TAGS, "HEAD^"]);
    Some(probe(&mut git)?.trim().to_owned())
}

/// The crates that may be published, and their folders below the root.
fn public(metadata: &Value) -> Vec<(String, String)> {
    let root = metadata.get("workspace_root").and_then(Value::as_str).unwrap_or_default();
    let packages = metadata.get("packages").and_then(Value::as_array).into_iter().flatten();
    let of = |package: &Value| {
        let text = |key: &str| package.get(key).and_then(Value::as_str);
        let manifest = Path::new(text("manifest_path")?).strip_prefix(root).ok()?;
        let folder = manifest.parent()?.to_string_lossy().into_owned();
        package.get("publish")?.is_null().then_some((text("name")?.to_owned(), folder))
    };
    packages.filter_map(of).collect()
}

/// Whether a tag has a crate in this folder.
fn is_in(root: &Path, tag: &str, folder: &str) -> bool {
    let mut git = Command::new("git");
    git.current_dir(root).args(["cat-file", "-e", &format!("{tag}:{folder}/Cargo.toml")]);
    probe(&mut git).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn git(folder: &Path, words: &[&str]) {
        let mut git = Command::new("git");
        git.current_dir(folder).args(["-c", "user.name=a", "-c", "user.email=a@b"]).args(words);
        assert!(probe(&mut git).is_some(), "git {words:?}");
    }

    #[test]
    fn the_baseline_is_the_release_before_this_commit() {
        let folder = tempfile::tempdir().expect("a folder");
        let folder = folder.path();
        git(folder, &["init", "-q"]);
        let commit = |text: &str| git(folder, &["commit", "-q", "--allow-empty", "-m", text]);
        commit("one");
        // The first commit has none before it.
        git(folder, &["tag", "v0.1.0"]);
        assert_eq!(baseline(folder), None);
        std::fs::create_dir_all(folder.join("crates/a")).expect("a folder");
        std::fs::write(folder.join("crates/a/Cargo.toml"), "").expect("a file");
        git(folder, &["add", "."]);
        commit("two");
        assert_eq!(baseline(folder).as_deref(), Some("v0.1.0"));
        assert!(!is_in(folder, "v0.1.0", "crates/a"));
        git(folder, &["tag", "v0.2.0"]);
        git(folder, &["tag", "other"]);
        assert_eq!(baseline(folder).as_deref(), Some("v0.1.0"), "a tag is not its own baseline");
        commit("three");
        git(folder, &["tag", "nightly"]);
        commit("four");
        assert_eq!(baseline(folder).as_deref(), Some("v0.2.0"));
        assert!(is_in(folder, "v0.2.0", "crates/a"));
    }

    #[test]
    fn the_crates_are_those_that_may_be_published() {
        let package = |name: &str, publish: Value| {
            serde_json::json!({
                "name": name, "publish": publish,
                "manifest_path": format!("/r/crates/{name}/Cargo.toml"),
            })
        };
        let packages = [package("a", Value::Null), package("b", Value::Array(Vec::new()))];
        let metadata = serde_json::json!({ "workspace_root": "/r", "packages": packages });
        let found = public(&metadata);
        assert_eq!(found, [("a".to_owned(), "crates/a".to_owned())]);
    }
}
