// SPDX-License-Identifier: BSD-3-Clause
//! Two small handwritten reports: the appearance of the forms does not depend on the behaviour of
//! the lab.

use becket_lab::gate::Gate;
use becket_lab::report::{
    AgreementReport, Also, CollapseReport, EventReport, ExpectationReport, Failure, FaultReport,
    FeatureReport, FindingReport, GateReport, Inputs, MutantReport, ProfileReport, Report,
    RuleReport, RunReport, SCHEMA, SizeReport, Small,
};
use becket_lab::rules::CATALOGUE;

/// A report without failures.
pub(crate) fn green() -> Report {
    let run = |scenario, class| RunReport {
        scenario,
        verdict: "pass",
        reason: None,
        trace: "0123456789abcdef".into(),
        rules_exercised: 40,
        size: Some(SizeReport {
            events: 24 + class * 100,
            ticks: class,
            bytes_ingress: "<=1KiB",
            bytes_egress: "0",
        }),
        class: Some(class),
        orders: None,
        faults: Vec::new(),
        findings: Vec::new(),
    };
    let runs = vec![run("single_flow_echo", 0), run("large_flow_backpressure", 1)];
    Report {
        schema: SCHEMA,
        adapter: "ring".into(),
        command: "becket check local-adapter --adapter ring".into(),
        mode: "quick",
        start_seed: 7,
        verdict: "pass",
        exit_code: 0,
        timing: None,
        agreements: vec![AgreementReport {
            place: "ingress",
            claims: vec!["adapter_ingress", "flow_reset"],
            claims_not: vec!["flow_priority"],
            hash: "0123456789abcdef".repeat(4),
            error: None,
        }],
        gates: Gate::ALL
            .map(|gate| GateReport {
                name: gate.name(),
                verdict: "pass",
                counted: 2,
                failed: 0,
                reason: None,
            })
            .into(),
        rules: rules(),
        profiles: vec![profile(7, "none", runs)],
        adversary: CollapseReport {
            runs: 2,
            distinct: 2,
            dominant_per_mille: 500,
            diversity_per_mille: 1000,
            success_per_mille: 1000,
            reference: None,
            classes: vec![1, 1],
            features: vec![FeatureReport { feature: "chunks", distinct: 2 }],
        },
        mutants: vec![mutant("drops_final_chunk", "killed", &["INT-05", "INT-07"])],
        not_exercised: Vec::new(),
        failures: Vec::new(),
        expectations: Vec::new(),
        unended: None,
    }
}

fn profile(seed: u64, faults: &'static str, runs: Vec<RunReport>) -> ProfileReport {
    ProfileReport {
        seed,
        max_flows: 5,
        max_chunk_bytes: 65_536,
        max_buffered_bytes: 262_144,
        flow_bytes_max: 16_384,
        window_bytes: 100,
        link: "stream",
        faults,
        scheduler: "random",
        swarm: "echo, resets".into(),
        runs,
    }
}

