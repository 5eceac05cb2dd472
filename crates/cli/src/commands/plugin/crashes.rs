// SPDX-License-Identifier: BSD-3-Clause
//! `becket plugin crashes`: how the processes of a plugin ended, read from the admin listener of a gateway.

use std::io::{self, Read, Write};
use std::net::{AddrParseError, SocketAddr, TcpStream};
use std::time::{Duration, SystemTime};

use becket_host::{CrashStack, escape_controls};
use serde_json::Value;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{BAD, DIM, HEAD, Ui, out, paint, text};

/// How long the gateway may take for each step.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Frames that are shown of what has called the plugin, and of a stack without the plugin.
const CALLERS_MAX: usize = 2;
const FRAMES_MAX: usize = 16;
/// The longest answer.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Show how the processes of a served plugin ended
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The plugin's name in the gateway
    name: String,
    /// Where the gateway's admin page is, as an address or as the link that `serve` prints
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9900", value_parser = address)]
    admin: SocketAddr,
}

pub(super) fn run(args: &Args, ui: &Ui) -> Result<Exit, Failure> {
    out::take_for_data()?;
    let overview = overview(args.admin)?;
    let plugins = overview.pointer("/plugins").and_then(Value::as_array);
    let plugins = plugins.map(Vec::as_slice).unwrap_or_default();
    let name = |plugin: &Value| Some(plugin.pointer("/info/name")?.as_str()?.to_owned());
    let Some(plugin) = plugins.iter().find(|plugin| name(plugin).as_deref() == Some(&args.name))
    else {
        let known: Vec<_> = plugins.iter().filter_map(name).collect();
        let failure =
            Failure::new(Exit::Failure, format!("the gateway has no plugin `{}`", args.name));
        return Err(failure.hint(match known.is_empty() {
            true => "it has none".to_owned(),
            false => format!("it has: {}", known.join(", ")),
        }));
    };
    let Some(workers) = plugin.get("workers").filter(|workers| !workers.is_null()) else {
        let cause = "it runs in the gateway's own process, and would end with it";
        let failure =
            Failure::new(Exit::Failure, format!("plugin `{}` has no processes", args.name));
        return Err(failure.cause(cause).hint("`placement = \"process\"` gives it one"));
    };
    if ui.json() {
        ui.data(workers)?;
    } else {
        ui.text(&describe(&args.name, plugin, unix_ms()))?;
    }
    Ok(Exit::Ok)
}

/// `HOST:PORT`, or `http://HOST:PORT/`.
fn address(text: &str) -> Result<SocketAddr, AddrParseError> {
    text.strip_prefix("http://").unwrap_or(text).trim_end_matches('/').parse()
}

/// What the admin listener knows.
fn overview(admin: SocketAddr) -> Result<Value, Failure> {
    let failed = |error: io::Error| {
        Failure::new(Exit::Failure, format!("no answer from the admin listener at {admin}"))
            .cause(error.to_string())
            .hint("`becket serve` prints where it is; name it with `--admin`")
    };
    let answer = get(admin).map_err(failed)?;
    let no_answer = || io::Error::new(io::ErrorKind::InvalidData, "that is no becket gateway");
    let body = answer
        .windows(4)
        .position(|bytes| bytes == b"\r\n\r\n")
        .filter(|_| answer.starts_with(b"HTTP/1.") && answer.get(8..13) == Some(b" 200 "))
        .and_then(|head| answer.get(head + 4..));
    let parsed = body.and_then(|body| serde_json::from_slice(body).ok());
    parsed.ok_or_else(|| failed(no_answer()))
}

/// One request; the end of the answer is the end of the connection.
fn get(admin: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&admin, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /plugins HTTP/1.0\r\nhost: {admin}\r\nconnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(answer)
}

fn describe(name: &str, plugin: &Value, now_ms: u64) -> String {
    let workers = list(plugin, "/workers/workers");
    let running = workers.iter().filter(|worker| shown(worker, "/state") == "running").count();
    let restarts = list(plugin, "/workers/restarts").iter().map(|it| number(it, "/count")).sum();
    let mut text = format!(
        "{}  {}, {running} of {} running, {}\n",
        paint(HEAD, name),
        shown(plugin, "/snapshot/state"),
        text::plural(workers.len() as u64, "worker"),
        text::plural(restarts, "restart"),
    );
    let deaths = list(plugin, "/workers/deaths");
    if deaths.is_empty() {
        text.push_str("no worker has ended unasked\n");
    }
    for death in deaths.iter().rev() {
        let ago = now_ms.saturating_sub(number(death, "/at_unix_ms"));
        let ran = Duration::from_millis(number(death, "/ran_ms"));
        let details = format!(
            "worker {}, pid {}, ran {}, {} failed",
            number(death, "/worker"),
            number(death, "/pid"),
            text::duration(ran),
            text::plural(number(death, "/calls_failed"), "call"),
        );
        text.push_str(&format!(
            "\n{} ago  {}  {}\n{}\n",
            age(ago),
            paint(BAD, &shown(death, "/reason")),
            shown(death, "/status"),
            paint(DIM, &details),
        ));
        for line in list(death, "/last_lines") {
            text.push_str(&format!("  {}\n", shown(line, "")));
        }
        text.push_str(&stack(death));
    }
    text
}

