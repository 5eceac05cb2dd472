// SPDX-License-Identifier: BSD-3-Clause
//! `becket lab fresh-process`: the runs of a check in a fresh process. It runs what the check runs, and
//! prints a hash for each run.

use becket_lab::check::hashes;
use becket_lab::selftest;
use rustix::process::{Signal, set_parent_process_death_signal};

use super::adapter::{Adapter, DEFAULT};
use crate::commands::apart::Voice;
use crate::commands::check::common::Effort;
use crate::exit::Exit;
use crate::failure::Failure;

/// Print the hashes of all runs of a check
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    effort: Effort,
    /// What is run
    #[arg(long, value_name = "NAME", default_value = DEFAULT)]
    adapter: String,
    /// What the self-test asks for, in place of a check
    #[arg(long)]
    selftest: bool,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    let voice = Voice::claim()?;
    // When the check is interrupted, the answer has no reader: this process ends with it, and so do
    // the processes of its adapters.
    let _refused = set_parent_process_death_signal(Some(Signal::TERM));
    if args.selftest {
        voice.bytes(selftest::fresh_process().as_bytes())?;
        return Ok(Exit::Ok);
    }
    let adapter = Adapter::of_name(&args.adapter)?;
    voice.bytes(hashes(&args.effort.options(&adapter)).as_bytes())?;
    Ok(Exit::Ok)
}
