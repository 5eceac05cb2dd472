// SPDX-License-Identifier: BSD-3-Clause
//! `becket plugin check PATH`: the obligations of every plugin, tested one after the other.
//!
//! The check has no knowledge of the entries, so it tests what holds for all of them: an answer or
//! a refusal within the deadline, an end of every stream, no resources left behind. Refusals of the
//! host (stale ids, late answers) are read from the host's counters. `becket check plugin` has
//! verdicts by rules, under faults.
//!
//! The plugin runs in a child process, this command again with `--in-process`, so that a plugin
//! which ends its process, or never returns, gives a finding and does not end the report: see
//! `child`.

mod child;

use std::time::{Duration, Instant};

use becket_host::{
    CallError, EntryKind, Host, Plugin, ReloadError, Request, Stream, StreamError, escape_controls,
};
use futures_lite::future::poll_once;
use serde::{Deserialize, Serialize};

use super::load::Load;
use crate::commands::child_process::ReportPipe;
use crate::commands::pick::skipped;
use crate::commands::runtime;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{BAD, DIM, GOOD, Ui, WARN, paint, text};

/// Check that a plugin loads, answers, ends its streams, reloads and unloads
///
/// Calls every entry: with no payload, then with a small one. Run it against a plugin whose entries
/// may be called.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    load: Load,
    /// How long each call may take, and the load
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=600_000))]
    timeout_ms: u64,
    /// Leave this entry out; may be given several times
    #[arg(long, value_name = "ENTRY")]
    skip: Vec<String>,
    /// Run the plugin in this process and print the findings as they come
    #[arg(long, hide = true)]
    in_process: bool,
}

/// Steps that do not depend on what the plugin has.
const LOAD: &str = "load";
const RELOAD: &str = "reload";
const UNLOAD: &str = "unload";

/// How one check went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Ok,
    Warning,
    Failed,
}

/// One line of the report.
#[derive(Debug, Serialize, Deserialize)]
struct Finding {
    check: String,
    verdict: Verdict,
    detail: String,
}

#[derive(Debug, Serialize)]
struct Report {
    passed: bool,
    findings: Vec<Finding>,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    if args.in_process {
        let pipe = ReportPipe::claim()?;
        match check(&args, &pipe, ui) {
            Ok(()) => child::done(&pipe)?,
            Err(failure) => pipe.refuse(&failure)?,
        }
        return Ok(Exit::Ok);
    }
    let findings = child::findings(limit(&args))?;
    let failed = findings.iter().filter(|finding| finding.verdict == Verdict::Failed).count();
    if ui.json() {
        ui.data(&Report { passed: failed == 0, findings })?;
    } else {
        ui.text(&describe(&args, &findings, failed))?;
    }
    Ok(if failed == 0 { Exit::Ok } else { Exit::Check })
}

fn check(args: &Args, pipe: &ReportPipe, ui: &Ui) -> Result<(), Failure> {
    child::begin(LOAD, pipe)?;
    let (host, plugin) = args.load.load(Some(child::load_timeout(limit(args))))?;
    skipped(&args.skip, &plugin)?;
    runtime::run_one(checks(args, &host, &plugin, pipe, ui))
}

async fn checks(
    args: &Args,
    host: &Host,
    plugin: &Plugin,
    pipe: &ReportPipe,
    ui: &Ui,
) -> Result<(), Failure> {
    let tell = |finding: Finding| child::tell(&finding, pipe);
    let begin = |what: &str| child::begin(what, pipe);
    tell(loaded(plugin))?;
    begin("entries")?;
    described(plugin).into_iter().try_for_each(tell)?;
    begin(RELOAD)?;
    tell(reload(plugin).await)?;
    begin("unknown entry")?;
    tell(unknown_entry(plugin, args).await)?;
    let progress = ui.progress();
    for entry in plugin.entries() {
        if args.skip.contains(&entry.name) {
            continue;
        }
        begin(&format!("{} {}", entry.kind, entry.name))?;
        progress.set(&format!("calling {} …", entry.name));
        tell(match entry.kind {
            EntryKind::Unary => unary(plugin, &entry.name, args).await,
            EntryKind::Bidirectional => stream(plugin, &entry.name, args, true).await,
            _ => stream(plugin, &entry.name, args, false).await,
        })?;
    }
    drop(progress);
    tell(answers_in_order(plugin))?;
    begin("callers leave")?;
    tell(callers_leave(plugin, args).await)?;
    begin(UNLOAD)?;
    tell(unload(host, plugin).await)
}

