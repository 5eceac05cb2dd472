// SPDX-License-Identifier: BSD-3-Clause
//! Builds the C plugin, and tells the program which compiler built it all.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = "plugin/bench_plugin.c";
const INCLUDE: &str = "../crates/abi/include";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-changed={INCLUDE}");
    println!("cargo::rerun-if-env-changed=CC");

    let out = PathBuf::from(env::var("OUT_DIR")?);
    let declared = out.join("bench_plugin.so");
    build(&declared, &[])?;
    println!("cargo::rustc-env=BENCH_PLUGIN={}", declared.display());
    let undeclared = out.join("bench_plugin_undeclared.so");
    build(&undeclared, &["-DBENCH_UNDECLARED"])?;
    println!("cargo::rustc-env=BENCH_PLUGIN_UNDECLARED={}", undeclared.display());

    let rustc = Command::new(env::var("RUSTC")?).arg("--version").output()?;
    println!("cargo::rustc-env=BENCH_RUSTC={}", String::from_utf8(rustc.stdout)?.trim());
    Ok(())
}

fn build(out: &Path, defines: &[&str]) -> Result<(), Box<dyn Error>> {
    let cc = env::var("CC").unwrap_or_else(|_| "cc".into());
    let status = Command::new(&cc)
        .args(["-std=c11", "-O2", "-g", "-fPIC", "-shared", "-pthread"])
        .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"])
        .args(defines)
        .args(["-I", INCLUDE, SOURCE, "-o"])
        .arg(out)
        .status()
        .map_err(|error| format!("cannot run the C compiler `{cc}`: {error}; set CC"))?;
    if !status.success() {
        return Err(format!("`{cc}` could not build {SOURCE}: {status}").into());
    }
    Ok(())
}
