// SPDX-License-Identifier: BSD-3-Clause
//! Steps that run whole programs.

use std::process::Command;

use crate::commands::{bench, load, page, pingora};
use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cargo, create_folder};

pub(super) fn page(context: &Context, output: &mut Output) -> Result<(), Error> {
    page::check(context, &page::folder(context), output)
}

pub(super) fn bench(context: &Context, output: &mut Output) -> Result<(), Error> {
    bench::check(context, output)
}

pub(super) fn pingora(context: &Context, output: &mut Output) -> Result<(), Error> {
    pingora::check(context, output)
}

pub(super) fn load(context: &Context, output: &mut Output) -> Result<(), Error> {
    load::prove(context, &[], output)
}

/// Probes a gateway while one of its plugins blocks, in each way and each language.
pub(super) fn blocking(context: &Context, output: &mut Output) -> Result<(), Error> {
    let go = context.tools.go(output)?;
    let folder = context.target().join("xtask").join("blocking");
    create_folder(&folder)?;
    let library = folder.join("blocks.so");
    let include = format!("-I{}", context.path("crates/abi/include").display());
    let mut build = Command::new(go);
    build
        .current_dir(context.path("crates/gateway/tests/blocking/plugin"))
        .env("CGO_CFLAGS", include)
        .args(["build", "-buildmode=c-shared", "-o"])
        .arg(&library)
        .arg(".");
    output.run(&mut build)?;
    let mut test = cargo();
    test.current_dir(context.root())
        .args(["test", "--locked", "--package=becket-gateway", "--test=blocking"])
        .args(["--", "--test-threads=1", "--nocapture"])
        .env("BECKET_BLOCKING", "full")
        .env("BECKET_BLOCKING_GO", &library);
    output.run(&mut test)
}
