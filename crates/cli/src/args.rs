// SPDX-License-Identifier: BSD-3-Clause
//! The command line: the commands, and the options of every command.

use clap::builder::styling::{AnsiColor, Styles};
use clap::{Args, Parser, Subcommand};

#[cfg(feature = "cluster")]
use crate::commands::cluster;
#[cfg(not(all(feature = "cluster", feature = "ipc", feature = "lab")))]
use crate::commands::left_out;
#[cfg(feature = "process")]
use crate::commands::worker;
use crate::commands::{admin, completions, config, man, plugin, serve, ws};
#[cfg(feature = "lab")]
use crate::commands::{check, lab};
#[cfg(feature = "ipc")]
use crate::commands::{ipc, mon};

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

/// The options of every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Print JSON on stdout, and a failure as one JSON object on stderr
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print only errors on stderr
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

/// The commands. A command that is left out of a build is still listed, and fails with the way to
/// get it.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(serve::Args),
    #[command(subcommand)]
    Plugin(plugin::Command),
    #[command(subcommand)]
    Config(config::Command),
    Ws(ws::Args),
    #[command(subcommand)]
    Admin(admin::Command),
    #[cfg(feature = "cluster")]
    #[command(subcommand)]
    Cluster(cluster::Command),
    #[cfg(feature = "process")]
    #[command(hide = true)]
    PluginWorker(worker::Args),
    #[cfg(feature = "ipc")]
    #[command(subcommand)]
    Ipc(ipc::Command),
    #[cfg(feature = "ipc")]
    Mon(mon::Args),
    #[cfg(feature = "lab")]
    #[command(subcommand)]
    Check(check::Command),
    #[cfg(feature = "lab")]
    #[command(subcommand)]
    Lab(lab::Command),
    /// Not in this build: what is on other machines
    #[cfg(not(feature = "cluster"))]
    #[command(disable_help_flag = true)]
    Cluster(left_out::Args),
    /// Not in this build: channels between processes
    #[cfg(not(feature = "ipc"))]
    #[command(disable_help_flag = true)]
    Ipc(left_out::Args),
    /// Not in this build: watch a process
    #[cfg(not(feature = "ipc"))]
    #[command(disable_help_flag = true)]
    Mon(left_out::Args),
    /// Not in this build: check adapters against every rule of the lab
    #[cfg(not(feature = "lab"))]
    #[command(disable_help_flag = true)]
    Check(left_out::Args),
    /// Not in this build: look into the lab
    #[cfg(not(feature = "lab"))]
    #[command(disable_help_flag = true)]
    Lab(left_out::Args),
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
