// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask run`: a gateway with the sample plugin of each language, from a fresh clone.

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cargo, spawn_error};
use crate::samples::{self, Language};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: String,
    /// More arguments for `becket serve`.
    #[arg(last = true, value_name = "ARGUMENTS")]
    more: Vec<String>,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    let mut output = Output::Screen;
    let mut build = cargo();
    output.run(build.current_dir(context.root()).args([
        "build",
        "--release",
        "--package=becket",
    ]))?;
    let mut serve = Command::new(context.target().join("release").join("becket"));
    serve.args(["serve", "--listen", &arguments.listen]);
    let mut without = Vec::new();
    for language in Language::ALL {
        match samples::build(context, language, &mut output) {
            Ok(path) => {
                let mut plugin = std::ffi::OsString::from(format!("{}=", language.name()));
                plugin.push(path);
                serve.arg("--plugin").arg(plugin);
            }
            // What is not on this machine is left out; what does not compile is an error.
            Err(Error::Missing(missing)) => without.push((language, missing)),
            Err(error) => return Err(error),
        }
    }
    for (language, missing) in without {
        eprintln!("without {}: {missing}: {}", language.name(), missing.cause);
        eprintln!("         get it: {}", missing.hint);
    }
    // The gateway takes this process over: signals and the exit status are its own.
    let failure = serve.args(&arguments.more).exec();
    Err(spawn_error(&serve, failure))
}
