// SPDX-License-Identifier: BSD-3-Clause
//! `becket config …`: the configuration of `becket serve`.

use std::path::PathBuf;

use becket_gateway::Config;
use clap::Subcommand;
use serde_json::json;

use crate::embedded;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{GOOD, Ui, paint, text};

/// Check a configuration file, or print an example
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Check a configuration file
    ///
    /// Prints each error with its line. Certificates and keys are read; plugins are not loaded.
    Check {
        /// The file
        #[arg(default_value = "becket.toml")]
        file: PathBuf,
    },
    /// Print an example that documents every field
    ///
    /// `becket config example > becket.toml` is a start.
    Example,
}

pub(crate) fn run(command: Command, ui: &Ui) -> Result<Exit, Failure> {
    match command {
        Command::Check { file } => {
            let config = Config::load_with_files(&file)?;
            let (plugins, routes) = (config.plugins.len() as u64, config.routes.len() as u64);
            if ui.json() {
                let file = file.display().to_string();
                ui.data(&json!({ "file": file, "plugins": plugins, "routes": routes }))?;
            } else {
                ui.text(&format!(
                    "{} {}: {}, {}\n",
                    paint(GOOD, "ok"),
                    file.display(),
                    text::plural(plugins, "plugin"),
                    text::plural(routes, "route"),
                ))?;
            }
        }
        Command::Example => ui.text(embedded::text("examples/becket.toml"))?,
    }
    Ok(Exit::Ok)
}
