// SPDX-License-Identifier: BSD-3-Clause
//! Profiles that the lab brings along, and the modules that were generated of them.
//!
//! The modules are compiled into the lab, so that each check can put them beside what they were
//! generated of. `cargo run -p becket-lab --example regenerate` writes them anew; parity fails if they
//! are not what the generator gives.

#[path = "generated/plain.rs"]
pub mod plain;
#[path = "generated/steady.rs"]
pub mod steady;
#[path = "generated/tight.rs"]
pub mod tight;

use super::error::ProfileError;
use super::profile::Profile;
use crate::parity::Generated;

/// A profile, and the module that was generated of it.
#[derive(Debug, Clone, Copy)]
pub struct Builtin {
    /// The profile's name.
    pub name: &'static str,
    /// The profile's file.
    pub toml: &'static str,
    /// The module's file.
    pub text: &'static str,
    /// The module, compiled.
    pub generated: fn() -> Generated,
}

macro_rules! builtin {
    ($($name:ident)+) => {
        /// All of them.
        pub const BUILTIN: &[Builtin] = &[$(Builtin {
            name: stringify!($name),
            toml: include_str!(concat!("../../profiles/", stringify!($name), ".toml")),
            text: include_str!(concat!("generated/", stringify!($name), ".rs")),
            generated: || crate::plug!($name),
        }),+];
    };
}

builtin! { steady tight plain }

impl Builtin {
    /// The one of this name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<&'static Self> {
        BUILTIN.iter().find(|builtin| builtin.name == name)
    }

    /// The profile.
    ///
    /// # Errors
    ///
    /// What is wrong with the file. With those of the lab nothing is.
    pub fn profile(&self) -> Result<Profile, ProfileError> {
        Profile::from_toml(self.toml, self.name)
    }
}
