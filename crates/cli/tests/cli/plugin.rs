// SPDX-License-Identifier: BSD-3-Clause
//! `becket plugin …` on a plugin that `becket plugin new` made.

use std::io::Read;

use serde_json::Value;
use snapbox::str;
use tempfile::TempDir;

use crate::support::{becket, compile, is_long, pipe, plugin, process, root, sample};

fn json(output: &[u8]) -> Value {
    serde_json::from_slice(output)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(output)))
}

#[test]
fn inspect_says_what_the_file_is() {
    becket().args(["plugin", "inspect"]).arg(plugin()).assert().success().stderr_eq("").stdout_eq(
        str![[r#"
greeter 0.1.0
file       [..]/libgreeter.so, [..] bytes, [..]
sha256     [..]
abi        version 1, info 96 bytes, function table [..] bytes, attaches to the host's functions
layout     becket: [..]
flags      thread-safe, multi-instance, may-unload
functions  init, handle, shutdown, stream_data, stream_close, [..]
not there  [..]
exports    nylon_ring_get_plugin_v1 of 1
needs      libc.so.6
config     {"greeting":"Hello"}

entries
hello      unary          greets whom the payload names
countdown  stream         sends 3, 2, 1

"#]],
    );
    let output = becket().args(["plugin", "inspect", "--json"]).arg(plugin()).assert().success();
    let inspection = json(&output.get_output().stdout);
    assert_eq!(inspection["entries"][1]["kind"], "stream");
}

#[test]
fn a_file_that_is_no_plugin_is_a_load_error() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("notes.txt"), "hello").unwrap();
    becket()
        .args(["plugin", "inspect", "notes.txt"])
        .current_dir(dir.path())
        .assert()
        .code(3)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: plugin [..]notes.txt is [..], not an ELF shared library
...
"#]]);
    becket().args(["plugin", "call", "none.so", "x"]).assert().code(3).stdout_eq("");
}

#[test]
fn call_prints_the_answer() {
    let call = || becket().args(["plugin", "call"]).arg(plugin()).arg("hello");
    call().args(["--data", "you"]).assert().success().stderr_eq("").stdout_eq("Hello, you\n");
    call().args(["--file", "-"]).stdin("stdin").assert().success().stdout_eq("Hello, stdin\n");
    let output = call().arg("--json").assert().success();
    let answer = json(&output.get_output().stdout);
    assert_eq!(answer["status"], "Ok");
    assert_eq!(answer["body"], "Hello, world");
}

