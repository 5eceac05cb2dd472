// SPDX-License-Identifier: BSD-3-Clause
//! Runs steps one after the other: a line for each, a log of each, a summary.
//!
//! The seconds of each step are written to `target/xtask/times.json`, in the order of the run:
//!
//! ```json
//! { "seconds": 612.4, "steps": [{ "name": "format", "passed": true, "seconds": 3.1 }] }
//! ```

use std::cmp::Reverse;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, REMARK, create_folder, write};

/// One step of `cargo xtask test`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    /// Only with `--full`.
    pub(crate) full: bool,
    run: fn(&Context, &mut Output) -> Result<(), Error>,
}

impl Step {
    pub(crate) const fn always(
        name: &'static str,
        run: fn(&Context, &mut Output) -> Result<(), Error>,
    ) -> Self {
        Self { name, full: false, run }
    }

    pub(crate) const fn full(
        name: &'static str,
        run: fn(&Context, &mut Output) -> Result<(), Error>,
    ) -> Self {
        Self { name, full: true, run }
    }
}

/// How many lines of a failed step's log are shown.
const TAIL_LINES: usize = 40;
/// How many of the slowest steps the summary names.
const SLOWEST: usize = 5;

/// How long a step took, and whether it passed.
#[derive(Debug)]
struct Timed {
    name: &'static str,
    passed: bool,
    took: Duration,
}

/// Runs the steps and prints the outcome of each. Returns whether all passed.
pub(crate) fn run(context: &Context, steps: &[Step], verbose: bool) -> Result<bool, Error> {
    let logs = context.target().join("xtask").join("logs");
    create_folder(&logs)?;
    let (mut failed, mut flaky, mut times) = (Vec::new(), Vec::new(), Vec::new());
    let mut remarks = Vec::new();
    let begun = Instant::now();
    for (number, step) in (1..).zip(steps) {
        let title = format!("[{number:>2}/{}] {:<14}", steps.len(), step.name);
        let log = logs.join(step.name).with_extension("log");
        let mut output = if verbose { Output::Screen } else { Output::log(log.clone())? };
        if verbose {
            println!("{title}");
        } else {
            print!("{title}");
            // Without a flush the terminal only shows the line later.
            let _ = io::stdout().flush();
        }
        let step_begun = Instant::now();
        let result = (step.run)(context, &mut output);
        let (took, passed) = (step_begun.elapsed(), result.is_ok());
        times.push(Timed { name: step.name, passed, took });
        if !verbose {
            let log = std::fs::read_to_string(&log).unwrap_or_default();
            flaky.extend(flaky_tests(&log));
            let of_step = log.lines().filter_map(|line| line.strip_prefix(REMARK));
            remarks.extend(of_step.map(|line| format!("{}: {line}", step.name)));
        }
        let verdict = if passed { "ok" } else { "FAILED" };
        let mark = if verbose { format!("{title} ") } else { " ".to_owned() };
        println!("{mark}{verdict:<7}{}", seconds(took));
        if let Err(error) = result {
            if !verbose {
                show_tail(&log);
            }
            println!("{}", indented(&error.report()));
            failed.push((step.name, error));
        }
    }
    let took = begun.elapsed();
    write(&context.target().join("xtask/times.json"), &as_json(took, &times))?;
    println!("\n{} in {}", crate::error::count(steps.len(), "step"), seconds(took).trim_start());
    println!("slowest: {}", slowest(times));
    for remark in &remarks {
        println!("{remark}");
    }
    for test in &flaky {
        println!("flaky: {test}: failed, and passed at the second try: see target/xtask/logs");
    }
    for (name, error) in &failed {
        println!("failed: {name}: {}", first_line(&error.to_string()));
        if let Error::Missing(missing) = error {
            println!("        cause: {}", missing.cause);
            println!("        hint: {}", missing.hint);
        }
        println!("        again: cargo xtask test --only {name} --verbose");
    }
    println!("{} passed, {} failed", steps.len() - failed.len(), failed.len());
    Ok(failed.is_empty())
}

/// The tests that nextest ran twice, and that passed then.
///
/// ```text
///    FLAKY 2/2 [   0.012s] (12/90) becket-chan::it select::two_ready
/// ```
fn flaky_tests(log: &str) -> Vec<String> {
    let test = |line: &str| {
        let (_, test) = line.trim_start().strip_prefix("FLAKY ")?.split_once("] ")?;
        Some(test.trim().to_owned())
    };
    let mut tests: Vec<_> = log.lines().filter_map(test).collect();
    tests.sort();
    tests.dedup();
    tests
}

fn show_tail(log: &PathBuf) {
    let Ok(bytes) = std::fs::read(log) else { return };
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<_> = text.lines().collect();
    let skipped = lines.len().saturating_sub(TAIL_LINES);
    for line in lines.iter().skip(skipped) {
        println!("    | {line}");
    }
}

fn indented(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(|line| format!("    {line}")).collect();
    lines.join("\n")
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn seconds(duration: Duration) -> String {
    format!("{:>6.1} s", duration.as_secs_f64())
}

/// The content of `times.json`: see this file's first lines.
fn as_json(took: Duration, times: &[Timed]) -> String {
    // A tenth of a second is at best what a machine reproduces.
    let tenths = |took: Duration| (took.as_secs_f64() * 10.0).round() / 10.0;
    let step = |step: &Timed| json!({ "name": step.name, "passed": step.passed, "seconds": tenths(step.took) });
    let steps: Vec<_> = times.iter().map(step).collect();
    format!("{:#}\n", json!({ "seconds": tenths(took), "steps": steps }))
}

/// The slowest steps with their seconds, the slowest first.
fn slowest(mut times: Vec<Timed>) -> String {
    times.sort_by_key(|step| Reverse(step.took));
    let named = |step: &Timed| format!("{} {}", step.name, seconds(step.took).trim_start());
    times.iter().take(SLOWEST).map(named).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timed(name: &'static str, ms: u64) -> Timed {
        Timed { name, passed: name != "b", took: Duration::from_millis(ms) }
    }

    #[test]
    fn a_flaky_test_is_named_once() {
        let log = "  TRY 1 FAIL [   0.012s] (12/90) becket-chan::it select::two_ready\n\
                   \x20 FLAKY 2/2 [   0.012s] (12/90) becket-chan::it select::two_ready\n\
                   \x20 FLAKY 2/2 [   0.012s] (12/90) becket-chan::it select::two_ready\n\
                   \x20    PASS [   0.003s] (13/90) becket-chan::it select::FLAKY\n";
        assert_eq!(flaky_tests(log), ["(12/90) becket-chan::it select::two_ready"]);
    }

    #[test]
    fn times_are_kept_in_order_and_the_slowest_are_named() {
        let times = vec![timed("a", 1_240), timed("b", 90_000), timed("c", 60)];
        let read: serde_json::Value =
            serde_json::from_str(&as_json(Duration::from_secs(92), &times)).unwrap_or_default();
        assert_eq!(
            read,
            json!({ "seconds": 92.0, "steps": [
                { "name": "a", "passed": true, "seconds": 1.2 },
                { "name": "b", "passed": false, "seconds": 90.0 },
                { "name": "c", "passed": true, "seconds": 0.1 },
            ] })
        );
        assert_eq!(slowest(times), "b 90.0 s, a 1.2 s, c 0.1 s");
    }
}
