// SPDX-License-Identifier: BSD-3-Clause
//! The output of a check: progress, files of failed runs, known failures, and the hashes of a fresh
//! process.

use std::collections::BTreeMap;
use std::process::Command;

use becket_lab::adapters::{HEALTHY, Pair};
use becket_lab::check::{self, ARTEFACTS_MAX, Expectations, Make, Mode, Options, Progress};
use becket_lab::contract::Limits;
use becket_lab::mutant::{self, Mutant};
use becket_lab::replay::Replay;
use becket_lab::report::{Report, json};
use parking_lot::Mutex;

use crate::long::or_long;

fn healthy(limits: Limits) -> Pair {
    (HEALTHY[0].make)(limits)
}

fn mutant(name: &str) -> &'static Mutant {
    mutant::of_name(name).expect("a mutant with this name")
}

fn quick<'a>(make: Make<'a>) -> Options<'a> {
    Options::quick("pair", make)
}

/// The same, without what is about the lab.
fn alone<'a>(make: Make<'a>) -> Options<'a> {
    Options { gates_of_lab: false, ..quick(make) }
}

fn expected(text: &str, make: Make<'_>) -> Report {
    let expect = Expectations::parse(text).expect("expectations");
    check::run(&Options { expect: Some(&expect), ..quick(make) })
}

fn verdict(report: &Report) -> (&'static str, u8) {
    (report.verdict, report.exit_code)
}

/// The rules that adapters violated, each once.
fn broken(report: &Report) -> Vec<&'static str> {
    report.failures.iter().filter_map(|failure| failure.rule).collect()
}

#[test]
fn progress_grows_to_the_end_and_changes_nothing() {
    let without = json(&check::run(&quick(&healthy))).unwrap();
    for jobs in or_long(&[2][..], &[1, 2, 5]) {
        let jobs = *jobs;
        let heard = Mutex::new(Vec::new());
        let observe = |progress: Progress| heard.lock().push(progress);
        let options = Options { progress: Some(&observe), jobs, ..quick(&healthy) };
        assert_eq!(json(&check::run(&options)).unwrap(), without, "{jobs}");
        let heard = heard.into_inner();
        let all = heard.len();
        assert!(heard.iter().map(|it| it.done).eq(1..=all) && all > 9, "{heard:?}");
        assert!(heard.iter().all(|it| it.total == all));
        let mut runs: Vec<_> = heard.iter().filter_map(|it| Some((it.seed?, it.what))).collect();
        runs.sort_unstable();
        runs.dedup();
        assert_eq!(runs.len(), 9);
    }
}

#[test]
fn shrinking_is_announced_before_the_first_failure_is_shrunk() {
    let make = &mutant("duplicates_chunk").make;
    let heard = Mutex::new(Vec::new());
    let observe = |progress: Progress| heard.lock().push(progress);
    let keeps = |_: &check::Artefact<'_>| ();
    let options = Options { artefacts: Some(&keeps), progress: Some(&observe), ..alone(make) };
    assert_eq!(check::run(&options).exit_code, 1);
    let heard = heard.into_inner();
    let at = heard.iter().position(|it| it.what == "shrinking").unwrap();
    assert_eq!((heard[at].done, heard[at].done), (heard[at - 1].done, heard[at - 1].total));
    assert!(heard[at].total > heard[at].done, "{:?}", heard[at]);
}

