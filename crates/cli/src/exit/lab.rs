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

/// The line of the table of this exit: the code, the word, the meaning.
pub(super) const fn row(exit: LabExit) -> (u8, &'static str, &'static str) {
    let (word, meaning) = match exit {
        LabExit::Ok => ("ok", "every gate is passed, or fails where that was expected"),
        LabExit::Conformance => (
            "conformance",
            "an adapter violates a rule; the two reports or runs differ; no code that was generated fits",
        ),
        LabExit::Usage => {
            ("usage", "the arguments are wrong, or a file that they name cannot be read or written")
        }
        LabExit::Inconclusive => (
            "inconclusive",
            "nothing can be said, or something was never tried: a gate, a rule in full mode",
        ),
        LabExit::Baseline => {
            ("baseline", "a mutant survives, or the lab fails an adapter in which nothing is wrong")
        }
        LabExit::Nondeterministic => ("nondeterministic", "the same seed gave two different runs"),
        LabExit::Internal => ("internal", "the lab, or the runtime below it, did something wrong"),
    };
    (exit.code(), word, meaning)
}

/// The table of `check` and `lab`, for their help pages.
pub(crate) fn table() -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in LAB {
        text.push_str(&format!("  {:>3}  {}\n", exit.code(), row(exit).2));
    }
    let interrupted = Exit::Interrupted;
    text.push_str(&format!("  {:>3}  {}\n", interrupted.code(), "interrupted: Ctrl-C"));
    text
}
