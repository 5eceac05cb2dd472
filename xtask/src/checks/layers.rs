// SPDX-License-Identifier: BSD-3-Clause
//! The layer rule: which crate may use which. ARCHITECTURE.md says it in prose; this is the table.
//!
//! A build dependency counts like a normal one. A dev-dependency may go to any crate of the table,
//! since tests are not shipped; cargo itself refuses what would be a cycle.

use std::path::Path;

use serde_json::Value;

use crate::error::Error;
use crate::process::read;

/// Each crate, from the ground up, with the crates of this workspace that it may use.
const ALLOWED: &[(&str, &[&str])] = &[
    ("becket-abi", &[]),
    ("becket-chan", &[]),
    ("becket-coro", &["becket-chan"]),
    ("becket-zcopy", &["becket-chan"]),
    ("becket-wire", &[]),
    ("becket-ipc", &["becket-chan", "becket-coro", "becket-zcopy", "becket-wire"]),
    ("becket-plugin", &["becket-abi"]),
    ("becket-host", &["becket-abi", "becket-chan", "becket-coro"]),
    ("becket-sandbox", &[]),
    (
        "becket-process",
        &[
            "becket-chan",
            "becket-coro",
            "becket-host",
            "becket-ipc",
            "becket-sandbox",
            "becket-wire",
        ],
    ),
    ("becket-cluster", &["becket-chan", "becket-coro", "becket-host"]),
    ("becket-lab", &["becket-chan", "becket-zcopy", "becket-wire", "becket-ipc", "becket-host"]),
    ("becket-gateway", &["becket-chan", "becket-host", "becket-ipc", "becket-process"]),
    ("becket-pingora", &["becket-gateway", "becket-host", "becket-process"]),
    ("becket-sample", &["becket-plugin"]),
    ("becket-example-variant", &["becket-plugin"]),
    (
        "becket",
        &[
            "becket-chan",
            "becket-cluster",
            "becket-gateway",
            "becket-host",
            "becket-ipc",
            "becket-lab",
            "becket-process",
            "becket-sample",
        ],
    ),
    ("libkcoro", &["becket-chan", "becket-coro", "becket-zcopy", "becket-wire", "becket-ipc"]),
    ("becket-example-hosts", &["becket-chan", "becket-host", "becket-sample"]),
    ("memory-ring", &["becket-chan", "becket-zcopy"]),
    ("tls-link", &["becket-chan", "becket-ipc", "becket-wire"]),
    ("becket-cluster-demo", &["becket-cluster"]),
    ("becket-load", &[]),
    ("becket-process-calls", &["becket-coro", "becket-host", "becket-process"]),
    ("becket-process-death", &["becket-coro", "becket-host", "becket-process"]),
    ("becket-soak", &["becket-chan", "becket-coro"]),
    ("xtask", &[]),
];

/// The package that serves, and the packages that it must not need without its features:
/// `cargo xtask run` compiles all that it needs before the first answer.
const SERVES: &str = "becket";
const NOT_TO_SERVE: &[&str] = &[
    "async-nats",
    "becket-cluster",
    "becket-ipc",
    "becket-lab",
    "becket-process",
    "becket-sandbox",
    "becket-wire",
    "becket-zcopy",
    "ratatui",
];

/// What breaks the rule in the packages that `cargo metadata` lists.
pub(crate) fn check(metadata: &Value) -> Vec<String> {
    let packages = metadata.get("packages").and_then(Value::as_array);
    let packages: Vec<_> = packages.into_iter().flatten().collect();
    let members: Vec<_> = packages.iter().filter_map(|package| text(package, "name")).collect();
    let mut broken = Vec::new();
    for package in &packages {
        let name = text(package, "name").unwrap_or_default();
        let Some((_, allowed)) = ALLOWED.iter().find(|(known, _)| *known == name) else {
            broken.push(format!("{name} has no place in the layers: add it to ARCHITECTURE.md and to xtask/src/checks/layers.rs"));
            continue;
        };
        for used in uses(package).filter(|used| members.contains(used)) {
            if !allowed.contains(&used) {
                broken.push(format!("{name} uses {used}, which stands above or beside it"));
            }
        }
    }
    broken.extend(needless(&packages));
    broken
}

