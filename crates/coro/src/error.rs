// SPDX-License-Identifier: BSD-3-Clause
//! The errors.

use std::{any::Any, fmt, io};

use thiserror::Error;

use crate::{join::panic_message, stack::StackError};

/// Why a coroutine was not started.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SpawnError {
    /// There is no stack for it.
    #[error("no stack for the coroutine")]
    Stack(#[from] StackError),
    /// The limit of living coroutines is reached.
    #[error("{coroutines_max} coroutines live, which is the limit")]
    TooMany {
        /// The runtime's limit, or the process's.
        coroutines_max: usize,
    },
    /// The runtime has ended, or is about to.
    #[error("the runtime has ended")]
    ShutDown,
    /// The runtime has no worker of that index.
    #[error("no worker {worker}: the runtime has {workers}")]
    NoWorker {
        /// The index that was asked for.
        worker: usize,
        /// The number of workers.
        workers: usize,
    },
    /// The default runtime could not be started.
    #[error("no runtime: {cause}")]
    NoRuntime {
        /// The error of the operating system.
        cause: io::ErrorKind,
    },
}

/// Why a coroutine has no result.
#[non_exhaustive]
pub enum JoinError {
    /// It panicked; with this payload.
    Panicked(Box<dyn Any + Send>),
    /// Its runtime ended before it did.
    Cancelled,
    /// It was never started.
    Refused(SpawnError),
}

impl JoinError {
    /// The message of the panic, if it was a panic with a text.
    pub fn message(&self) -> Option<&str> {
        match self {
            Self::Panicked(payload) => panic_message(&**payload),
            Self::Cancelled | Self::Refused(_) => None,
        }
    }

    /// Resumes the panic in the calling coroutine or thread; returns any other error.
    pub fn resume_panic(self) -> Self {
        match self {
            Self::Panicked(payload) => std::panic::resume_unwind(payload),
            other => other,
        }
    }
}

impl fmt::Display for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(_) => match self.message() {
                Some(message) => write!(f, "the coroutine panicked: {message}"),
                None => f.write_str("the coroutine panicked"),
            },
            Self::Cancelled => f.write_str("the runtime ended before the coroutine did"),
            Self::Refused(error) => write!(f, "the coroutine was not started: {error}"),
        }
    }
}

impl fmt::Debug for JoinError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panicked(_) => f.debug_tuple("Panicked").field(&self.message()).finish(),
            Self::Cancelled => f.write_str("Cancelled"),
            Self::Refused(error) => f.debug_tuple("Refused").field(error).finish(),
        }
    }
}

impl std::error::Error for JoinError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(error) => Some(error),
            Self::Panicked(_) | Self::Cancelled => None,
        }
    }
}

/// Why a runtime was not built.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// The operating system refused a thread.
    #[error("worker {worker} of {workers} could not be started")]
    Thread {
        /// The index of the worker.
        worker: usize,
        /// The requested number of workers.
        workers: usize,
        /// The error of the operating system.
        #[source]
        cause: io::Error,
    },
    /// The number of workers is out of range.
    #[error("{workers} workers: between 1 and {workers_max} are possible")]
    Workers {
        /// The requested number.
        workers: usize,
        /// The largest possible number.
        workers_max: usize,
    },
    /// The process has the largest possible number of workers already.
    #[error("{workers_max} workers run in this process, which is the limit")]
    TooManyWorkers {
        /// The limit of the process.
        workers_max: usize,
    },
    /// The stack size cannot be served.
    #[error("the stack size cannot be served")]
    Stack(#[from] StackError),
}
