// SPDX-License-Identifier: BSD-3-Clause
//! Drawings of what was tried: verdicts by scenario and profile, sizes of runs, faults, similarity
//! of runs, and the number of occasions of each rule.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::matrix::number;
use super::svg::{Anchor, Box, Svg};
use super::{Part, class, region};
use crate::report::view::{self, face};
use crate::report::words::{count, plural, share};
use crate::report::{Report, RunReport};
use crate::rules::{CATALOGUE, Family};

/// Maximum number of columns of the map of verdicts; with more profiles a column covers several.
const COLUMNS_MAX: usize = 60;
/// Maximum number of bars of classes.
const CLASSES_MAX: usize = 16;

pub(super) fn plots(part: &Part<'_>) -> Markup {
    let Part { report, id, .. } = part;
    let sizes = || view::runs(report).filter_map(|(_, run)| run.size.as_ref());
    let events = histogram("Events", "events of a run's trace", sizes().map(|size| size.events));
    let ticks = "ticks of a run, in milliseconds";
    html! {
        h2 id={ (id) "-plots" } { "What was tried" }
        (verdicts(report))
        (exercised(report))
        div.plots {
            (events.unwrap_or_default())
            (histogram("Virtual time", ticks, sizes().map(|size| size.ticks)).unwrap_or_default())
            (buckets(report))
            (faults(report))
            (classes(report))
            (features(report))
        }
    }
}

/// A drawing with its title.
fn figure(title: &str, note: &str, svg: Svg) -> Markup {
    framed(title, note, &svg.finish(&format!("{title}: {note}")))
}

/// A drawing in a row of its own, which may be wider than the page.
fn wide(title: &str, note: &str, svg: Svg) -> Markup {
    framed(title, note, &region("wide", title, &svg.finish(&format!("{title}: {note}"))))
}

fn framed(title: &str, note: &str, drawing: &Markup) -> Markup {
    html! {
        figure.card { figcaption { b { (title) } span { (note) } } (drawing) }
    }
}

/// Scenario × profile: a tile for each run.
fn verdicts(report: &Report) -> Markup {
    const LEFT: u32 = 186;
    const TILE: u32 = 20;
    let each = report.profiles.len().div_ceil(COLUMNS_MAX).max(1);
    let columns = report.profiles.len().div_ceil(each) as u32;
    let scenarios: Vec<&str> = report
        .profiles
        .first()
        .map(|profile| profile.runs.iter().map(|run| run.scenario).collect())
        .unwrap_or_default();
    let height = TILE * scenarios.len() as u32 + 24;
    let mut svg = Svg::new(LEFT + (TILE + 2) * columns + 4, height + 2 * scenarios.len() as u32);
    for (row, scenario) in (0..).zip(&scenarios) {
        let y = 20 + (TILE + 2) * row;
        svg.text("ink mono", Anchor::End, (LEFT - 8, y + 14), scenario);
        for (column, profiles) in (0..).zip(report.profiles.chunks(each)) {
            let runs = profiles.iter().filter_map(|profile| {
                let run = profile.runs.get(row as usize)?;
                Some((profile.seed, run))
            });
            let Some((seed, run)) = runs.max_by_key(|(_, run)| grave(run)) else { continue };
            let face = face(run.verdict);
            let tone = class(face.tone);
            let x = LEFT + (TILE + 2) * column;
            let rule = run.findings.first().map(|finding| format!(", {}", finding.rule));
            let why = rule.or_else(|| run.reason.map(|reason| format!(", {reason}")));
            let said =
                format!("{scenario}, seed {seed}: {}{}", run.verdict, why.unwrap_or_default());
            svg.rect(&format!("tile {tone}"), Box { x, y, width: TILE, height: TILE }, &said);
            let sign = if tone == "bad" { "on" } else { "sign" };
            svg.text(
                &format!("{sign} {tone}"),
                Anchor::Middle,
                (x + TILE / 2, y + 14),
                face.symbol,
            );
            if row == 0 && (column == 0 || (column + 1).is_multiple_of(5)) {
                let first = profiles.first().map_or(0, |profile| profile.seed).to_string();
                svg.text("small", Anchor::Middle, (x + TILE / 2, 13), &first);
            }
        }
    }
    let note = match each {
        1 => "a tile is a run; columns are profiles, by their seeds".to_owned(),
        _ => format!("a tile is the gravest of {each} runs; columns are profiles, by their seeds"),
    };
    wide("Runs by scenario and profile", &note, svg)
}

/// The severity of a verdict, for those that share a tile.
fn grave(run: &RunReport) -> u8 {
    match class(face(run.verdict).tone) {
        "bad" => 3,
        "warn" => 2,
        "good" => 1,
        _ => 0,
    }
}

