// SPDX-License-Identifier: BSD-3-Clause
//! The child process that rules are tried in, and the protocol of its reports.
//!
//! ```text
//!   becket plugin check … ──spawns──▶ becket plugin check … --in-process PLG-01
//!            ▲                                │
//!            └──────── a line each ───────────┘ the report pipe
//!                 "PLG-09"          the rule that is tried next
//!                 {"rule":…}        its result
//!                 "done"            the end
//!                 {"refused":…}     the arguments are wrong
//! ```
//!
//! A process that ends without "done" was ended by the plugin, which violates a rule of its own. A
//! process that reports nothing for too long hangs in the rule that it tries, and is killed. In
//! both cases another process continues with the next rule.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{
    Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit,
};
use serde::Serialize;
use serde_json::json;

use super::rules::{ENDS_NO_PROCESS, LOADS, Rule, STARTS};
use super::{Finding, Trial, Verdict};
use crate::commands::child::{self, Child, ReportPipe, Wait, Why};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::out;

/// The last line of a process that completed.
const DONE: &str = "done";
/// The time limit of a rule, in calls, in addition to a constant.
const CALLS_A_RULE: u64 = 40;
const GRACE: Duration = Duration::from_secs(20);
/// Bytes of writable memory of the process: a plugin that allocates without end is ended. Stacks of
/// threads count in full; a hundred threads of a Go plugin have 2 GiB of stacks.
const DATA_BYTES_MAX: u64 = 8 << 30;

/// In the child: tries the rules from one on.
pub(super) fn work(trial: &Trial<'_>, rules: &[&Rule], from: &str) -> Result<(), Failure> {
    // It ends with its parent: no process would read its reports.
    let _refused = set_parent_process_death_signal(Some(Signal::KILL));
    let pipe = ReportPipe::claim();
    // Output of a plugin must not be mixed with the output of the command.
    let _stdout = out::take()?;
    let limit = getrlimit(Resource::Data);
    let bound = |of: Option<u64>| Some(of.map_or(DATA_BYTES_MAX, |it| it.min(DATA_BYTES_MAX)));
    let limit = Rlimit { current: bound(limit.current), maximum: limit.maximum };
    // If it is refused, the system's own limit applies.
    let _bounded = setrlimit(Resource::Data, limit);
    let later = rules.iter().skip_while(|rule| rule.id != from);
    for rule in later.filter(|rule| rule.id != ENDS_NO_PROCESS) {
        send(&pipe, &rule.id)?;
        let finding = Finding::new(rule, (rule.check)(trial));
        let is_broken = finding.verdict == Verdict::Fail;
        send(&pipe, &finding)?;
        if is_broken && (rule.id == LOADS || rule.id == STARTS) {
            break;
        }
        // The entries are known only now.
        if rule.id == STARTS
            && let Err(failure) = trial.knows_what_is_skipped()
        {
            return send(&pipe, &json!({ REFUSED: failure }));
        }
    }
    send(&pipe, &DONE)
}

/// Reports one value, as a line of JSON.
fn send<T: Serialize>(pipe: &ReportPipe, value: &T) -> Result<(), Failure> {
    pipe.send(&serde_json::to_string(value).map_err(io::Error::from)?);
    Ok(())
}

/// How one process ended.
enum End {
    Done,
    /// While it tried this rule.
    Ended(String, ExitStatus),
    Hung(String),
}

/// Tries these rules, in as many processes as it takes.
pub(super) fn findings(rules: &[&Rule], timeout_ms: u64) -> Result<Vec<Finding>, Failure> {
    let idle_timeout = Duration::from_millis(timeout_ms.saturating_mul(CALLS_A_RULE)) + GRACE;
    let mut found: Vec<Finding> = Vec::new();
    let mut ended = Vec::new();
    let mut next = rules.first();
    while let Some(from) = next {
        let (rule, detail) = match one(from.id, idle_timeout, &mut found)? {
            End::Done => break,
            End::Ended(rule, status) => {
                let how = child::how(status);
                ended.push(format!("{how}, while {rule} was tried"));
                (rule, (Verdict::NotTried, format!("the plugin ended its process: {how}")))
            }
            End::Hung(rule) => (
                rule,
                (Verdict::Fail, format!("nothing came back in {} s", idle_timeout.as_secs())),
            ),
        };
        let at = rules.iter().position(|known| known.id == rule).unwrap_or(rules.len());
        if let Some(rule) = rules.get(at) {
            found.push(Finding::with(rule, detail.0, detail.1));
        }
        next = rules.get(at + 1);
    }
    Ok(rules.iter().map(|rule| of_rule(rule, &found, &ended)).collect())
}

fn of_rule(rule: &Rule, found: &[Finding], ended: &[String]) -> Finding {
    if rule.id == ENDS_NO_PROCESS {
        return match ended.first() {
            Some(how) => Finding::with(rule, Verdict::Fail, how.clone()),
            None => Finding::with(rule, Verdict::Pass, String::new()),
        };
    }
    let known = found.iter().find(|finding| finding.rule == rule.id).cloned();
    known.unwrap_or_else(|| {
        Finding::with(rule, Verdict::NotTried, "the plugin does not load".to_owned())
    })
}

/// Runs one process to its end.
fn one(from: &str, idle_timeout: Duration, found: &mut Vec<Finding>) -> Result<End, Failure> {
    let wait = Wait {
        is_last: |line| {
            serde_json::from_str::<&str>(line).is_ok_and(|text| text == DONE)
                || refused(line).is_some()
        },
        // Threads of the plugin may be stuck, and it has nothing more to do.
        end: Duration::ZERO,
        idle: Some(idle_timeout),
        forwards_signals: false,
    };
    let child::Ended { status, lines, why } =
        Child::start(&["--in-process", from], Exit::Failure)?.wait(wait)?;
    let mut current = from.to_owned();
    for line in &lines {
        if let Some(failure) = refused(line) {
            return Err(failure);
        }
        if let Ok(finding) = serde_json::from_str(line) {
            found.push(finding);
        } else if let Ok(next) = serde_json::from_str(line) {
            current = next;
        }
    }
    Ok(match why {
        _ if current == DONE => End::Done,
        Why::Idle => End::Hung(current),
        Why::Itself | Why::Asked => End::Ended(current, status),
    })
}

/// The JSON key of a failure that the parent prints.
const REFUSED: &str = "refused";

/// The failure of the child, if this line of its report has one.
fn refused(line: &str) -> Option<Failure> {
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    Failure::of_json(value.get(REFUSED)?)
}