fn loaded(plugin: &Plugin) -> Finding {
    let info = plugin.info();
    ok(LOAD, format!("{} {}, layout {}", info.reported_name, info.version, info.layout))
}

/// Entries have names, one each, and resolve.
fn described(plugin: &Plugin) -> Vec<Finding> {
    let entries = plugin.entries();
    if entries.is_empty() {
        let detail = "the plugin does not say which entries it has: none was called";
        return vec![finding("entries", Verdict::Warning, detail.to_owned())];
    }
    let mut findings = Vec::new();
    for (i, entry) in entries.iter().enumerate() {
        if entries.iter().take(i).any(|other| other.name == entry.name) {
            findings.push(failed("entries", format!("`{}` is described twice", entry.name)));
        }
        if let Err(error) = plugin.entry(&entry.name) {
            let detail = format!("`{}` is described but does not resolve: {error}", entry.name);
            findings.push(failed("entries", detail));
        }
    }
    if findings.is_empty() {
        let count = entries.len() as u64;
        let noun = if count == 1 { "entry" } else { "entries" };
        findings.push(ok("entries", format!("{count} {noun}, each resolves")));
    }
    findings
}

/// A name that no plugin has is refused.
async fn unknown_entry(plugin: &Plugin, args: &Args) -> Finding {
    const NAME: &str = "no-such-entry";
    match plugin.call(NAME, Request::new("")).timeout(limit(args)).await {
        Err(CallError::DeadlineExceeded) => {
            failed("unknown entry", "neither answered nor refused".to_owned())
        }
        Err(error) => ok("unknown entry", format!("refused: {error}")),
        Ok(response) if response.status.is_ok() => {
            let detail = "answered with Ok: a wrong name goes unnoticed".to_owned();
            finding("unknown entry", Verdict::Warning, detail)
        }
        Ok(response) => ok("unknown entry", format!("answered {}", response.status)),
    }
}

/// The entry answers or refuses, with a payload and without one.
async fn unary(plugin: &Plugin, name: &str, args: &Args) -> Finding {
    let check = format!("unary {name}");
    let mut seen = String::new();
    for (what, payload) in [("empty", ""), ("small", PAYLOAD)] {
        let started = Instant::now();
        let outcome = plugin.call(name, request(payload)).timeout(limit(args)).await;
        let outcome = match outcome {
            Ok(response) => format!("answered {}", response.status),
            Err(CallError::DeadlineExceeded) => {
                let detail = format!("{what} payload: no answer in {} ms", args.timeout_ms);
                return failed(&check, detail);
            }
            Err(error) => error.to_string(),
        };
        let comma = if seen.is_empty() { "" } else { "; " };
        let took = text::duration(started.elapsed());
        seen.push_str(&format!("{comma}{what} payload: {outcome} in {took}"));
    }
    ok(&check, seen)
}

/// The stream ends by itself; a bidirectional one ends after the host has closed its side.
async fn stream(plugin: &Plugin, name: &str, args: &Args, both_ways: bool) -> Finding {
    let check = format!("{} {name}", if both_ways { "bidirectional" } else { "stream" });
    let opened = plugin.stream(name, request("")).timeout(limit(args)).await;
    let mut stream = match opened {
        Ok(stream) => stream,
        Err(error) => return ok(&check, format!("refused: {error}")),
    };
    let sent = match both_ways {
        true => match tokio::time::timeout(limit(args), say_something(&stream)).await {
            Ok(sent) => sent,
            Err(_) => {
                let detail = format!("it did not take a message in {} ms", args.timeout_ms);
                return failed(&check, detail);
            }
        },
        false => String::new(),
    };
    let started = Instant::now();
    let mut frames = 0_u64;
    loop {
        match stream.next().await {
            Ok(Some(_)) => frames += 1,
            Ok(None) => {
                let took = text::duration(started.elapsed());
                let frames = text::plural(frames, "frame");
                return ok(&check, format!("{sent}{frames}, ended well in {took}"));
            }
            Err(StreamError::Failed { status, .. }) => {
                let frames = text::plural(frames, "frame");
                return ok(&check, format!("{sent}{frames}, ended with {status}"));
            }
            Err(error) => {
                let frames = text::plural(frames, "frame");
                return failed(&check, format!("{sent}{frames}, then no end: {error}"));
            }
        }
    }
}

