// SPDX-License-Identifier: BSD-3-Clause
//! What the worker process of a plugin may do.
//!
//! A process enters its [`Sandbox`] before it loads anything that it does not trust, and cannot leave it.
//! The measures are the kernel's, and none but another user needs a privilege:
//!
//! | module | measure | bounds |
//! |---|---|---|
//! | [`descriptors`] | inherited descriptors are closed | what the parent had open |
//! | [`limits`] | resource limits | memory, descriptors, processes, core files |
//! | `files` | Landlock | files, TCP ports, signals and abstract sockets of others |
//! | `calls` | seccomp | system calls |
//! | `process` | `prctl`, ids | new privileges, the end of the parent, user and group |
//! | [`report`] | | what the kernel gave |
//!
//! Beside them [`crash`]: the record that a worker leaves when a signal of its own ends it; and [`scheduling`]: threads
//! that run when no other wants the processor.
//!
//! ```text
//!   exec ─▶ parent's end ─▶ limits ─▶ user, group ─▶ no new privileges ─▶ files ─▶ system calls ─▶ load
//! ```
//!
//! # What holds
//!
//! 1. What the kernel did not give is in the [`Report`], and is an error if the sandbox requires it: a
//!    process never runs with less than was asked for without a report of it.
//! 2. A system call that is not allowed fails with `EPERM` and has no effect.
//! 3. Descriptors that are open stay usable: the session with the host is one of them.
//!
//! # What it does not bound
//!
//! Time on a processor, and what is done over the descriptors that the process was given. Addresses of
//! other machines: with [`Allow::Network`] each port can be reached.

#![deny(unsafe_code)]

mod calls;
pub mod crash;
pub mod descriptors;
mod error;
mod files;
pub mod limits;
mod process;
pub mod report;
pub mod scheduling;

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use crate::error::Error;
use crate::limits::ResourceLimits;
pub use crate::report::{Measure, MeasureKind, Report};

/// A set of measures, by name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Profile {
    /// No measure but resource limits, and the end with the parent.
    None,
    /// Files are read-only outside the folders of the plugin; the network can be used; no process is
    /// started, and nothing is done to another.
    #[default]
    Default,
    /// Of files, only libraries and the plugin's own can be read. No network.
    Strict,
}

impl Profile {
    /// Its name in configurations.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Default => "default",
            Self::Strict => "strict",
        }
    }
}

impl fmt::Display for Profile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a plugin needs beyond its profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Allow {
    /// Sockets.
    Network,
    /// Other programs, in processes of their own, in the same sandbox.
    Processes,
}

/// The measures for one process.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sandbox {
    /// The set of measures.
    pub profile: Profile,
    /// What is allowed beyond it.
    pub allow: Vec<Allow>,
    /// Files and folders that can be read, and run or mapped as code, at every profile: the plugin and
    /// what it loads.
    pub readable: Vec<PathBuf>,
    /// Files and folders that can be changed too.
    pub writable: Vec<PathBuf>,
    /// Resource limits.
    pub limits: ResourceLimits,
    /// The user and group to become, for a process that may.
    pub user: Option<User>,
    /// A measure that the kernel does not give is an error.
    pub require: bool,
    /// The process executes one more program when it has entered: a program that is the plugin. It can then
    /// replace itself by another, in the same sandbox, but start none beside it.
    pub executes: bool,
}

/// A user and a group, as numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// The user.
    pub uid: u32,
    /// The group; all others are given up.
    pub gid: u32,
}

impl Sandbox {
    /// Enters the sandbox, for good.
    ///
    /// To be called on the only thread of the process: the measures are those of the calling thread, and
    /// of what it starts afterwards.
    ///
    /// # Errors
    /// [`Error`]: a measure failed, or is required and not given by this kernel. The process may then be
    /// partly in the sandbox, and should end.
    pub fn enter(&self) -> Result<Report, Error> {
        let mut report = Report::default();
        process::end_with_parent()?;
        report.given(MeasureKind::EndWithParent);
        self.limits.set()?;
        report.given(MeasureKind::ResourceLimits);
        if let Some(user) = self.user {
            process::become_user(user)?;
            report.given(MeasureKind::User);
        }
        if self.profile != Profile::None {
            process::give_up_privileges()?;
            report.given(MeasureKind::NoNewPrivileges);
            report.measures.push(files::restrict(self)?);
            report.measures.push(calls::restrict(self)?);
        }
        if self.require {
            report.require()?;
        }
        Ok(report)
    }

    /// Whether the process may use or do this.
    fn allows(&self, what: Allow) -> bool {
        self.allow.contains(&what)
            || match what {
                Allow::Network => self.profile != Profile::Strict,
                Allow::Processes => self.profile == Profile::None,
            }
    }
}
