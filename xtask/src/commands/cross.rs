// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask cross`: other processors and systems.
//!
//! | | |
//! |---|---|
//! | AArch64, RISC-V | built, and tests run by qemu: the switch, the orders of memory and the layout of stacks differ |
//! | macOS, FreeBSD | checked by the compiler, nothing is run |
//! | the portable code, which those have | its tests run on this machine |
//!
//! The standard library is built too, by the nightly toolchain; the linkers and emulators are Debian's
//! packages, or programs of the same names.

use std::process::{Command, ExitCode};

use crate::context::Context;
use crate::error::{Error, Missing};
use crate::nightly::Nightly;
use crate::process::{Output, cargo, on_path};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only see whether it compiles, which needs no emulator.
    #[arg(long)]
    check: bool,
}

/// A processor, as Debian names its cross tools.
struct Processor {
    name: &'static str,
    target: &'static str,
    prefix: &'static str,
    package: &'static str,
}

const ALL: [Processor; 2] = [
    Processor {
        name: "aarch64",
        target: "aarch64-unknown-linux-gnu",
        prefix: "aarch64-linux-gnu",
        package: "gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    },
    Processor {
        name: "riscv64",
        target: "riscv64gc-unknown-linux-gnu",
        prefix: "riscv64-linux-gnu",
        package: "gcc-riscv64-linux-gnu libc6-dev-riscv64-cross",
    },
];

/// What runs on other processors, by qemu. Tests that depend on the kernel (limits, locked memory, resident pages) are left
/// out, because the emulator lacks these; so is stress, which would take too long, and a test that starts its own program
/// once more, which the emulator cannot.
const SUITES: [&[&str]; 6] = [
    &[
        "--package=becket-coro",
        "--lib",
        "--test=smoke",
        "--test=regressions",
        "--",
        "--skip=stack::tests::limits",
        "--skip=stack::tests::faults",
        "--skip=lose_their_memory",
        "--skip=overflow",
    ],
    &["--package=becket-chan", "--all-features", "--lib", "--test=smoke"],
    &["--package=becket-zcopy", "--lib", "--test=it", "--", "--skip=the_table_is_bounded"],
    &["--package=becket-wire", "--lib"],
    &[
        "--package=becket-ipc",
        "--lib",
        "--test=transport",
        "--",
        "--skip=process",
        "--skip=a_killed_server",
        "--skip=without_descriptors",
        // The emulator does not say that descriptors were cut off.
        "--skip=descriptors_above_the_limit",
    ],
    &["--package=libkcoro", "--lib"],
];

/// Systems that nothing is run on: the code for them is only checked.
const SYSTEMS: [&str; 2] = ["aarch64-apple-darwin", "x86_64-unknown-freebsd"];
/// What is checked for them.
const CHECKED: [&str; 7] = [
    "--package=becket-abi",
    "--package=becket-chan",
    "--package=becket-coro",
    "--package=becket-host",
    "--package=becket-lab",
    "--package=becket-plugin",
    "--package=becket-wire",
];

/// What has two ways, one for Linux and a portable one: on this machine the second is taken for once.
const PORTABLE: [&[&str]; 2] = [
    &["--package=becket-coro", "--lib", "--test=smoke", "--test=regressions"],
    &["--package=becket-host", "--lib"],
];

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    let output = &mut Output::Screen;
    if arguments.check {
        check_systems(context, output)?;
        let nightly = Nightly::find()?;
        for processor in &ALL {
            output.run(processor.cargo(context, &nightly, "check").arg("--package=becket-coro"))?;
        }
    } else {
        check(context, output)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// All of it.
pub(crate) fn check(context: &Context, output: &mut Output) -> Result<(), Error> {
    for suite in PORTABLE {
        output.run(
            cargo()
                .current_dir(context.root())
                .args(["test", "--locked"])
                .args(suite)
                .env("RUSTFLAGS", "--cfg becket_portable")
                .env("CARGO_TARGET_DIR", context.target().join("portable")),
        )?;
    }
    check_systems(context, output)?;
    let nightly = Nightly::find()?;
    for processor in &ALL {
        processor.need_tools()?;
        for suite in SUITES {
            output.run(processor.cargo(context, &nightly, "test").args(suite))?;
        }
    }
    Ok(())
}

/// Whether the code for other systems compiles.
fn check_systems(context: &Context, output: &mut Output) -> Result<(), Error> {
    let nightly = Nightly::find()?;
    nightly.need_sources()?;
    for system in SYSTEMS {
        let mut command = on(context, &nightly, "check", system);
        output.run(command.arg("--no-default-features").args(CHECKED))?;
    }
    Ok(())
}

/// Cargo for a target, with a standard library of its own.
fn on(context: &Context, nightly: &Nightly, command: &str, target: &str) -> Command {
    let mut cargo = nightly.cargo();
    cargo
        .current_dir(context.root())
        .env("CARGO_TARGET_DIR", context.target().join("cross"))
        .args([command, "--locked", "-Zbuild-std", "--target", target]);
    cargo
}

impl Processor {
    fn cargo(&self, context: &Context, nightly: &Nightly, command: &str) -> Command {
        let variable = self.target.to_uppercase().replace('-', "_");
        let mut command = on(context, nightly, command, self.target);
        command.env(format!("CARGO_TARGET_{variable}_LINKER"), format!("{}-gcc", self.prefix)).env(
            format!("CARGO_TARGET_{variable}_RUNNER"),
            format!("{} -L /usr/{}", self.emulator(), self.prefix),
        );
        command
    }

    fn emulator(&self) -> String {
        format!("qemu-{}", self.name)
    }

    fn need_tools(&self) -> Result<(), Error> {
        for (program, package) in
            [(format!("{}-gcc", self.prefix), self.package), (self.emulator(), "qemu-user")]
        {
            if on_path(&program).is_none() {
                return Err(Error::Missing(Missing {
                    tool: program,
                    cause: "it is not on PATH".into(),
                    hint: format!("`apt install {package}`"),
                }));
            }
        }
        Ok(())
    }
}