/// Sends one message and closes this side. The plugin may accept or refuse the message.
async fn say_something(stream: &Stream) -> String {
    let sent = match stream.send(PAYLOAD.as_bytes()).await {
        Ok(()) => "message taken".to_owned(),
        Err(error) => format!("message refused: {error}"),
    };
    match stream.close() {
        Ok(()) => format!("{sent}, "),
        Err(error) => format!("{sent}, close refused: {error}, "),
    }
}

/// The host refused no answer: none came twice, late or to a wrong id.
fn answers_in_order(plugin: &Plugin) -> Finding {
    let refused = plugin.snapshot().refused_answers;
    let wrong = refused.unknown + refused.foreign + refused.invalid;
    // No caller has left so far, so a late answer was a second one, or came after the last frame.
    match (wrong, refused.late) {
        (0, 0) => ok("answers", "each to a call that waited for it".to_owned()),
        (0, late) => {
            failed("answers", format!("{} to calls that were over", text::plural(late, "answer")))
        }
        (wrong, _) => failed(
            "answers",
            format!("the host refused {}: wrong id or payload", text::plural(wrong, "answer")),
        ),
    }
}

/// Callers leave in the middle. Resources that they leave behind are found by unloading.
async fn callers_leave(plugin: &Plugin, args: &Args) -> Finding {
    let mut left = 0;
    for entry in plugin.entries().iter().filter(|entry| !args.skip.contains(&entry.name)) {
        if entry.kind == EntryKind::Unary {
            let call = plugin.call(&entry.name, request(PAYLOAD));
            left += u64::from(poll_once(call).await.is_none());
        } else if let Ok(stream) = plugin.stream(&entry.name, request(PAYLOAD)).await {
            drop(stream);
            left += 1;
        }
    }
    ok("callers leave", format!("{} in the middle of an answer", text::plural(left, "caller")))
}

/// Reloads before any call, so that later calls run in the reloaded version.
async fn reload(plugin: &Plugin) -> Finding {
    let before = plugin.info().generation;
    match plugin.reload().await {
        Ok(()) => {
            let after = plugin.info().generation;
            ok(RELOAD, format!("generation {before} became {after}"))
        }
        // Not the plugin's fault.
        Err(error @ ReloadError::Fixed { .. }) => ok(RELOAD, error.to_string()),
        Err(error) => failed(RELOAD, sentence(error.to_string(), error.cause())),
    }
}

/// Unloading waits for calls and streams that have not ended: there should be none.
async fn unload(host: &Host, plugin: &Plugin) -> Finding {
    match host.unload(plugin.name()).await {
        Ok(0) => ok(UNLOAD, "nothing was left behind".to_owned()),
        Ok(calls) => failed(UNLOAD, format!("{} never ended", text::plural(calls, "call"))),
        Err(error) => failed(UNLOAD, error.to_string()),
    }
}

/// The payload of calls that have one.
const PAYLOAD: &str = "becket plugin check";

fn request(payload: &'static str) -> Request {
    Request::new(payload).method("POST").path("/check")
}

fn limit(args: &Args) -> Duration {
    Duration::from_millis(args.timeout_ms)
}

fn sentence(error: String, cause: Option<String>) -> String {
    match cause {
        Some(cause) => format!("{error}: {cause}"),
        None => error,
    }
}

fn ok(check: &str, detail: String) -> Finding {
    finding(check, Verdict::Ok, detail)
}

fn failed(check: &str, detail: String) -> Finding {
    finding(check, Verdict::Failed, detail)
}

fn finding(check: &str, verdict: Verdict, detail: String) -> Finding {
    Finding { check: check.to_owned(), verdict, detail }
}

fn describe(args: &Args, findings: &[Finding], failed: usize) -> String {
    let width = findings.iter().map(|finding| finding.check.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for Finding { check, verdict, detail } in findings {
        let verdict = match verdict {
            Verdict::Ok => paint(GOOD, "ok  "),
            Verdict::Warning => paint(WARN, "warn"),
            Verdict::Failed => paint(BAD, "FAIL"),
        };
        let detail = paint(DIM, &escape_controls(detail));
        text.push_str(&format!("{verdict}  {check:<width$}  {detail}\n"));
    }
    let path = args.load.path.display();
    let verdict = if failed == 0 {
        paint(GOOD, &format!("{path} passed"))
    } else {
        paint(BAD, &format!("{path} failed {}", text::plural(failed as u64, "check")))
    };
    text.push_str(&format!("{verdict}\n"));
    text
}
