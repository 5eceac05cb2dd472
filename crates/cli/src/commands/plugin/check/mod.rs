// SPDX-License-Identifier: BSD-3-Clause
//! The obligations of every plugin to its host, rule by rule: `becket plugin check PATH` tries
//! those that take no longer than a few calls, `becket check plugin PATH` all of them.
//!
//! The check needs no knowledge of the entries. It loads the plugin like a host, calls every entry,
//! leaves calls in the middle, refuses the plugin's requests, and reads the host's counters of
//! refusals. It runs in a child process, so that a plugin which ends its process, or never returns
//! from a call, gives a verdict and does not end the run: see `child`.
//!
//! | module | what lives there |
//! |---|---|
//! | `rules` | the rules, and the function that tries each |
//! | `child` | the process that they are tried in |
//! | `life` | loading, reloading, unloading |
//! | `calls` | calls and streams, and their answers |
//! | `faults` | callers that leave, hosts that refuse |
//! | `flows` | flows that are longer than every queue |

mod calls;
mod child;
mod faults;
mod flows;
mod life;
mod rules;

use std::path::{Path, PathBuf};
use std::time::Duration;

use becket_host::{Host, Limits, LoadError, Plugin, PluginSpec};
use serde::{Deserialize, Serialize};

pub(in crate::commands) use self::rules::Rule;
use self::rules::{Level, RULES, only, quick};
use super::load::Loading;
use crate::commands::pick::{self, skipped};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{BAD, DIM, GOOD, Ui, WARN, paint, text};

/// The version of the report.
const SCHEMA: &str = "becket-plugin-check/1";
/// The payload of calls that have one.
const PAYLOAD: &str = "becket check plugin";

/// Check that a plugin keeps the rules of the ABI that take no longer than a few calls
///
/// Calls every entry of the plugin in a child process: use it for a plugin whose entries may be
/// called. A plugin that crashes, hangs or never answers gets a verdict. `check plugin` tries every
/// rule.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The plugin's file, such as target/release/libhello.so, or its program, such as plugin.py
    path: PathBuf,
    #[command(flatten)]
    settings: Settings,
}

/// How a plugin is checked.
#[derive(Debug, clap::Args)]
pub(in crate::commands) struct Settings {
    #[command(flatten)]
    loading: Loading,
    /// How long each call may take
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(10..=600_000))]
    timeout_ms: u64,
    /// Leave this entry out; may be given several times
    #[arg(long, value_name = "ENTRY")]
    skip: Vec<String>,
    /// Try only this rule, after those that load the plugin; may be given several times
    #[arg(long, value_name = "RULE")]
    rule: Vec<String>,
    /// Try the rules from this one on in this process, and report findings to the parent
    #[arg(long, value_name = "RULE", hide = true)]
    in_process: Option<String>,
}

impl Settings {
    /// The rules that are tried, in their order: those that are named, else the quick ones or all.
    pub(in crate::commands) fn rules(&self, is_quick: bool) -> Result<Vec<&'static Rule>, Failure> {
        for asked in &self.rule {
            pick::one("rule", asked, RULES, |rule| rule.id)?;
        }
        Ok(match () {
            () if !self.rule.is_empty() => only(&self.rule),
            () if is_quick => quick(),
            () => RULES.iter().collect(),
        })
    }
}

/// What a command ends with.
#[derive(Debug)]
pub(in crate::commands) struct Exits {
    /// There is no such file.
    pub(in crate::commands) absent: Exit,
    /// The plugin violates a rule.
    pub(in crate::commands) broken: Exit,
}

/// The verdict on a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(in crate::commands) enum Verdict {
    Pass,
    /// The plugin violates a SHOULD rule.
    NonStrict,
    Fail,
    /// The rule does not apply to the plugin.
    NotApplicable,
    /// The plugin did not load, or ended the process before.
    NotTried,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Outcome {
    Kept(String),
    Broken(String),
    NotApplicable(String),
}

/// A rule and its verdict.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::commands) struct Finding {
    pub(in crate::commands) rule: String,
    level: String,
    pub(in crate::commands) sentence: String,
    pub(in crate::commands) verdict: Verdict,
    pub(in crate::commands) detail: String,
}

/// The result of a check.
#[derive(Debug, Serialize)]
pub(in crate::commands) struct Report {
    schema: &'static str,
    pub(in crate::commands) plugin: String,
    verdict: Verdict,
    exit_code: u8,
    pub(in crate::commands) rules: Vec<Finding>,
    #[serde(skip)]
    pub(in crate::commands) exit: Exit,
}

impl Finding {
    fn new(rule: &Rule, outcome: Outcome) -> Self {
        let (verdict, detail) = match outcome {
            Outcome::Kept(detail) => (Verdict::Pass, detail),
            Outcome::NotApplicable(detail) => (Verdict::NotApplicable, detail),
            Outcome::Broken(detail) if rule.level == Level::Should => (Verdict::NonStrict, detail),
            Outcome::Broken(detail) => (Verdict::Fail, detail),
        };
        Self::with(rule, verdict, detail)
    }

    fn with(rule: &Rule, verdict: Verdict, detail: String) -> Self {
        let (level, sentence) = (rule.level.name().to_owned(), rule.sentence.to_owned());
        Self { rule: rule.id.to_owned(), level, sentence, verdict, detail }
    }
}

