// SPDX-License-Identifier: BSD-3-Clause
//! What the kernel gave of a sandbox.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Error;

/// What the kernel gave.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// The measures, in the order in which they were taken.
    pub measures: Vec<Measure>,
}

/// One measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measure {
    /// Which.
    pub kind: MeasureKind,
    /// What is missing of it; `None`: nothing.
    pub lacks: Option<String>,
}

/// The kinds of measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum MeasureKind {
    /// The end with the parent.
    EndWithParent,
    /// Inherited descriptors are closed.
    Descriptors,
    /// Resource limits.
    ResourceLimits,
    /// A control group of its own.
    ControlGroup,
    /// Another user and group.
    User,
    /// No new privileges.
    NoNewPrivileges,
    /// Files, by Landlock.
    Files,
    /// System calls, by seccomp.
    SystemCalls,
}

impl MeasureKind {
    /// Its name in reports and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EndWithParent => "end-with-parent",
            Self::Descriptors => "descriptors",
            Self::ResourceLimits => "resource-limits",
            Self::ControlGroup => "control-group",
            Self::User => "user",
            Self::NoNewPrivileges => "no-new-privileges",
            Self::Files => "files",
            Self::SystemCalls => "system-calls",
        }
    }
}

impl fmt::Display for MeasureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Measure {
    /// A measure that was given.
    #[must_use]
    pub const fn given(kind: MeasureKind) -> Self {
        Self { kind, lacks: None }
    }

    /// A measure of which this is missing.
    pub fn lacking(kind: MeasureKind, lacks: impl Into<String>) -> Self {
        Self { kind, lacks: Some(lacks.into()) }
    }
}

impl Report {
    /// The measures that were not given, or not wholly.
    pub fn lacking(&self) -> impl Iterator<Item = &Measure> {
        self.measures.iter().filter(|measure| measure.lacks.is_some())
    }

    /// Nothing is lacking.
    ///
    /// # Errors
    /// [`Error::Required`]: the first that is.
    pub fn require(&self) -> Result<(), Error> {
        match self.lacking().next() {
            None => Ok(()),
            Some(Measure { kind, lacks }) => {
                let why = lacks.clone().unwrap_or_default();
                Err(Error::Required { measure: *kind, why })
            }
        }
    }

    pub(crate) fn given(&mut self, kind: MeasureKind) {
        self.measures.push(Measure::given(kind));
    }
}