fn mutant(name: &'static str, result: &'static str, rules: &[&'static str]) -> MutantReport {
    MutantReport { name, result, rules: rules.into() }
}

/// Held, but for the last of each family, which had no occasion.
fn rules() -> Vec<RuleReport> {
    let rule = |rule: &becket_lab::rules::Rule| {
        let has = u64::from(!rule.id.ends_with("05"));
        RuleReport { rule: rule.id, applicable: 2, exercised: 2 * has, violated: 0 }
    };
    CATALOGUE.iter().map(rule).collect()
}

fn finding(rule: &'static str, flow: u32, event: usize, said: &str) -> FindingReport {
    let offset = (flow > 0).then_some(64);
    FindingReport { rule, flow, offset, tick: 12, event, said: said.into(), is_known: false }
}

fn event(event: usize, kind: &'static str, place: &'static str, said: &str) -> EventReport {
    EventReport { event, tick: 12, flow: 1, kind, place, said: said.into() }
}

/// The consequence of missing output.
const LOST: &str = "bytes at the sink is 0, and has to be at least 65";

/// A report with one failure of each kind.
pub(crate) fn red() -> Report {
    let mut report = green();
    (report.adapter, report.verdict, report.exit_code) = ("leaky".into(), "fail", 1);
    report.command = "becket check plugin target/leaky.so".into();
    let said = "egress adapter: what was put out before the end is 0, and has to be 65";
    let broken = |seed| {
        let mut run = green().profiles[0].runs[0].clone();
        run.verdict = "fail";
        run.faults = vec![FaultReport { kind: "drop", times: seed }];
        run.findings = vec![finding("INT-05", 1, 19, said), finding("INT-07", 1, 24, LOST)];
        run
    };
    let mut panicked =
        RunReport { verdict: "fail", reason: Some("an adapter panicked"), ..broken(1) };
    (panicked.scenario, panicked.size, panicked.class) = ("large_flow_backpressure", None, None);
    panicked.findings.clear();
    panicked.trace.clear();
    let mut slack = broken(2);
    (slack.scenario, slack.verdict) = ("large_flow_backpressure", "non-strict");
    slack.findings = vec![finding(
        "RES-04",
        0,
        3,
        "what it said that it holds is 64, and has to be at least 320",
    )];
    let mut known = broken(3);
    known.verdict = "known-fail";
    known.findings =
        vec![finding("ISO-03", 2, 51, "events of others is 0, and has to be at least 1")];
    known.findings[0].is_known = true;
    let mut none = RunReport {
        verdict: "not-applicable",
        reason: Some("the limits allow fewer flows"),
        ..panicked.clone()
    };
    none.scenario = "many_small_flows";
    report.profiles = vec![
        profile(7, "none", vec![broken(1), panicked]),
        profile(8, "any", vec![broken(2), slack]),
        profile(9, "survivable", vec![known, none]),
    ];
    report.gates[0] = GateReport {
        name: Gate::Correctness.name(),
        verdict: "fail",
        counted: 5,
        failed: 3,
        reason: Some("single_flow_echo: INT-05".into()),
    };
    report.gates[8] = GateReport {
        name: Gate::MutantDetection.name(),
        verdict: "lab-error",
        counted: 2,
        failed: 1,
        reason: Some("flips_a_bit survived".into()),
    };
    report.gates[9] = GateReport {
        name: Gate::GeneratedBackendParity.name(),
        verdict: "not-exercised",
        counted: 0,
        failed: 0,
        reason: Some("nothing was compared".into()),
    };
    report.mutants.push(mutant("flips_a_bit", "survived", &[]));
    report.mutants.push(mutant("depends_on_its_process", "not-tried", &[]));
    report.agreements[0].hash.clear();
    report.agreements[0].error = Some("flow_priority is required, and not claimed".into());
    report.not_exercised = vec!["ERR-05"];
    for (rule, broken) in [("INT-05", 2), ("INT-07", 2), ("RES-04", 1), ("ISO-03", 1)] {
        let rule = report.rules.iter_mut().find(|it| it.rule == rule).unwrap();
        (rule.exercised, rule.violated) = (2, broken);
    }
    report.rules[1].applicable = 0;
    report.rules[1].exercised = 0;
    report.failures = vec![listed(said), beside(said), small()];
    report.expectations = vec![ExpectationReport {
        line: 3,
        rule: Some("ISO-03"),
        scenario: Some("single_flow_echo"),
        reason: "one lock for all flows".into(),
        verdict: "known-fail",
        runs: 1,
        failed: 1,
    }];
    report
}

/// A failure with its last events.
fn listed(said: &str) -> Failure {
    Failure {
        adapter: "leaky".into(),
        verdict: "fail",
        rule: Some("INT-05"),
        level: "MUST",
        sentence: "When an adapter says that a direction ended, it has put out all that it took of it.",
        scenario: "single_flow_echo",
        seed: 7,
        flow: 1,
        offset: Some(64),
        tick: 12,
        event: 19,
        said: said.into(),
        last_events: vec![
            event(3, "offer", "egress", "egress is offered 65 bytes at 0, chunk 1, the last"),
            event(18, "took", "egress", "egress took 65 bytes"),
            event(19, "said", "egress", "egress says: nothing more comes"),
        ],
        replay: None,
        small: None,
        also: vec![Also { rule: "INT-07", said: LOST.into() }],
        shown_with: None,
        command: "becket check plugin target/leaky.so --start-seed 7 --profiles 1".into(),
    }
}

/// A failure in the same run, which is listed there.
fn beside(said: &str) -> Failure {
    let (also, shown_with) = (Vec::new(), Some("INT-05"));
    Failure {
        rule: Some("INT-07"),
        sentence: "When a flow ends in order, its sink has had the whole answer.",
        event: 24,
        said: LOST.into(),
        also,
        shown_with,
        ..listed(said)
    }
}

/// A shrunk failure with a file.
fn small() -> Failure {
    let said = "what it said that it holds is 64, and has to be at least 320";
    let steps = vec![event(0, "took", "ingress", "ingress took 1 byte")];
    Failure {
        rule: Some("RES-04"),
        level: "SHOULD",
        verdict: "non-strict",
        scenario: "large_flow_backpressure",
        seed: 8,
        replay: Some("out/RES-04-large_flow_backpressure-8.small.replay".into()),
        command: "becket check plugin target/leaky.so --start-seed 8 --profiles 1".into(),
        also: Vec::new(),
        small: Some(Small {
            size: 2,
            inputs: inputs(1),
            inputs_before: inputs(40),
            events_before: 900,
            events: 1,
            tries: 20,
            is_minimal: true,
            steps,
        }),
        ..listed(said)
    }
}

fn inputs(chunks: usize) -> Inputs {
    Inputs { flows: 1, chunks, ends: 0, faults: 0, choices: 0 }
}
