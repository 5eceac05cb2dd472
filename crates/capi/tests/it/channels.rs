// SPDX-License-Identifier: BSD-3-Clause
//! The C programs on channels, select, tokens and zero copy.

use crate::common::{C, Library, check, folder, program, run};

#[test]
fn copies() {
    check("chan_copy");
}

#[test]
fn copies_with_the_static_library() {
    run(&mut program("chan_copy", &C, Library::Static));
}

#[test]
fn undelivered() {
    check("chan_hook");
}

#[test]
fn tokens() {
    check("cancel");
}

#[test]
fn selects() {
    check("select");
}

#[test]
fn zero_copy() {
    check("zero_copy");
}

#[test]
fn everything_at_once() {
    check("chan_stress");
}

#[test]
fn coroutines() {
    check("chan_coroutine");
}

/// Every operation of a traced program is a line of its trace.
#[test]
fn traces() {
    let file = folder().join("trace");
    let _there_is_none = std::fs::remove_file(&file);
    run(program("zero_copy", &C, Library::Static).env("KCORO_TRACE", &file));
    let trace = std::fs::read_to_string(&file).unwrap();
    let fields: Vec<Vec<&str>> = trace.lines().map(|line| line.split('\t').collect()).collect();
    assert!(fields.iter().all(|line| line.len() == 5));
    let count = |operation: &str, answer: Option<&str>| {
        let is = |line: &&Vec<&str>| line[3] == operation && answer.is_none_or(|a| line[4] == a);
        fields.iter().filter(is).count()
    };
    assert_eq!(count("make", None), count("destroy", None));
    assert!(count("send_ptr", Some("0")) > 10 && count("recv_ptr", Some("-11")) > 2);
    assert!(count("close", None) > 2 && count("send", Some("0")) > 2);
    let times: Vec<u64> = fields.iter().map(|line| line[0].parse().unwrap()).collect();
    assert!(times.iter().all(|&time| time > 0));
}

#[test]
fn statistics() {
    check("stats");
}
