// SPDX-License-Identifier: BSD-3-Clause
//! Builds the C plugin, and tells the program which compiler built it all.

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = "plugin/bench_plugin.c";
const INCLUDE: &str = "../crates/abi/include";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed={INCLUDE}");
    println!("cargo::rerun-if-env-changed=CC");

    let out = PathBuf::from(env::var("OUT_DIR")?).join("bench_plugin.so");
    let cc = env::var("CC").unwrap_or_else(|_| "cc".into());
    let status = Command::new(&cc)
        .args(["-std=c11", "-O2", "-g", "-fPIC", "-shared", "-pthread"])
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .args(["-I", INCLUDE, SOURCE, "-o"])
        .arg(&out)
        .status()
        .map_err(|error| format!("cannot run the C compiler `{cc}`: {error}; set CC"))?;
    if !status.success() {
        return Err(format!("`{cc}` could not build {SOURCE}: {status}").into());
    }
    println!("cargo::rustc-env=BENCH_PLUGIN={}", out.display());

    let rustc = Command::new(env::var("RUSTC")?).arg("--version").output()?;
    println!("cargo::rustc-env=BENCH_RUSTC={}", String::from_utf8(rustc.stdout)?.trim());
    Ok(())
}
