// SPDX-License-Identifier: BSD-3-Clause
//! Plugins as links of flows: entries that give back what they are given pass, those that do not are
//! refused at once, and one that now and then swaps two frames is found, shrunk, written to a file
//! and repeated from there; so is one that loses bytes, as bytes that are missing.

use std::path::{Path, PathBuf};
use std::process::Command;

use becket_host::PluginSpec;
use becket_lab::adapters::{HEALTHY, Pair};
use becket_lab::bridge::plugin::{Address, PluginAdapter, PluginError};
use becket_lab::check::{self, Mode, Options};
use becket_lab::contract::Limits;
use becket_lab::gate::Gate;
use becket_lab::replay::{Diff, Replay};
use becket_lab::report::Report;
use becket_lab::shrink::Size;
use parking_lot::Mutex;

use crate::bridged::alone;
use crate::long::or_long;

/// Compiles a plugin in C.
fn compiled(source: &str, name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut command = Command::new(std::env::var("CC").unwrap_or_else(|_| "cc".into()));
    command.args(["-std=c11", "-O1", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread"]);
    for folder in ["crates/abi/include", "sdk/c"] {
        command.arg("-I").arg(root.join(folder));
    }
    let status = command.arg(root.join(source)).arg("-o").arg(&place).status().unwrap();
    assert!(status.success());
    place
}

fn sample(entry: &str) -> Result<PluginAdapter, PluginError> {
    PluginAdapter::of_spec(PluginSpec::linked("sample", becket_sample::PLUGIN), Some(entry))
}

fn check_of(link: &PluginAdapter, mode: Mode, profiles: u32) -> Report {
    let make = |limits: Limits| -> Pair { link.pair(limits) };
    check::run(&Options { mode, profiles: Some(profiles), ..alone("plugin", &make) })
}

fn passes(link: &PluginAdapter, mode: Mode, profiles: u32) {
    let report = check_of(link, mode, profiles);
    for gate in Gate::ALL.into_iter().take(7) {
        let result = report.gate(gate).unwrap();
        assert_eq!(result.verdict, "pass", "{}: {:?} {:?}", gate.name(), result, report.failures);
    }
}

#[test]
fn calls_of_a_sample_carry_flows() {
    passes(&sample("echo").unwrap(), Mode::Quick, 2);
}

#[test]
fn streams_of_a_sample_carry_flows() {
    passes(&sample("chat").unwrap(), or_long(Mode::Quick, Mode::Full), 2);
}

#[test]
fn a_plugin_in_c_carries_flows_and_the_entry_need_not_be_named() {
    let path = compiled("examples/plugins/c/plugin.c", "carrier_c.so");
    let link = PluginAdapter::load(&Address::parse(&path.display().to_string())).unwrap();
    assert_eq!(link.entry(), "chat");
    passes(&link, Mode::Quick, 1);
    let echo = PluginAdapter::load(&Address::parse(&format!("{}#echo", path.display()))).unwrap();
    assert_eq!(echo.entry(), "echo");
}

#[test]
fn what_does_not_give_back_is_refused() {
    let refused = |entry| sample(entry).unwrap_err();
    for entry in ["unary", "stream", "state", "fail"] {
        let error = refused(entry);
        assert!(matches!(error, PluginError::NoEcho { .. }), "{entry}: {error}");
        assert!(error.cause().is_some() && error.hint().is_some());
    }
    let error = refused("nothing");
    assert!(matches!(error, PluginError::NoEntry { .. }) && error.hint().unwrap().contains("chat"));
    let nowhere = PluginAdapter::load(&Address::parse("/no/such/plugin.so")).unwrap_err();
    assert!(matches!(nowhere, PluginError::Load(_)), "{nowhere}");
}

#[test]
fn frames_in_another_order_are_found_made_small_and_repeated_from_a_file() {
    let path = compiled("examples/zoo/plugins/stream_order.c", "stream_order.so");
    let address = Address::parse(&format!("{}#hit", path.display()));
    let link = PluginAdapter::load(&address).unwrap();
    let make = |limits: Limits| -> Pair { link.pair(limits) };
    let kept = Mutex::new(Vec::new());
    let keeps = |it: &check::Artefact<'_>| {
        let size = it.shrunk.map(|shrunk| shrunk.size);
        kept.lock().push((it.failure.rule, it.replay.to_text(), size));
    };
    let options = Options { artefacts: Some(&keeps), ..alone("stream_order", &make) };
    let report = check::run(&options);
    assert_eq!((report.verdict, report.exit_code), ("fail", 1));
    assert_eq!(report.gate(Gate::SequenceIntegrity).unwrap().verdict, "fail");

    let kept = kept.into_inner();
    let small = kept.iter().find(|(rule, _, size)| *rule == Some("INT-01") && size.is_some());
    let (_, text, size) = small.unwrap_or_else(|| panic!("{kept:?}"));
    let size = size.unwrap();
    println!("{size:?}");
    assert!(size.flows == 1 && size.chunks == 1 && size.deviations <= 5, "{size:?}");

    // From its file, with a plugin that was loaded anew: the same trace, the same rule.
    let replay = Replay::parse(text).unwrap();
    let again = PluginAdapter::load(&address).unwrap();
    let repeated = check::repeat(&|limits| again.pair(limits), &replay);
    assert!(replay.is_repeated_by(&repeated.trace));
    assert!(repeated.findings.iter().any(|finding| finding.rule == "INT-01"));

    // And beside an adapter in which nothing is wrong.
    let healthy = check::repeat(&HEALTHY[0].make, &replay);
    assert!(healthy.findings.is_empty(), "{:?}", healthy.findings);
    let diff = Diff::new(&healthy.trace, &repeated.trace);
    println!("{diff}");
    assert!(diff.differences() > 0);
}

/// The rules that a check of a plugin of the zoo finds broken, each with how small its run became.
fn found_in(name: &str) -> Vec<(&'static str, Option<Size>)> {
    let path = compiled(&format!("examples/zoo/plugins/{name}.c"), &format!("found_{name}.so"));
    let link = PluginAdapter::load(&Address::parse(&format!("{}#hit", path.display()))).unwrap();
    let make = |limits: Limits| -> Pair { link.pair(limits) };
    let kept = Mutex::new(Vec::new());
    let keeps = |it: &check::Artefact<'_>| {
        let size = it.shrunk.map(|shrunk| shrunk.size);
        kept.lock().push((it.failure.rule.unwrap(), size));
    };
    let options = Options { artefacts: Some(&keeps), shrink_tries: 100, ..alone(name, &make) };
    let report = check::run(&options);
    assert_eq!((report.verdict, report.exit_code), ("fail", 1), "{:?}", report.failures);
    kept.into_inner()
}

#[test]
fn bytes_that_are_lost_are_missing_and_no_offer_is_refused() {
    for name in ["loses_bytes", "loses_bytes_of_answers"] {
        let found = found_in(name);
        let of = |rule| found.iter().filter(move |(found, _)| *found == rule);
        // Nothing that was offered was refused, and no flow failed.
        assert!(found.iter().all(|(rule, _)| !rule.starts_with("ERR")), "{name}: {found:?}");
        assert!(of("INT-01").count() > 0 && of("INT-05").count() > 0, "{name}: {found:?}");
        let small = of("INT-05").find_map(|(_, size)| *size).unwrap();
        assert!(small.flows == 1 && small.chunks == 1, "{name}: {small:?}");
    }
}
