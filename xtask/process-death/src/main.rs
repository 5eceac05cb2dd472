// SPDX-License-Identifier: BSD-3-Clause
//! Ends of plugins' processes, measured: what their calls, other plugins and the host see of them.
//!
//! | part | what ends | must hold |
//! |---|---|---|
//! | `kinds` | a worker, in each way, once in two seconds | a typed error within 5 ms of the end, an answer within 100 ms, another plugin keeps 95 % of its rate and loses nothing: each in the median |
//! | `hostile` | nothing, or the plugin itself: it keeps processors busy, prints, allocates, starts processes | another plugin keeps 95 % of its rate, as far as there are processors: in the median |
//! | `kills` | a worker of a gateway under load, by SIGKILL, once in `--kill-every` | exactly the calls in flight there fail, as often as the host counts them; none hangs, none is run twice |
//! | `host` | the gateway itself, by SIGKILL | no worker is alive after a second |
//!
//! `cargo xtask process-death` builds what this needs and runs it.
#![forbid(unsafe_code)]

mod beside;
mod error;
mod gateway;
mod hostile;
mod http;
mod kills;
mod kinds;
mod record;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::error::Error;

/// Names the plugin's record.
const RECORD: &str = "BECKET_DEATH_RECORD";
/// Longer than anything takes, on however busy a machine.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Ends of plugins' processes, measured.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    programs: Programs,
    /// Only these parts: kinds, hostile, kills, host.
    #[arg(long, num_args = 1..)]
    only: Vec<String>,
    /// How often a worker ends in each way, and how often a host is killed.
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// How long workers are killed under load.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// How long it is from one kill to the next, such as 1s or 500ms.
    #[arg(long, default_value = "1s", value_parser = duration)]
    kill_every: Duration,
    /// Connections of the load.
    #[arg(long, default_value_t = 16)]
    connections: u32,
}

#[derive(Debug, clap::Args)]
struct Programs {
    /// The command `becket`.
    #[arg(long)]
    becket: PathBuf,
    /// A sample plugin.
    #[arg(long)]
    sample: PathBuf,
    /// The plugin of `plugin.c`.
    #[arg(long)]
    plugin: PathBuf,
    /// The plugin of `hostile.c`, of the tests of becket-process.
    #[arg(long)]
    hostile: PathBuf,
}

fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let number: u64 = digits.parse().map_err(|_| "a number and ms or s".to_owned())?;
    match text.get(digits.len()..) {
        Some("ms") => Ok(Duration::from_millis(number)),
        Some("s" | "") => Ok(Duration::from_secs(number)),
        _ => Err("a number and ms or s".to_owned()),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut missed = Vec::new();
    for part in ["kinds", "hostile", "kills", "host"] {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == part) {
            continue;
        }
        println!("{part}");
        match run(part, &arguments) {
            Ok(more) => missed.extend(more),
            Err(error) => missed.push(format!("{part}: {error}")),
        }
    }
    for line in &missed {
        println!("MISSED: {line}");
    }
    if missed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a part; returns the goals that were missed.
fn run(part: &str, arguments: &Arguments) -> Result<Vec<String>, Error> {
    match part {
        "kinds" => kinds::run(&arguments.programs, arguments.rounds),
        "hostile" => hostile::run(&arguments.programs, arguments.rounds),
        "kills" => kills::run(arguments),
        _ => gateway::kill_hosts(&arguments.programs, arguments.rounds),
    }
}

/// What passes meanwhile is what is measured, or is on its way in another process.
#[allow(clippy::disallowed_methods, reason = "a measurement has a length")]
fn pause(duration: Duration) {
    std::thread::sleep(duration);
}
