// SPDX-License-Identifier: BSD-3-Clause
//! Steps on the SDK for Node.

use std::path::PathBuf;
use std::process::Command;

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, create_folder, path_with};

/// What checks the declarations of types, pinned. They are no dependency of the SDK.
const TYPESCRIPT: [&str; 2] = ["typescript@5.9.3", "@types/node@20.19.43"];

/// Tested, the sample likewise, its types compiled where npm can fetch the compiler.
pub(super) fn sdk(context: &Context, output: &mut Output) -> Result<(), Error> {
    let node = context.tools.node(output)?;
    for folder in ["sdk/node", "examples/plugins/node"] {
        output.run(Command::new(node).current_dir(context.path(folder)).arg("--test"))?;
    }
    match typescript(context, output) {
        Ok(compiler) => {
            let types = context.tools.npm_folder().join("node_modules/@types");
            let mut check = Command::new(node);
            check.current_dir(context.path("sdk/node")).arg(compiler);
            output.run(check.args(["--project", "tsconfig.json", "--typeRoots"]).arg(types))
        }
        Err(error) => {
            output
                .say(&format!("the SDK's types are not checked: no TypeScript\n  cause: {error}"));
            Ok(())
        }
    }
}

/// The TypeScript compiler, fetched by npm if it is not there.
fn typescript(context: &Context, output: &mut Output) -> Result<PathBuf, Error> {
    let node = context.tools.node(output)?;
    let folder = context.tools.npm_folder();
    let compiler = folder.join("node_modules/typescript/bin/tsc");
    let types = folder.join("node_modules/@types/node/package.json");
    if !(compiler.is_file() && types.is_file()) {
        create_folder(&folder)?;
        let mut npm = Command::new("npm");
        npm.env("PATH", path_with(Some(node)))
            .args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix"])
            .arg(&folder)
            .args(TYPESCRIPT);
        output.run(&mut npm)?;
    }
    Ok(compiler)
}
