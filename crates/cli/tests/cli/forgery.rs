// SPDX-License-Identifier: BSD-3-Clause
//! Texts of plugins, and frames of clients, that try to forge or to add lines, or to control the terminal: the output and log of
//! the command have only the command's own lines.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{becket, compile, process, run};

/// Each of its texts has line breaks, terminal control characters, and a line that the command
/// could have written.
const FORGES: &str = r#"
#include "becket_plugin.h"
#define EVIL "\n\r\xc2\x85\xe2\x80\xa8\xe2\x80\xa9\x1b[2J\x1b]0;owned\a\xc2\x9b" "31m\x7f\b\xe2\x80\xae" \
             "\nFORGED error: all is well\n"
static NrStatus hit(const BkCall *call) {
    bk_log(call->plugin, BK_LOG_WARN, "from" EVIL, "message" EVIL);
    return bk_answer_text(call, NR_OK, "logged");
}
static const BkEntry entries[] = {
    {"hit", BK_ENTRY_UNARY, "help" EVIL, hit},
    {"entry" EVIL, BK_ENTRY_UNARY, "", hit},
};
static const BkPluginDef def = {
    .name = "name" EVIL, .version = "1.0" EVIL, .flags = BK_PLUGIN_THREAD_SAFE, BK_ENTRIES(entries),
};
BK_PLUGIN(def)
"#;

fn forging(dir: &TempDir) -> PathBuf {
    let (source, library) = (dir.path().join("forger.c"), dir.path().join("libforger.so"));
    fs::write(&source, FORGES).unwrap();
    compile(&source, &library);
    library
}

/// The output has only the command's own line ends, and no line of the plugin.
fn is_honest(what: &str, text: &[u8]) {
    let text = str::from_utf8(text).unwrap();
    for line in text.split('\n') {
        let drives = |c: char| c.is_control() || "\u{2028}\u{2029}\u{202e}".contains(c);
        assert!(!line.chars().any(drives), "{what}: {line:?} in {text:?}");
        assert!(!line.starts_with("FORGED"), "{what}: a line of the plugin's in {text}");
    }
}

#[test]
fn what_a_plugin_says_of_itself_cannot_forge_a_line() {
    let dir = TempDir::new().unwrap();
    let library = forging(&dir);
    for (args, shown) in [
        (&["plugin", "inspect"][..], "name\\n\\r\\u{85}"),
        (&["plugin", "check"], "1.0\\n\\r\\u{85}"),
        (&["check", "plugin", "--timeout-ms", "500"], ""),
    ] {
        let done = becket().args(args).arg(&library).assert().success();
        let output = done.get_output();
        is_honest(&args.join(" "), &output.stdout);
        is_honest(&args.join(" "), &output.stderr);
        assert!(String::from_utf8_lossy(&output.stdout).contains(shown), "{output:?}");
    }
}

#[test]
fn a_log_message_is_one_line_of_the_text_log_and_one_object_of_the_json_log() {
    let dir = TempDir::new().unwrap();
    let library = forging(&dir);
    let call = |log: &[&str]| {
        let done = becket().args(log).args(["plugin", "call"]).arg(&library).arg("hit").assert();
        done.success().get_output().stderr.clone()
    };
    let text = call(&["--log-level", "trace"]);
    is_honest("text log", &text);
    let said = "message\\n\\r\\u{85}\\u{2028}\\u{2029}\\u{1b}[2J";
    let lines = String::from_utf8(text).unwrap();
    assert_eq!(lines.lines().filter(|line| line.contains(said)).count(), 1, "{lines}");
    // The entry with an invalid name is left out, and the log has its escaped name.
    assert!(lines.contains("left out an entry that describes itself badly"), "{lines}");

    let json = call(&["--log-level", "trace", "--log-json"]);
    is_honest("JSON log", &json);
    let records: Vec<Value> = str::from_utf8(&json)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of_plugin = records.iter().filter(|record| record["target"] == "becket::plugin");
    let messages: Vec<_> = of_plugin.map(|record| &record["fields"]["message"]).collect();
    assert_eq!(messages.len(), 1, "{records:#?}");
    assert!(messages[0].as_str().unwrap().starts_with(said), "{messages:?}");
}

#[test]
fn a_served_plugin_cannot_forge_a_line_of_the_ready_screen_or_the_log() {
    let dir = TempDir::new().unwrap();
    let library = forging(&dir);
    let mut child = process()
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--plugin"])
        .arg(format!("forger={}", library.display()))
        .spawn()
        .unwrap();
    let out = read_until(&mut child, "Ctrl-C ends it.\n");
    let at = |label: &str| {
        let (_, rest) = out.split_once(label).unwrap();
        rest.lines().next().unwrap().trim().to_owned()
    };
    let url = at("serves on ");
    assert_eq!(run_curl(&format!("{url}/forger/hit")), "logged");
    let plugins = run_curl(&format!("{}plugins", at("admin page")));
    is_honest("/plugins", plugins.as_bytes());
    is_honest("/metrics", run_curl(&at("metrics")).as_bytes());
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let mut err = Vec::new();
    child.stderr.take().unwrap().read_to_end(&mut err).unwrap();
    assert!(child.wait().unwrap().success());
    is_honest("ready screen", out.as_bytes());
    is_honest("log", &err);
    assert!(String::from_utf8_lossy(&err).contains("WARN becket::plugin: message\\n"), "{err:?}");
}

#[test]
fn a_client_writes_no_lines_of_the_log() {
    /// A frame of HTTP/2 on stream 0: its type, its flags, its payload.
    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        [&[0, 0, payload.len() as u8, kind, flags, 0, 0, 0, 0], payload].concat()
    }
    const PING: u8 = 6;
    const ACK: u8 = 1;
    let mut child = process()
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .spawn()
        .unwrap();
    let out = read_until(&mut child, "Ctrl-C ends it.\n");
    let (_, rest) = out.split_once("serves on http://").unwrap();
    let mut socket = TcpStream::connect(rest.lines().next().unwrap().trim()).unwrap();
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    socket.write_all(&frame(4, 0, &[])).unwrap();
    for _ in 0..8 {
        // To a ping that was never sent.
        socket.write_all(&frame(PING, ACK, b"whatever")).unwrap();
    }
    socket.write_all(&frame(PING, 0, b"the last")).unwrap();
    let (answer, mut seen, mut byte) = (frame(PING, ACK, b"the last"), Vec::new(), [0]);
    while !seen.ends_with(&answer) {
        socket.read_exact(&mut byte).unwrap();
        seen.push(byte[0]);
    }
    drop(socket);
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert!(child.wait().unwrap().success());
    assert!(!err.contains("PING") && !err.contains(" h2::"), "{err}");
}

fn run_curl(url: &str) -> String {
    let mut curl = std::process::Command::new("curl");
    let output = run(curl.args(["-sS", "--fail-with-body", url]).stdin(Stdio::null()));
    String::from_utf8(output.stdout).unwrap()
}

fn read_until(child: &mut Child, end: &str) -> String {
    let (mut out, mut byte) = (Vec::new(), [0]);
    let stdout = child.stdout.as_mut().unwrap();
    while !out.ends_with(end.as_bytes()) && stdout.read(&mut byte).unwrap() > 0 {
        out.push(byte[0]);
    }
    String::from_utf8(out).unwrap()
}
