// SPDX-License-Identifier: BSD-3-Clause
//! Payload that an adapter tells fails the gate of hygiene, however it is written.

use becket_lab::check::{self, Options};
use becket_lab::gate::Gate;
use becket_lab::hygiene::Disguise;
use becket_lab::report::json;
use becket_lab::saboteur;

/// Who writes payload how, and what is said of it.
const WRITTEN: [(&str, Disguise); 8] = [
    ("leaks_payload_as_it_is", Disguise::Raw),
    ("payload_trace_leak", Disguise::Hex),
    ("leaks_payload_in_base64", Disguise::Base64),
    ("leaks_payload_with_percent_signs", Disguise::Percent),
    ("leaks_payload_reversed", Disguise::Reversed),
    ("leaks_payload_in_utf_16", Disguise::Utf16),
    ("leaks_eight_bytes_of_payload", Disguise::Hex),
    ("leaks_payload_as_a_list", Disguise::Decimal),
];

#[test]
fn payload_is_found_in_each_encoding() {
    for (name, disguise) in WRITTEN {
        let saboteur = saboteur::of_name(&format!("local_adapter_{name}")).unwrap();
        for start_seed in [1, 5] {
            let report =
                check::run(&Options { start_seed, ..Options::quick(name, &saboteur.make) });
            let gate = report.gate(Gate::TraceHygiene).unwrap();
            assert_eq!(gate.verdict, "fail", "{name} from {start_seed}");
            assert_eq!((report.verdict, report.exit_code), ("fail", 1), "{name}");
            let runs = report.profiles.iter().flat_map(|profile| &profile.runs);
            let mut findings = runs.flat_map(|run| &run.findings);
            let says = |said: &str| said.contains(&format!("({})", disguise.name()));
            let is_said = |rule: &str, said: &str| rule == "HYG-01" && says(said);
            let found = findings.find(|finding| is_said(finding.rule, &finding.said));
            assert!(found.is_some(), "{name}: not found as {}", disguise.name());
            // Who tells of the leak does not leak.
            assert!(!json(&report).unwrap().contains(", last "), "{name}");
        }
    }
}
