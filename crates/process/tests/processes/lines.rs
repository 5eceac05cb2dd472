// SPDX-License-Identifier: BSD-3-Clause
//! Programs that speak JSON lines: `lines.py`, and the example in shell.

use std::sync::Arc;
use std::time::Duration;

use becket_coro::block_on;
use becket_host::{
    CallError, EntryKind, Host, Limits, NrStatus, Plugin, PluginSpec, Request, StreamError,
};
use becket_process::Process;
use serde_json::json;

use crate::ends::{HANGS, until};
use crate::{worker, workers};

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/processes/lines.py");
const MACHINE: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/plugins/shell/machine.sh");

fn spec(name: &str, command: &[&str]) -> PluginSpec {
    let command = command.iter().map(Into::into).collect();
    PluginSpec::remote(name, Arc::new(Process::lines(worker(), command)))
}

fn python(host: &Host, name: &str) -> Plugin {
    host.load(spec(name, &["python3", SCRIPT]))
        .unwrap_or_else(|error| panic!("{error}: {:?}", error.cause()))
}

fn end(host: &Host, name: &str) {
    block_on(host.shutdown(Duration::from_secs(10)));
    assert!(workers(name).is_empty());
}

#[test]
fn a_script_in_shell_is_a_plugin() {
    let host = Host::new();
    let plugin = host.load(spec("machine", &[MACHINE])).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(plugin.info().reported_name, "machine");
    let text = |entry| {
        let answer = block_on(plugin.call_raw(entry, br#"{"entry":"disk"}"#)).unwrap();
        String::from_utf8(answer.body.to_vec()).unwrap()
    };
    assert!(text("load").parse::<f64>().is_ok());
    assert!(text("disk").ends_with('%'));
    block_on(async {
        let mut ticks = plugin.stream("ticks", Request::new("")).await.unwrap();
        for number in 1..=3 {
            let frame = ticks.next().await.unwrap().unwrap();
            assert_eq!(&*frame.body, format!("tick {number}").as_bytes());
        }
        assert!(ticks.next().await.unwrap().is_none());
    });
    end(&host, "machine");
}

#[test]
fn calls_are_lines_and_lines_are_answers() {
    let host = Host::new();
    let plugin = python(&host, "calls");
    let info = plugin.info();
    assert_eq!((info.reported_name.as_str(), info.version.as_str()), ("lines", "1.2.3"));
    assert_eq!(plugin.entry("chat").unwrap().kind(), Some(EntryKind::Bidirectional));
    let all: Vec<u8> = (0..=255).collect();
    for payload in [b"".to_vec(), b"text \"and\"\n\\ lines".to_vec(), all, vec![7; 3 << 20]] {
        let answer = block_on(plugin.call_raw("echo", &payload)).unwrap();
        assert!(answer.status.is_ok() && *answer.body == *payload, "{} bytes", payload.len());
    }
    let request = Request::new("x").method("POST").path("/p").query("q=1").header("A", "1");
    let answer = block_on(plugin.call("request", request.header("a", "2"))).unwrap();
    let seen: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let wanted = json!({ "method": "POST", "path": "/p", "query": "q=1", "headers": { "a": "1, 2" },
        "body": "x", "deadline_ms": seen["deadline_ms"] });
    assert_eq!(seen, wanted);
    for status in [0, 1, 99, u32::MAX] {
        let answer = block_on(plugin.call_raw("fail", status.to_string().as_bytes())).unwrap();
        assert_eq!((answer.status, &*answer.body), (NrStatus(status), &b"failed on request"[..]));
    }
    let refused = block_on(plugin.call_raw("refuse", b"invalid"));
    assert!(
        matches!(refused, Err(CallError::Refused { status: NrStatus::Invalid })),
        "{refused:?}"
    );
    let unknown = block_on(plugin.call_raw("no-such-entry", b""));
    assert!(matches!(unknown, Err(CallError::UnknownEntry(_))), "{unknown:?}");
    assert!(block_on(plugin.call_raw("log", b"a line")).unwrap().body.is_empty());
    // A frame of a call is its answer, and what follows is dropped.
    assert_eq!(&*block_on(plugin.call_raw("frame", b"")).unwrap().body, b"the first");
    plugin.notify("echo", b"no answer").unwrap();
    let late = block_on(plugin.call_raw("wait", b"").timeout(Duration::from_millis(20)));
    assert!(matches!(late, Err(CallError::DeadlineExceeded)), "{late:?}");
    // The plugin is notified after its caller has its error: another call may overtake that.
    let noted = loop {
        let noted = block_on(plugin.call_raw("waited", b"")).unwrap();
        if *noted.body != *b"[]" {
            break noted;
        }
    };
    assert_eq!(&*noted.body, br#"["cancel True"]"#);
    let snapshot = plugin.snapshot();
    assert_eq!((snapshot.pending, snapshot.failed.crashed), (0, 0));
    end(&host, "calls");
}

#[test]
fn streams_are_lines_both_ways() {
    let host = Host::new();
    let plugin = python(&host, "streams");
    block_on(async {
        let payload = vec![1; 100 << 10];
        let mut chat = plugin.stream("chat", Request::new(payload)).await.unwrap();
        assert_eq!(&*chat.next().await.unwrap().unwrap().body, b"welcome");
        for number in 0..200 {
            chat.send(format!("{number}").as_bytes()).await.unwrap();
            let frame = chat.next().await.unwrap().unwrap();
            assert_eq!(&*frame.body, format!("echo: {number}").as_bytes());
        }
        let bytes = vec![0xff; 3 << 20];
        chat.send(&bytes).await.unwrap();
        assert!(*chat.next().await.unwrap().unwrap().body == *bytes);
        chat.close().unwrap();
        let last = chat.next().await.unwrap().unwrap();
        assert_eq!(&*last.body, b"bye after 200 messages");
        assert!(chat.next().await.unwrap().is_none());
        let mut breaks = plugin.stream("breaks", Request::new("")).await.unwrap();
        assert_eq!(&*breaks.next().await.unwrap().unwrap().body, b"one");
        let ended = breaks.next().await;
        assert!(
            matches!(&ended, Err(StreamError::Failed { status: NrStatus::Invalid, body }) if &**body == b"two"),
            "{ended:?}"
        );
        // An entry with one answer, as a stream: its answer is a frame.
        let mut echo = plugin.stream("echo", Request::new("one")).await.unwrap();
        assert_eq!(&*echo.next().await.unwrap().unwrap().body, b"one");
        assert!(echo.next().await.unwrap().is_none());
        // A receiver that leaves.
        let mut chat = plugin.stream("chat", Request::new("")).await.unwrap();
        assert_eq!(&*chat.next().await.unwrap().unwrap().body, b"welcome");
        drop(chat);
    });
    until("the program is notified", || {
        let noted = block_on(plugin.call_raw("waited", b"")).unwrap();
        (*noted.body == *br#"["cancel True"]"#).then_some(())
    });
    end(&host, "streams");
}

/// More than is held for a caller that does not read, and than the session's and the host's bounds.
#[test]
fn a_program_waits_while_its_caller_does_not_read() {
    const FRAMES: usize = 20_000;
    let host = Host::new();
    let plugin = python(&host, "waits");
    block_on(async {
        let request = Request::new(FRAMES.to_string());
        let mut many = plugin.stream("many", request).await.unwrap();
        for number in 0..FRAMES {
            let frame = many.next().await.unwrap().unwrap();
            assert_eq!(&*frame.body, format!("{number:01000}").as_bytes());
        }
        assert!(many.next().await.unwrap().is_none());
        // One that is left in the middle lets the program go on.
        let mut many = plugin.stream("many", Request::new(FRAMES.to_string())).await.unwrap();
        many.next().await.unwrap().unwrap();
        drop(many);
        assert_eq!(&*plugin.call_raw("echo", b"x").await.unwrap().body, b"x");
    });
    end(&host, "waits");
}

/// A line that is none ends the program; its calls have crashed, and the next ones find another.
#[test]
fn what_is_no_line_of_a_plugin_ends_the_program() {
    let host = Host::new();
    let plugin = python(&host, "breaks");
    let broken = [
        "no JSON".to_owned(),
        r#"{"id":4711,"body":"of a call that never was"}"#.to_owned(),
        r#"{"id":1,"boddy":"misspelt"}"#.to_owned(),
        r#"{"becket":1,"name":"again","entries":[]}"#.to_owned(),
        r#"{"id":1,"status":"no such status"}"#.to_owned(),
    ];
    for line in &broken {
        let ended = block_on(plugin.call_raw("raw", line.as_bytes()).timeout(HANGS));
        assert!(matches!(ended, Err(CallError::Crashed)), "{line}: {ended:?}");
        assert_eq!(&*block_on(plugin.call_raw("echo", b"again")).unwrap().body, b"again");
    }
    for entry in ["exit", "close"] {
        let ended = block_on(plugin.call_raw(entry, b"").timeout(HANGS));
        assert!(matches!(ended, Err(CallError::Crashed)), "{entry}: {ended:?}");
        assert_eq!(&*block_on(plugin.call_raw("echo", b"again")).unwrap().body, b"again");
    }
    let snapshot = plugin.snapshot();
    assert_eq!((snapshot.failed.crashed, snapshot.pending), (broken.len() as u64 + 2, 0));
    end(&host, "breaks");
}

#[test]
fn a_program_that_is_no_plugin_says_why_at_the_load() {
    let host = Host::new();
    let load = |spec: PluginSpec| {
        let error = host.load(spec.limits(Limits { load_timeout_ms: 60_000, ..Limits::default() }));
        let error = error.unwrap_err();
        format!("{error} {}", error.cause().unwrap_or_default())
    };
    for (command, why) in [
        (&["/no/such/program"][..], "cannot start /no/such/program"),
        (&["true"], "closed its stdout"),
        (&["echo", "hello"], "line 1 of the program is no message"),
        (&["echo", r#"{"becket":1,"name":"p"}"#], "no `entries`"),
        (&["sh", "-c", "echo why it ends >&2; exit 3"], "why it ends"),
        (&["cat", "/dev/zero"], "line 1 of the program is too long"),
    ] {
        let error = load(spec("bad", command));
        assert!(error.contains(why), "{command:?}: {error}");
    }
    let refuses = spec("bad", &["python3", SCRIPT]).config(json!({ "refuse": "no database" }));
    let error = load(refuses);
    assert!(error.contains("no database"), "{error}");
    until("no process is left", || workers("bad").is_empty().then_some(()));
}

#[test]
fn a_program_without_a_first_line_is_given_up() {
    let host = Host::new();
    let limits = Limits { load_timeout_ms: 100, ..Limits::default() };
    host.load(spec("silent", &["sleep", "1000"]).limits(limits)).unwrap_err();
    until("no process is left", || workers("silent").is_empty().then_some(()));
}

/// A child of the program keeps its stdout: nothing waits for it.
#[test]
fn a_program_may_leave_a_child_behind() {
    let host = Host::new();
    let script = r#"sleep 60 & echo '{"becket":1,"name":"p","entries":["die"]}'; read -r l; read -r l; exit 7"#;
    let plugin = host.load(spec("child", &["sh", "-c", script])).unwrap();
    let ended = block_on(plugin.call_raw("die", b"").timeout(HANGS));
    assert!(matches!(ended, Err(CallError::Crashed)), "{ended:?}");
    end(&host, "child");
}
