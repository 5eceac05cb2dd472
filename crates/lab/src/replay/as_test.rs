// SPDX-License-Identifier: BSD-3-Clause
//! A replay as a Rust test.
//!
//! The test is self-contained: it needs neither the file nor the generator, only becket-lab and the
//! adapters. It fails while the rule is violated, or any rule if the replay names none; it does not
//! compare trace hashes, which may change with the next lab. Names of variants are those of
//! `Debug`.

use std::fmt::{self, Write as _};

use super::Replay;
use super::words::shown;
use crate::source::FlowPlan;

/// Numbers per line.
const LINE_NUMBERS: usize = 24;

/// The test. `adapters` is an expression for a [`Pair`](crate::adapters::Pair); it may use
/// `limits`, the limits of the replay.
#[must_use]
pub fn as_test(replay: &Replay, adapters: &str) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    let _written = write(&mut text, replay, adapters);
    text
}

fn write(text: &mut String, replay: &Replay, adapters: &str) -> fmt::Result {
    let Replay { limits, case, expected, .. } = replay;
    let config = &case.config;
    let rule = expected.rule.as_deref();
    let (adapter, scenario) = (line(&replay.adapter), line(&replay.scenario));
    writeln!(
        text,
        "// Adapter {adapter}, scenario {scenario}, profile {}.",
        line(&replay.profile)
    )?;
    writeln!(text, "#[test]\n#[rustfmt::skip]")?;
    writeln!(text, "fn {}() {{", name(rule, config.deterministic_seed))?;
    let has_faults = !case.faults.is_none();
    let has_chunks = case.plans.iter().any(|plan| !plan.chunks.is_empty());
    write_uses(text, has_faults, has_chunks)?;
    writeln!(text, "    let config = Config {{")?;
    writeln!(text, "        name: {:?}.into(),", line(&config.name))?;
    writeln!(text, "        runtime_id: {},", config.runtime_id)?;
    writeln!(text, "        max_flows: {},", config.max_flows)?;
    writeln!(text, "        max_buffered_bytes: {},", config.max_buffered_bytes)?;
    writeln!(text, "        max_chunk_bytes: {},", config.max_chunk_bytes)?;
    writeln!(text, "        max_events: {},", config.max_events)?;
    writeln!(text, "        trace_enabled: {},", config.trace_enabled)?;
    writeln!(text, "        deterministic_seed: {},", config.deterministic_seed)?;
    writeln!(text, "    }};")?;
    if has_chunks {
        writeln!(text, "    let planned = |at, bytes| Planned {{ at: Tick(at), bytes }};")?;
    }
    writeln!(text, "    let plans = vec![")?;
    for plan in &case.plans {
        write_plan(text, plan)?;
    }
    writeln!(text, "    ];")?;
    let faults = if has_faults { "faults" } else { "faults: FaultPlan::NONE" };
    if has_faults {
        write_faults(text, replay)?;
    }
    writeln!(text, "    let case = Case {{")?;
    writeln!(text, "        config, plans, {faults},")?;
    writeln!(text, "        behaviour: Behaviour::{:?},", case.behaviour)?;
    writeln!(text, "        window_bytes: {},", case.window_bytes)?;
    writeln!(text, "        link: Link::{:?},", case.link)?;
    writeln!(text, "    }};")?;
    write_recording(text, &replay.recording)?;
    writeln!(text, "    let limits = Limits {{")?;
    writeln!(text, "        flows_max: {},", limits.flows_max)?;
    writeln!(text, "        buffered_bytes_max: {},", limits.buffered_bytes_max)?;
    writeln!(text, "        flow_buffered_bytes_max: {},", limits.flow_buffered_bytes_max)?;
    writeln!(text, "    }};\n")?;
    writeln!(text, "    let (mut ingress, mut egress): Pair = {};", adapters.trim())?;
    writeln!(text, "    let setup = case.setup();")?;
    writeln!(text, "    let mut trace = Trace::new(case.config.max_events);")?;
    writeln!(text, "    let mut choices = Choices::replayed(recording);")?;
    writeln!(
        text,
        "    world::run(&setup, (&mut *ingress, &mut *egress), &mut choices, &mut trace);"
    )?;
    writeln!(text, "    let manifests = [&ingress.manifest(), &egress.manifest()];")?;
    writeln!(text, "    let examination = examine(&Examined::new(&trace, &setup, manifests));")?;
    write!(text, "    let broken: Vec<_> = examination.findings()")?;
    if let Some(rule) = rule {
        writeln!(text, "\n        .filter(|finding| finding.rule == {:?})", line(rule))?;
        write!(text, "        ")?;
    }
    writeln!(text, ".collect();")?;
    writeln!(text, "    assert!(broken.is_empty(), \"{{broken:#?}}\");")?;
    writeln!(text, "}}")
}

