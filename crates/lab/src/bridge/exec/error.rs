// SPDX-License-Identifier: BSD-3-Clause
//! Errors of a child process.

use std::io;
use std::process::ExitStatus;
use std::sync::LazyLock;

use crate::contract::ManifestError;

/// Why a child cannot be used, or not any longer. It is terminated then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// The command has no words, or an unterminated quote.
    #[error("the command cannot be read: {0}")]
    Command(&'static str),
    /// The program cannot be started.
    #[error("the program `{program}` cannot be started")]
    Start {
        /// The first word of the command.
        program: String,
        /// The error of the system.
        source: io::Error,
    },
    /// It ended during a run: a sentence with its signal or exit code.
    #[error("{0}")]
    Ended(&'static str),
    /// It closed its stdout and kept running.
    #[error("the adapter's process closed its side and did not end")]
    Closed,
    /// It did not answer, or did not read, for this many milliseconds. The message omits the
    /// number, so that it is the same in each run.
    #[error("the adapter's process did not answer")]
    Hung(u64),
    /// Its answer is longer than the maximum.
    #[error("an answer of {0} bytes: no answer is that long")]
    TooLong(u32),
    /// Its answer is invalid.
    #[error("an answer that cannot be read: {0}")]
    Garbled(&'static str),
    /// It put out something in each of this many answers to one poll.
    #[error("a poll that took {0} answers and had still more")]
    NoEnd(u32),
    /// It speaks another version of the protocol.
    #[error("it speaks version {found} of the protocol; this is version {known}")]
    Version {
        /// Its version.
        found: u16,
        /// The supported version.
        known: u16,
    },
    /// Its manifest is invalid.
    #[error("its manifest makes no sense: {0}")]
    Manifest(#[from] ManifestError),
    /// The connection to it broke.
    #[error("the connection to the adapter's process broke")]
    Io(#[source] io::Error),
}

impl ExecError {
    /// The cause, beyond what `Display` gives.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::Start { source, .. } | Self::Io(source) => Some(source.to_string()),
            Self::Hung(ms) => Some(format!("it was given {ms} ms")),
            _ => None,
        }
    }

    /// What to try, if there is something.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Self::Command(_) => "the command is split at spaces; quote a word that has some",
            Self::Start { .. } => "the command is run without a shell, from this folder",
            Self::Ended(_) => {
                "its stderr is not shown, there may be payload in it; `exec:sh -c 'exec COMMAND \
                 2>FILE'` keeps it"
            }
            Self::Hung(_) => "answers go to stdout, each at once: flush it behind every answer",
            Self::TooLong(_) | Self::Garbled(_) => {
                "stdout belongs to the protocol: write what is for people to stderr"
            }
            Self::Version { .. } => "the book's chapter on adapters in other languages has it",
            _ => return None,
        })
    }
}

/// Exit codes of a process.
const CODES: usize = 256;
/// Upper bound of signal numbers.
const SIGNALS: usize = 65;

/// How a process ended, as a sentence. There is a bounded number of them, and each is created once.
pub(super) fn ended(status: ExitStatus) -> &'static str {
    use std::os::unix::process::ExitStatusExt as _;
    static SENTENCES: LazyLock<Vec<String>> = LazyLock::new(|| {
        let by_code = (0..CODES).map(|code| match code {
            0 => "the adapter's process ended: exit code 0".to_owned(),
            code => format!("the adapter's process crashed: exit code {code}"),
        });
        let by_signal = (0..SIGNALS).map(|signal| match signal_name(signal) {
            Some(name) => format!("the adapter's process crashed: signal {signal}, {name}"),
            None => format!("the adapter's process crashed: signal {signal}"),
        });
        by_code.chain(by_signal).collect()
    });
    let number = match (status.signal(), status.code()) {
        (Some(signal), _) => usize::try_from(signal).ok().map(|signal| CODES + signal),
        (None, Some(code)) => usize::try_from(code).ok().filter(|code| *code < CODES),
        (None, None) => None,
    };
    let sentence = number.and_then(|number| SENTENCES.get(number));
    sentence.map_or("the adapter's process ended: no exit code", String::as_str)
}

/// The most common fatal signals.
const fn signal_name(signal: usize) -> Option<&'static str> {
    Some(match signal {
        1 => "SIGHUP",
        2 => "SIGINT",
        3 => "SIGQUIT",
        4 => "SIGILL",
        5 => "SIGTRAP",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        13 => "SIGPIPE",
        14 => "SIGALRM",
        15 => "SIGTERM",
        24 => "SIGXCPU",
        31 => "SIGSYS",
        _ => return None,
    })
}
