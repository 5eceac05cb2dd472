// SPDX-License-Identifier: BSD-3-Clause
//! The command line: the commands and the options that every one takes.

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};

use crate::commands::{check, completions, config, ipc, lab, man, mon, plugin, serve, ws};

/// Runs plugins written in any language behind HTTP.
#[derive(Debug, Parser)]
#[command(
    name = "becket",
    bin_name = "becket",
    version,
    styles = STYLES,
    after_long_help = crate::exit::table(),
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Print JSON on stdout, and a failure as one JSON object on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Say nothing on stderr but errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
    /// What to log: a level (error, warn, info, debug, trace) or targets such as
    /// `warn,becket::call=debug` [default: RUST_LOG, else info for `serve` and warn for the rest]
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log_level: Option<String>,
    /// Log one JSON object a line
    #[arg(long, global = true)]
    pub(crate) log_json: bool,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(serve::Args),
    #[command(subcommand)]
    Plugin(plugin::Command),
    #[command(subcommand)]
    Config(config::Command),
    Ws(ws::Args),
    #[command(subcommand)]
    Ipc(ipc::Command),
    Mon(mon::Args),
    #[command(subcommand)]
    Check(check::Command),
    #[command(subcommand)]
    Lab(lab::Command),
    Completions(completions::Args),
    Man(man::Args),
}

const STYLES: Styles = Styles::styled()
    .header(AnsiColor::Yellow.on_default().bold())
    .usage(AnsiColor::Yellow.on_default().bold())
    .literal(AnsiColor::Green.on_default())
    .placeholder(AnsiColor::Cyan.on_default());

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_commands_do_not_contradict_themselves() {
        super::Cli::command().debug_assert();
    }
}
