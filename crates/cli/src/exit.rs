// SPDX-License-Identifier: BSD-3-Clause
//! The exit codes, in one table.

#[cfg(feature = "lab")]
mod lab;

use std::process::ExitCode;

#[cfg(feature = "lab")]
use becket_lab::rules::Exit as LabExit;

#[cfg(feature = "lab")]
pub(crate) use self::lab::{LAB, table as lab_table};

/// The exit of the process.
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
    /// An exit of `check` and `lab`, which have their own table.
    #[cfg(feature = "lab")]
    Lab(LabExit),
}

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
        self.row().0
    }

    /// One word for `"kind"` in JSON.
    pub(crate) const fn word(self) -> &'static str {
        self.row().1
    }

    /// One line for the table in `becket --help` and the manual.
    pub(crate) const fn meaning(self) -> &'static str {
        self.row().2
    }

    /// The exit of this word.
    pub(crate) fn of_word(word: &str) -> Option<Self> {
        let all = Self::ALL.into_iter();
        #[cfg(feature = "lab")]
        let all = all.chain(LAB.map(Self::Lab));
        let mut all = all;
        all.find(|exit| exit.word() == word)
    }

    /// Its line of the table: the code, the word, the meaning.
    const fn row(self) -> (u8, &'static str, &'static str) {
        match self {
            Self::Ok => (0, "ok", "done; for `serve`, a drain in which every call ended"),
            Self::Failure => (
                1,
                "failure",
                "failed: a file, a socket, a server that has gone, a drain that ran out of time",
            ),
            Self::Usage => (2, "usage", "the arguments are wrong"),
            Self::Load => (3, "load", "the plugin could not be loaded"),
            Self::Call => {
                (4, "call", "the call was refused or failed; the channel is not there, or closed")
            }
            Self::Deadline => (
                5,
                "deadline",
                "the call was not answered by its deadline; nothing came or was accepted in time",
            ),
            Self::Config => (6, "config", "the configuration is wrong"),
            Self::Check => {
                (7, "check", "`plugin check` found something wrong, or a `--fail-if` holds")
            }
            Self::Interrupted => {
                (130, "interrupted", "interrupted: Ctrl-C, or a second signal while draining")
            }
            #[cfg(feature = "lab")]
            Self::Lab(exit) => lab::row(exit),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_is_found_by_its_word() {
        let all = Exit::ALL.into_iter();
        #[cfg(feature = "lab")]
        let all = all.chain(LAB.map(Exit::Lab));
        for exit in all {
            let found = Exit::of_word(exit.word()).unwrap();
            assert_eq!((found.code(), found.word()), (exit.code(), exit.word()));
        }
        assert_eq!(Exit::of_word("fine"), None);
    }
}
