// SPDX-License-Identifier: BSD-3-Clause
//! The exit codes of `check` and `lab`, which the lab numbers itself.

use becket_lab::rules::Exit as LabExit;

use super::Exit;

/// The codes of `check` and `lab`, in the order of their numbers.
pub(crate) const LAB: [LabExit; 7] = [
    LabExit::Ok,
    LabExit::Conformance,
    LabExit::Usage,
    LabExit::Inconclusive,
    LabExit::Baseline,
    LabExit::Nondeterministic,
    LabExit::Internal,
];

/// One word for `"kind"` in JSON.
pub(super) const fn word(exit: LabExit) -> &'static str {
    match exit {
        LabExit::Ok => "ok",
        LabExit::Conformance => "conformance",
        LabExit::Usage => "usage",
        LabExit::Inconclusive => "inconclusive",
        LabExit::Baseline => "baseline",
        LabExit::Nondeterministic => "nondeterministic",
        LabExit::Internal => "internal",
    }
}

/// One line for the table of their help pages.
pub(super) const fn meaning(exit: LabExit) -> &'static str {
    match exit {
        LabExit::Ok => "every gate is passed, or fails where that was expected",
        LabExit::Conformance => {
            "an adapter violates a rule; the two reports or runs differ; no code that was generated fits"
        }
        LabExit::Usage => {
            "the arguments are wrong, or a file that they name cannot be read or written"
        }
        LabExit::Inconclusive => {
            "nothing can be said, or something was never tried: a gate, a rule in full mode"
        }
        LabExit::Baseline => {
            "a mutant survives, or the lab fails an adapter in which nothing is wrong"
        }
        LabExit::Nondeterministic => "the same seed gave two different runs",
        LabExit::Internal => "the lab, or the runtime below it, did something wrong",
    }
}

/// The table of `check` and `lab`, for their help pages.
pub(crate) fn table() -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in LAB {
        text.push_str(&format!("  {:>3}  {}\n", exit.code(), meaning(exit)));
    }
    let interrupted = Exit::Interrupted;
    text.push_str(&format!("  {:>3}  {}\n", interrupted.code(), "interrupted: Ctrl-C"));
    text
}
