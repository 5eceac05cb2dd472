// SPDX-License-Identifier: BSD-3-Clause
//! `becket completions SHELL`: what the shell needs to complete the command.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Print the completions of a shell
///
/// For bash: `becket completions bash > ~/.local/share/bash-completion/completions/becket`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell that will read them
    shell: Shell,
}

pub(crate) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "becket", &mut script);
    ui.bytes(&script)?;
    Ok(Exit::Ok)
}
