// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask cross`: becket-coro built for other processors, and its tests run there by qemu.
//!
//! The switch, the floating-point control state and the layout of stacks differ by processor. The
//! standard library is built too, by the nightly toolchain; the linkers and emulators are Debian's
//! packages, or programs of the same names.

use std::process::{Command, ExitCode};

use crate::context::Context;
use crate::error::{Error, Missing};
use crate::nightly::Nightly;
use crate::process::{Output, on_path};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only see whether it builds, which needs no emulator.
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

/// The tests that depend on the processor. Tests that depend on the kernel (limits, locked memory,
/// resident pages) are left out, because the emulator lacks these; so is stress, which would take
/// too long.
const TESTS: [&str; 8] = [
    "--lib",
    "--test=smoke",
    "--test=regressions",
    "--",
    "--skip=stack::tests::limits",
    "--skip=stack::tests::faults",
    "--skip=lose_their_memory",
    "--skip=overflow",
];

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    let nightly = Nightly::find()?;
    nightly.need_sources()?;
    for processor in &ALL {
        let output = &mut Output::Screen;
        if arguments.check {
            output
                .run(processor.cargo(context, &nightly).args(["check"]).args(shared(processor)))?;
        } else {
            processor.need_tools()?;
            output.run(
                processor.cargo(context, &nightly).arg("test").args(shared(processor)).args(TESTS),
            )?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn shared(processor: &Processor) -> [&str; 5] {
    ["--locked", "--package=becket-coro", "-Zbuild-std", "--target", processor.target]
}

impl Processor {
    fn cargo(&self, context: &Context, nightly: &Nightly) -> Command {
        let variable = self.target.to_uppercase().replace('-', "_");
        let mut command = nightly.cargo();
        command
            .current_dir(context.root())
            .env("CARGO_TARGET_DIR", context.target().join("cross"))
            .env(format!("CARGO_TARGET_{variable}_LINKER"), format!("{}-gcc", self.prefix))
            .env(
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