#[test]
fn a_failure_is_kept_at_once_and_once_more_when_it_is_small() {
    let make = &mutant("duplicates_chunk").make;
    let kept_by = |jobs| {
        let kept = Mutex::new(Vec::new());
        let runs = Mutex::new(0);
        let keeps = |it: &check::Artefact<'_>| {
            let small = it.shrunk.map(|shrunk| (shrunk.before.events, shrunk.size.events));
            let runs = *runs.lock();
            let mut kept = kept.lock();
            kept.push((it.name.to_owned(), it.failure.rule, it.replay.to_text(), small, runs));
        };
        let counts = |_: Progress| *runs.lock() += 1;
        let options =
            Options { artefacts: Some(&keeps), progress: Some(&counts), jobs, ..alone(make) };
        let report = check::run(&options);
        (report, kept.into_inner())
    };
    let (report, kept) = kept_by(1);
    let first = kept.first().unwrap();
    assert!(first.4 <= 3 && first.3.is_none(), "not at once: {first:?}");

    let (big, small): (Vec<_>, Vec<_>) = kept.iter().partition(|it| it.3.is_none());
    assert_eq!(big.len(), small.len());
    assert_eq!(big.len(), report.failures.len().min(ARTEFACTS_MAX));
    for ((name, rule, text, ..), (small_name, small_rule, small_text, sizes, _)) in
        big.iter().zip(&small)
    {
        assert_eq!(
            (rule, name.replace(".replay", ".small.replay")),
            (small_rule, small_name.clone())
        );
        let (before, after) = sizes.unwrap();
        assert!(after <= before);
        for text in [text, small_text] {
            let replay = Replay::parse(text).unwrap();
            let again = check::repeat(make, &replay);
            assert!(replay.is_repeated_by(&again.trace), "{name}");
            assert!(again.findings.iter().any(|it| Some(it.rule) == *rule), "{name}");
            assert!(check::repeat(&healthy, &replay).findings.is_empty(), "{name}");
        }
    }
    let sizes = report.failures.iter().filter_map(|it| it.small.as_ref());
    let sizes: Vec<_> = sizes.map(|small| (small.size, small.inputs_before.sum())).collect();
    assert!(sizes.iter().all(|(size, before)| *size <= 5 && size <= before), "{sizes:?}");
    let first = &report.failures[0];
    let of_run = report.failures.iter().filter(|it| it.shown_with == first.rule);
    assert_eq!(of_run.clone().count(), first.also.len());
    assert!(!first.also.is_empty() && of_run.clone().all(|it| it.text().is_empty()));
    assert!(of_run.into_iter().all(|it| it.seed == first.seed && it.event >= first.event));
    let failure = first;
    assert_eq!(failure.replay.as_ref(), Some(&small[0].0));
    assert!(failure.small.as_ref().unwrap().events < 60, "{failure:?}");
    assert!(failure.text().contains(&format!("becket lab replay {}", small[0].0)));

    let without_time = |kept: Vec<(String, Option<&'static str>, String, Option<_>, i32)>| {
        kept.into_iter()
            .map(|(name, rule, text, small, _)| (name, rule, text, small))
            .collect::<Vec<_>>()
    };
    let kept = without_time(kept);
    let (other, others) = kept_by(2);
    assert_eq!((other, without_time(others)), (report, kept));
}

#[test]
fn the_command_of_a_failure_repeats_it() {
    let make = &mutant("wrong_flow_stream_mapping").make;
    let profiles = Some(or_long(1, 3));
    let report = check::run(&Options { mode: Mode::Full, profiles, ..alone(make) });
    assert!(!report.failures.is_empty());
    let mut repeated = BTreeMap::new();
    for failure in &report.failures {
        let words: Vec<_> = failure.command.split(' ').collect();
        assert_eq!(words[..5], ["becket", "check", "local-adapter", "--adapter", "pair"]);
        assert_eq!(words[5..9], ["--start-seed", &failure.seed.to_string(), "--profiles", "1"]);
        let mode = if words.get(9) == Some(&"--full") { Mode::Full } else { Mode::Quick };
        let start_seed = failure.seed;
        let options = Options { mode, start_seed, profiles: Some(1), ..alone(make) };
        let report = repeated
            .entry((start_seed, mode == Mode::Full))
            .or_insert_with(|| check::run(&options));
        let run =
            report.profiles[0].runs.iter().find(|run| run.scenario == failure.scenario).unwrap();
        let is_it = run.findings.iter().any(|it| {
            Some(it.rule) == failure.rule && it.event == failure.event && it.said == failure.said
        });
        assert!(is_it || failure.rule.is_none(), "{}", failure.text());
        if failure.rule.is_some() {
            // The index after the last event is the end.
            let last = failure.last_events.last().unwrap().line();
            let last = last.trim_start();
            let numbers = [failure.event, failure.event + 1].map(|number| format!("{number} "));
            assert!(numbers.iter().any(|number| last.starts_with(number)), "{}", failure.text());
        }
    }
}

