// SPDX-License-Identifier: BSD-3-Clause
//! Steps on the repository itself and its book.

use std::process::Command;

use serde_json::{Value, json};

use crate::checks::{self, layers, verdict};
use crate::commands::pingora;
use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cargo};

pub(super) fn layers(context: &Context, output: &mut Output) -> Result<(), Error> {
    let mut broken = layers::check(&all_packages(context, output)?);
    broken.extend(layers::check_architecture(context.root())?);
    verdict(broken)
}

/// What `cargo metadata` says of this workspace, with the packages of becket-pingora's.
fn all_packages(context: &Context, output: &mut Output) -> Result<Value, Error> {
    let mut command = cargo();
    command.current_dir(context.path(pingora::FOLDER)).args([
        "metadata",
        "--format-version=1",
        "--no-deps",
        "--locked",
    ]);
    let listed = output.read(&mut command)?;
    let listed: Value = serde_json::from_str(&listed).map_err(|error| Error::Output {
        command: "cargo metadata".into(),
        what: error.to_string(),
    })?;
    let packages = |metadata: &Value| metadata.get("packages").and_then(Value::as_array).cloned();
    let all: Vec<_> =
        [context.metadata(), &listed].into_iter().filter_map(packages).flatten().collect();
    Ok(json!({ "packages": all }))
}

pub(super) fn tidy(context: &Context, _: &mut Output) -> Result<(), Error> {
    let mut broken = checks::tidy::check(context.root())?;
    broken.extend(checks::words::check(context.root())?);
    verdict(broken)
}

pub(super) fn links(context: &Context, _: &mut Output) -> Result<(), Error> {
    verdict(checks::links::check(context.root())?)
}

pub(super) fn book(context: &Context, output: &mut Output) -> Result<(), Error> {
    let mdbook = context.tools.mdbook(output)?;
    output.run(
        Command::new(mdbook)
            .arg("build")
            .arg(context.path("docs"))
            .arg("--dest-dir")
            .arg(context.target().join("book")),
    )
}
