// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask process-calls`: what a call to a plugin costs in instructions, counted by the program in
//! `xtask/process-calls`.

use std::process::{Command, ExitCode};

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cargo, cc, create_folder};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Arguments for the count, such as `--calls 300` or `--placement inline --depth 1`; `--help` lists them.
    #[arg(value_name = "ARGUMENTS", trailing_var_arg = true, allow_hyphen_values = true)]
    more: Vec<String>,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    let output = &mut Output::Screen;
    let package = ["build", "--release", "--locked", "--package=becket-process-calls"];
    output.run(cargo().current_dir(context.root()).args(package))?;
    let folder = context.target().join("xtask").join("process-calls");
    create_folder(&folder)?;
    let plugin = folder.join("plugin.so");
    output.run(
        cc().args(["-std=c11", "-O2", "-g", "-fPIC", "-shared", "-pthread"])
            .arg(format!("-I{}", context.path("crates/abi/include").display()))
            .arg(context.path("bench/plugin/bench_plugin.c"))
            .arg("-o")
            .arg(&plugin),
    )?;
    output.run(
        Command::new(context.target().join("release").join("becket-process-calls"))
            .arg("count")
            .arg("--plugin")
            .arg(plugin)
            .args(arguments.more),
    )?;
    Ok(ExitCode::SUCCESS)
}
