// SPDX-License-Identifier: BSD-3-Clause
//! What one operation costs the client's process in instructions, with all its threads: counted by callgrind in two
//! runs of different length, so that what a side costs to start is not in it. Other programs of the machine are no
//! part of it; how often the threads sleep is.

use std::process::Command;

use crate::error::BenchError;
use crate::rows::{Measured, find, runtime};

/// The argument that makes this program one run.
pub(crate) const ONCE: &str = "--once";

/// Operations of the short run, and of the long one.
const LENGTHS: [u64; 2] = [256, 1280];

/// Instructions for one operation. `None`: there is no valgrind.
pub(crate) fn count(url: &str, row: &str, column: &str) -> Result<Option<f64>, BenchError> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Ok(None);
    }
    let [short, long] = LENGTHS.map(|n| collected(url, row, column, n));
    let [short, long] = [short?, long?];
    let [few, many] = LENGTHS;
    Ok(Some((long - short) / (many - few) as f64))
}

fn collected(url: &str, row: &str, column: &str, n: u64) -> Result<f64, BenchError> {
    let failed = |source| BenchError::System { what: "run valgrind", source };
    let itself = std::env::current_exe().map_err(failed)?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--fair-sched=yes"])
        .arg(itself)
        .args([ONCE, url, row, column, &n.to_string()])
        .output()
        .map_err(failed)?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| {
        let (_, count) = line.split_once("Collected :")?;
        count.trim().parse().ok()
    });
    let unusable =
        || BenchError::Program { program: "valgrind", output: text.clone().into_owned() };
    collected.filter(|_| output.status.success()).ok_or_else(unusable)
}

/// One round of one side.
pub(crate) fn once(words: &[String]) -> Result<(), BenchError> {
    let usage = || BenchError::Usage {
        argument: words.join(" "),
        usage: format!("{ONCE} URL ROW COLUMN OPERATIONS"),
    };
    let [url, row, column, n] = words else { return Err(usage()) };
    let n = n.parse().map_err(|_| usage())?;
    let Measured { case, window, .. } = find(row).ok_or_else(usage)?;
    let runtime = runtime(column)?;
    let side = crate::rows::start(&runtime, column, url, case, window)?;
    runtime.block_on(crate::drive::round(&*side, n, window)).map(|_| ())
}
