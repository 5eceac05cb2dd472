// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask tools`: what is there, and what is fetched.

use std::process::ExitCode;

use crate::context::Context;
use crate::error::Error;
use crate::process::Output;
use crate::tools::Tools;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only look; fetch nothing.
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    let mut code = ExitCode::SUCCESS;
    for tool in Tools::ALL {
        let found = if arguments.check {
            context.tools.find(&tool).ok_or_else(|| tool.missing("nobody fetched it".into()))
        } else {
            context.tools.obtain(&tool, &mut Output::Screen)
        };
        match found {
            Ok(path) => println!("{:<11} {}", tool.name, path.display()),
            Err(missing) => {
                println!("{:<11} not there: {}", tool.name, missing.cause);
                println!("{:<11} get it: {}", "", missing.hint);
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}
