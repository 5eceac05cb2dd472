// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask zoo`: the deliberately broken plugins.

use std::process::ExitCode;

use crate::context::Context;
use crate::error::{Error, count};
use crate::process::Output;
use crate::zoo;

pub(crate) fn run(context: &Context) -> Result<ExitCode, Error> {
    let built = zoo::build(context, &mut Output::Screen)?;
    println!("{} in {}", count(built, "plugin"), zoo::folder(context).display());
    Ok(ExitCode::SUCCESS)
}
