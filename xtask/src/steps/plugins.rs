// SPDX-License-Identifier: BSD-3-Clause
//! Steps that build plugins.

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cargo};
use crate::samples::{self, Language};

pub(super) fn rust(context: &Context, output: &mut Output) -> Result<(), Error> {
    sample(context, Language::Rust, output)
}

pub(super) fn c(context: &Context, output: &mut Output) -> Result<(), Error> {
    sample(context, Language::C, output)
}

pub(super) fn cpp(context: &Context, output: &mut Output) -> Result<(), Error> {
    sample(context, Language::Cpp, output)
}

pub(super) fn go(context: &Context, output: &mut Output) -> Result<(), Error> {
    sample(context, Language::Go, output)
}

pub(super) fn zig(context: &Context, output: &mut Output) -> Result<(), Error> {
    sample(context, Language::Zig, output)
}

pub(super) fn zoo(context: &Context, output: &mut Output) -> Result<(), Error> {
    crate::zoo::build(context, output).map(drop)
}

/// Plugins built with the published `nylon-ring`, each in two profiles and run by its own host, before this
/// host and its command run those of 0.2 and refuse those of 0.1 with the reason.
pub(super) fn published(context: &Context, output: &mut Output) -> Result<(), Error> {
    let built = context.target().join("xtask").join("published");
    for version in ["0_1_0", "0_1_4", "0_2_2"] {
        let manifest = context.path("bench/published").join(format!("v{version}/Cargo.toml"));
        for arguments in [&["build"][..], &["build", "--release"], &["test"]] {
            let mut package = cargo();
            package.current_dir(context.root()).args(arguments);
            package.arg("--locked").arg("--manifest-path").arg(&manifest);
            output.run(package.arg("--target-dir").arg(built.join(version)))?;
        }
    }
    let mut tests = cargo();
    tests
        .current_dir(context.root())
        .args([
            "test",
            "--locked",
            "--package=becket",
            "--test=cli",
            "--",
            "published",
            "--ignored",
        ])
        .env("BECKET_PUBLISHED_DIR", &built);
    output.run(&mut tests)
}

fn sample(context: &Context, language: Language, output: &mut Output) -> Result<(), Error> {
    samples::build(context, language, output).map(drop)
}