/// The packages of [`NOT_TO_SERVE`] that [`SERVES`] needs, directly or not, by dependencies that
/// are not optional.
fn needless(packages: &[&Value]) -> Vec<String> {
    let (mut found, mut next) = (vec![SERVES], 0);
    let mut broken = Vec::new();
    while let Some(&name) = found.get(next) {
        next += 1;
        let package = packages.iter().find(|package| text(package, "name") == Some(name));
        for used in package.into_iter().flat_map(|package| uses_always(package)) {
            if NOT_TO_SERVE.contains(&used) {
                broken.push(format!("{name} needs {used} to serve: make it optional"));
            } else if !found.contains(&used) {
                found.push(used);
            }
        }
    }
    broken
}

/// ARCHITECTURE.md names every crate of the table.
pub(crate) fn check_architecture(root: &Path) -> Result<Vec<String>, Error> {
    let text = read(&root.join("ARCHITECTURE.md"))?;
    let unnamed = ALLOWED.iter().filter(|(name, _)| !text.contains(&format!("`{name}`")));
    Ok(unnamed.map(|(name, _)| format!("ARCHITECTURE.md does not name `{name}`")).collect())
}

/// The names of the packages that it needs to be built or to run.
fn uses(package: &Value) -> impl Iterator<Item = &str> {
    dependencies(package).filter_map(|dependency| text(dependency, "name"))
}

/// Those of them that are not optional.
fn uses_always(package: &Value) -> impl Iterator<Item = &str> {
    dependencies(package)
        .filter(|dependency| dependency.get("optional").and_then(Value::as_bool) != Some(true))
        .filter_map(|dependency| text(dependency, "name"))
}

fn dependencies(package: &Value) -> impl Iterator<Item = &Value> {
    let dependencies = package.get("dependencies").and_then(Value::as_array);
    dependencies.into_iter().flatten().filter(|dependency| text(dependency, "kind") != Some("dev"))
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key).and_then(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn package(name: &str, uses: &[(&str, Option<&str>)]) -> Value {
        let dependencies: Vec<_> =
            uses.iter().map(|(name, kind)| json!({"name": name, "kind": kind})).collect();
        json!({"name": name, "dependencies": dependencies})
    }

    #[test]
    fn the_table_itself_has_no_way_up() {
        for (place, (name, allowed)) in ALLOWED.iter().enumerate() {
            for used in *allowed {
                let below = ALLOWED.iter().take(place).any(|(other, _)| other == used);
                assert!(below, "{name} may use {used}, which is not below it");
            }
        }
    }

    #[test]
    fn a_dependency_upwards_is_named() {
        let metadata = json!({"packages": [
            package("becket-abi", &[("becket-host", None)]),
            package("becket-host", &[("becket-abi", None), ("libc", None)]),
        ]});
        assert_eq!(
            check(&metadata),
            ["becket-abi uses becket-host, which stands above or beside it"]
        );
    }

    #[test]
    fn tests_may_use_anything_and_build_scripts_may_not() {
        let metadata = json!({"packages": [
            package("becket-plugin", &[("becket-host", Some("dev"))]),
            package("becket-host", &[("becket-plugin", Some("build"))]),
        ]});
        let broken = check(&metadata);
        assert_eq!(broken, ["becket-host uses becket-plugin, which stands above or beside it"]);
    }

    #[test]
    fn what_serves_needs_no_lab_and_no_monitor() {
        let gateway = |optional: bool| {
            let ipc = json!({"name": "becket-ipc", "kind": null, "optional": optional});
            json!({"name": "becket-gateway", "dependencies": [ipc]})
        };
        let command = package("becket", &[("becket-gateway", None), ("becket-lab", Some("dev"))]);
        let ipc = package("becket-ipc", &[]);
        let with = |optional| check(&json!({"packages": [command, gateway(optional), ipc]}));
        assert_eq!(with(true), Vec::<String>::new());
        assert_eq!(with(false), ["becket-gateway needs becket-ipc to serve: make it optional"]);
    }

    #[test]
    fn a_crate_without_a_place_is_refused() {
        let broken = check(&json!({"packages": [package("becket-new", &[])]}));
        assert!(broken.iter().any(|line| line.starts_with("becket-new has no place")));
    }
}
