// SPDX-License-Identifier: BSD-3-Clause
//! becket-pingora, a workspace of its own: its tests, its example, and what its filters cost.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::context::Context;
use crate::error::Error;
use crate::example;
use crate::process::{Output, cargo, path_with};

/// The crate.
pub(crate) const NAME: &str = "becket-pingora";

/// Where it is.
pub(crate) const FOLDER: &str = "crates/pingora";

/// Lints, tests and documentation, with the filters of the example.
pub(crate) fn check(context: &Context, output: &mut Output) -> Result<(), Error> {
    let cmake = context.tools.cmake(output)?;
    let without = example::build(context, &example::PINGORA, output)?;
    let lints = ["clippy", "--all-targets", "--locked", "--", "-D", "warnings"];
    output.run(tool(context, cmake).args(lints))?;
    let alone = ["clippy", "--no-default-features", "--lib", "--locked", "--", "-D", "warnings"];
    output.run(tool(context, cmake).args(alone))?;
    // With the examples: one of them is the program of workers.
    output.run(
        tool(context, cmake)
            .args(["test", "--locked"])
            .env("BECKET_PINGORA_EXAMPLE_DIR", example::folder(context, &example::PINGORA)),
    )?;
    let doc = ["doc", "--no-deps", "--locked"];
    output.run(tool(context, cmake).args(doc).env("RUSTDOCFLAGS", "-D warnings"))?;
    without.into_iter().next().map_or(Ok(()), |(_, missing)| Err(missing.into()))
}

/// Builds the proxy of the example.
pub(crate) fn proxy(context: &Context, output: &mut Output) -> Result<PathBuf, Error> {
    let cmake = context.tools.cmake(output)?;
    output.run(tool(context, cmake).args(["build", "--release", "--locked", "--example=proxy"]))?;
    Ok(target(context).join("release").join("examples").join("proxy"))
}

/// Counts what filters cost, beside Pingora and the gateway without them.
pub(crate) fn cost(context: &Context, is_quick: bool, output: &mut Output) -> Result<(), Error> {
    let cmake = context.tools.cmake(output)?;
    let mut command = tool(context, cmake);
    command.args(["run", "--release", "--locked", "--example=cost", "--"]);
    output.run(command.args(is_quick.then_some("--quick")))
}

/// Cargo in its workspace.
fn tool(context: &Context, cmake: &Path) -> Command {
    in_workspace(cargo(), context, cmake)
}

/// A command in its workspace, with the CMake that builds a library of Pingora's.
pub(crate) fn in_workspace(mut command: Command, context: &Context, cmake: &Path) -> Command {
    command
        .current_dir(context.path(FOLDER))
        .env("CMAKE", cmake)
        .env("PATH", path_with(Some(cmake)))
        .env("CARGO_TARGET_DIR", target(context));
    command
}

fn target(context: &Context) -> PathBuf {
    context.target().join("pingora")
}
