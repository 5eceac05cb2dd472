// SPDX-License-Identifier: BSD-3-Clause
//! The lab's own profiles, and the generated module of the first.
//!
//! The module is compiled into the lab, so that each check can compare it with its profile.
//! `cargo run -p becket-lab --example regenerate` writes it; parity fails if it differs from the
//! generator's output. Tests generate, compile and drive the modules of the others.

#[path = "generated/steady.rs"]
pub mod steady;

use super::error::ProfileError;
use super::profile::Profile;

/// A profile in its file.
#[derive(Debug, Clone, Copy)]
pub struct Example {
    /// The profile's name.
    pub name: &'static str,
    /// The profile's file.
    pub toml: &'static str,
}

/// The profile whose module is part of the lab.
pub const STEADY: Example =
    Example { name: "steady", toml: include_str!("../../profiles/steady.toml") };
/// A large object through little room: backpressure all the time.
pub const TIGHT: Example =
    Example { name: "tight", toml: include_str!("../../profiles/tight.toml") };
/// Neither half-close nor reset.
pub const PLAIN: Example =
    Example { name: "plain", toml: include_str!("../../profiles/plain.toml") };

/// All profiles.
pub const EXAMPLES: [Example; 3] = [STEADY, TIGHT, PLAIN];

/// The text of the module [`steady`].
pub const STEADY_TEXT: &str = include_str!("generated/steady.rs");

impl Example {
    /// The profile.
    ///
    /// # Errors
    ///
    /// The first error in the file. The lab's own files have none.
    pub fn profile(&self) -> Result<Profile, ProfileError> {
        Profile::from_toml(self.toml, self.name)
    }
}
