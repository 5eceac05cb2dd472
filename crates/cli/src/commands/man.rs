// SPDX-License-Identifier: BSD-3-Clause
//! `becket man`: the manual page, and one of each command.

use std::fs;
use std::path::PathBuf;

use clap::CommandFactory;
use clap_mangen::Man;

use crate::args::Cli;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Print the manual page
///
/// `becket man | man -l -` shows it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write the pages of every command into this directory instead
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(crate) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    match args.dir {
        Some(dir) => {
            let written = fs::create_dir_all(&dir)
                .and_then(|()| clap_mangen::generate_to(Cli::command(), &dir));
            written.map_err(|error| Failure::file("written", &dir, &error))?;
        }
        None => {
            let mut page = Vec::new();
            Man::new(Cli::command()).render(&mut page)?;
            ui.bytes(&page)?;
        }
    }
    Ok(Exit::Ok)
}
