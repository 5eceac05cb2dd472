// SPDX-License-Identifier: BSD-3-Clause
//! Steps that build plugins.

use crate::context::Context;
use crate::error::Error;
use crate::process::Output;
use crate::samples::{self, Language};

pub(super) fn rust(context: &Context, output: &mut Output) -> Result<(), Error> {
    sample(context, Language::Rust, output)
}

pub(super) fn c(context: &Context, output: &mut Output) -> Result<(), Error> {
    sample(context, Language::C, output)
}

pub(super) fn cpp(context: &Context, output: &mut Output) -> Result<(), Error> {
    sample(context, Language::Cpp, output)
}

pub(super) fn go(context: &Context, output: &mut Output) -> Result<(), Error> {
    sample(context, Language::Go, output)
}

pub(super) fn zig(context: &Context, output: &mut Output) -> Result<(), Error> {
    sample(context, Language::Zig, output)
}

pub(super) fn zoo(context: &Context, output: &mut Output) -> Result<(), Error> {
    crate::zoo::build(context, output).map(drop)
}

fn sample(context: &Context, language: Language, output: &mut Output) -> Result<(), Error> {
    samples::build(context, language, output).map(drop)
}
