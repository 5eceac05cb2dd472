// SPDX-License-Identifier: BSD-3-Clause
//! The exit codes, in one table: what a script may conclude.

use std::process::ExitCode;

use becket_lab::rules::Exit as LabExit;

/// What the process ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Ok,
    /// A failure without a code of its own: a file, a socket, the terminal.
    Failure,
    /// The arguments are wrong.
    Usage,
    /// The plugin could not be loaded.
    Load,
    /// The call was refused or failed.
    Call,
    /// The call was not answered by its deadline.
    Deadline,
    /// The configuration is wrong.
    Config,
    /// A check found something wrong.
    Check,
    /// Ctrl-C, or a second signal.
    Interrupted,
    /// What `check` and `lab` say by a table of their own.
    Lab(LabExit),
}

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

impl Exit {
    /// Every code but those of the lab, in the order of its number.
    pub(crate) const ALL: [Self; 9] = [
        Self::Ok,
        Self::Failure,
        Self::Usage,
        Self::Load,
        Self::Call,
        Self::Deadline,
        Self::Config,
        Self::Check,
        Self::Interrupted,
    ];

    /// The process's exit code.
    pub(crate) const fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Failure => 1,
            Self::Usage => 2,
            Self::Load => 3,
            Self::Call => 4,
            Self::Deadline => 5,
            Self::Config => 6,
            Self::Check => 7,
            Self::Interrupted => 130,
            Self::Lab(exit) => exit.code(),
        }
    }

    /// One word for `"kind"` in JSON.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Failure => "failure",
            Self::Usage => "usage",
            Self::Load => "load",
            Self::Call => "call",
            Self::Deadline => "deadline",
            Self::Config => "config",
            Self::Check => "check",
            Self::Interrupted => "interrupted",
            Self::Lab(LabExit::Ok) => "ok",
            Self::Lab(LabExit::Conformance) => "conformance",
            Self::Lab(LabExit::Usage) => "usage",
            Self::Lab(LabExit::Inconclusive) => "inconclusive",
            Self::Lab(LabExit::Baseline) => "baseline",
            Self::Lab(LabExit::Nondeterministic) => "nondeterministic",
            Self::Lab(LabExit::Internal) => "internal",
        }
    }

    /// The exit of this word.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter().chain(LAB.map(Self::Lab));
        all.find(|exit| exit.word() == word)
    }

    /// One line for the table in `becket --help` and the manual.
    pub(crate) const fn meaning(self) -> &'static str {
        match self {
            Self::Ok => "done; for `serve`, a drain in which every call ended",
            Self::Failure => {
                "failed: a file, a socket, a server that has gone, a drain that ran out of time"
            }
            Self::Usage => "the arguments are wrong",
            Self::Load => "the plugin could not be loaded",
            Self::Call => "the call was refused or failed; the channel is not there, or closed",
            Self::Deadline => {
                "the call was not answered by its deadline; nothing came or was accepted in time"
            }
            Self::Config => "the configuration is wrong",
            Self::Check => "`plugin check` found something wrong, or a `--fail-if` holds",
            Self::Interrupted => "interrupted: Ctrl-C, or a second signal while draining",
            Self::Lab(LabExit::Ok) => "every gate is passed, or fails where that was expected",
            Self::Lab(LabExit::Conformance) => {
                "an adapter breaks a rule; the two reports or runs differ; no code that was generated fits"
            }
            Self::Lab(LabExit::Usage) => {
                "the arguments are wrong, or a file that they name cannot be read or written"
            }
            Self::Lab(LabExit::Inconclusive) => {
                "nothing can be said, or something was never tried: a gate, a rule in full mode"
            }
            Self::Lab(LabExit::Baseline) => {
                "the lab misses a saboteur, or fails an adapter in which nothing is wrong"
            }
            Self::Lab(LabExit::Nondeterministic) => "the same seed gave two different runs",
            Self::Lab(LabExit::Internal) => "the lab, or the runtime below it, did something wrong",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// The table as indented text, for help pages.
pub(crate) fn table() -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in Exit::ALL {
        text.push_str(&format!("  {:>3}  {}\n", exit.code(), exit.meaning()));
    }
    text
}

/// The table of `check` and `lab`, for their help pages.
pub(crate) fn lab_table() -> String {
    let mut text = String::from("Exit codes:\n");
    for exit in LAB {
        text.push_str(&format!("  {:>3}  {}\n", exit.code(), Exit::Lab(exit).meaning()));
    }
    let interrupted = Exit::Interrupted;
    text.push_str(&format!("  {:>3}  {}\n", interrupted.code(), "interrupted: Ctrl-C"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_found_by_its_word() {
        for exit in Exit::ALL.into_iter().chain(LAB.map(Exit::Lab)) {
            let found = Exit::of_word(exit.word()).unwrap();
            assert_eq!((found.code(), found.word()), (exit.code(), exit.word()));
        }
        assert_eq!(Exit::of_word("fine"), None);
    }
}
