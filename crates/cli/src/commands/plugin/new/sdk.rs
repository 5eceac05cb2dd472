// SPDX-License-Identifier: BSD-3-Clause
//! The SDK in a new project: the folders of this repository that its language needs, in a folder
//! `becket/` with the same layout, so that relative paths between them stay valid.

use std::collections::BTreeSet;
use std::path::Path;

use toml::{Table, Value};

use super::Lang;
use crate::embedded;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::text;

/// Where a project has its own copy of the SDK.
const COPY: &str = "./becket";

/// Path in the project, content.
pub(super) type NewFile = (String, Vec<u8>);

/// The files of the SDK for `lang`, as they lie in the project.
pub(super) fn files(lang: Lang) -> Result<Vec<NewFile>, Failure> {
    if let Some(package) = package(lang) {
        return Ok(package_files(package));
    }
    let mut files =
        vec![("becket/LICENSE".to_owned(), embedded::text("LICENSE").as_bytes().to_vec())];
    for folder in folders(lang) {
        for (path, content) in embedded::folder(folder) {
            files.push((format!("becket/{folder}/{path}"), content.to_vec()));
        }
    }
    if lang == Lang::Rust {
        files.push(("becket/Cargo.toml".to_owned(), workspace()?.into_bytes()));
    }
    Ok(files)
}

/// The path of the SDK for the project: its own copy, or the checkout named on the command line.
pub(super) fn place(checkout: Option<&Path>) -> Result<String, Failure> {
    let Some(checkout) = checkout else { return Ok(COPY.to_owned()) };
    let path = checkout
        .canonicalize()
        .map_err(|error| Failure::file("used as the SDK", checkout, &error))?;
    if !path.join("crates/abi/include/nylon_ring.h").is_file() {
        return Err(Failure::new(
            Exit::Failure,
            format!("{} cannot be used as the SDK", checkout.display()),
        )
        .cause("it is no checkout of Becket: crates/abi/include/nylon_ring.h is not in it")
        .hint("without `--sdk` the project gets a copy of the SDK"));
    }
    Ok(path.display().to_string())
}

/// The build step of a project that does not copy the SDK, where that differs.
pub(super) fn build(lang: Lang, becket: &str) -> Option<String> {
    match lang {
        _ if becket == COPY => None,
        Lang::Python => Some(format!("pip install {}", shell_path(becket, "sdk/python"))),
        Lang::Node => Some(format!("npm install {}", shell_path(becket, "sdk/node"))),
        _ => None,
    }
}

fn shell_path(becket: &str, folder: &str) -> String {
    text::shell_word(&format!("{becket}/{folder}"))
}

/// The modules of the SDK for Node, and of its fake host: files of the project's own copy, or of the package
/// that npm installs.
pub(super) fn node_modules(becket: &str) -> [&'static str; 2] {
    match becket {
        COPY => ["./becket/src/index.js", "./becket/src/testing.js"],
        _ => ["becket", "becket/testing"],
    }
}

/// A package that a program imports: its folder in this repository. In the project it is `becket/`, where
/// the interpreter finds it.
const fn package(lang: Lang) -> Option<&'static str> {
    match lang {
        Lang::Python => Some("sdk/python/becket"),
        Lang::Node => Some("sdk/node"),
        _ => None,
    }
}

fn package_files(package: &str) -> Vec<NewFile> {
    let files = embedded::folder(package);
    let license = ("LICENSE", embedded::text("LICENSE").as_bytes());
    files
        .chain([license])
        .map(|(path, content)| (format!("becket/{path}"), content.to_vec()))
        .collect()
}

fn folders(lang: Lang) -> &'static [&'static str] {
    match lang {
        Lang::Rust => &RUST,
        Lang::C => &["crates/abi/include", "sdk/c"],
        Lang::Cpp => &["crates/abi/include", "sdk/c", "sdk/cpp"],
        // Its fake host is that of C.
        Lang::Go => &["crates/abi/include", "sdk/c", "sdk/go"],
        Lang::Zig => &["sdk/zig"],
        Lang::Python | Lang::Node => &[],
    }
}

/// The crates of the Rust SDK.
const RUST: [&str; 2] = ["crates/abi", "crates/plugin"];

/// The repository's workspace with the crates of the Rust SDK alone, and the dependencies that
/// their manifests take from it.
fn workspace() -> Result<String, Failure> {
    let mut root = manifest("Cargo.toml")?;
    root.retain(|key, _| key == "workspace");
    let Some(Value::Table(workspace)) = root.get_mut("workspace") else {
        return Err(broken("its manifest has no workspace"));
    };
    workspace.remove("exclude");
    workspace.insert("members".into(), RUST.map(Value::from).to_vec().into());
    let mut taken = BTreeSet::new();
    for member in RUST {
        let member = manifest(&format!("{member}/Cargo.toml"))?;
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let names = member.get(kind).and_then(Value::as_table).into_iter().flatten();
            taken.extend(names.map(|(name, _)| name.clone()));
        }
    }
    if let Some(Value::Table(dependencies)) = workspace.get_mut("dependencies") {
        dependencies.retain(|name, _| taken.contains(name));
    }
    let text = toml::to_string(&root).map_err(|error| broken(&error.to_string()))?;
    Ok(format!("# SPDX-License-Identifier: BSD-3-Clause\n{text}"))
}

fn manifest(path: &str) -> Result<Table, Failure> {
    embedded::text(path).parse().map_err(|error: toml::de::Error| broken(&error.to_string()))
}

/// A failure for wrong embedded files: an error of the build, not of the user.
fn broken(why: &str) -> Failure {
    Failure::new(Exit::Failure, "the Rust SDK in this binary is broken").cause(why.to_owned())
}
