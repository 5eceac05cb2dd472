// SPDX-License-Identifier: BSD-3-Clause
//! Writes the lab's own generated module, of the profile `steady`.
//!
//! If the existing module does not compile after a change of the generator, fix it by hand for one
//! run: the output does not depend on it.

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
