// SPDX-License-Identifier: BSD-3-Clause
//! `becket plugin-worker`: the process in which a host runs one plugin. Hosts start it, not people.

use becket_gateway::StartProcess;
use becket_process::{SOCKET_VARIABLE, worker};

use crate::exit::Exit;
use crate::failure::Failure;

/// The subcommand, as hosts give it.
const COMMAND: &str = "plugin-worker";

/// Run one plugin for a host; hosts start it
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(_args: &Args) -> Result<Exit, Failure> {
    if std::env::var_os(SOCKET_VARIABLE).is_none() {
        return Err(Failure::new(Exit::Usage, "`becket plugin-worker` was not started by a host")
            .hint("`placement = \"process\"` in the configuration of `becket serve` starts it"));
    }
    worker::run_on_stdin().map_err(|error| {
        Failure::new(Exit::Failure, "the worker cannot serve its host").cause(error.to_string())
    })?;
    Ok(Exit::Ok)
}

/// Starts this program again, as a worker.
pub(crate) fn processes() -> Result<StartProcess, Failure> {
    let this = std::env::current_exe().map_err(|error| {
        Failure::new(Exit::Failure, "the path of this program is not known")
            .cause(error.to_string())
    })?;
    Ok(becket_gateway::process::start(vec![this.into(), COMMAND.into()]))
}