/// Only the imports that are used, to avoid warnings.
fn write_uses(text: &mut String, has_faults: bool, has_chunks: bool) -> fmt::Result {
    let (kinds, kind) = if has_faults { ("FaultKinds, ", "FaultKind, ") } else { ("", "") };
    let planned = if has_chunks { ", Planned" } else { "" };
    writeln!(text, "    use becket_lab::adapters::Pair;")?;
    writeln!(text, "    use becket_lab::link::Link;")?;
    writeln!(text, "    use becket_lab::choice::Choices;")?;
    writeln!(text, "    use becket_lab::config::Config;")?;
    writeln!(text, "    use becket_lab::contract::{{Class, FlowId, Limits, Tick}};")?;
    writeln!(text, "    use becket_lab::fault::{{{kinds}FaultPlan}};")?;
    writeln!(text, "    use becket_lab::replay::Case;")?;
    writeln!(text, "    use becket_lab::rules::{{Examined, examine}};")?;
    writeln!(text, "    use becket_lab::source::{{End, FlowPlan{planned}}};")?;
    writeln!(text, "    use becket_lab::target::Behaviour;")?;
    writeln!(text, "    use becket_lab::trace::{{{kind}Trace}};")?;
    writeln!(text, "    use becket_lab::world;\n")
}

fn write_plan(text: &mut String, plan: &FlowPlan) -> fmt::Result {
    let (flow, opens_at) = (plan.flow, plan.opens_at.0);
    writeln!(text, "        FlowPlan {{")?;
    writeln!(text, "            flow: FlowId::new({flow}),")?;
    writeln!(text, "            class: Class::{:?},", plan.class)?;
    writeln!(text, "            opens_at: Tick({opens_at}),")?;
    let chunks: Vec<_> = plan
        .chunks
        .iter()
        .map(|chunk| format!("planned({}, {})", chunk.at.0, chunk.bytes))
        .collect();
    match &chunks[..] {
        [] => writeln!(text, "            chunks: Vec::new(),")?,
        _ => {
            writeln!(text, "            chunks: vec![")?;
            for chunks in chunks.chunks(4) {
                writeln!(text, "                {},", chunks.join(", "))?;
            }
            writeln!(text, "            ],")?;
        }
    }
    writeln!(text, "            end: End::{:?},", plan.end)?;
    writeln!(text, "        }},")
}

fn write_faults(text: &mut String, replay: &Replay) -> fmt::Result {
    let faults = &replay.case.faults;
    writeln!(text, "    let faults = FaultPlan {{")?;
    write!(text, "        kinds: FaultKinds::NONE")?;
    for kind in faults.kinds.iter() {
        write!(text, "\n            .with(FaultKind::{kind:?})")?;
    }
    writeln!(text, ",\n        budget: {},", faults.budget)?;
    writeln!(text, "        from: Tick({}),", faults.from.0)?;
    writeln!(text, "        until: Tick({}),", faults.until.0)?;
    writeln!(text, "    }};")
}

fn write_recording(text: &mut String, recording: &[u32]) -> fmt::Result {
    if recording.is_empty() {
        return writeln!(text, "    let recording = Vec::new();");
    }
    writeln!(text, "    let recording = vec![")?;
    for numbers in recording.chunks(LINE_NUMBERS) {
        let numbers: Vec<_> = numbers.iter().map(u32::to_string).collect();
        writeln!(text, "        {},", numbers.join(", "))?;
    }
    writeln!(text, "    ];")
}

/// A text of the replay in a line comment: short, in one line, and without secrets.
fn line(text: &str) -> String {
    shown(text).chars().map(|char| if char.is_control() { ' ' } else { char }).collect()
}

/// The name of the test: letters, digits and underscores.
fn name(rule: Option<&str>, seed: u64) -> String {
    let rule = line(rule.unwrap_or("replayed"));
    let is_plain = |char: &char| char.is_ascii_alphanumeric();
    let plain =
        rule.chars().map(|char| if is_plain(&char) { char.to_ascii_lowercase() } else { '_' });
    format!("holds_{}_seed_{seed}", plain.collect::<String>())
}
