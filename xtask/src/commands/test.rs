// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask test`: everything that CI runs.

use std::process::ExitCode;

use crate::context::Context;
use crate::error::Error;
use crate::steps::{self, Step};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Also what takes long: miri, the soak, benchmarks and the load proof; and the long form of the
    /// other steps.
    #[arg(long)]
    full: bool,
    /// Only the steps of these names; with `--full` in their long form.
    #[arg(long, num_args = 1.., value_name = "STEP")]
    only: Vec<String>,
    /// Name the steps and do nothing.
    #[arg(long)]
    list: bool,
    /// Show the output of every step as it comes.
    #[arg(long, short)]
    verbose: bool,
}

pub(crate) fn run(mut context: Context, arguments: Arguments) -> Result<ExitCode, Error> {
    if arguments.list {
        for step in steps::ALL {
            println!("{}{}", step.name, if step.full { " (--full)" } else { "" });
        }
        return Ok(ExitCode::SUCCESS);
    }
    context.is_full = arguments.full;
    let known = |name: &String| steps::ALL.iter().any(|step| step.name == name);
    if let Some(unknown) = arguments.only.iter().find(|name| !known(name)) {
        let names: Vec<_> = steps::ALL.iter().map(|step| step.name).collect();
        return Err(Error::Unknown {
            what: "step",
            name: unknown.clone(),
            known: names.join(", "),
        });
    }
    let chosen = |step: &&Step| {
        if arguments.only.is_empty() {
            arguments.full || !step.full
        } else {
            arguments.only.iter().any(|name| name == step.name)
        }
    };
    let chosen: Vec<_> = steps::ALL.iter().filter(chosen).copied().collect();
    if arguments.only.is_empty() && !arguments.full {
        let rest: Vec<_> =
            steps::ALL.iter().filter(|step| step.full).map(|step| step.name).collect();
        println!(
            "not part of this run: {}, the long form of the others (cargo xtask test --full)\n",
            rest.join(", ")
        );
    }
    let well = steps::run(&context, &chosen, arguments.verbose)?;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
