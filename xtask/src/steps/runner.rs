// SPDX-License-Identifier: BSD-3-Clause
//! Runs steps one after the other: a line for each, a log of each, a summary.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, create_folder};

/// One thing that is tried.
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

/// Runs the steps and says how each went. True if all went well.
pub(crate) fn run(context: &Context, steps: &[Step], verbose: bool) -> Result<bool, Error> {
    let logs = context.target().join("xtask").join("logs");
    create_folder(&logs)?;
    let mut failed = Vec::new();
    let begun = Instant::now();
    for (number, step) in (1..).zip(steps) {
        let title = format!("[{number:>2}/{}] {:<14}", steps.len(), step.name);
        let log = logs.join(step.name).with_extension("log");
        let mut output = if verbose { Output::Screen } else { Output::log(log.clone())? };
        if verbose {
            println!("{title}");
        } else {
            print!("{title}");
            // A terminal that cannot be flushed only shows the line later.
            let _ = io::stdout().flush();
        }
        let step_begun = Instant::now();
        let result = (step.run)(context, &mut output);
        let verdict = if result.is_ok() { "ok" } else { "FAILED" };
        let mark = if verbose { format!("{title} ") } else { " ".to_owned() };
        println!("{mark}{verdict:<7}{}", seconds(step_begun.elapsed()));
        if let Err(error) = result {
            if !verbose {
                show_tail(&log);
            }
            println!("{}", indented(&error.report()));
            failed.push((step.name, error));
        }
    }
    println!("\n{} in {}", crate::error::count(steps.len(), "step"), seconds(begun.elapsed()));
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
