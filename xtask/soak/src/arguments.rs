// SPDX-License-Identifier: BSD-3-Clause
//! The arguments, and the errors of wrong ones.

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

/// Exit code for arguments that cannot be used.
const USAGE: u8 = 2;

/// The long stress: a great many messages, every one accounted for.
#[derive(Debug, Parser)]
#[command(name = "becket-soak")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// The channels: every kind, threads and tasks, batches, selects, cancels.
    Chan(Amounts),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Amounts {
    /// How many messages in all, spread over the scenarios of the group `flow`.
    #[arg(long, value_parser = number, default_value = "100000000", value_name = "N")]
    pub(crate) messages: u64,
    /// How many random selects.
    #[arg(long, value_parser = number, default_value = "1000000", value_name = "N")]
    pub(crate) selects: u64,
    /// How many operations that are cancelled, time out or are dropped while their match comes.
    #[arg(long, value_parser = number, default_value = "1000000", value_name = "N")]
    pub(crate) races: u64,
    /// Goes on, round after round, until so many seconds have passed.
    #[arg(long, value_parser = number, value_name = "N")]
    pub(crate) seconds: Option<u64>,
    /// Only the scenarios whose group or name contains this; may be repeated.
    #[arg(long, value_name = "TEXT")]
    only: Vec<String>,
    /// The seed of all that is random. Threads interleave as they like all the same.
    #[arg(long, value_parser = number, default_value = "1", value_name = "N")]
    pub(crate) seed: u64,
}

impl Amounts {
    pub(crate) fn wants(&self, group: &str, name: &str) -> bool {
        let asked = |only: &String| group == only || name.contains(only.as_str());
        self.only.is_empty() || self.only.iter().any(asked)
    }
}

/// The command, or the code to end with: help was shown, or the arguments are wrong.
pub(crate) fn read() -> Result<Command, ExitCode> {
    let command = Arguments::try_parse().map(|arguments| arguments.command);
    match command {
        Ok(Command::Chan(amounts)) => match unknown(&amounts) {
            None => Ok(Command::Chan(amounts)),
            Some(only) => {
                eprintln!("error: nothing is called `{only}`");
                eprintln!("cause: --only takes a part of a name, or a group");
                eprintln!(" hint: flow, select or race, or a part such as `rendezvous, tasks`");
                Err(USAGE.into())
            }
        },
        Err(error)
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) =>
        {
            // A reader that left is no failure.
            let _ = error.print();
            Err(ExitCode::SUCCESS)
        }
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Err(USAGE.into())
        }
        Err(error) => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default();
            let first = first.strip_prefix("error: ").unwrap_or(first);
            let (what, why) = match first.split_once("': ") {
                Some((what, why)) => (format!("{what}'"), why.to_owned()),
                None => (first.to_owned(), error.kind().to_string()),
            };
            eprintln!("error: {what}");
            eprintln!("cause: {why}");
            eprintln!(" hint: `becket-soak chan --help` lists what there is");
            Err(USAGE.into())
        }
    }
}

/// An `--only` that chooses nothing.
fn unknown(amounts: &Amounts) -> Option<&str> {
    let all = crate::scenario::all();
    let chooses = |only: &&String| {
        !all.iter()
            .any(|scenario| scenario.group == **only || scenario.name.contains(only.as_str()))
    };
    amounts.only.iter().find(chooses).map(String::as_str)
}

/// A number of at least 1; underscores are ignored.
fn number(text: &str) -> Result<u64, String> {
    let digits = text.replace('_', "");
    match digits.parse() {
        Ok(0) => Err("it must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("it is no number such as 1000000 or 1_000_000".into()),
    }
}
