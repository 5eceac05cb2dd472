// SPDX-License-Identifier: BSD-3-Clause
//! Steps on the repository itself and its book.

use std::process::Command;

use crate::checks::{self, layers, verdict};
use crate::context::Context;
use crate::error::Error;
use crate::process::Output;

pub(super) fn layers(context: &Context, _: &mut Output) -> Result<(), Error> {
    let mut broken = layers::check(context.metadata());
    broken.extend(layers::check_architecture(context.root())?);
    verdict(broken)
}

pub(super) fn tidy(context: &Context, _: &mut Output) -> Result<(), Error> {
    let mut broken = checks::tidy::check(context.root())?;
    broken.extend(checks::words::check(context.root())?);
    verdict(broken)
}

pub(super) fn links(context: &Context, _: &mut Output) -> Result<(), Error> {
    verdict(checks::links::check(context.root())?)
}

pub(super) fn book(context: &Context, output: &mut Output) -> Result<(), Error> {
    let mdbook = context.tools.mdbook(output)?;
    output.run(
        Command::new(mdbook)
            .arg("build")
            .arg(context.path("docs"))
            .arg("--dest-dir")
            .arg(context.target().join("book")),
    )
}
