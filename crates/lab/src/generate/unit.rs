// SPDX-License-Identifier: BSD-3-Clause
//! A generated module as a crate, for `cargo test` and `rustc --test`.

use super::emit::module;
use super::error::GenerateError;
use super::profile::Profile;

/// The files of a generated crate: the relative path and the text of each.
///
/// # Errors
///
/// As [`module`].
pub fn unit(profile: &Profile) -> Result<Vec<(&'static str, String)>, GenerateError> {
    let name = profile.config.name.replace('_', "-");
    let manifest = format!(
        "# SPDX-License-Identifier: BSD-3-Clause\n\
         [package]\nname = \"backend-{name}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\
         publish = false\n\n[workspace]\n"
    );
    let format = "# SPDX-License-Identifier: BSD-3-Clause\nmax_width = 100\n\
                  use_small_heuristics = \"Max\"\n";
    let lines = format!("# SPDX-License-Identifier: BSD-3-Clause\n{}", profile.to_toml());
    Ok(vec![
        ("Cargo.toml", manifest),
        ("rustfmt.toml", format.to_owned()),
        ("profile.toml", lines),
        ("src/lib.rs", module(profile)?),
    ])
}
