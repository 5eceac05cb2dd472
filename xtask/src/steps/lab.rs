// SPDX-License-Identifier: BSD-3-Clause
//! The laboratory, run on this repository: adapters of every kind, every sample plugin, and the
//! zoo.
//!
//! The zoo is the kill matrix of `becket check plugin`: for each plugin that violates a rule
//! visible from outside, `zoo.toml` names the rule, and the check must report that rule as
//! violated.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, ScopedJoinHandle};

use serde_json::Value;

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cc, create_folder, path_with, read, spawn_error};
use crate::samples::{self, Language};
use crate::zoo;

/// How long a call of a plugin of the zoo may take: far longer than a call of a healthy plugin
/// takes even on a busy machine.
const ZOO_TIMEOUT_MS: &str = "1000";
/// How many plugins of the zoo are checked at the same time.
const AT_ONCE: usize = 16;
/// The exit code of `becket` when a rule is violated.
const CONFORMANCE: i32 = 1;

pub(super) fn lab(context: &Context, output: &mut Output) -> Result<(), Error> {
    let becket = super::becket(context, output)?;
    let built = samples::build_stale(context, output);
    let node = context.tools.node(output).ok();
    zoo::build(context, output)?;
    let samples = Language::ALL.map(|language| (language, samples::place(context, language)));
    let samples: Vec<_> = samples.into_iter().filter(|(_, place)| place.is_file()).collect();
    adapters(context, &becket, &samples, output)?;
    let check = |what| {
        let mut check = Command::new(&becket);
        check.args(["check", what]).env("PATH", path_with(node));
        check
    };
    // Every rule; in the short form that is for one language only, and the others get the rules
    // that take few calls, as programs always do.
    let of_sample = |(name, sample): (&'static str, PathBuf)| {
        let mut check = check("plugin");
        check.arg(sample);
        let is_native = Language::ALL.iter().any(|language| language.name() == name);
        if !is_native || !context.is_full && name != Language::C.name() {
            check.arg("--quick");
        }
        check
    };
    let programs = [("node", "plugin.js"), ("python", "plugin.py")];
    let programs =
        programs.map(|(name, file)| (name, context.path("examples/plugins").join(name).join(file)));
    let natives = samples.iter().map(|(language, sample)| (language.name(), sample.clone()));
    let mut checks: Vec<_> = natives.chain(programs).map(of_sample).collect();
    checks.extend(["channel", "codegen"].map(check));
    output.run_together(checks)?;
    carriers(context, &becket, output)?;
    broken(context, &becket, output)?;
    // The other plugins have been checked; now the step fails for those that could not be built.
    built
}

/// Adapters that come with the lab, processes, and plugins.
fn adapters(
    context: &Context,
    becket: &Path,
    samples: &[(Language, PathBuf)],
    output: &mut Output,
) -> Result<(), Error> {
    let folder = context.target().join("xtask").join("lab");
    create_folder(&folder)?;
    let in_c = folder.join("exec-c");
    let source = context.path("examples/lab/exec-c/adapter.c");
    let mut compiler = cc();
    compiler.args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2"]);
    output.run(compiler.arg(source).arg("-o").arg(&in_c))?;
    let in_python = context.path("examples/lab/exec-python/adapter.py");

    let built_in = ["memory", "pipe", "ring", "chunks", "ring-memory"].map(str::to_owned);
    let mut names: Vec<String> = built_in.into();
    names.push(format!("exec:'{}'", in_c.display()));
    names.push(format!("exec:python3 '{}'", in_python.display()));
    for (_, sample) in samples {
        for entry in ["echo", "chat"] {
            names.push(format!("plugin:{}#{entry}", sample.display()));
        }
    }
    let mut check = Command::new(becket);
    check.current_dir(context.root()).args(["check", "local-adapter", "--quick"]);
    for name in &names {
        check.args(["--adapter", name]);
    }
    output.run(&mut check)
}

/// Plugins that send frames in the wrong order, or lose bytes, are found as adapters.
fn carriers(context: &Context, becket: &Path, output: &mut Output) -> Result<(), Error> {
    let found_by = [
        ("stream_order", "INT-01"),
        ("loses_bytes", "INT-05"),
        ("loses_bytes_of_answers", "INT-05"),
    ];
    for (name, rule) in found_by {
        let place = zoo::folder(context).join(name).with_extension("so");
        let adapter = format!("plugin:{}#hit", place.display());
        let mut check = Command::new(becket);
        // The failed run is written to a folder in the current directory.
        check.current_dir(context.target().join("xtask").join("lab"));
        check.args(["check", "local-adapter", "--profiles", "1", "--adapter", &adapter]);
        let found = check.output().map_err(|error| spawn_error(&check, error))?;
        let text = String::from_utf8_lossy(&found.stdout);
        output.say(&text);
        if found.status.code() != Some(CONFORMANCE) || !text.contains(&format!("✗ {rule} ")) {
            return Err(Error::Output {
                command: "becket check local-adapter".into(),
                what: format!("{name} is not found by {rule}"),
            });
        }
    }
    Ok(())
}

