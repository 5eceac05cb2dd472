// SPDX-License-Identifier: BSD-3-Clause
//! Steps that run whole programs.

use crate::context::Context;
use crate::error::Error;
use crate::process::Output;

pub(super) fn bench(context: &Context, output: &mut Output) -> Result<(), Error> {
    crate::commands::bench::bench(context, None, true, output)
}
