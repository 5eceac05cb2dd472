// SPDX-License-Identifier: BSD-3-Clause
//! `becket lab generate`: a backend of one profile, as a crate of its own.

use std::fs;
use std::path::PathBuf;

use becket_lab::generate::{EXAMPLES, unit};
use becket_lab::rules::Exit as LabExit;

use super::files::{Output, cannot};
use crate::commands::check::codegen::profile;
use crate::commands::pick;
use crate::commands::program;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{DIM, Ui, paint, text};

/// Generate a backend from a profile: limits and policies as constants, with its tests
///
/// The result is a crate without dependencies. `becket check codegen --dir DIR` compares it with
/// its profile.
#[derive(Debug, clap::Args)]
#[command(after_long_help = crate::exit::lab_table())]
pub(crate) struct Args {
    /// The profile, in TOML
    #[arg(long, value_name = "FILE", required_unless_present = "example", requires = "out")]
    profile: Option<PathBuf>,
    /// Where the crate is written; files that are there are replaced
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Print a profile of the lab, to start from
    #[arg(long, value_name = "NAME", conflicts_with_all = ["profile", "out"])]
    example: Option<String>,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    if let Some(asked) = &args.example {
        let example = pick::one("profile", asked, EXAMPLES, |example| example.name)?;
        ui.text(example.toml)?;
        return Ok(Exit::Ok);
    }
    let (Some(path), Some(out)) = (&args.profile, &args.out) else {
        return Err(Failure::new(Exit::Lab(LabExit::Usage), "no profile was named"));
    };
    let files = unit(&profile(path)?).map_err(|error| {
        Failure::new(Exit::Lab(LabExit::Usage), format!("{} cannot be generated", path.display()))
            .cause(error.to_string())
    })?;
    let mut written = Vec::new();
    for (name, contents) in &files {
        let to = out.join(name);
        if let Some(dir) = to.parent() {
            fs::create_dir_all(dir).map_err(|error| cannot("written", &to, &error))?;
        }
        Output::open(&to)?.write(contents, ui)?;
        written.push(to.display().to_string());
    }
    if ui.json() {
        ui.data(&serde_json::json!({ "files": written }))?;
        return Ok(Exit::Ok);
    }
    let dir = text::shell_word(&out.display().to_string());
    ui.text(&format!(
        "{}\n\n  cd {dir} && cargo test\n  {} check codegen --dir {dir}\n",
        paint(DIM, &written.join("\n")),
        program()
    ))?;
    Ok(Exit::Ok)
}
