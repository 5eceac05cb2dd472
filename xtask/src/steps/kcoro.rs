// SPDX-License-Identifier: BSD-3-Clause
//! Steps on `libkcoro` for other languages, each with an installed library.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::native::{WARNINGS, has_sanitizers, listed, no_sanitizers, scratch, stem};
use super::python;
use crate::commands::install;
use crate::context::Context;
use crate::error::{Error, Missing};
use crate::process::{Output, cxx, read};

const TESTS: &str = "crates/capi/tests/cpp";
/// Each with what it prints in `expected`.
const EXAMPLES: &str = "examples/kcoro";
const SDK: &str = "sdk/kcoro-python";

/// What the binding for Python needs, pinned.
const CFFI: [&str; 2] = ["cffi==2.0.0", "pycparser==2.23"];

/// Freed memory is overwritten at once: its use by the library, which is not sanitized, ends the
/// program.
const FREED_IS_GARBAGE: &str = "glibc.malloc.tcache_count=0:glibc.malloc.perturb=84";

/// The tests of `kcoro.hpp`, and the example: with the shared library and without exceptions, and with
/// the static one under the address and undefined behaviour sanitizers. Where the compiler has none, the step fails after
/// the others have run.
pub(super) fn cpp(context: &Context, output: &mut Output) -> Result<(), Error> {
    let folder = scratch(context, "kcoro-cpp")?;
    let libraries = library(context, output)?;
    let mut shared = flags(&libraries, &["--cflags", "--libs"], output)?;
    shared.extend(["-fno-exceptions", "-fno-rtti"].map(Into::into));
    let mut flavours = vec![("shared", shared)];
    let has_sanitizers = has_sanitizers(&cxx, &folder, "cpp");
    if has_sanitizers {
        let mut flags = flags(&libraries, &["--static", "--cflags", "--libs"], output)?;
        flags.retain(|flag| flag != "-lkcoro");
        flags.insert(0, libraries.join("libkcoro.a").display().to_string());
        flags.extend(["-fsanitize=address,undefined", "-fno-sanitize-recover=all"].map(Into::into));
        flavours.push(("sanitized", flags));
    }
    let example = context.path(EXAMPLES).join("tasks.cpp");
    let (mut compilers, mut programs) = (Vec::new(), Vec::new());
    for source in listed(&context.path(TESTS), "cpp")?.iter().chain([&example]) {
        for (flavour, flags) in &flavours {
            let is_example = *source == example;
            // A test may have the example's name.
            let kind = if is_example { "example" } else { "test" };
            let program = folder.join(format!("{kind}-{}-{flavour}", stem(source)));
            let mut compiler = cxx();
            compiler.args(["-std=c++20", "-g", "-pthread"]).args(WARNINGS);
            compiler.arg(source).args(flags).arg("-o").arg(&program);
            compilers.push(compiler);
            programs.push((program, is_example));
        }
    }
    output.run_all(compilers)?;
    for (program, is_example) in programs {
        let mut run = Command::new(&program);
        run.env("LD_LIBRARY_PATH", &libraries).env("GLIBC_TUNABLES", FREED_IS_GARBAGE);
        match is_example {
            true => prints(context, "tasks", &mut run, output)?,
            false => output.run(&mut run)?,
        }
    }
    if has_sanitizers { Ok(()) } else { Err(no_sanitizers(&cxx)) }
}

/// The tests of the binding for Python, and the example; its wheel, installed and imported; its types
/// and its style, where pip can fetch the tools for that.
pub(super) fn python(context: &Context, output: &mut Output) -> Result<(), Error> {
    let libraries = library(context, output)?;
    let cffi = python::fetched(context, ".tools/kcoro-python", &CFFI, output).map_err(|error| {
        Error::Missing(Missing {
            tool: CFFI.join(", "),
            cause: error.to_string(),
            hint: "connect to a registry of Python packages, once".into(),
        })
    })?;
    let folder = context.path(SDK);
    let run = |arguments: &[&str], paths: &[&Path]| -> Result<Command, Error> {
        let mut command = python::python(&folder);
        let path = env::join_paths(paths).map_err(|error| Error::Output {
            command: "python3".into(),
            what: error.to_string(),
        })?;
        command.env("PYTHONPATH", path).env("KCORO_LIBRARY", libraries.join("libkcoro.so"));
        command.args(arguments);
        Ok(command)
    };
    let tests = ["-X", "dev", "-m", "unittest", "discover", "-t", ".", "-s", "tests"];
    output.run(&mut run(&tests, &[&cffi])?)?;
    let example = context.path(EXAMPLES).join("channels.py");
    let mut program = run(&["-X", "dev"], &[&folder, &cffi])?;
    prints(context, "channels", program.arg(&example), output)?;
    let tools = match python::checkers(context, output) {
        Ok(tools) => tools,
        Err(error) => {
            output.say(&format!(
                "the types are not checked and the wheel is not built: pip fetched no tools\n  cause: {error}"
            ));
            return Ok(());
        }
    };
    let target = python::installed(context, &tools, SDK, output)?;
    let import = "import kcoro; assert kcoro.__file__.startswith(__import__('sys').argv[1])";
    // As a user has it: found by pkg-config, with nothing set.
    let mut command = run(&["-c", import], &[&target, &cffi])?;
    command.arg(&target).current_dir(&target).env_remove("KCORO_LIBRARY");
    output.run(command.env("PKG_CONFIG_PATH", libraries.join("pkgconfig")))?;
    output.run(&mut run(&["-m", "mypy", "--strict", "kcoro", "tests"], &[&tools, &cffi])?)?;
    for check in [&["check"][..], &["format", "--check"]] {
        let mut ruff = run(&["-m", "ruff"], &[&tools])?;
        ruff.args(check).args(["--config", "pyproject.toml", "."]);
        output.run(ruff.arg(&example))?;
    }
    Ok(())
}

/// Runs an example and compares what it prints.
fn prints(
    context: &Context,
    name: &str,
    program: &mut Command,
    output: &mut Output,
) -> Result<(), Error> {
    let expected = context.path(EXAMPLES).join("expected").join(format!("{name}.txt"));
    let printed = output.read(program)?;
    if printed == read(&expected)? {
        return Ok(());
    }
    let what = format!("expected {}, got:\n{printed}", expected.display());
    Err(Error::Output { command: name.to_owned(), what })
}

/// Installs the library; the folder of the libraries.
fn library(context: &Context, output: &mut Output) -> Result<PathBuf, Error> {
    let prefix = context.target().join("xtask").join("kcoro");
    install::into(context, &prefix, output)?;
    Ok(prefix.join("lib"))
}

/// The flags that pkg-config prints for it.
fn flags(libraries: &Path, arguments: &[&str], output: &mut Output) -> Result<Vec<String>, Error> {
    let mut command = Command::new("pkg-config");
    command.env("PKG_CONFIG_PATH", libraries.join("pkgconfig")).args(arguments).arg("kcoro");
    Ok(output.read(&mut command)?.split_whitespace().map(str::to_owned).collect())
}