/// A column per rule: in how many runs it had occasion, and in how many it was violated.
fn exercised(report: &Report) -> Markup {
    const STEP: u32 = 13;
    const TALL: u32 = 96;
    const LEFT: u32 = 40;
    let most = report.rules.iter().map(|rule| rule.exercised).max().unwrap_or(0).max(1);
    let gaps = Family::ALL.len() as u32 * 6;
    let width = LEFT + STEP * report.rules.len() as u32 + gaps;
    let mut svg = Svg::new(width, TALL + 46);
    let base = TALL + 10;
    for (part, of) in [(0, 0), (1, most.div_ceil(2)), (2, most)] {
        let y = base - TALL * part / 2;
        svg.line("axis", (LEFT, y), (width, y));
        svg.text("small", Anchor::End, (LEFT - 5, y + 3), &count(of));
    }
    let (mut x, mut before) = (LEFT + 4, None);
    for (rule, of) in CATALOGUE.iter().zip(&report.rules) {
        if before != Some(rule.family) {
            x += if before.is_some() { 6 } else { 0 };
            let mark = rule.id.split('-').next().unwrap_or("");
            svg.text("small ink", Anchor::Start, (x, base + 26), mark);
            before = Some(rule.family);
        }
        let tall = |part: u64| (u64::from(TALL) * part).div_ceil(most) as u32;
        let (all, bad) = (tall(of.exercised), tall(of.violated));
        let said = format!(
            "{}: exercised in {}, violated in {}",
            rule.id,
            plural(of.exercised, "run"),
            count(of.violated)
        );
        let width = STEP - 3;
        svg.rect("ghost", Box { x, y: base - TALL, width, height: TALL }, &said);
        if all > 0 {
            svg.rect("bar", Box { x, y: base - all, width, height: all }, &said);
        }
        if bad > 0 {
            svg.rect("bad fill", Box { x, y: base - bad, width, height: bad }, &said);
        }
        let tone = match () {
            () if of.violated > 0 => "small sign bad",
            () if of.exercised == 0 && of.applicable > 0 => "small sign warn",
            () => "small",
        };
        svg.text(tone, Anchor::Middle, (x + width / 2, base + 12), number(rule));
        x += STEP;
    }
    let idle = report.not_exercised.len() as u64;
    let idle = match idle {
        0 => "none without".into(),
        idle => format!("{} without", plural(idle, "rule")),
    };
    let note = format!(
        "runs in which each rule could have been violated; in red, was ({idle} an occasion)"
    );
    wide("Occasions of rules", &note, svg)
}

const WIDTH: u32 = 340;
const BASE: u32 = 128;
const TALL: u32 = 104;

/// Columns side by side over their labels, each of one or two bars.
fn columns(bars: &[(String, Vec<(u64, &str)>)], said: &str) -> Svg {
    let mut svg = Svg::new(WIDTH, BASE + 22);
    let most = bars.iter().flat_map(|(_, bars)| bars.iter().map(|(value, _)| *value)).max();
    let most = most.unwrap_or(0).max(1);
    svg.line("axis", (0, BASE), (WIDTH, BASE));
    let step = WIDTH / (bars.len() as u32).max(1);
    for (at, (label, parts)) in (0..).zip(bars) {
        let x = step * at;
        let wide = step.min(64).saturating_sub(6) / (parts.len() as u32).max(1);
        let left = x + (step - wide * parts.len() as u32) / 2;
        for (part, (value, class)) in (0..).zip(parts) {
            let tall = (u64::from(TALL) * value).div_ceil(most) as u32;
            let x = left + wide * part;
            if tall > 0 {
                let place = Box { x, y: BASE - tall, width: wide.saturating_sub(2), height: tall };
                svg.rect(class, place, &format!("{label}: {} {said}", count(*value)));
                let top = (x + wide / 2, BASE - tall - 4);
                svg.text("small", Anchor::Middle, top, &count(*value));
            }
        }
        svg.text("small", Anchor::Middle, (x + step / 2, BASE + 14), label);
    }
    svg
}