/// The stack of a death, or why there is none.
fn stack(death: &Value) -> String {
    let read = death.get("stack").cloned().map(serde_json::from_value::<Option<CrashStack>>);
    let Some(Ok(Some(stack))) = read else {
        let why = shown(death, "/no_stack");
        return if why.is_empty() {
            why
        } else {
            format!("{}\n", paint(DIM, &format!("no stack: {why}")))
        };
    };
    let CrashStack { signal, address, thread, thread_id, frames, notes } = stack;
    let at = address.map(|address| format!(" at {address}")).unwrap_or_default();
    let of = escape_controls(&thread).into_owned();
    let mut text =
        format!("{}\n", paint(BAD, &format!("{signal}{at} in thread {of} ({thread_id})")));
    // The callers of the plugin are the worker's own code: `--json` has them.
    let called = frames.iter().rposition(|frame| frame.is_plugin);
    let count = called.map_or(FRAMES_MAX, |last| last + 1 + CALLERS_MAX);
    let (shown, rest) = frames.split_at_checked(count).unwrap_or((&frames, &[]));
    for same in shown.chunk_by(|one, next| one == next) {
        let Some(frame) = same.first() else { continue };
        text.push_str(&format!("  {}", escape_controls(&frame.to_string())));
        if same.len() > 1 {
            text.push_str(&paint(DIM, &format!(", {} times", same.len())));
        }
        text.push('\n');
    }
    let callers =
        (!rest.is_empty()).then(|| format!("{} below", text::plural(rest.len() as u64, "frame")));
    for note in callers.iter().chain(&notes) {
        text.push_str(&format!("  {}\n", paint(DIM, &escape_controls(note))));
    }
    text
}

fn list<'a>(value: &'a Value, at: &str) -> &'a [Value] {
    value.pointer(at).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn number(value: &Value, at: &str) -> u64 {
    value.pointer(at).and_then(Value::as_u64).unwrap_or_default()
}

fn shown(value: &Value, at: &str) -> String {
    escape_controls(value.pointer(at).and_then(Value::as_str).unwrap_or_default()).into_owned()
}

/// How long ago, in the unit that leaves a number that can be read.
fn age(ms: u64) -> String {
    match ms / 1000 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds @ 120..7200 => format!("{} min", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use becket_host::CrashFrame;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_link_that_serve_prints_is_an_address() {
        for text in ["127.0.0.1:9900", "http://127.0.0.1:9900/", "http://127.0.0.1:9900"] {
            assert_eq!(address(text).unwrap(), "127.0.0.1:9900".parse().unwrap());
        }
        assert!(address("http://").is_err());
    }

    #[test]
    fn the_last_death_comes_first_with_its_last_lines() {
        let death = |pid: u64, at: u64| {
            json!({
                "worker": 0, "pid": pid, "at_unix_ms": at, "reason": "signal", "ran_ms": 1500,
                "status": "signal: 6 (SIGABRT)", "calls_failed": 1, "last_lines": ["out of\u{1b} luck"],
            })
        };
        let plugin = json!({
            "snapshot": { "state": "ready" },
            "workers": {
                "workers": [{ "state": "running" }, { "state": "failed" }],
                "restarts": [{ "reason": "signal", "count": 2 }],
                "deaths": [death(7, 1000), death(8, 3000)],
            },
        });
        let text = anstream::adapter::strip_str(&describe("p", &plugin, 5000)).to_string();
        let [first, second] = ["pid 8", "pid 7"].map(|pid| text.find(pid).unwrap());
        assert!(first < second, "{text}");
        assert!(text.starts_with("p  ready, 1 of 2 workers running, 2 restarts\n"), "{text}");
        assert!(text.contains("2 s ago  signal  signal: 6 (SIGABRT)\n"), "{text}");
        assert!(text.contains("worker 0, pid 8, ran 1.50 s, 1 call failed\n"), "{text}");
        assert!(text.contains("  out of") && !text.contains('\u{1b}'), "{text}");
    }

    #[test]
    fn a_stack_is_shown_down_to_what_has_called_the_plugin() {
        let frame = |function: &str, offset: &str, is_plugin: bool| CrashFrame {
            function: Some(function.to_owned()),
            module: Some(if is_plugin { "/lib/p.so" } else { "becket" }.to_owned()),
            offset: offset.to_owned(),
            is_plugin,
            ..CrashFrame::default()
        };
        let mut frames = vec![frame("abort", "0x1", false)];
        frames.extend(vec![frame("again", "0x2", true); 3]);
        frames.extend(["0x3", "0x4", "0x5", "0x6"].map(|at| frame("of_\u{1b}worker", at, false)));
        let stack = CrashStack {
            signal: "SIGABRT".to_owned(),
            address: None,
            thread: "p\u{1b}".to_owned(),
            thread_id: 7,
            frames,
            notes: vec!["its end cannot be read".to_owned()],
        };
        let shown = |death: Value| anstream::adapter::strip_str(&super::stack(&death)).to_string();
        let text = shown(json!({ "stack": stack, "no_stack": null }));
        assert!(!text.contains('\u{1b}'), "{text}");
        let lines: Vec<_> = text.lines().collect();
        assert!(lines[0].starts_with("SIGABRT in thread p") && lines[0].ends_with("(7)"), "{text}");
        assert_eq!(lines[1..3], ["  abort (becket+0x1)", "  again (p.so+0x2), 3 times"]);
        assert!(lines[3].ends_with("(becket+0x3)") && lines[4].ends_with("(becket+0x4)"), "{text}");
        assert_eq!(lines[5..], ["  2 frames below", "  its end cannot be read"]);
        let none = json!({ "stack": null, "no_stack": "it exited" });
        assert_eq!(shown(none), "no stack: it exited\n");
        assert_eq!(shown(json!({})), "");
    }
}
