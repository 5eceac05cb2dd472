// SPDX-License-Identifier: BSD-3-Clause
//! Steps on the Zig SDK.

use std::process::Command;

use crate::context::Context;
use crate::error::Error;
use crate::process::Output;
use crate::samples::{ZIG_SDK, zig_cache};

/// Formatted and tested, its tables compared with the C header's; the sample and
/// the example's filter likewise.
pub(super) fn sdk(context: &Context, output: &mut Output) -> Result<(), Error> {
    let zig = context.tools.zig(output)?;
    let (sdk, sample) = (context.path("sdk/zig"), context.path("examples/plugins/zig"));
    for folder in [&sdk, &sample, &context.path("examples/gateway/redact")] {
        output.run(Command::new(zig).current_dir(folder).args(["fmt", "--check", "."]))?;
    }
    // The build file's tests are the SDK's, the header's and the sample's.
    let mut test = Command::new(zig);
    test.current_dir(&sdk).args(["build", "test", "--cache-dir"]).arg(zig_cache(context));
    output.run(&mut test)?;
    let mut test = Command::new(zig);
    test.current_dir(context.path("examples/gateway/redact")).args(["test", "-lc"]);
    test.args(["--dep", "becket", "-Mroot=redact.zig", ZIG_SDK]);
    output.run(test.arg("--cache-dir").arg(zig_cache(context)))
}
