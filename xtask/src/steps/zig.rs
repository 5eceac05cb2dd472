// SPDX-License-Identifier: BSD-3-Clause
//! Steps on the Zig SDK.

use std::process::Command;

use crate::context::Context;
use crate::error::Error;
use crate::process::Output;
use crate::samples::{ZIG_MODULES, zig_cache};

/// Formatted and tested; the sample likewise.
pub(super) fn sdk(context: &Context, output: &mut Output) -> Result<(), Error> {
    let zig = context.tools.zig(output)?;
    let (sdk, sample) = (context.path("sdk/zig"), context.path("examples/plugins/zig"));
    for folder in [&sdk, &sample] {
        output.run(Command::new(zig).current_dir(folder).args(["fmt", "--check", "."]))?;
    }
    let test = |folder| {
        let mut command = Command::new(zig);
        command.current_dir(folder).args(["test", "-lc", "--cache-dir"]).arg(zig_cache(context));
        command
    };
    output.run(test(&sdk).arg("becket.zig"))?;
    output.run(test(&sample).args(ZIG_MODULES))
}
