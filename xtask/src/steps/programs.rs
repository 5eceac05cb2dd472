// SPDX-License-Identifier: BSD-3-Clause
//! Steps that run whole programs.

use crate::commands::{bench, load, page};
use crate::context::Context;
use crate::error::Error;
use crate::process::Output;

pub(super) fn page(context: &Context, output: &mut Output) -> Result<(), Error> {
    page::check(context, &page::folder(context), output)
}

pub(super) fn bench(context: &Context, output: &mut Output) -> Result<(), Error> {
    bench::check(context, output)
}

pub(super) fn load(context: &Context, output: &mut Output) -> Result<(), Error> {
    load::prove(context, &[], output)
}
