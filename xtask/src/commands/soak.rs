// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask soak`: the long stress, every message accounted for.

use std::process::ExitCode;

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cargo};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// What is stressed, and how, such as `chan --messages 1000000`; `--help` lists it all.
    #[arg(value_name = "ARGUMENTS", required = true)]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    start(context, &arguments.words, &mut Output::Screen)?;
    Ok(ExitCode::SUCCESS)
}

/// The soak of channels, with the default length of `becket-soak`.
pub(crate) fn check(context: &Context, output: &mut Output) -> Result<(), Error> {
    start(context, &["chan".to_owned()], output)
}

fn start(context: &Context, words: &[String], output: &mut Output) -> Result<(), Error> {
    output.run(
        cargo()
            .current_dir(context.root())
            .args(["run", "--release", "--locked", "--package=becket-soak", "--"])
            .args(words),
    )
}
