// SPDX-License-Identifier: BSD-3-Clause
//! The long stress: a great many messages over every kind of channel, every one accounted for.
//!
//! | group | what happens | must hold |
//! |---|---|---|
//! | `flow` | senders to receivers, one by one and in batches | none lost or twice, all in order |
//! | `select` | parties with random selects facing each other | each message is received once |
//! | `race` | timeouts, cancels, drops race with their match | each message has one outcome |
//!
//! A sender numbers its messages. Sent, received and undelivered messages are counted, with two
//! checksums; each receiver checks the numbers of each sender. A scenario in which no message moves
//! for a minute hangs (usually a lost wake), and has failed.
//!
//! `becket-soak chan --messages 1000000000` is the full proof. It exits with 1 if anything did not
//! hold, with 2 if its arguments are wrong.
#![forbid(unsafe_code)]

mod arguments;
mod check;
mod crew;
mod flow;
mod race;
mod scenario;
mod select;
mod spsc;

use std::process::ExitCode;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::arguments::{Amounts, Command};
use crate::check::{Report, moved};
use crate::scenario::Scenario;

/// How often a long scenario prints a line.
const NEWS: Duration = Duration::from_secs(10);
/// After this many such periods without a message, it hangs.
const NEWS_WITHOUT_ONE_MAX: u32 = 6;

fn main() -> ExitCode {
    let Command::Chan(amounts) = match arguments::read() {
        Ok(command) => command,
        Err(code) => return code,
    };
    let begun = Instant::now();
    let mut totals = Totals::default();
    println!("seed {}", amounts.seed);
    fastrand::seed(amounts.seed);
    loop {
        for scenario in scenario::all() {
            if amounts.wants(scenario.group, &scenario.name)
                && !run(scenario, &amounts, &mut totals)
            {
                totals.say(begun.elapsed());
                return ExitCode::FAILURE;
            }
        }
        if amounts.seconds.is_none_or(|seconds| begun.elapsed().as_secs() >= seconds) {
            break;
        }
    }
    totals.say(begun.elapsed());
    if totals.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

#[derive(Debug, Default)]
struct Totals {
    scenarios: u64,
    failed: u64,
    messages: u64,
    batched: u64,
    selects: u64,
    races: u64,
    lost: u64,
    repeated: u64,
}

impl Totals {
    fn say(&self, took: Duration) {
        let one_by_one = self.messages - self.batched;
        println!();
        println!("messages   {:>14}", self.messages);
        println!("  of them  {:>14}  in batches", self.batched);
        println!("           {one_by_one:>14}  one by one");
        println!("selects    {:>14}", self.selects);
        println!("races      {:>14}", self.races);
        println!("lost       {:>14}", self.lost);
        println!("repeated   {:>14}", self.repeated);
        println!(
            "{} scenarios, {} failed, in {:.1} s",
            self.scenarios,
            self.failed,
            took.as_secs_f64()
        );
    }

    fn add(&mut self, scenario: &Scenario, report: &Report) {
        self.messages += report.sent.count;
        self.batched += if scenario.batched { report.sent.count } else { 0 };
        self.selects += report.selects;
        self.races += report.races;
        self.lost += report.lost();
        self.repeated += report.repeated();
        self.failed += u64::from(!report.holds());
    }
}

/// Runs a scenario on a thread of its own and prints its report. False: it hangs or panicked.
fn run(scenario: Scenario, amounts: &Amounts, totals: &mut Totals) -> bool {
    totals.scenarios += 1;
    let (done, report) = mpsc::channel();
    let begun = Instant::now();
    let of = scenario.amount(amounts);
    let seed = fastrand::u64(..);
    let work = scenario.work;
    thread::spawn(move || {
        fastrand::seed(seed);
        // The receiver is gone if the scenario was given up.
        let _ = done.send(work.run(of));
    });
    let (mut last, mut silent) = (moved(), 0);
    let report = loop {
        match report.recv_timeout(NEWS) {
            Ok(report) => break report,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                let now = moved();
                silent = if now == last { silent + 1 } else { 0 };
                last = now;
                println!("{}: {} s, still going", scenario.name, begun.elapsed().as_secs());
                if silent < NEWS_WITHOUT_ONE_MAX {
                    continue;
                }
                println!("{}: NOT HELD: no message has moved for a minute", scenario.name);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                println!("{}: NOT HELD: it panicked", scenario.name);
            }
        }
        totals.failed += 1;
        return false;
    };
    let seconds = begun.elapsed().as_secs_f64();
    totals.add(&scenario, &report);
    println!("{:<7}{:<60}{report}  {seconds:6.2} s", scenario.group, scenario.name);
    for line in report.broken() {
        println!("       NOT HELD: {line}");
    }
    true
}