#[test]
fn a_panic_is_kept_up_to_where_it_was() {
    let make = |limits: Limits| -> Pair { (mutant("drops_final_chunk").make)(limits) };
    let panics = |limits: Limits| -> Pair {
        let (ingress, egress) = make(limits);
        (ingress, Box::new(panic::OnAccept(egress)))
    };
    let kept = Mutex::new(Vec::new());
    let keeps = |it: &check::Artefact<'_>| kept.lock().push(it.replay.clone());
    let options = Options { artefacts: Some(&keeps), profiles: Some(1), ..alone(&panics) };
    let report = check::run(&options);
    assert_eq!(report.failures.len(), 3);
    assert!(report.failures[0].text().contains("an adapter panicked"));
    let kept = kept.into_inner();
    assert_eq!(kept.len(), 3);
    let repeats = || check::repeat(&panics, &kept[0]);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(repeats)).is_err());
}

mod panic {
    //! An adapter that panics when it is offered something.

    use becket_lab::contract::{
        Adapter, AdapterError, Cause, Chunk, Context, Descriptor, EgressAdapter, FlowId, Manifest,
        Outlet,
    };

    pub(super) struct OnAccept(pub(super) Box<dyn EgressAdapter>);

    impl Adapter for OnAccept {
        fn manifest(&self) -> Manifest {
            self.0.manifest()
        }

        fn open(
            &mut self,
            cx: &mut Context<'_>,
            flow: FlowId,
            descriptor: &Descriptor,
        ) -> Result<(), AdapterError> {
            self.0.open(cx, flow, descriptor)
        }

        fn half_close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Result<(), AdapterError> {
            self.0.half_close(cx, flow)
        }

        fn reset(
            &mut self,
            cx: &mut Context<'_>,
            flow: FlowId,
            cause: Cause,
        ) -> Result<(), AdapterError> {
            self.0.reset(cx, flow, cause)
        }

        fn close(&mut self, cx: &mut Context<'_>, flow: FlowId) -> Result<(), AdapterError> {
            self.0.close(cx, flow)
        }

        fn poll(&mut self, cx: &mut Context<'_>, outlet: &mut Outlet<'_>) {
            self.0.poll(cx, outlet);
        }

        fn buffered_bytes(&self) -> u64 {
            self.0.buffered_bytes()
        }

        fn summary(&self) -> String {
            self.0.summary()
        }
    }

    impl EgressAdapter for OnAccept {
        fn accept(
            &mut self,
            _cx: &mut Context<'_>,
            _chunk: &Chunk,
            _bytes: &[u8],
        ) -> Result<usize, AdapterError> {
            panic!("accepts nothing")
        }
    }
}

#[test]
fn what_is_known_does_not_fail_and_what_is_known_in_vain_does() {
    let make = &mutant("duplicates_chunk").make;
    let report = check::run(&quick(make));
    assert_eq!(verdict(&report), ("fail", 1));
    let all: String = broken(&report)
        .iter()
        .map(|rule| format!("[[expect]]\nrule = \"{rule}\"\nreason = \"it duplicates chunks\"\n"))
        .collect();
    let known = expected(&all, make);
    assert_eq!(verdict(&known), ("known-fail", 0), "{:#?}", known.gates);
    assert!(known.expectations.iter().all(|it| it.verdict == "known-fail" && it.failed > 0));
    assert!(known.failures.is_empty(), "{:#?}", known.failures);
    let runs = || known.profiles.iter().flat_map(|profile| &profile.runs);
    assert!(runs().any(|run| run.verdict == "known-fail"));
    assert!(runs().all(|run| run.verdict != "fail"));
    assert_eq!(known.gates[0].verdict, "known-fail");

    // One rule less, and it fails again.
    let less = all.split_inclusive("chunks\"\n").skip(1).collect::<String>();
    let failed = expected(&less, make);
    assert_eq!(verdict(&failed), ("fail", 1));
    // Beside it the known failures are not reported.
    assert_eq!(broken(&failed), broken(&report)[..1]);
    // The same for a healthy pair: none of the failures happens.
    let in_vain = expected(&all, &healthy);
    assert_eq!(verdict(&in_vain), ("unexpected-pass", 1));
    let verdicts: Vec<_> = in_vain.expectations.iter().map(|it| it.verdict).collect();
    assert!(verdicts.contains(&"unexpected-pass") && !verdicts.contains(&"known-fail"));
}

