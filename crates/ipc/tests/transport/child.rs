// SPDX-License-Identifier: BSD-3-Clause
//! Another process, which is this program again.
//!
//! A variable makes it run one test alone, which then plays its part; otherwise that test does
//! nothing.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

const VARIABLE: &str = "BECKET_TEST_PART";
const READY: &str = "ready to be killed";

/// Whether this process has to play the part.
pub(crate) fn is_to_play() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// The part has reached the point for which the test waits.
pub(crate) fn is_ready() {
    println!("\n{READY}");
}

/// Starts this program to run one test, and waits until that is ready.
pub(crate) fn start(test: &str, stdin: Stdio) -> Child {
    let mut child = command(test).stdin(stdin).stdout(Stdio::piped()).spawn().unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    assert!(said.lines().any(|line| line.unwrap() == READY), "{test} got ready");
    child
}

/// Runs one test to its end in a process of its own.
pub(crate) fn run(test: &str) {
    let output = command(test).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{complained}");
}

/// SIGKILL, and waits for the end.
pub(crate) fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn command(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(VARIABLE, "1");
    command
}