#[test]
fn call_prints_a_stream_frame_by_frame() {
    let call = || becket().args(["plugin", "call"]).arg(plugin()).arg("countdown");
    call().assert().success().stdout_eq("3\n2\n1\n");
    call().arg("--json").assert().success().stdout_eq(str![[r#"
{"body":"3","status":"Ok","status_code":0}
{"body":"2","status":"Ok","status_code":0}
{"body":"1","status":"Ok","status_code":0}

"#]]);
}

#[test]
fn a_conversation_takes_its_messages_from_stdin() {
    becket()
        .args(["plugin", "call"])
        .arg(sample())
        .arg("chat")
        .stdin("one\ntwo\n")
        .assert()
        .success()
        .stderr_eq("")
        .stdout_eq(str![[r#"
welcome
echo: one
echo: two
bye after 2 messages

"#]]);
}

#[test]
fn the_request_is_what_was_asked_for() {
    becket()
        .args(["plugin", "call"])
        .arg(sample())
        .args(["unary", "--method", "PUT", "--path", "/a/b", "--query", "x=1"])
        .args(["-H", "X-Becket-Echo=seven", "--header", "a=b", "--data", "12345"])
        .assert()
        .success()
        .stdout_eq(str![[r#"
Hello from c: PUT /a/b?x=1, 2 headers, 5 bytes, x-becket-echo=seven

"#]]);
}

#[test]
fn bytes_that_are_no_text_come_back_as_they_are() {
    let dir = TempDir::new().unwrap();
    std::fs::write(dir.path().join("payload"), b"\xff\x00\n").unwrap();
    let call = || {
        becket()
            .args(["plugin", "call", "--file", "payload"])
            .arg(sample())
            .arg("echo")
            .current_dir(dir.path())
    };
    assert_eq!(call().assert().success().get_output().stdout, b"\xff\x00\n");
    let output = call().arg("--json").assert().success();
    assert_eq!(json(&output.get_output().stdout)["body_hex"], "ff000a");
}

#[test]
fn an_answer_that_is_not_ok_is_a_failure_with_its_body() {
    let fail =
        |payload| becket().args(["plugin", "call", "--data", payload]).arg(sample()).arg("fail");
    fail("2").assert().code(4).stdout_eq("failed on request\n").stderr_eq(str![[r#"
error: entry `fail` answered Invalid

"#]]);
    fail("99").assert().code(4).stderr_eq(str![[r#"
error: entry `fail` answered status 99

"#]]);
    fail("").assert().code(4).stdout_eq("").stderr_eq(str![[r#"
error: the plugin refused the call: Err

"#]]);
}

#[test]
fn a_deadline_has_a_code_of_its_own() {
    becket()
        .args(["plugin", "call", "--timeout-ms", "20", "--data", "60000"])
        .arg(sample())
        .arg("slow")
        .assert()
        .code(5)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: no answer before the deadline
hint:  [..]

"#]]);
}

#[test]
fn check_fails_a_plugin_that_does_not_answer_in_time() {
    becket()
        .args(["plugin", "check", "--timeout-ms", "50"])
        .arg(sample())
        .assert()
        .code(7)
        .stderr_eq("")
        .stdout_eq(str![[r#"
...
FAIL  PLG-09  Each call is answered or refused before its deadline.
              `slow` with nothing: no answer in 50 ms ([..])
...
[..]libsample.so breaks [..]

"#]]);
    let check = || becket().args(["plugin", "check", "--skip", "slow"]).arg(sample());
    check().assert().success();
    let output = check().arg("--json").assert().success();
    assert_eq!(json(&output.get_output().stdout)["verdict"], "pass");
}

/// Writes a forged finding to stdout, and ends its process with success.
const ENDS_ITS_PROCESS: &str = r#"
#include <stdlib.h>
#include "becket_plugin.h"
static NrStatus hit(const BkCall *call) { (void)call; puts("bye"); fflush(stdout); _Exit(0); }
static const BkEntry entries[] = {{"hit", BK_ENTRY_UNARY, "", hit}};
static const BkPluginDef def = {.name = "fatal", .version = "1", BK_ENTRIES(entries)};
BK_PLUGIN(def)
"#;

#[test]
fn check_outlives_a_plugin_that_ends_its_process() {
    let dir = TempDir::new().unwrap();
    let (source, library) = (dir.path().join("fatal.c"), dir.path().join("fatal.so"));
    std::fs::write(&source, ENDS_ITS_PROCESS).unwrap();
    compile(&source, &library);
    becket()
        .args(["plugin", "check"])
        .arg(&library)
        .assert()
        .code(7)
        .stderr_eq("bye\n...\n")
        .stdout_eq(str![[r#"
...
FAIL  PLG-27  It never ends the process that it is in.
              exit code 0, while PLG-[..] was tried
[..]fatal.so breaks 1 rule

"#]]);
}

/// Only the parent writes files: the process of the plugin may be killed before it removes its own.
#[test]
fn a_junit_report_of_a_plugin_that_ends_its_process_is_the_only_file() {
    let (dir, out) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let (source, library) = (dir.path().join("fatal.c"), dir.path().join("fatal.so"));
    std::fs::write(&source, ENDS_ITS_PROCESS).unwrap();
    compile(&source, &library);
    let report = out.path().join("r.xml");
    let check = ["check", "plugin", "--quick", "--junit"];
    becket().args(check).arg(&report).arg(&library).assert().code(1);
    let files = std::fs::read_dir(out.path()).unwrap().map(|it| it.unwrap().file_name());
    assert_eq!(files.collect::<Vec<_>>(), ["r.xml"]);
    let text = std::fs::read_to_string(&report).unwrap();
    let case = text.split("<testcase ").find(|case| case.contains("\"PLG-27\"")).unwrap();
    assert!(case.contains("<failure message=\"exit code 0, while PLG-"), "{text}");
    assert_eq!(text.matches("<testcase ").count(), text.matches("</testcase>").count());
}

/// Output of a plugin neither makes nor hides a finding, whether it is text or not, complete lines
/// or not.
#[test]
fn both_checks_hear_what_they_are_told_beside_a_plugin_that_writes_to_stdout() {
    let dir = TempDir::new().unwrap();
    let library = dir.path().join("writes_to_stdout.so");
    compile(&root().join("examples/zoo/plugins/writes_to_stdout.c"), &library);
    let run = |args: &[&str]| {
        let output = becket().args(args).arg("--json").arg(&library).assert().success();
        json(&output.get_output().stdout)
    };
    assert_eq!(run(&["plugin", "check"])["verdict"], "pass");
    let report = run(&["check", "plugin", "--timeout-ms", "500"]);
    let verdicts: Vec<_> = report["rules"].as_array().unwrap().iter().collect();
    assert!(verdicts.len() == 28 && verdicts.iter().all(|it| it["verdict"] != "not-tried"));
    assert_eq!(report["verdict"], "pass", "{report}");
}

/// Holds a pipe open, and never returns from its init.
const HANGS_IN_INIT: &str = r#"
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include "becket_plugin.h"
static NrStatus start(BkPlugin *plugin) {
    (void)plugin;
    if (open(getenv("PIPE"), O_WRONLY) >= 0) for (;;) pause();
    return NR_ERR;
}
static const BkPluginDef def = {.name = "stuck", .version = "1", .start = start};
BK_PLUGIN(def)
"#;

/// Each ends with a process that is not awaited any more: the pipe has no writer then.
#[test]
fn a_plugin_that_hangs_while_it_is_loaded_is_given_up_and_leaves_no_process() {
    let dir = TempDir::new().unwrap();
    let (source, library) = (dir.path().join("stuck.c"), dir.path().join("stuck.so"));
    std::fs::write(&source, HANGS_IN_INIT).unwrap();
    compile(&source, &library);
    let pipe = pipe(dir.path());
    let started = || {
        let mut process = process();
        process.args(["plugin", "check", "--timeout-ms", "10"]).arg(&library).env("PIPE", &pipe);
        let child = process.spawn().unwrap();
        // Opening the pipe returns when it has a writer: then the plugin hangs.
        (child, std::fs::File::open(&pipe).unwrap())
    };
    let is_over = |mut pipe: std::fs::File| pipe.read_to_string(&mut String::new()).unwrap() == 0;

    // A load has ten seconds, however short a call may be.
    if is_long() {
        let (child, reader) = started();
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(7));
        let said = String::from_utf8(output.stdout).unwrap();
        let first = said.lines().next();
        assert!(first.is_some_and(|line| line.starts_with("FAIL  PLG-01  It loads")), "{said}");
        assert!(said.contains("did not return within 10000 ms"), "{said}");
        assert!(is_over(reader));
    }

    let (mut child, reader) = started();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(is_over(reader));
}

/// The load ends at the timeout, and so does the process: also while its dynamic linker is held by
/// a constructor that does not return.
#[test]
fn a_call_is_not_held_by_a_plugin_that_does_not_come_back_from_its_load() {
    let dir = TempDir::new().unwrap();
    let constructor = "__attribute__((constructor)) static void hang(void) { for (;;) pause(); }";
    for (name, constructor, part) in
        [("init", "", "`init`"), ("open", constructor, "a constructor")]
    {
        let (source, library) =
            (dir.path().join(format!("{name}.c")), dir.path().join(format!("{name}.so")));
        std::fs::write(&source, format!("{HANGS_IN_INIT}\n{constructor}")).unwrap();
        compile(&source, &library);
        let said = becket()
            .args(["plugin", "call", "--timeout-ms", "10"])
            .args([library.as_os_str(), "hit".as_ref()])
            .env("PIPE", "/dev/null")
            .assert()
            .code(3)
            .stdout_eq("");
        let said = String::from_utf8_lossy(&said.get_output().stderr).into_owned();
        let wanted = format!("error: {part} of plugin ");
        assert!(
            said.starts_with(&wanted) && said.contains("did not return within 1000 ms"),
            "{said}"
        );
        assert!(said.contains("\ncause: ") && said.contains("load_timeout_ms"), "{said}");
    }
}

#[test]
fn serve_ends_with_the_reason_when_a_plugin_does_not_come_back_from_its_load() {
    let dir = TempDir::new().unwrap();
    let (source, library) = (dir.path().join("stuck.c"), dir.path().join("stuck.so"));
    std::fs::write(&source, HANGS_IN_INIT).unwrap();
    compile(&source, &library);
    let config = dir.path().join("becket.toml");
    let text = format!(
        "listen = \"127.0.0.1:0\"\n[plugins.stuck]\npath = {library:?}\nlimits.load_timeout_ms = 300\n"
    );
    std::fs::write(&config, text).unwrap();
    let said = becket()
        .args(["serve".as_ref(), "--config".as_ref(), config.as_os_str()])
        .env("PIPE", "/dev/null")
        .assert()
        .code(3);
    let said = String::from_utf8_lossy(&said.get_output().stderr).into_owned();
    assert!(said.contains("`init` of plugin stuck did not return within 300 ms"), "{said}");
    assert!(said.contains("load_timeout_ms"), "{said}");
}

#[test]
fn an_entry_that_is_left_out_has_to_be_one() {
    for command in [["plugin", "check"], ["check", "plugin"]] {
        let check = |skip| becket().args(command).args(["--skip", skip]).arg(sample()).assert();
        check("slwo").code(2).stdout_eq("").stderr_eq(str![[r#"
error: there is no entry `slwo`
cause: known are [..], slow, [..]
hint:  did you mean `slow`?

"#]]);
    }
}

/// The child process gets its own options before them.
#[test]
fn what_stands_after_two_dashes_is_a_file() {
    for command in [["plugin", "check"], ["check", "plugin"]] {
        becket().args(command).args(["--rule", "PLG-02", "--"]).arg(sample()).assert().success();
    }
}

#[test]
fn check_says_why_a_plugin_does_not_load() {
    becket().args(["plugin", "check", "none.so"]).assert().code(3).stdout_eq("").stderr_eq(str![[
        r#"
error: there is no plugin none.so
hint:  name the shared library that the build made, or the program

"#
    ]]);
}

#[test]
fn an_unknown_entry_names_the_nearest() {
    becket()
        .args(["plugin", "call"])
        .arg(plugin())
        .arg("helo")
        .assert()
        .code(4)
        .stdout_eq("")
        .stderr_eq(str![[r#"
error: plugin `greeter` has no entry `helo`
hint:  did you mean `hello`?

"#]]);
}

#[test]
fn a_wrong_configuration_is_a_usage_error() {
    becket()
        .args(["plugin", "call", "--config", "[1]"])
        .arg(plugin())
        .arg("hello")
        .assert()
        .code(2)
        .stderr_eq(str![[r#"
error: invalid value '[1]' for '--config <JSON>'
cause: it must be an object, such as {"greeting":"Hi"}
hint:  `--help` says what is expected

"#]]);
}

#[test]
fn check_tries_what_takes_no_longer_than_a_few_calls() {
    becket().args(["plugin", "check"]).arg(plugin()).assert().success().stderr_eq("").stdout_eq(
        str![[r#"
ok    PLG-01  It loads: its file, its info and its functions are those of a version that hosts know.
              greeter 0.1.0, layout becket
...
"#]],
    );
    let ids = |command: &[&str]| {
        let output = becket().args(command).arg("--json").arg(plugin()).assert().success();
        let report = json(&output.get_output().stdout);
        let rules = report["rules"].as_array().unwrap().iter();
        rules.map(|rule| rule["rule"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let quick = ids(&["plugin", "check"]);
    assert_eq!(quick, ids(&["check", "plugin", "--quick"]));
    // The promises that a few calls show: load, entries, reload, a wrong name, answers, ends of
    // streams, messages, one answer each, callers that leave, unload.
    let promises = ["01", "03", "05", "06", "08", "09", "13", "14", "16", "17", "18", "19", "27"];
    for promise in promises {
        assert!(quick.contains(&format!("PLG-{promise}")), "{promise} is not in {quick:?}");
    }
    let one = ids(&["check", "plugin", "--rule", "PLG-13"]);
    assert_eq!(one, ["PLG-01", "PLG-02", "PLG-13", "PLG-27"]);
    let wrong = ["check", "plugin", "--rule", "PLG-99"];
    becket().args(wrong).arg(plugin()).assert().code(2).stdout_eq("");
}

#[test]
fn bench_says_how_fast() {
    let bench =
        || becket().args(["plugin", "bench", "--seconds", "0.1", "--threads", "2"]).arg(plugin());
    bench().arg("hello").assert().success().stderr_eq("").stdout_eq(str![[r#"
hello: [..] calls in [..] s, 0 failed
calls/s   [..]
latency   p50 [..]   p90 [..]   p99 [..]   p99.9 [..]   max [..]
2 threads, 0 bytes each, one call at a time on each thread

"#]]);
    let output = bench().args(["countdown", "--json"]).assert().success();
    let report = json(&output.get_output().stdout);
    let (calls, frames) = (report["calls"].as_u64().unwrap(), report["frames"].as_u64().unwrap());
    assert!(calls > 0);
    assert_eq!(frames, calls * 3, "three frames each, also from the last one begun");
    assert_eq!(report["failed"], 0);
}
