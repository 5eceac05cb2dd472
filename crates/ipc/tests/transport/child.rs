// SPDX-License-Identifier: BSD-3-Clause
//! Another process, which is this program again.
//!
//! It is told by a variable to run one test alone, which then plays its part; run like other tests,
//! that test does nothing.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

const VARIABLE: &str = "BECKET_TEST_PART";
const READY: &str = "ready to be killed";

/// Is this the process that is to play the part?
pub(crate) fn is_to_play() -> bool {
    std::env::var_os(VARIABLE).is_some()
}

/// The part is played so far that whoever waits for it may go on.
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

/// SIGKILL, and waits for its end.
pub(crate) fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

fn command(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(VARIABLE, "1");
    command
}
