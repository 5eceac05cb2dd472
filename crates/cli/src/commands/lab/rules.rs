// SPDX-License-Identifier: BSD-3-Clause
//! `becket lab rules`: the catalogue.

use becket_lab::rules::{CATALOGUE, Exit as LabExit, Family, Level, Rule, Subject};
use serde::Serialize;

use crate::commands::pick::nearest;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{BAD, DIM, HEAD, Ui, WARN, paint};

/// List the rules: what an adapter must, should and may do
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this family, such as integrity or backpressure; may be given several times
    #[arg(long, short, value_name = "FAMILY")]
    family: Vec<String>,
    /// Only this level: must, should or may; may be given several times
    #[arg(long, short, value_name = "LEVEL")]
    level: Vec<String>,
}

/// A rule for programs.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    id: &'static str,
    level: &'static str,
    family: &'static str,
    /// The subject of the rule: `adapter`, or `runtime`.
    of: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    needs: Option<&'static str>,
    sentence: &'static str,
}

impl Row {
    pub(super) fn of(rule: &Rule) -> Self {
        Self {
            id: rule.id,
            level: rule.level.name(),
            family: rule.family.name(),
            of: match rule.of {
                Subject::Adapter => "adapter",
                Subject::Runtime => "runtime",
            },
            needs: rule.needs.map(becket_lab::contract::Capability::name),
            sentence: rule.sentence,
        }
    }
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    let families = Family::ALL.map(Family::name);
    let levels = [Level::Must, Level::Should, Level::May].map(Level::name);
    let wanted_families = meant(&args.family, &families, "family")?;
    let wanted_levels = meant(&args.level, &levels, "level")?;
    let is_in = |wanted: &[&str], name: &str| wanted.is_empty() || wanted.contains(&name);
    let rules = CATALOGUE.iter().filter(|rule| {
        is_in(&wanted_families, rule.family.name()) && is_in(&wanted_levels, rule.level.name())
    });
    let rules: Vec<&Rule> = rules.collect();
    if ui.json() {
        let rows: Vec<Row> = rules.into_iter().map(Row::of).collect();
        ui.data(&rows)?;
    } else {
        ui.text(&table(&rules))?;
    }
    Ok(Exit::Ok)
}

/// The known names that were asked for, ignoring case; a family also by a part of its name.
fn meant<'a>(asked: &[String], known: &[&'a str], what: &str) -> Result<Vec<&'a str>, Failure> {
    let one = |asked: &String| {
        let wanted = asked.to_lowercase();
        let found = known.iter().find(|name| {
            let name = name.to_lowercase();
            name == wanted || name.split(' ').any(|word| word == wanted)
        });
        found.copied().ok_or_else(|| {
            let failure =
                Failure::new(Exit::Lab(LabExit::Usage), format!("there is no {what} `{asked}`"));
            let failure = failure.cause(format!("known are {}", known.join(", ")));
            match nearest(asked, known.iter().copied()) {
                Some(near) => failure.hint(format!("did you mean `{near}`?")),
                None => failure,
            }
        })
    };
    asked.iter().map(one).collect()
}

fn table(rules: &[&Rule]) -> String {
    let mut text = String::new();
    let mut family = None;
    for rule in rules {
        if family.replace(rule.family) != Some(rule.family) {
            let line = if text.is_empty() { "" } else { "\n" };
            text.push_str(&format!("{line}{}\n", paint(HEAD, rule.family.name())));
        }
        let style = match rule.level {
            Level::Must => BAD,
            Level::Should => WARN,
            Level::May => DIM,
        };
        let level = paint(style, &format!("{:<6}", rule.level.name()));
        text.push_str(&format!("  {}  {level}  {}", rule.id, rule.sentence));
        let needs = rule.needs.map(|needs| format!("claims {}", needs.name()));
        let of = (rule.of == Subject::Runtime).then(|| "of the runtime".to_owned());
        let more: Vec<_> = needs.into_iter().chain(of).collect();
        if !more.is_empty() {
            text.push_str(&paint(DIM, &format!(" [{}]", more.join(", "))));
        }
        text.push('\n');
    }
    let count = rules.len();
    text.push_str(&paint(DIM, &format!("\n{count} of {} rules", CATALOGUE.len())));
    text.push('\n');
    text
}
