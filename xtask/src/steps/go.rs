// SPDX-License-Identifier: BSD-3-Clause
//! Steps on the Go SDK.

use std::path::Path;
use std::process::Command;

use crate::context::Context;
use crate::error::Error;
use crate::process::Output;

/// Formatted, vetted, tested; the sample and the example's filter likewise.
pub(super) fn sdk(context: &Context, output: &mut Output) -> Result<(), Error> {
    let go = context.tools.go(output)?;
    for folder in ["sdk/go", "examples/plugins/go", "examples/gateway/rate"] {
        formatted(go, &context.path(folder), output)?;
        for action in ["vet", "test"] {
            let mut command = Command::new(go);
            output.run(command.current_dir(context.path(folder)).args([action, "./..."]))?;
        }
    }
    Ok(())
}

/// `gofmt` lists the files that it would change, and succeeds.
fn formatted(go: &Path, folder: &Path, output: &mut Output) -> Result<(), Error> {
    let gofmt = go.with_file_name("gofmt");
    let unformatted = output.read(Command::new(gofmt).arg("-l").current_dir(folder).arg("."))?;
    let files: Vec<_> =
        unformatted.lines().map(|file| format!("{file} is not formatted: gofmt -w it")).collect();
    crate::checks::verdict(files)
}