/// The plugin and the settings that the rules are tried with.
struct Trial<'a> {
    spec: PluginSpec,
    timeout: Duration,
    skip: &'a [String],
}

impl Trial<'_> {
    /// Loads the plugin into a host of its own.
    fn load_with(
        &self,
        configure: impl FnOnce(PluginSpec) -> PluginSpec,
    ) -> Result<(Host, Plugin), LoadError> {
        let host = Host::new();
        let plugin = host.load(configure(self.spec.clone()))?;
        Ok((host, plugin))
    }

    fn load(&self) -> Result<(Host, Plugin), LoadError> {
        self.load_with(|spec| spec)
    }

    /// Fails if an entry that is left out does not exist.
    fn knows_what_is_skipped(&self) -> Result<(), Failure> {
        if self.skip.is_empty() {
            return Ok(());
        }
        let (_host, plugin) = self.load()?;
        skipped(self.skip, &plugin)
    }

    /// The entries that are called.
    fn entries(&self, plugin: &Plugin) -> Vec<becket_host::EntryInfo> {
        let mut entries = plugin.entries();
        entries.retain(|entry| !self.skip.contains(&entry.name));
        entries.truncate(ENTRIES_MAX);
        entries
    }
}

/// Limits for which calls, streams and unloads end within `timeout`. A load may take longer: the
/// system has to find and map the library.
fn limits(timeout: Duration) -> Limits {
    let ms = timeout.as_millis() as u64;
    let default = Limits::default();
    let load_timeout_ms = default.load_timeout_ms.max(ms);
    Limits { deadline_ms: ms, stream_deadline_ms: ms, drain_ms: ms, load_timeout_ms, ..default }
}

/// Entries that are called.
const ENTRIES_MAX: usize = 64;

/// `becket plugin check`.
pub(super) fn run(args: &Args, ui: &Ui) -> Result<Exit, Failure> {
    let exits = Exits { absent: Exit::Load, broken: Exit::Check };
    let rules = args.settings.rules(true)?;
    if was_child(&args.path, &args.settings, &rules)? {
        return Ok(Exit::Ok);
    }
    let report = check(&args.path, &args.settings, &rules, &exits)?;
    report.print(ui)?;
    Ok(report.exit)
}

/// In the child process: tries these rules and returns true. A command calls it before it opens a
/// file, because the plugin may end that process at any time.
pub(in crate::commands) fn was_child(
    path: &Path,
    settings: &Settings,
    rules: &[&Rule],
) -> Result<bool, Failure> {
    let Some(from) = &settings.in_process else { return Ok(false) };
    let Settings { loading, timeout_ms, skip, .. } = settings;
    let timeout = Duration::from_millis(*timeout_ms);
    let spec = loading.spec("checked", path)?.limits(limits(timeout));
    let trial = Trial { spec, timeout, skip };
    child::work(&trial, rules, from).map(|()| true)
}

/// Tries these rules, in child processes.
pub(in crate::commands) fn check(
    path: &Path,
    settings: &Settings,
    rules: &[&Rule],
    exits: &Exits,
) -> Result<Report, Failure> {
    if !path.is_file() {
        return Err(Failure::new(exits.absent, format!("there is no plugin {}", path.display()))
            .hint("name the shared library that the build made, or the program"));
    }
    // What the options do not fit is said once, not by each child.
    settings.loading.spec("checked", path)?;
    let findings = child::findings(rules, settings.timeout_ms)?;
    let has = |verdict| findings.iter().any(|finding| finding.verdict == verdict);
    let (verdict, exit) = match () {
        () if has(Verdict::Fail) => (Verdict::Fail, exits.broken),
        () if has(Verdict::NonStrict) => (Verdict::NonStrict, Exit::Ok),
        () => (Verdict::Pass, Exit::Ok),
    };
    Ok(Report {
        schema: SCHEMA,
        plugin: path.display().to_string(),
        verdict,
        exit_code: exit.code(),
        rules: findings,
        exit,
    })
}

impl Report {
    /// On stdout.
    pub(in crate::commands) fn print(&self, ui: &Ui) -> Result<(), Failure> {
        match ui.json() {
            true => ui.data(self),
            false => ui.text(&describe(&self.plugin, &self.rules)),
        }
    }
}

fn describe(path: &str, findings: &[Finding]) -> String {
    let mut shown = String::new();
    for Finding { rule, sentence, verdict, detail, .. } in findings {
        let mark = match verdict {
            Verdict::Pass => paint(GOOD, "ok  "),
            Verdict::NonStrict => paint(WARN, "warn"),
            Verdict::Fail => paint(BAD, "FAIL"),
            Verdict::NotApplicable | Verdict::NotTried => paint(DIM, "–   "),
        };
        shown.push_str(&format!("{mark}  {rule}  {sentence}\n"));
        if !detail.is_empty() {
            shown.push_str(&format!("              {}\n", paint(DIM, detail)));
        }
    }
    let broken = findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count();
    let verdict = match broken {
        0 => paint(GOOD, &format!("{path} passed")),
        _ => paint(BAD, &format!("{path} breaks {}", text::plural(broken as u64, "rule"))),
    };
    shown.push_str(&format!("{verdict}\n"));
    shown
}
