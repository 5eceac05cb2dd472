// SPDX-License-Identifier: BSD-3-Clause
//! Payload in the texts of an adapter fails the hygiene gate, in every encoding.

use becket_lab::check::{self, Options};
use becket_lab::gate::Gate;
use becket_lab::hygiene::Encoding;
use becket_lab::mutant;
use becket_lab::report::json;

use crate::long::or_long;

/// Mutants, and the encoding that is reported.
const WRITTEN: [(&str, Encoding); 8] = [
    ("leaks_payload_as_it_is", Encoding::Raw),
    ("payload_trace_leak", Encoding::Hex),
    ("leaks_payload_in_base64", Encoding::Base64),
    ("leaks_payload_with_percent_signs", Encoding::Percent),
    ("leaks_payload_reversed", Encoding::Reversed),
    ("leaks_payload_in_utf_16", Encoding::Utf16),
    ("leaks_eight_bytes_of_payload", Encoding::Hex),
    ("leaks_payload_as_a_list", Encoding::Decimal),
];

#[test]
fn payload_is_found_in_each_encoding() {
    for (name, encoding) in WRITTEN {
        let mutant = mutant::of_name(name).unwrap();
        for start_seed in [1, 5].into_iter().take(or_long(1, 2)) {
            let options = Options::quick(name, &mutant.make);
            let report = check::run(&Options { start_seed, gates_of_lab: false, ..options });
            let gate = report.gate(Gate::TraceHygiene).unwrap();
            assert_eq!(gate.verdict, "fail", "{name} from {start_seed}");
            assert_eq!((report.verdict, report.exit_code), ("fail", 1), "{name}");
            let runs = report.profiles.iter().flat_map(|profile| &profile.runs);
            let mut findings = runs.flat_map(|run| &run.findings);
            let says = |said: &str| said.contains(&format!("({})", encoding.name()));
            let is_said = |rule: &str, said: &str| rule == "HYG-01" && says(said);
            let found = findings.find(|finding| is_said(finding.rule, &finding.said));
            assert!(found.is_some(), "{name}: not found as {}", encoding.name());
            // The report of the leak does not repeat it.
            assert!(!json(&report).unwrap().contains(", last "), "{name}");
        }
    }
}
