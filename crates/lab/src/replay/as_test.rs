// SPDX-License-Identifier: BSD-3-Clause
//! A replay as a Rust test.
//!
//! The test is self-contained: it needs neither the file nor the generator, only becket-lab and the
//! adapters. It fails while the rule is violated, or any rule if the replay names none; it does not
//! compare trace hashes, which may change with the next lab. Names of variants are those of
//! `Debug`.

use super::Replay;
use super::words::shown;
use crate::fault::FaultPlan;
use crate::source::FlowPlan;

/// Chunks, and numbers, per line.
const LINE_CHUNKS: usize = 4;
const LINE_NUMBERS: usize = 24;

/// The test. `adapters` is an expression for a [`Pair`](crate::adapters::Pair); it may use
/// `limits`, the limits of the replay.
#[must_use]
pub fn as_test(replay: &Replay, adapters: &str) -> String {
    let Replay { limits, case, expected, .. } = replay;
    let config = &case.config;
    let rule = expected.rule.as_deref().map(line);
    let has_chunks = case.plans.iter().any(|plan| !plan.chunks.is_empty());
    // Only the imports that are used, to avoid warnings.
    let (use_planned, planned) = match has_chunks {
        true => (", Planned", "    let planned = |at, bytes| Planned { at: Tick(at), bytes };\n"),
        false => ("", ""),
    };
    let (use_kinds, use_kind, faults, field) = match case.faults.is_none() {
        true => ("", "", String::new(), "faults: FaultPlan::NONE"),
        false => ("FaultKinds, ", "FaultKind, ", fault_plan(&case.faults), "faults"),
    };
    let of_rule = rule
        .as_ref()
        .map(|rule| format!("\n        .filter(|finding| finding.rule == {rule:?})\n        "));
    format!(
        r#"// Adapter {adapter}, scenario {scenario}, profile {profile}.
#[test]
#[rustfmt::skip]
fn {name}() {{
    use becket_lab::adapters::Pair;
    use becket_lab::link::Link;
    use becket_lab::choice::Choices;
    use becket_lab::config::Config;
    use becket_lab::contract::{{Class, FlowId, Limits, Tick}};
    use becket_lab::fault::{{{use_kinds}FaultPlan}};
    use becket_lab::replay::Case;
    use becket_lab::rules::{{Examined, examine}};
    use becket_lab::source::{{End, FlowPlan{use_planned}}};
    use becket_lab::target::Behaviour;
    use becket_lab::trace::{{{use_kind}Trace}};
    use becket_lab::world;

    let config = Config {{
        name: {config_name:?}.into(),
        runtime_id: {runtime_id},
        max_flows: {max_flows},
        max_buffered_bytes: {max_buffered_bytes},
        max_chunk_bytes: {max_chunk_bytes},
        max_events: {max_events},
        trace_enabled: {trace_enabled},
        deterministic_seed: {seed},
    }};
{planned}    let plans = vec![
{plans}    ];
{faults}    let case = Case {{
        config, plans, {field},
        behaviour: Behaviour::{behaviour:?},
        window_bytes: {window_bytes},
        link: Link::{link:?},
    }};
    let recording = {recording};
    let limits = Limits {{
        flows_max: {flows_max},
        buffered_bytes_max: {buffered_bytes_max},
        flow_buffered_bytes_max: {flow_buffered_bytes_max},
    }};

    let (mut ingress, mut egress): Pair = {adapters};
    let mut trace = Trace::new(case.config.max_events);
    let mut choices = Choices::replayed(recording);
    world::run(&case, (&mut *ingress, &mut *egress), &mut choices, &mut trace);
    let manifests = [&ingress.manifest(), &egress.manifest()];
    let examination = examine(&Examined::new(&trace, &case, manifests));
    let broken: Vec<_> = examination.findings(){of_rule}.collect();
    assert!(broken.is_empty(), "{{broken:#?}}");
}}
"#,
        adapter = line(&replay.adapter),
        scenario = line(&replay.scenario),
        profile = line(&replay.profile),
        name = name(rule.as_deref(), config.deterministic_seed),
        config_name = line(&config.name),
        runtime_id = config.runtime_id,
        max_flows = config.max_flows,
        max_buffered_bytes = config.max_buffered_bytes,
        max_chunk_bytes = config.max_chunk_bytes,
        max_events = config.max_events,
        trace_enabled = config.trace_enabled,
        seed = config.deterministic_seed,
        plans = case.plans.iter().map(plan).collect::<String>(),
        behaviour = case.behaviour,
        window_bytes = case.window_bytes,
        link = case.link,
        recording = list(replay.recording.iter().map(u32::to_string), LINE_NUMBERS, "    "),
        flows_max = limits.flows_max,
        buffered_bytes_max = limits.buffered_bytes_max,
        flow_buffered_bytes_max = limits.flow_buffered_bytes_max,
        adapters = adapters.trim(),
        of_rule = of_rule.unwrap_or_default(),
    )
}

fn plan(plan: &FlowPlan) -> String {
    let FlowPlan { flow, class, opens_at, chunks, end } = plan;
    let chunks = chunks.iter().map(|chunk| format!("planned({}, {})", chunk.at.0, chunk.bytes));
    let chunks = list(chunks, LINE_CHUNKS, "            ");
    format!(
        "        FlowPlan {{
            flow: FlowId::new({flow}),
            class: Class::{class:?},
            opens_at: Tick({opens_at}),
            chunks: {chunks},
            end: End::{end:?},
        }},
",
        opens_at = opens_at.0,
    )
}

fn fault_plan(faults: &FaultPlan) -> String {
    let kinds = faults.kinds.iter().map(|kind| format!("\n            .with(FaultKind::{kind:?})"));
    format!(
        "    let faults = FaultPlan {{
        kinds: FaultKinds::NONE{kinds},
        budget: {budget},
        from: Tick({from}),
        until: Tick({until}),
    }};
",
        kinds = kinds.collect::<String>(),
        budget = faults.budget,
        from = faults.from.0,
        until = faults.until.0,
    )
}

/// A list with `per_line` items per line; its last line begins with `indent`.
fn list(items: impl Iterator<Item = String>, per_line: usize, indent: &str) -> String {
    let items: Vec<_> = items.collect();
    if items.is_empty() {
        return "Vec::new()".into();
    }
    let lines = items.chunks(per_line).map(|line| format!("{indent}    {},\n", line.join(", ")));
    format!("vec![\n{}{indent}]", lines.collect::<String>())
}

/// A text of the replay in a line comment: short, in one line, and without secrets.
fn line(text: &str) -> String {
    shown(text).chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// The name of the test: letters, digits and underscores.
fn name(rule: Option<&str>, seed: u64) -> String {
    let rule = rule.unwrap_or("replayed");
    let is_plain = |char: &char| char.is_ascii_alphanumeric();
    let plain =
        rule.chars().map(|char| if is_plain(&char) { char.to_ascii_lowercase() } else { '_' });
    format!("holds_{}_seed_{seed}", plain.collect::<String>())
}