#[test]
fn an_entry_is_about_its_scenario_its_seeds_and_its_adapter_alone() {
    let make = &mutant("duplicates_chunk").make;
    let entry = |fields: &str| format!("[[expect]]\n{fields}\nreason = \"known\"\n");
    let names = ["single_flow_echo", "many_small_flows", "large_flow_backpressure"];
    let scenarios: String =
        names.iter().map(|name| entry(&format!("scenario = \"{name}\""))).collect();
    assert_eq!(verdict(&expected(&scenarios, make)), ("known-fail", 0));
    let of_pair = scenarios.replace("reason", "adapter = \"pair\"\nseed = \"1..=3\"\nreason");
    assert_eq!(verdict(&expected(&of_pair, make)), ("known-fail", 0));

    for fields in ["adapter = \"ring\"", "seed = 4", "seed = \"4..=9\""] {
        let other = scenarios.replace("reason", &format!("{fields}\nreason"));
        let report = expected(&other, make);
        assert_eq!(verdict(&report), ("fail", 1), "{fields}");
        assert!(report.expectations.iter().all(|it| it.verdict == "not-applicable"), "{fields}");
    }
    // Half-closing has no occasion in quick mode.
    let idle = expected(&entry("rule = \"CAP-01\""), &healthy);
    assert_eq!(verdict(&idle), ("pass", 0));
    assert_eq!(idle.expectations[0].verdict, "not-exercised");
}

#[test]
fn a_file_of_expectations_is_read_or_refused_with_its_line() {
    let bad = [
        ("[[expect]]\nrule = \"INT-99\"\nreason = \"r\"\n", "line 2: there is no rule \"INT-99\""),
        ("[[expect]]\nscenario = \"x\"\nreason = \"r\"\n", "line 2: there is no scenario \"x\""),
        (
            "[[expect]]\nrule = \"INT-10\"\nreason = \"r\"\n",
            "line 2: the rule INT-10 judges the runtime",
        ),
        ("\n[[expect]]\nreason = \"r\"\n", "line 2 has neither"),
        ("[[expect]]\nrule = \"INT-01\"\n", "line 1: a reason has"),
        ("[[expect]]\nrule = \"INT-01\"\nreason = \"  \"\n", "line 3: a reason has"),
        (
            "[[expect]]\nrule = \"INT-01\"\nseed = -1\nreason = \"r\"\n",
            "line 3: \"-1\" are no seeds",
        ),
        ("[[expect]]\nrule = \"INT-01\"\nseed = \"9..=3\"\nreason = \"r\"\n", "line 3: "),
        ("[[expect]]\nrule = \"INT-01\"\nrules = 3\nreason = \"r\"\n", "in line 3: unknown field"),
        ("[[expect]]\nrule = \"INT-01\nreason = \"r\"\n", "in line 2: "),
        ("[[known]]\n", "in line 1: unknown field"),
    ];
    for (text, said) in bad {
        let error = Expectations::parse(text).expect_err(text);
        assert!(error.to_string().contains(said), "{text}: {error}");
        assert!(!error.cause().is_empty() && !error.hint().is_empty());
    }
    assert!(Expectations::parse(&"#".repeat(2 << 20)).is_err());
    assert!(Expectations::parse(&"[[expect]]\n".repeat(1001)).is_err());
    let secret = "[[expect]]\nrule = \"password-71af\"\nreason = \"r\"\n";
    assert!(!Expectations::parse(secret).unwrap_err().to_string().contains("71af"));

    let good = "[[expect]]\nrule = \"int-01\"\nseed = 7\nreason = \" known \"\n\n";
    let more = "[[expect]]\nscenario = \"slow_drip\"\nreason = \"r\"\n";
    let read = Expectations::parse(&[good, more].concat()).unwrap();
    let [one, other] = &read.iter().collect::<Vec<_>>()[..] else { panic!("{read:?}") };
    assert_eq!((one.line, one.rule, &one.seeds), (1, Some("INT-01"), &(7..=7)));
    assert_eq!((one.reason.as_str(), other.line), ("known", 6));
    assert_eq!((other.scenario, &other.seeds), (Some("slow_drip"), &(0..=u64::MAX)));
}

