// SPDX-License-Identifier: BSD-3-Clause
//! Steps on lock-free and unsafe code: every interleaving, every access, many messages.

use crate::commands;
use crate::context::Context;
use crate::error::Error;
use crate::process::Output;

pub(super) fn loom(context: &Context, output: &mut Output) -> Result<(), Error> {
    commands::loom::check(context, output)
}

pub(super) fn miri(context: &Context, output: &mut Output) -> Result<(), Error> {
    commands::miri::check(context, output)
}

pub(super) fn sanitize(context: &Context, output: &mut Output) -> Result<(), Error> {
    commands::sanitize::check(context, output)
}

pub(super) fn cross(context: &Context, output: &mut Output) -> Result<(), Error> {
    commands::cross::check(context, output)
}

pub(super) fn ipc_death(context: &Context, output: &mut Output) -> Result<(), Error> {
    commands::ipc_death::check(context, output)
}

pub(super) fn soak(context: &Context, output: &mut Output) -> Result<(), Error> {
    commands::soak::check(context, output)
}

pub(super) fn planted(context: &Context, output: &mut Output) -> Result<(), Error> {
    commands::planted::check(context, output)
}

pub(super) fn process_death(context: &Context, output: &mut Output) -> Result<(), Error> {
    commands::process_death::check(context, output)
}

pub(super) fn cluster_demo(context: &Context, output: &mut Output) -> Result<(), Error> {
    commands::cluster_demo::check(context, output)
}
