// SPDX-License-Identifier: BSD-3-Clause
//! `becket check plugin PATH`: every rule of [`plugin check`](crate::commands::plugin::check), also
//! those that take long, for build servers and for users of third-party plugins.

use std::path::PathBuf;

use becket_lab::rules::Exit as LabExit;
use quick_junit::{NonSuccessKind, Report as JUnit, TestCase, TestCaseStatus, TestSuite};

use super::common::one_for_stdout;
use crate::commands::lab::files::Output;
use crate::commands::plugin::check::{Exits, Finding, Rule, Settings, Verdict, check, was_child};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Check that a plugin keeps the rules of the ABI, under faults too
///
/// Calls every entry of the plugin, many times, in a child process: use it for a plugin whose
/// entries may be called. A plugin that crashes, hangs or never answers gets a verdict.
#[derive(Debug, clap::Args)]
#[command(after_long_help = crate::exit::lab_table())]
pub(crate) struct Args {
    /// The plugin's file, such as target/plugins/libsample_c.so, or its program, such as plugin.py
    #[arg(required_unless_present = "rules")]
    path: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Try only the rules that take no longer than a few calls, as `plugin check` does
    #[arg(long, conflicts_with = "rule")]
    quick: bool,
    /// Print the rules instead
    #[arg(long)]
    rules: bool,
    /// Write a JUnit report into this file; `-` is stdout
    #[arg(long, value_name = "FILE", conflicts_with = "rules")]
    junit: Option<PathBuf>,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    let chosen = args.settings.rules(args.quick)?;
    if args.rules {
        return say_rules(&chosen, ui).map(|()| Exit::Ok);
    }
    let path = args.path.unwrap_or_default();
    if was_child(&path, &args.settings, &chosen)? {
        return Ok(Exit::Ok);
    }
    let junit = args.junit.as_deref().map(Output::open).transpose()?;
    let takes_stdout = junit.as_ref().is_some_and(Output::is_stdout);
    one_for_stdout(usize::from(takes_stdout) + usize::from(ui.json()))?;
    let exits =
        Exits { absent: Exit::Lab(LabExit::Usage), broken: Exit::Lab(LabExit::Conformance) };
    let report = check(&path, &args.settings, &chosen, &exits)?;
    if let Some(output) = junit {
        output.write(&as_junit(report.plugin.as_str(), &report.rules), ui)?;
    }
    if !takes_stdout {
        report.print(ui)?;
    }
    Ok(report.exit)
}

fn say_rules(rules: &[&Rule], ui: &Ui) -> Result<(), Failure> {
    if ui.json() {
        let row = |rule: &&Rule| {
            let (level, sentence) = (rule.level.name(), rule.sentence);
            serde_json::json!({ "rule": rule.id, "level": level, "sentence": sentence })
        };
        return ui.data(&rules.iter().map(row).collect::<Vec<_>>());
    }
    let line = |rule: &&Rule| format!("{}  {:<6}  {}\n", rule.id, rule.level.name(), rule.sentence);
    ui.text(&rules.iter().map(line).collect::<String>())
}

/// JUnit XML with a test case per rule.
fn as_junit(plugin: &str, findings: &[Finding]) -> String {
    let mut suite = TestSuite::new(plugin);
    suite.add_test_cases(findings.iter().map(|finding| {
        let Finding { rule, sentence, verdict, detail, .. } = finding;
        let mut status = match verdict {
            Verdict::Fail => TestCaseStatus::non_success(NonSuccessKind::Failure),
            Verdict::NotApplicable | Verdict::NotTried => TestCaseStatus::skipped(),
            Verdict::Pass | Verdict::NonStrict => TestCaseStatus::success(),
        };
        status.set_message(detail.as_str());
        let mut case = TestCase::new(sentence.as_str(), status);
        case.set_classname(rule.as_str());
        if matches!(verdict, Verdict::Pass | Verdict::NonStrict) {
            case.set_system_out(detail.as_str());
        }
        case
    }));
    let mut all = JUnit::new("becket check plugin");
    all.add_test_suite(suite);
    // Writing to memory does not fail.
    all.to_string().unwrap_or_default()
}
