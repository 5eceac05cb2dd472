// SPDX-License-Identifier: BSD-3-Clause
//! `becket check codegen`: generated code behaves like the profile that it was generated from.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use becket_lab::generate::{PROFILE_BYTES_MAX, Profile};
use becket_lab::parity;
use becket_lab::rules::Exit as LabExit;

use super::common::{Effort, exit_of_code};
use crate::commands::lab::files::{self, Output, as_json};
use crate::commands::lab::load;
use crate::commands::lab::watch::{Board, watch};
use crate::commands::program;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{BAD, GOOD, Ui, paint, text};

/// Bytes of a generated module that are read.
const MODULE_BYTES_MAX: usize = 16 << 20;

/// Check that generated code behaves like the profile that it was generated from
///
/// The modules of the lab are compared with their profiles: each constant, each state
/// of a flow, and whole traces of runs, from the same seeds. With --dir a module that `becket lab
/// generate` has written is compared with the profile beside it.
#[derive(Debug, clap::Args)]
#[command(after_long_help = crate::exit::lab_table())]
pub(crate) struct Args {
    #[command(flatten)]
    effort: Effort,
    /// Write the report as JSON into this file; `-` is stdout
    #[arg(long, value_name = "FILE", conflicts_with = "dir")]
    out: Option<PathBuf>,
    /// Compare src/lib.rs in this directory with profile.toml there
    #[arg(long, value_name = "DIR", conflicts_with_all = ["quick", "full", "start_seed", "profiles", "jobs"])]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    if let Some(dir) = &args.dir {
        return of_dir(dir, ui);
    }
    let output = args.out.as_deref().map(Output::open).transpose()?;
    let board = Arc::<Board>::default();
    board.begin("comparing generated code");
    let effort = args.effort;
    let options = parity::Options {
        mode: effort.mode(),
        start_seed: effort.start_seed,
        seeds: effort.profiles,
        jobs: effort.jobs(),
    };
    let Some(report) = watch(ui, &board, move || parity::run(&options))? else {
        return Ok(Exit::Interrupted);
    };
    let json = as_json(parity::json(&report))?;
    files::report(output, &json, || report.to_string(), ui)?;
    Ok(Exit::Lab(exit_of_code(report.exit_code)))
}

/// Compares a module with the profile beside it, line by line.
fn of_dir(dir: &Path, ui: &Ui) -> Result<Exit, Failure> {
    let (profile_path, module) = (dir.join("profile.toml"), dir.join("src/lib.rs"));
    let profile = profile(&profile_path)?;
    let text = load::text(&module, MODULE_BYTES_MAX)?;
    match parity::of_text(&profile, &text) {
        Ok(()) => {
            if ui.json() {
                ui.data(&serde_json::json!({ "file": module, "verdict": "pass", "exit_code": 0 }))?;
            } else {
                let said = format!("{} is what its profile gives", module.display());
                ui.text(&format!("{}\n", paint(GOOD, &said)))?;
            }
            Ok(Exit::Ok)
        }
        Err(difference) => {
            if ui.json() {
                let said = difference.to_string();
                ui.data(&serde_json::json!({
                    "file": module, "verdict": "fail", "difference": said, "exit_code": 1
                }))?;
            } else {
                let again = format!(
                    "{} lab generate --profile {} --out {}",
                    program(),
                    text::shell_word(&profile_path.display().to_string()),
                    text::shell_word(&dir.display().to_string()),
                );
                ui.text(&format!(
                    "{} {} is not what its profile gives\n{difference}\n{} {again}\n",
                    paint(BAD, "fail:"),
                    module.display(),
                    paint(GOOD, "generate it anew:"),
                ))?;
            }
            Ok(Exit::Lab(LabExit::Conformance))
        }
    }
}

/// Reads a profile.
pub(in crate::commands) fn profile(path: &Path) -> Result<Profile, Failure> {
    let text = load::text(path, PROFILE_BYTES_MAX)?;
    let origin = path.display().to_string();
    Profile::from_toml(&text, &origin).map_err(|error| {
        let failure = Failure::new(Exit::Lab(LabExit::Usage), error.to_string());
        match error.hint() {
            Some(hint) => failure.hint(hint.to_owned()),
            None => {
                failure.hint(format!("`{} lab generate --example steady` prints one", program()))
            }
        }
    })
}
