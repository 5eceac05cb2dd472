// SPDX-License-Identifier: BSD-3-Clause
//! Reports for the terminal: one report in full; of several, those that fail, and a matrix of all.

use becket_lab::report::{self, Report, Tone};

use crate::ui::{BAD, DIM, GOOD, HEAD, WARN, paint};

/// What the names of gates begin with.
const PREFIX: &str = "local_adapter_";

/// One report in full; of several, those that fail, and a matrix of all.
pub(super) fn of(reports: &[Report]) -> String {
    if let [report] = reports {
        return report::text(report, &toned);
    }
    // Adapters that pass, or have no result, are only in the matrix.
    let failed = reports.iter().filter(|report| ![0, 3].contains(&report.exit_code));
    let mut all: Vec<String> = failed.map(|report| report::text(report, &toned)).collect();
    all.push(matrix(reports));
    all.join("\n")
}

fn toned(tone: Tone, text: &str) -> String {
    let style = match tone {
        Tone::Good => GOOD,
        Tone::Warn => WARN,
        Tone::Bad => BAD,
        Tone::Head => HEAD,
        Tone::Dim => DIM,
    };
    paint(style, text)
}

/// Adapters by gates.
fn matrix(reports: &[Report]) -> String {
    let width = reports.iter().map(|report| report.adapter.chars().count()).max().unwrap_or(0);
    let width = width.max("adapter".len());
    let mut text = String::new();
    let gates = reports.first().map(|report| report.gates.as_slice()).unwrap_or_default();
    for (at, gate) in gates.iter().enumerate() {
        let name = gate.name.strip_prefix(PREFIX).unwrap_or(gate.name);
        let bars = "│ ".repeat(at);
        text.push_str(&format!("{:width$}  {bars}┌ {}\n", "", paint(DIM, name)));
    }
    for report in reports {
        let marks: Vec<String> = report.gates.iter().map(|gate| mark(gate.verdict)).collect();
        let adapter = format!("{:<width$}", report.adapter);
        text.push_str(&format!("{adapter}  {}  {}\n", marks.join(" "), report.verdict));
    }
    text
}

fn mark(verdict: &str) -> String {
    match verdict {
        "pass" => paint(GOOD, "✓"),
        "known-fail" => paint(GOOD, "x"),
        "fail" | "unexpected-pass" => paint(BAD, "✗"),
        "nondeterministic" | "lab-error" => paint(BAD, "!"),
        "non-strict" => paint(WARN, "~"),
        "unsupported" | "not-applicable" => paint(DIM, "–"),
        _ => paint(WARN, "?"),
    }
}
