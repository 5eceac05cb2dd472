// SPDX-License-Identifier: BSD-3-Clause
//! Steps on the SDK for Python.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, create_folder};

/// What checks its types and style and builds its wheel, pinned. They are no dependency of the SDK.
const CHECKERS: [&str; 4] = ["mypy==2.4.1", "ruff==0.17.6", "setuptools==84.2.1", "wheel==0.48.0"];
const SDK: &str = "sdk/python";
const SAMPLE: &str = "examples/plugins/python/plugin.py";

/// Tested; installed as a wheel and imported from there, its types and style checked, where pip can fetch the
/// tools for it.
pub(super) fn sdk(context: &Context, output: &mut Output) -> Result<(), Error> {
    let folder = context.path(SDK);
    let tests = ["-X", "dev", "-m", "unittest", "discover", "-t", ".", "-s", "tests"];
    output.run(python(&folder).args(tests))?;
    let tools = match checkers(context, output) {
        Ok(tools) => tools,
        Err(error) => {
            output.say(&format!(
                "the SDK's types are not checked and its wheel is not built: pip fetched no tools\n  cause: {error}"
            ));
            return Ok(());
        }
    };
    let target = installed(context, &tools, SDK, output)?;
    let import =
        "import becket.testing; assert becket.__file__.startswith(__import__('sys').argv[1])";
    output.run(python(&target).args(["-c", import]).arg(&target))?;
    let sample = context.path(SAMPLE);
    let checked = |arguments: &[&str]| {
        let mut check = python(&folder);
        check.env("PYTHONPATH", &tools).env("MYPYPATH", &folder).args(arguments);
        check
    };
    output.run(checked(&["-m", "mypy", "--strict", "becket", "tests"]).arg(&sample))?;
    output
        .run(checked(&["-m", "ruff", "check", "--config", "pyproject.toml", "."]).arg(&sample))?;
    let format = ["-m", "ruff", "format", "--check", "--config", "pyproject.toml", "."];
    output.run(checked(&format).arg(&sample))
}

/// Builds the wheel of a package and installs it into a folder of its own.
pub(super) fn installed(
    context: &Context,
    tools: &Path,
    package: &str,
    output: &mut Output,
) -> Result<PathBuf, Error> {
    let source = context.path(package);
    let name = source.file_name().unwrap_or_default().to_string_lossy();
    let target = context.target().join(format!("{name}-sdk"));
    create_folder(&target)?;
    // What a build before has left would be part of this one; there may be none.
    let _ = std::fs::remove_dir_all(source.join("build"));
    let mut pip = python(context.root());
    pip.env("PYTHONPATH", tools)
        .args(["-m", "pip", "install", "--quiet", "--upgrade", "--no-deps", "--no-build-isolation"])
        .args(["--disable-pip-version-check", "--root-user-action=ignore", "--target"])
        .arg(&target)
        .arg(source);
    output.run(&mut pip)?;
    Ok(target)
}

pub(super) fn python(folder: &Path) -> Command {
    let mut python = Command::new("python3");
    python.current_dir(folder).env("PYTHONDONTWRITEBYTECODE", "1");
    python
}

/// The folder of the checkers, fetched by pip if they are not there.
pub(super) fn checkers(context: &Context, output: &mut Output) -> Result<PathBuf, Error> {
    fetched(context, ".tools/python", &CHECKERS, output)
}

/// A folder with these packages, fetched by pip if they are not there.
pub(super) fn fetched(
    context: &Context,
    folder: &str,
    packages: &[&str],
    output: &mut Output,
) -> Result<PathBuf, Error> {
    let folder = context.path(folder);
    // Of these versions: the name is there once all are.
    let mark = folder.join(format!("{}.fetched", packages.join("+")));
    if !mark.is_file() {
        let mut pip = python(context.root());
        pip.args(["-m", "pip", "install", "--quiet", "--upgrade", "--no-compile"])
            .args(["--disable-pip-version-check", "--root-user-action=ignore", "--target"])
            .arg(&folder)
            .args(packages);
        output.run(&mut pip)?;
        std::fs::write(&mark, "").map_err(|source| Error::File {
            action: "write",
            path: mark,
            source,
        })?;
    }
    Ok(folder)
}