/// Which adapters the fresh process is to run.
const RUN: &str = "BECKET_LAB_TEST_HASHES";
const TEST: &str = "check_output::in_a_fresh_process";

fn made(name: &str) -> fn(Limits) -> Pair {
    if name == "healthy" { healthy } else { mutant(name).make }
}

/// Runs the hashes of a check in a fresh process: the test's own program, asked for one test.
fn fresh_process(name: &str) -> Option<String> {
    let this = std::env::current_exe().ok()?;
    let mut command = Command::new(this);
    let output = command.args(["--exact", TEST, "--nocapture"]).env(RUN, name).output().ok()?;
    String::from_utf8(output.stdout).ok()
}

#[test]
fn in_a_fresh_process() {
    let Ok(name) = std::env::var(RUN) else {
        // It is not one: the hashes are those of the report.
        let report = check::run(&quick(&healthy));
        let said = check::hashes(&quick(&healthy));
        let runs = report.profiles.iter().flat_map(|it| it.runs.iter().map(|run| (it.seed, run)));
        for (seed, run) in runs.filter(|(_, run)| !run.trace.is_empty()) {
            assert!(said.contains(&format!("{seed} {} {}\n", run.scenario, run.trace)));
        }
        return;
    };
    let mode = if name.ends_with("process") { Mode::Full } else { Mode::Quick };
    print!("\n{}", check::hashes(&Options { mode, profiles: Some(2), ..quick(&made(&name)) }));
}

#[test]
fn an_adapter_that_differs_in_a_fresh_process_is_nondeterministic() {
    let run = |name: &str, mode| {
        let make = &made(name);
        let asks = || fresh_process(name);
        let options =
            Options { fresh_process: Some(&asks), profiles: Some(2), mode, ..quick(make) };
        check::run(&options)
    };
    let report = run("healthy", Mode::Quick);
    assert_eq!(verdict(&report), ("pass", 0), "{:#?}", report.failures);
    let without = check::run(&Options { profiles: Some(2), ..quick(&healthy) });
    let exercised = |report: &Report| report.profiles[0].runs[0].rules_exercised;
    assert_eq!(exercised(&report), exercised(&without) + 1);

    let report = run("depends_on_its_process", Mode::Full);
    assert_eq!(verdict(&report), ("nondeterministic", 5));
    assert!(broken(&report).contains(&"DET-02"));
    let depends = "depends_on_its_process";
    let mutant = report.mutants.iter().find(|mutant| mutant.name == depends).unwrap();
    assert_eq!((mutant.result, &mutant.rules[..]), ("killed", &["DET-02"][..]));
}

#[test]
fn a_fresh_process_that_says_nothing_proves_nothing() {
    for said in [None, Some(String::new()), Some("becket-lab-hash 1 single_flow_echo".into())] {
        let asks = || said.clone();
        let report = check::run(&Options { fresh_process: Some(&asks), ..alone(&healthy) });
        assert_eq!(verdict(&report), ("inconclusive", 3));
        assert!(report.profiles[0].runs.iter().all(|run| run.verdict == "inconclusive"));
    }
}
