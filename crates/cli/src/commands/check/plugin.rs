// SPDX-License-Identifier: BSD-3-Clause
//! `becket check plugin PATH`: every rule of [`plugin check`](crate::commands::plugin::check), also
//! those that take long, for build servers and for users of third-party plugins.

use std::path::PathBuf;

use becket_lab::rules::Exit as LabExit;

use super::common::one_for_stdout;
use crate::commands::lab::files::Output;
use crate::commands::plugin::check::{Exits, Finding, Report, Rule, Settings, Verdict, check};
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
    /// The plugin's file, such as target/plugins/libsample_c.so
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
    let junit = args.junit.as_deref().map(Output::open).transpose()?;
    let takes_stdout = junit.as_ref().is_some_and(Output::is_stdout);
    one_for_stdout(usize::from(takes_stdout) + usize::from(ui.json()))?;
    let exits =
        Exits { absent: Exit::Lab(LabExit::Usage), broken: Exit::Lab(LabExit::Conformance) };
    let Some(report) = check(&path, &args.settings, &chosen, &exits)? else {
        return Ok(Exit::Ok);
    };
    if let Some(output) = junit {
        output.write(&as_junit(&report), ui)?;
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
fn as_junit(report: &Report) -> String {
    let findings = &report.rules;
    let count = |verdict| findings.iter().filter(|it| it.verdict == verdict).count();
    let skipped = count(Verdict::NotApplicable) + count(Verdict::NotTried);
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{}\" \
         tests=\"{}\" failures=\"{}\" skipped=\"{skipped}\">\n",
        escaped(&report.plugin),
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
