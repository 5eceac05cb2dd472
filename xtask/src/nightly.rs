// SPDX-License-Identifier: BSD-3-Clause
//! The nightly toolchain, for what stable Rust does not have: miri, the sanitizers, the fuzzer, and
//! a standard library built for other processors (`cargo xtask cross`). It is never fetched: a
//! missing part is an error with the command to get it.

use std::path::Path;
use std::process::Command;

use crate::error::{Error, Missing};
use crate::process::{on_path, probe};

/// The nightly toolchain of this machine.
#[derive(Debug)]
pub(crate) struct Nightly {
    /// The target that it builds for by default.
    pub(crate) host: String,
}

impl Nightly {
    pub(crate) fn find() -> Result<Self, Error> {
        if on_path("rustup").is_none() {
            return Err(missing(
                "the nightly toolchain of Rust",
                "rustup, which chooses between toolchains, is not on PATH",
                "install rustup from https://rustup.rs",
            ));
        }
        let version = probe(on_nightly("rustc").arg("-vV")).ok_or_else(|| {
            missing(
                "the nightly toolchain of Rust",
                "`rustup run nightly rustc` does not run",
                "`rustup toolchain install nightly --profile minimal`",
            )
        })?;
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let host = host.ok_or_else(|| Error::Output {
            command: "rustc -vV".into(),
            what: "it names no host".into(),
        })?;
        Ok(Self { host: host.to_owned() })
    }

    pub(crate) fn cargo(&self) -> Command {
        on_nightly("cargo")
    }

    /// Fails unless cargo has miri.
    pub(crate) fn need_miri(&self) -> Result<(), Error> {
        match probe(self.cargo().args(["miri", "--version"])) {
            Some(_) => Ok(()),
            None => Err(missing(
                "miri",
                "the nightly toolchain does not have it, as some nights do not",
                "`rustup component add miri rust-src --toolchain nightly`",
            )),
        }
    }

    /// Fails unless the sources of the standard library are there.
    pub(crate) fn need_sources(&self) -> Result<(), Error> {
        let sysroot = probe(on_nightly("rustc").args(["--print", "sysroot"])).unwrap_or_default();
        if Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library").is_dir() {
            return Ok(());
        }
        Err(missing(
            "rust-src, the sources of the standard library",
            "the nightly toolchain does not have it",
            "`rustup component add rust-src --toolchain nightly`",
        ))
    }
}

fn on_nightly(program: &str) -> Command {
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", program]);
    command
}

fn missing(tool: &str, cause: &str, hint: &str) -> Error {
    Error::Missing(Missing { tool: tool.into(), cause: cause.into(), hint: hint.into() })
}
