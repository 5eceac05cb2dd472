// SPDX-License-Identifier: BSD-3-Clause
//! The C programs on channels, select, tokens, zero copy and event channels.

use crate::common::{C, Library, check, folder, is_under_valgrind, program, run};

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
fn policies_and_reasons() {
    check("chan_policy");
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

#[test]
fn event_channels() {
    check("metrics_events");
}

/// Each variable asks for its own lines, and nothing is written without one.
#[test]
fn debug_lines() {
    let quiet = lines_with(&[("KCORO_DEBUG", "0"), ("KC_SCHED_DEBUG", "")]);
    assert_eq!(quiet, [""; 0]);

    let objects = lines_with(&[("KCORO_DEBUG", "1")]);
    let about = |what: &str| -> Vec<&str> {
        let (made, _) = objects.iter().find_map(|line| line.split_once(what)).unwrap();
        objects.iter().filter_map(|line| line.strip_prefix(made)).collect()
    };
    let channel = about(": made, Buffered(3), elements of 4 bytes");
    let wanted = [": made, Buffered(3), elements of 4 bytes", ": closed, reason -5", ": destroyed"];
    assert_eq!(channel, wanted);
    let coroutines = objects.iter().filter(|line| line.starts_with("coroutine "));
    assert_eq!(coroutines.count(), 2, "{objects:#?}");

    let scheduler = lines_with(&[("KC_SCHED_DEBUG", "1")]);
    let label = scheduler[0].strip_suffix(": started, 1 workers").unwrap();
    let events: Vec<_> =
        scheduler[1..].iter().map(|line| line.strip_prefix(label).unwrap()).collect();
    let (coroutine, _) = events[0].split_once(": queued").unwrap();
    let wanted = [
        format!("{coroutine}: queued"),
        format!("{coroutine}: ended"),
        ": task: queued".into(),
        ": task: ended".into(),
        ": shut down".into(),
    ];
    assert_eq!(events, wanted);

    // The one of the life and the handle's, one more and one less, and then the end.
    let references = lines_with(&[("KCORO_REF_DEBUG", "yes")]);
    let (name, _) = references[0].split_once(": references ").unwrap();
    let counts: Vec<_> = references
        .iter()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix(": references "))
        .collect();
    assert!(counts.ends_with(&["2", "1", "0"]), "{references:#?}");
}

/// The lines of `debug_lines.c` with these variables, without the library's name and the time.
fn lines_with(variables: &[(&str, &str)]) -> Vec<String> {
    let mut program = program("debug_lines", &C, Library::Static);
    let output = program.envs(variables.iter().copied()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{text}");
    text.lines()
        // Valgrind's own, of a system call that it does not know.
        .filter(|line| !(is_under_valgrind() && line.starts_with("--")))
        .map(|line| {
            let (time, rest) = line.strip_prefix("kcoro: ").unwrap().split_once(' ').unwrap();
            assert!(time.parse::<u64>().unwrap() > 0);
            rest.to_owned()
        })
        .collect()
}
