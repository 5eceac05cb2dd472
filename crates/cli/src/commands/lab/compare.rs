// SPDX-License-Identifier: BSD-3-Clause
//! `becket lab compare OLD NEW`: the differences between two reports.

use std::path::PathBuf;

use becket_lab::report::{REPORT_BYTES_MAX, compare};
use becket_lab::rules::Exit as LabExit;

use super::load;
use crate::commands::check::common::exit_of_code;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Compare two reports of `becket check --out`: what became worse, better, new
///
/// Exits with 1 if something became worse.
#[derive(Debug, clap::Args)]
#[command(after_long_help = crate::exit::lab_table())]
pub(crate) struct Args {
    /// The earlier report, in JSON
    old: PathBuf,
    /// The later one
    new: PathBuf,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    let (old, new) =
        (load::text(&args.old, REPORT_BYTES_MAX)?, load::text(&args.new, REPORT_BYTES_MAX)?);
    let compared = compare(&old, &new).map_err(|error| {
        Failure::new(Exit::Lab(LabExit::Usage), error.to_string())
            .cause(error.cause())
            .hint(error.hint())
    })?;
    if ui.json() {
        ui.data(&compared)?;
    } else {
        ui.text(&compared.to_string())?;
    }
    Ok(Exit::Lab(exit_of_code(compared.exit_code)))
}
