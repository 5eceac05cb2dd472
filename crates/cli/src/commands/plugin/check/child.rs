// SPDX-License-Identifier: BSD-3-Clause
//! The child process that rules are tried in, and the protocol of its reports.
//!
//! ```text
//!   becket plugin check … ──spawns──▶ becket plugin check … --in-process PLG-01
//!            ▲                                │
//!            └──────── a line each ───────────┘ stdout      (stderr is shared)
//!                 "PLG-09"          the rule that is tried next
//!                 {"rule":…}        its result
//!                 "done"            the end
//!                 {"refused":…}     the arguments are wrong
//! ```
//!
//! A process that ends without "done" was ended by the plugin, which violates a rule of its own. A
//! process that reports nothing for too long hangs in the rule that it tries, and is killed. In
//! both cases another process continues with the next rule.

use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::rules::{ENDS_NO_PROCESS, LOADS, Rule, STARTS};
use super::{Finding, Trial, Verdict};
use crate::commands::child_process::{self, ChildProcess, Received, ReportPipe};
use crate::failure::Failure;

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
    let pipe = ReportPipe::claim()?;
    let limit = getrlimit(Resource::Data);
    let bound = |of: Option<u64>| Some(of.map_or(DATA_BYTES_MAX, |it| it.min(DATA_BYTES_MAX)));
    let limit = Rlimit { current: bound(limit.current), maximum: limit.maximum };
    // If it is refused, the system's own limit applies.
    let _bounded = setrlimit(Resource::Data, limit);
    let later = rules.iter().skip_while(|rule| rule.id != from);
    for rule in later.filter(|rule| rule.id != ENDS_NO_PROCESS) {
        pipe.send(&rule.id)?;
        let finding = Finding::new(rule, (rule.check)(trial));
        let is_broken = finding.verdict == Verdict::Fail;
        pipe.send(&finding)?;
        if is_broken && (rule.id == LOADS || rule.id == STARTS) {
            break;
        }
        // The entries are known only now.
        if rule.id == STARTS
            && let Err(failure) = trial.knows_what_is_skipped()
        {
            return pipe.refuse(&failure);
        }
    }
    pipe.send(&DONE)
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
                let how = child_process::how(status);
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
    let process = ChildProcess::start(&["--in-process", from])?;
    let mut current = from.to_owned();
    let has_hung = loop {
        let line = match process.receive(idle_timeout) {
            Received::Line(line) => line,
            Received::TimedOut => break true,
            Received::End => break false,
        };
        if let Some(failure) = child_process::refused(&line) {
            process.end(true)?;
            return Err(failure);
        }
        if let Ok(finding) = serde_json::from_str(&line) {
            found.push(finding);
        } else if let Ok(next) = serde_json::from_str(&line) {
            current = next;
        }
        if current == DONE {
            break false;
        }
    };
    let status = process.end(has_hung || current == DONE)?;
    Ok(match current == DONE {
        true => End::Done,
        false if has_hung => End::Hung(current),
        false => End::Ended(current, status),
    })
}