/// Each plugin of the zoo must violate the rule that `zoo.toml` names, or none. In the short form a
/// plugin with a rule is checked against that rule alone, and the others against the rules that
/// take few calls.
fn broken(context: &Context, becket: &Path, output: &mut Output) -> Result<(), Error> {
    let catalogue = read(&context.path("examples/zoo/zoo.toml"))?;
    let all = plugins(&catalogue);
    let (zoo, next) = (zoo::folder(context), AtomicUsize::new(0));
    // They mostly wait for plugins that never answer.
    let work = || {
        let mut found = Vec::new();
        while let Some((name, rule)) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            let tried = match rule {
                _ if context.is_full => None,
                Some(rule) => Some(format!("--rule={rule}")),
                None => Some("--quick".into()),
            };
            found.push((name, rule, check_plugin(&zoo, becket, name, tried)?));
        }
        Ok::<_, Error>(found)
    };
    let found = thread::scope(|scope| {
        let threads: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(ScopedJoinHandle::join).collect::<Vec<_>>()
    });
    let mut wrong = Vec::new();
    for found in found {
        let Ok(found) = found else { return Err(panicked()) };
        for (name, rule, (broken, has_passed)) in found? {
            output.say(&format!("{name}: {}", broken.join(" ")));
            let is_right = match rule {
                Some(rule) => broken.iter().any(|broken| broken == rule),
                None => broken.is_empty() && has_passed,
            };
            if !is_right {
                wrong.push(format!("{name}: {} expected", rule.unwrap_or("no rule")));
            }
        }
    }
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Error::Output {
            command: "becket check plugin".into(),
            what: format!("it finds something else in the zoo: {}", wrong.join("; ")),
        }),
    }
}

/// The rules that a plugin of the zoo violates, of the tried ones, and whether it passed.
fn check_plugin(
    zoo: &Path,
    becket: &Path,
    name: &str,
    tried: Option<String>,
) -> Result<(Vec<String>, bool), Error> {
    let place = zoo.join(name).with_extension("so");
    let mut check = Command::new(becket);
    check.args(["check", "plugin", "--json", "--timeout-ms", ZOO_TIMEOUT_MS]).arg(place);
    check.args(tried);
    let said = check.output().map_err(|error| spawn_error(&check, error))?;
    Ok((broken_rules(&said.stdout).unwrap_or_default(), said.status.success()))
}

fn panicked() -> Error {
    let (command, what) = ("becket check plugin".into(), "the thread that ran it panicked".into());
    Error::Output { command, what }
}

/// The ids of violated rules in a report, also of rules that only say "should".
fn broken_rules(report: &[u8]) -> Option<Vec<String>> {
    let report: Value = serde_json::from_slice(report).ok()?;
    let rules = report.get("rules")?.as_array()?;
    let text = |rule: &Value, key: &str| Some(rule.get(key)?.as_str()?.to_owned());
    let is_broken = |rule: &&Value| {
        matches!(rule.get("verdict").and_then(Value::as_str), Some("fail" | "non-strict"))
    };
    Some(rules.iter().filter(is_broken).filter_map(|rule| text(rule, "rule")).collect())
}

/// The names of a catalogue's plugins, each with its rule, if one is named. The file is a list of
/// `key = "value"` below `[[plugin]]`.
fn plugins(catalogue: &str) -> Vec<(&str, Option<&str>)> {
    let blocks = catalogue.split("[[plugin]]").skip(1);
    blocks.filter_map(|block| Some((value(block, "name")?, value(block, "rule")))).collect()
}

fn value<'a>(block: &'a str, key: &str) -> Option<&'a str> {
    let assigned = |line: &'a str| line.strip_prefix(key)?.trim_start().strip_prefix('=');
    block.lines().find_map(assigned).map(|value| value.trim().trim_matches('"'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_catalogue_is_read_and_a_report_too() {
        let catalogue =
            "# x\n[[plugin]]\nname = \"a\"\nrule = \"PLG-09\"\n\n[[plugin]]\nname = \"b\"\n";
        assert_eq!(plugins(catalogue), [("a", Some("PLG-09")), ("b", None)]);
        let report = r#"{"rules":[{"rule":"PLG-01","verdict":"pass"},
            {"rule":"PLG-04","verdict":"non-strict"}]}"#;
        assert_eq!(broken_rules(report.as_bytes()), Some(vec!["PLG-04".to_owned()]));
        assert_eq!(broken_rules(b"nothing"), None);
    }
}
