// SPDX-License-Identifier: BSD-3-Clause
//! A handler that overflows its stack ends its process, which names the handler.

use std::{os::unix::process::ExitStatusExt, process::Command};

use crate::Waits;

const IN_CHILD: &str = "BECKET_TEST_OVERFLOWS";

#[test]
fn an_overflow_names_plugin_and_entry() {
    if std::env::var_os(IN_CHILD).is_some() {
        let waits = Waits::load("overflows");
        let answer = waits.ask("deep", b"");
        panic!("a gigabyte of stack: {answer}");
    }
    let name = "overflow::an_overflow_names_plugin_and_entry";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(IN_CHILD, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.signal().is_some(), "{}: {said}", output.status);
    assert!(said.contains("overflow") && said.contains("overflows/deep"), "{said}");
}
