// SPDX-License-Identifier: BSD-3-Clause
//! `becket ipc stat [CHANNEL]`: depth and counters of channels, once or between two readings.
//!
//! | module | what lives there |
//! |---|---|
//! | `look` | the server's report, page by page |
//! | `row` | a channel's figures, each with its name |
//! | `gate` | `--fail-if` |
//! | `table` | the figures for people |

mod gate;
mod look;
mod row;
mod table;

use std::time::Duration;

use becket_chan::timer;

use self::gate::Gate;
use self::row::Row;
use super::opening::connect;
use super::place::At;
use crate::commands::mon::units::parse_interval;
use crate::commands::{program, runtime};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Show depth and counters of channels, and fail if a condition holds
///
/// With --json one object per channel and line, with the fields that --fail-if knows.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// One channel, by its name or, without one, by # and its number [default: all]
    channel: Option<String>,
    #[command(flatten)]
    at: At,
    /// Read twice, this far apart, and show rates; at least 100ms
    #[arg(long, value_name = "TIME", value_parser = parse_interval)]
    interval: Option<Duration>,
    /// Exit with 7 if this holds for a channel, such as 'len>100', 'receivers_waiting==0' or, with
    /// --interval, 'receives_per_second<1'; may be given several times
    #[arg(long, value_name = "CONDITION")]
    fail_if: Vec<Gate>,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    if args.interval.is_none()
        && let Some(gate) = args.fail_if.iter().find(|gate| gate.is_of_a_rate())
    {
        return Err(Failure::new(Exit::Usage, format!("{gate} needs two looks"))
            .cause("a rate is of the time between two looks")
            .hint("`--interval 1s` says how far apart"));
    }
    runtime::run_one(runtime::interruptible(stat(args, *ui)))
}

async fn stat(args: Args, ui: Ui) -> Result<Exit, Failure> {
    let client = connect(&args.at.path()?).await?;
    let only = args.channel.as_deref();
    let mut reports = look::all(&client, only).await?;
    let mut earlier = None;
    if let Some(interval) = args.interval {
        timer::sleep(interval).await;
        earlier = Some(std::mem::replace(&mut reports, look::all(&client, only).await?));
    }
    let rows: Vec<Row> = reports
        .into_iter()
        .map(|report| {
            let before =
                earlier.as_ref().and_then(|all| all.iter().find(|other| other.id == report.id));
            Row::new(report, before)
        })
        .collect();
    if let Some(channel) = only.filter(|_| rows.is_empty()) {
        return Err(Failure::new(Exit::Call, format!("the server has no channel {channel:?}"))
            .hint(format!("`{} ipc stat{}` lists all", program(), args.at.option())));
    }
    show(&rows, args.interval.is_some(), &ui)?;
    judge(&rows, &args.fail_if)
}

fn show(rows: &[Row], has_rates: bool, ui: &Ui) -> Result<(), Failure> {
    if ui.json() {
        return rows.iter().try_for_each(|row| ui.data(row));
    }
    if rows.is_empty() {
        ui.note("the server has no channels");
        return Ok(());
    }
    ui.text(&table::of(rows, has_rates))
}

/// Violations that are listed one by one.
const LISTED_MAX: usize = 10;

fn judge(rows: &[Row], gates: &[Gate]) -> Result<Exit, Failure> {
    let violations: Vec<String> =
        rows.iter().flat_map(|row| gates.iter().filter_map(|gate| gate.violated_by(row))).collect();
    let more = violations.len().saturating_sub(LISTED_MAX);
    let mut listed: Vec<String> = violations.iter().take(LISTED_MAX).cloned().collect();
    if more > 0 {
        listed.push(format!("and {more} more"));
    }
    match violations.len() {
        0 => Ok(Exit::Ok),
        1 => {
            Err(Failure::new(Exit::Check, "a condition of --fail-if holds")
                .cause(listed.join("\n")))
        }
        _ => {
            Err(Failure::new(Exit::Check, "conditions of --fail-if hold").cause(listed.join("\n")))
        }
    }
}
