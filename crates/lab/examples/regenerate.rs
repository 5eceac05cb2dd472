// SPDX-License-Identifier: BSD-3-Clause
//! Writes the modules of the profiles that the lab brings along: each file in `profiles/` becomes one
//! in `src/generate/generated/`.
//!
//! When the modules that are there do not compile with a generator that has changed, empty the list in
//! `src/generate/builtin.rs` for one run: what is written does not depend on it.

use std::error::Error;
use std::fs;
use std::path::Path;

use becket_lab::generate::{Profile, module_in_lab};

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for entry in fs::read_dir(root.join("profiles"))? {
        let path = entry?.path();
        let text = fs::read_to_string(&path)?;
        let profile = Profile::from_toml(&text, &path.display().to_string())?;
        let name = format!("src/generate/generated/{}.rs", profile.config.name);
        fs::write(root.join(&name), module_in_lab(&profile)?)?;
        println!("{name}");
    }
    Ok(())
}