/// The frequency of each size, by powers of two.
fn histogram(title: &str, what: &str, values: impl Iterator<Item = u64>) -> Option<Markup> {
    let mut values: Vec<u64> = values.collect();
    values.sort_unstable();
    let (least, most) = (values.first()?, values.last()?);
    let median = values.get(values.len() / 2).copied().unwrap_or(0);
    let note = format!(
        "{what}, up to the number below: {} to {}, half of them at most {}",
        count(*least),
        count(*most),
        count(median)
    );
    let power = |value: u64| u64::BITS - value.saturating_sub(1).leading_zeros();
    let mut counts: BTreeMap<u32, u64> = (power(*least)..=power(*most)).map(|at| (at, 0)).collect();
    for value in &values {
        *counts.entry(power(*value)).or_default() += 1;
    }
    let label = |power: u32| match power {
        0..10 => format!("{}", 1_u64 << power),
        10..20 => format!("{}k", 1_u64 << (power - 10)),
        _ => format!("{}M", 1_u64 << power.saturating_sub(20).min(43)),
    };
    let bars: Vec<_> =
        counts.into_iter().map(|(power, count)| (label(power), vec![(count, "bar")])).collect();
    Some(figure(title, &note, columns(&bars, "runs")))
}

/// Bytes that were put out by both adapters, by bucket.
fn buckets(report: &Report) -> Markup {
    const NAMES: [&str; 4] = ["0", "<=1KiB", "<=64KiB", "more"];
    const LABELS: [&str; 4] = ["none", "≤1 KiB", "≤64 KiB", "more"];
    let sizes = || view::runs(report).filter_map(|(_, run)| run.size.as_ref());
    let bars: Vec<_> = NAMES
        .into_iter()
        .zip(LABELS)
        .map(|(name, label)| {
            let ingress = sizes().filter(|size| size.bytes_ingress == name).count() as u64;
            let egress = sizes().filter(|size| size.bytes_egress == name).count() as u64;
            (label.to_owned(), vec![(ingress, "bar"), (egress, "bar2")])
        })
        .collect();
    let note =
        "bytes that came out of a run: at the ingress adapter, and lighter at the egress adapter";
    figure("Bytes", note, columns(&bars, "runs"))
}

/// Bars below one another, with their labels.
fn rows(bars: &[(String, u64)], said: &str) -> Svg {
    const LEFT: u32 = 108;
    const ROW: u32 = 17;
    let mut svg = Svg::new(WIDTH, ROW * bars.len() as u32 + 4);
    let most = bars.iter().map(|(_, value)| *value).max().unwrap_or(0).max(1);
    for (at, (label, value)) in (0..).zip(bars) {
        let y = ROW * at;
        svg.text("", Anchor::End, (LEFT - 8, y + 13), label);
        let room = u64::from(WIDTH - LEFT - 46);
        let width = (room * value).div_ceil(most) as u32;
        if width > 0 {
            let place = Box { x: LEFT, y: y + 3, width, height: ROW - 5 };
            svg.rect("bar", place, &format!("{label}: {} {said}", count(*value)));
        }
        svg.text("ink", Anchor::Start, (LEFT + width + 6, y + 13), &count(*value));
    }
    svg
}

fn faults(report: &Report) -> Markup {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for fault in view::runs(report).flat_map(|(_, run)| &run.faults) {
        *counts.entry(fault.kind).or_default() += fault.times;
    }
    let all: u64 = counts.values().sum();
    let mut bars: Vec<_> =
        counts.into_iter().map(|(kind, count)| (kind.to_owned(), count)).collect();
    bars.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    if bars.is_empty() {
        bars.push(("none".into(), 0));
    }
    let note = format!("{} injected, by kind", plural(all, "fault"));
    figure("Faults", &note, rows(&bars, "times"))
}

/// Runs of each class, the largest first: a healthy check has many small ones.
fn classes(report: &Report) -> Markup {
    let seen = &report.adversary;
    let mut bars: Vec<(String, Vec<(u64, &str)>)> = (1..)
        .zip(&seen.classes)
        .take(CLASSES_MAX)
        .map(|(at, runs): (u32, _)| (at.to_string(), vec![(*runs, "bar")]))
        .collect();
    if bars.is_empty() {
        bars.push(("none".into(), vec![(0, "bar")]));
    }
    let shown = match seen.classes.len() > CLASSES_MAX {
        true => format!("the commonest {CLASSES_MAX} are drawn"),
        false => "runs of each".into(),
    };
    let kinds = if seen.distinct == 1 { "kind" } else { "kinds" };
    let note = format!(
        "{} {kinds} of runs, {shown}; the commonest is {} of runs, and may be 0.940",
        count(seen.distinct),
        share(seen.dominant_per_mille)
    );
    figure("Diversity", &note, columns(&bars, "runs"))
}

fn features(report: &Report) -> Markup {
    let features = report.adversary.features.iter();
    let bars: Vec<_> = features.map(|one| (one.feature.to_owned(), one.distinct)).collect();
    let note = "in how many ways runs differ, by what the adversary looks at";
    figure("Features", note, rows(&bars, "ways"))
}
