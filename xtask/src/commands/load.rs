// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask load`: builds a gateway, the samples and the zoo, and runs the load proof on them.

use std::process::ExitCode;

use crate::context::Context;
use crate::error::{Error, Missing};
use crate::process::{Output, cargo, on_path};
use crate::samples::{self, Language};
use crate::zoo;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Arguments for the proof itself, such as --only chats; --help lists them.
    #[arg(last = true, value_name = "ARGUMENTS")]
    more: Vec<String>,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    prove(context, &arguments.more, &mut Output::Screen)?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the proof; an error if something did not hold.
pub(crate) fn prove(
    context: &Context,
    arguments: &[String],
    output: &mut Output,
) -> Result<(), Error> {
    if on_path("wrk").is_none() {
        return Err(Error::Missing(Missing {
            tool: "wrk".into(),
            cause: "it is not on PATH".into(),
            hint: "`apt install wrk` or `brew install wrk`; its source is at https://github.com/wg/wrk".into(),
        }));
    }
    output.run(cargo().current_dir(context.root()).args([
        "build",
        "--release",
        "--package=becket",
        "--package=becket-load",
    ]))?;
    for language in Language::ALL {
        match samples::build(context, language, output) {
            Ok(_) => {}
            Err(Error::Missing(missing)) => {
                output.say(&format!("without {}: {missing}: {}", language.name(), missing.hint));
            }
            Err(error) => return Err(error),
        }
    }
    zoo::build(context, output)?;
    let release = context.target().join("release");
    output.run(
        std::process::Command::new(release.join("becket-load"))
            .arg("--becket")
            .arg(release.join("becket"))
            .arg("--samples")
            .arg(samples::folder(context))
            .arg("--zoo")
            .arg(zoo::folder(context))
            .arg("--zoo-index")
            .arg(context.path("examples/zoo/zoo.toml"))
            .args(arguments),
    )
}
