// SPDX-License-Identifier: BSD-3-Clause
//! Writes the generated module that the lab brings along, of the profile `steady`.
//!
//! When the module that is there does not compile with a generator that has changed, mend it by hand
//! for one run: what is written does not depend on it.

use std::error::Error;
use std::fs;
use std::path::Path;

use becket_lab::generate::{STEADY, module_in_lab};

fn main() -> Result<(), Box<dyn Error>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generate/generated/steady.rs");
    fs::write(&file, module_in_lab(&STEADY.profile()?)?)?;
    println!("{}", file.display());
    Ok(())
}
