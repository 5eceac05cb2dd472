// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask process-death`: workers of plugins that end in each way, workers and hosts that are killed,
//! measured by the program in `xtask/process-death`.

use std::process::{Command, ExitCode};

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cargo, cc, create_folder};
use crate::samples::{self, Language};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Arguments for the measurement, such as `--only kills --kill-every 1s --seconds 600`; `--help` lists
    /// them.
    #[arg(value_name = "ARGUMENTS", trailing_var_arg = true, allow_hyphen_values = true)]
    more: Vec<String>,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    start(context, &arguments.more, &mut Output::Screen)?;
    Ok(ExitCode::SUCCESS)
}

/// The short form; an error if a goal is missed.
pub(crate) fn check(context: &Context, output: &mut Output) -> Result<(), Error> {
    start(context, &[], output)
}

fn start(context: &Context, arguments: &[String], output: &mut Output) -> Result<(), Error> {
    output.run(cargo().current_dir(context.root()).args([
        "build",
        "--release",
        "--locked",
        "--package=becket",
        "--package=becket-process-death",
    ]))?;
    let sample = samples::build(context, Language::C, output)?;
    let folder = context.target().join("xtask").join("process-death");
    create_folder(&folder)?;
    let [plugin, hostile] =
        ["plugin", "hostile"].map(|name| folder.join(name).with_extension("so"));
    for (source, file) in [
        ("xtask/process-death/src/plugin.c", &plugin),
        ("crates/process/tests/processes/hostile.c", &hostile),
    ] {
        output.run(
            cc().args(["-std=c11", "-shared", "-fPIC", "-O1", "-pthread"])
                .arg(format!("-I{}", context.path("crates/abi/include").display()))
                .arg(context.path(source))
                .arg("-o")
                .arg(file),
        )?;
    }
    let release = context.target().join("release");
    output.run(
        Command::new(release.join("becket-process-death"))
            .arg("--becket")
            .arg(release.join("becket"))
            .arg("--sample")
            .arg(sample)
            .arg("--plugin")
            .arg(plugin)
            .arg("--hostile")
            .arg(hostile)
            .args(arguments),
    )
}
