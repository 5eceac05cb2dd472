// SPDX-License-Identifier: BSD-3-Clause
//! A failure of a coroutine: a panic, an error, or that it could not be spawned.

use std::{any::Any, error::Error, fmt, panic::Location, sync::Arc};

use parking_lot::Mutex;

use crate::{SpawnError, panic_message};

/// An error of any type with which a coroutine ends.
pub type BoxError = Box<dyn Error + Send + Sync + 'static>;

/// Why a job failed, and which coroutine caused it. Clones are the same failure.
///
/// It has the coroutine's name and where it was spawned, and the panic or error.
#[derive(Clone)]
pub struct Failure(Arc<Inner>);

struct Inner {
    name: Option<Arc<str>>,
    site: &'static Location<'static>,
    cause: Cause,
}

enum Cause {
    Panicked { message: Option<Arc<str>>, payload: Mutex<Option<Box<dyn Any + Send>>> },
    Error(BoxError),
    Code(i32),
    Refused(SpawnError),
}

impl Failure {
    pub(crate) fn panicked(of: Of<'_>, payload: Box<dyn Any + Send>) -> Self {
        let message = panic_message(&*payload).map(Arc::from);
        Self::new(of, Cause::Panicked { message, payload: Mutex::new(Some(payload)) })
    }

    /// A panic whose payload continues to another owner.
    pub(crate) fn panicking(of: Of<'_>, payload: &(dyn Any + Send)) -> Self {
        let message = panic_message(payload).map(Arc::from);
        Self::new(of, Cause::Panicked { message, payload: Mutex::new(None) })
    }

    pub(crate) fn error(of: Of<'_>, error: BoxError) -> Self {
        Self::new(of, Cause::Error(error))
    }

    pub(crate) fn with_code(of: Of<'_>, code: i32) -> Self {
        Self::new(of, Cause::Code(code))
    }

    pub(crate) fn refused(of: Of<'_>, error: SpawnError) -> Self {
        Self::new(of, Cause::Refused(error))
    }

    fn new(of: Of<'_>, cause: Cause) -> Self {
        Self(Arc::new(Inner { name: of.name.cloned(), site: of.site, cause }))
    }

    /// The name of the coroutine that failed, if it has one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Where the coroutine that failed was spawned.
    #[must_use]
    pub fn site(&self) -> &'static Location<'static> {
        self.0.site
    }

    /// Whether it panicked.
    #[must_use]
    pub fn is_panic(&self) -> bool {
        matches!(self.0.cause, Cause::Panicked { .. })
    }

    /// Its number, if it was reported with one; else 0.
    #[must_use]
    pub fn code(&self) -> i32 {
        match self.0.cause {
            Cause::Code(code) => code,
            Cause::Panicked { .. } | Cause::Error(_) | Cause::Refused(_) => 0,
        }
    }

    /// Whether it is never taken for the consequence of an earlier cancellation: a panic, or a
    /// failure with a code.
    pub(super) fn is_by_itself(&self) -> bool {
        matches!(self.0.cause, Cause::Panicked { .. } | Cause::Code(_))
    }

    /// The message of the panic, if its payload is a text.
    #[must_use]
    pub fn panic_message(&self) -> Option<&str> {
        match &self.0.cause {
            Cause::Panicked { message, .. } => message.as_deref(),
            Cause::Error(_) | Cause::Code(_) | Cause::Refused(_) => None,
        }
    }

    /// The panic's payload, for `std::panic::resume_unwind`: only the first call gets it.
    #[must_use]
    pub fn take_panic(&self) -> Option<Box<dyn Any + Send>> {
        match &self.0.cause {
            Cause::Panicked { payload, .. } => payload.lock().take(),
            Cause::Error(_) | Cause::Code(_) | Cause::Refused(_) => None,
        }
    }

    /// The error it ended with, or why it could not be spawned.
    #[must_use]
    pub fn error_ref(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        match &self.0.cause {
            Cause::Panicked { .. } | Cause::Code(_) => None,
            Cause::Error(error) => Some(&**error),
            Cause::Refused(error) => Some(error),
        }
    }

    /// Why it could not be spawned, if that is the failure.
    #[must_use]
    pub fn refusal(&self) -> Option<&SpawnError> {
        match &self.0.cause {
            Cause::Refused(error) => Some(error),
            Cause::Panicked { .. } | Cause::Error(_) | Cause::Code(_) => None,
        }
    }

    /// Whether both are the same failure, not only alike.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The coroutine of a failure.
#[derive(Clone, Copy)]
pub(crate) struct Of<'a> {
    pub(crate) name: Option<&'a Arc<str>>,
    pub(crate) site: &'static Location<'static>,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { name, site, cause } = &*self.0;
        match name {
            Some(name) => write!(f, "`{name}`, spawned at {site}, ")?,
            None => write!(f, "what was spawned at {site} ")?,
        }
        match cause {
            Cause::Panicked { message: Some(message), .. } => write!(f, "panicked: {message}"),
            Cause::Panicked { message: None, .. } => f.write_str("panicked"),
            Cause::Error(error) => write!(f, "failed: {error}"),
            Cause::Code(code) => write!(f, "failed with code {code}"),
            Cause::Refused(error) => write!(f, "could not be started: {error}"),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Failure").field(&format_args!("{self}")).finish()
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error_ref().map(|error| error as &(dyn Error + 'static))
    }
}
