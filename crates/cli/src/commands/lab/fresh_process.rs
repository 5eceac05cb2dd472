// SPDX-License-Identifier: BSD-3-Clause
//! `becket lab fresh-process`: the fresh process of a check. It makes the runs of the check, and
//! prints a hash for each.

use std::io::Write;

use becket_lab::check::hashes;
use becket_lab::selftest;
use rustix::process::{Signal, set_parent_process_death_signal};

use super::adapter::{Adapter, DEFAULT};
use crate::commands::check::common::Effort;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::out;

/// Print the hashes of all runs of a check
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    effort: Effort,
    /// Which adapters
    #[arg(long, value_name = "NAME", default_value = DEFAULT)]
    adapter: String,
    /// Make the runs of the self-test, in place of those of a check
    #[arg(long)]
    selftest: bool,
}

pub(super) fn run(args: Args) -> Result<Exit, Failure> {
    // A plugin that writes to stdout must not mix its output with the hashes.
    let mut stdout = out::take()?;
    // When the check is interrupted, this process ends with it, and the processes of its adapters
    // end with this one.
    let _refused = set_parent_process_death_signal(Some(Signal::TERM));
    if args.selftest {
        stdout.write_all(selftest::fresh_process().as_bytes())?;
        return Ok(Exit::Ok);
    }
    let adapter = Adapter::of_name(&args.adapter)?;
    stdout.write_all(hashes(&args.effort.options(&adapter)).as_bytes())?;
    Ok(Exit::Ok)
}
