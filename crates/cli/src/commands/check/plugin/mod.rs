// SPDX-License-Identifier: BSD-3-Clause
//! `becket check plugin PATH`: the obligations of every plugin to its host, rule by rule.
//!
//! The check needs no knowledge of the entries. It loads the plugin like a host, calls every entry,
//! leaves calls in the middle, refuses the plugin's requests, and reads the host's counters of
//! refusals. It runs in a child process, so that a plugin which ends its process, or never returns
//! from a call, gives a verdict and does not end the run: see `child`.
//!
//! `becket plugin check` is for the author of a plugin: it reports the results of a few calls in
//! prose.
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

use std::path::PathBuf;
use std::time::Duration;

use becket_host::{Host, Limits, LoadError, Plugin, PluginSpec};
use becket_lab::rules::Exit as LabExit;
use serde::{Deserialize, Serialize};

use self::rules::{Level, RULES, Rule};
use super::common::one_for_stdout;
use crate::commands::lab::files::Output;
use crate::commands::pick::skipped;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{BAD, DIM, GOOD, Ui, WARN, paint, text};

/// The version of the report.
const SCHEMA: &str = "becket-plugin-check/1";
/// The payload of calls that have one.
const PAYLOAD: &str = "becket check plugin";

/// Check that a plugin keeps the rules of the ABI, under faults too
///
/// Calls every entry of the plugin, many times, in a child process: use it for a plugin whose
/// entries may be called. A plugin that crashes, hangs or never answers gets a verdict.
#[derive(Debug, clap::Args)]
#[command(after_long_help = crate::exit::lab_table())]
pub(crate) struct Args {
    /// The plugin's file, such as target/plugins/libsample_c.so
    #[arg(required_unless_present = "rules")]
    path: Option<PathBuf>,
    /// How long each call may take
    #[arg(long, value_name = "MS", default_value_t = 2_000)]
    #[arg(value_parser = clap::value_parser!(u64).range(10..=600_000))]
    timeout_ms: u64,
    /// Leave this entry out; may be given several times
    #[arg(long, value_name = "ENTRY")]
    skip: Vec<String>,
    /// Print the rules instead
    #[arg(long)]
    rules: bool,
    /// Write a JUnit report into this file; `-` is stdout
    #[arg(long, value_name = "FILE", conflicts_with = "rules")]
    junit: Option<PathBuf>,
    /// Try the rules from this one on in this process, and print findings as they come
    #[arg(long, value_name = "RULE", hide = true)]
    in_process: Option<String>,
}

/// The verdict on a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Verdict {
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
struct Finding {
    rule: String,
    level: String,
    sentence: String,
    verdict: Verdict,
    detail: String,
}

#[derive(Debug, Serialize)]
struct Report<'a> {
    schema: &'static str,
    plugin: String,
    verdict: Verdict,
    exit_code: u8,
    rules: &'a [Finding],
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
    path: PathBuf,
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
        let spec = PluginSpec::path("checked", &self.path).limits(limits(self.timeout));
        let plugin = host.load(configure(spec))?;
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

/// Calls, streams and unloads take no longer than this.
fn limits(timeout: Duration) -> Limits {
    let ms = timeout.as_millis() as u64;
    Limits { deadline_ms: ms, stream_deadline_ms: ms, drain_ms: ms, ..Limits::default() }
}

/// Entries that are called.
const ENTRIES_MAX: usize = 64;

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    if args.rules {
        return say_rules(ui).map(|()| Exit::Ok);
    }
    let path = args.path.clone().unwrap_or_default();
    if let Some(from) = &args.in_process {
        let trial =
            Trial { path, timeout: Duration::from_millis(args.timeout_ms), skip: &args.skip };
        return child::work(&trial, from).map(|()| Exit::Ok);
    }
    if !path.is_file() {
        let usage = Exit::Lab(LabExit::Usage);
        return Err(Failure::new(usage, format!("there is no plugin {}", path.display()))
            .hint("name the shared library that the build made"));
    }
    let junit = args.junit.as_deref().map(Output::open).transpose()?;
    let takes_stdout = junit.as_ref().is_some_and(Output::is_stdout);
    one_for_stdout(usize::from(takes_stdout) + usize::from(ui.json()))?;
    let findings = child::findings(args.timeout_ms)?;
    let has = |verdict| findings.iter().any(|finding| finding.verdict == verdict);
    let (verdict, exit) = match () {
        () if has(Verdict::Fail) => (Verdict::Fail, LabExit::Conformance),
        () if has(Verdict::NonStrict) => (Verdict::NonStrict, LabExit::Ok),
        () => (Verdict::Pass, LabExit::Ok),
    };
    if let Some(output) = junit {
        output.write(&as_junit(&path.display().to_string(), &findings), ui)?;
    }
    if ui.json() {
        let plugin = path.display().to_string();
        let exit_code = exit.code();
        ui.data(&Report { schema: SCHEMA, plugin, verdict, exit_code, rules: &findings })?;
    } else if !takes_stdout {
        ui.text(&describe(&path.display().to_string(), &findings))?;
    }
    Ok(Exit::Lab(exit))
}

fn say_rules(ui: &Ui) -> Result<(), Failure> {
    if ui.json() {
        let row = |rule: &Rule| {
            let (level, sentence) = (rule.level.name(), rule.sentence);
            serde_json::json!({ "rule": rule.id, "level": level, "sentence": sentence })
        };
        return ui.data(&RULES.iter().map(row).collect::<Vec<_>>());
    }
    let line = |rule: &Rule| format!("{}  {:<6}  {}\n", rule.id, rule.level.name(), rule.sentence);
    ui.text(&RULES.iter().map(line).collect::<String>())
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
        let is_told = !detail.is_empty();
        if is_told {
            shown.push_str(&format!("              {}\n", paint(DIM, detail)));
        }
    }
    let broken = findings.iter().filter(|finding| finding.verdict == Verdict::Fail).count();
    let verdict = match broken {
        0 => paint(GOOD, &format!("{path} keeps the rules")),
        _ => paint(BAD, &format!("{path} breaks {}", text::plural(broken as u64, "rule"))),
    };
    shown.push_str(&format!("{verdict}\n"));
    shown
}

/// JUnit XML with a test case per rule.
fn as_junit(path: &str, findings: &[Finding]) -> String {
    let count = |verdict| findings.iter().filter(|it| it.verdict == verdict).count();
    let skipped = count(Verdict::NotApplicable) + count(Verdict::NotTried);
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{}\" \
         tests=\"{}\" failures=\"{}\" skipped=\"{skipped}\">\n",
        escaped(path),
        findings.len(),
        count(Verdict::Fail),
    );
    for Finding { rule, sentence, verdict, detail, .. } in findings {
        let (sentence, detail) = (escaped(sentence), escaped(detail));
        let inside = match verdict {
            Verdict::Fail => format!("<failure message=\"{detail}\"/>"),
            Verdict::NotApplicable | Verdict::NotTried => {
                format!("<skipped message=\"{detail}\"/>")
            }
            Verdict::Pass | Verdict::NonStrict => format!("<system-out>{detail}</system-out>"),
        };
        let case = format!("classname=\"{rule}\" name=\"{sentence}\"");
        xml.push_str(&format!("    <testcase {case}>{inside}</testcase>\n"));
    }
    xml.push_str("  </testsuite>\n</testsuites>\n");
    xml
}

/// Escaped for XML. Characters that XML does not allow are left out.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            char if char.is_control() => escaped.push(' '),
            char => escaped.push(char),
        }
    }
    escaped
}
