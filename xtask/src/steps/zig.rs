// SPDX-License-Identifier: BSD-3-Clause
//! Steps on the Zig SDK.

use std::process::Command;

use crate::context::Context;
use crate::error::Error;
use crate::process::Output;

/// Formatted and tested.
pub(super) fn sdk(context: &Context, output: &mut Output) -> Result<(), Error> {
    let zig = context.tools.zig(output)?;
    for folder in ["sdk/zig", "examples/plugins/zig"] {
        let folder = context.path(folder);
        output.run(Command::new(zig).current_dir(folder).args(["fmt", "--check", "."]))?;
    }
    output.run(Command::new(zig).current_dir(context.path("sdk/zig")).args(["build", "test"]))
}
