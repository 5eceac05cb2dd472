// SPDX-License-Identifier: BSD-3-Clause
//! Passes the compiler's version to the program.

use std::env;
use std::error::Error;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let rustc = Command::new(env::var("RUSTC")?).arg("--version").output()?;
    println!("cargo::rustc-env=BENCH_RUSTC={}", String::from_utf8(rustc.stdout)?.trim());
    Ok(())
}
