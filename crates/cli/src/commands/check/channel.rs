// SPDX-License-Identifier: BSD-3-Clause
//! `becket check channel`: channels and zero-copy backends as adapters, under every rule.

use becket_lab::bridge::blocks::BACKENDS;
use becket_lab::bridge::channel::KINDS;

use super::common::{Effort, Outputs, Required};
use super::local_adapter;
use crate::commands::lab::adapter::{BLOCKS, CHANNEL};
use crate::commands::pick;
use crate::commands::supervised::Process;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{DIM, Ui, paint, text};

/// Check the kinds of becket-chan, and zero-copy backends, under the rules for adapters
///
/// Each flow is carried by its own channel. `--list` shows what a kind promises beyond the rules.
#[derive(Debug, clap::Args)]
#[command(after_long_help = crate::exit::lab_table())]
pub(crate) struct Args {
    /// Which kinds and backends [default: all]
    #[arg(value_name = "KIND")]
    kinds: Vec<String>,
    /// List them, with the promises of each
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    effort: Effort,
    #[command(flatten)]
    required: Required,
    #[command(flatten)]
    outputs: Outputs,
    #[command(flatten)]
    process: Process,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    let all = || {
        let kinds = KINDS.iter().map(|kind| (CHANNEL, kind.name, kind.holds));
        kinds.chain(BACKENDS.iter().map(|backend| (BLOCKS, backend.name, backend.about)))
    };
    if args.list {
        return list(all(), ui);
    }
    let named: Vec<_> = match args.kinds.is_empty() {
        true => all().collect(),
        false => args
            .kinds
            .iter()
            .map(|asked| pick::one("channel", asked, all(), |(_, name, _)| name))
            .collect::<Result<_, _>>()?,
    };
    let names: Vec<String> =
        named.into_iter().map(|(kind, name, _)| format!("{kind}{name}")).collect();
    let asked = (args.effort, args.required);
    // A channel that panics in its drop may end the process.
    local_adapter::supervised(asked, &names, args.process, &args.outputs, ui)
}

fn list(
    all: impl Iterator<Item = (&'static str, &'static str, &'static str)>,
    ui: &Ui,
) -> Result<Exit, Failure> {
    const WIDTH: usize = 96;
    const LABEL: usize = 20;
    if ui.json() {
        let rows: Vec<_> = all
            .map(|(_, name, holds)| serde_json::json!({ "name": name, "holds": holds }))
            .collect();
        ui.data(&rows)?;
        return Ok(Exit::Ok);
    }
    let line = |(_, name, holds): (_, &str, &str)| {
        format!("{name:<LABEL$}{}\n", paint(DIM, &text::wrapped(holds, WIDTH, LABEL)))
    };
    ui.text(&all.map(line).collect::<String>())?;
    Ok(Exit::Ok)
}
