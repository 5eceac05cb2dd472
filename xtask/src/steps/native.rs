// SPDX-License-Identifier: BSD-3-Clause
//! Steps on the C headers and the C and C++ SDKs.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::commands::install;
use crate::context::Context;
use crate::error::{Error, Missing};
use crate::process::{Output, cargo, cc, create_folder, cxx, on_path, probe, write};
use crate::samples::includes;

pub(super) const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-pedantic", "-Werror"];

/// Every header stands alone, may be included twice, and is C11 pedantic as well as C++17. Those of
/// `kcoro.hpp` are C++20, for clang too where it is there. (The tests of `libkcoro` check its C headers.)
pub(super) fn headers(context: &Context, output: &mut Output) -> Result<(), Error> {
    let folder = scratch(context, "headers")?;
    let c =
        [listed(&context.path("crates/abi/include"), "h")?, listed(&context.path("sdk/c"), "h")?]
            .concat();
    for header in &c {
        let unit = twice(&folder, header, "c")?;
        output.run(syntax(&mut cc(), "-std=c11", context).arg(unit))?;
    }
    for header in c.iter().chain(&listed(&context.path("sdk/cpp"), "hpp")?) {
        let unit = twice(&folder, header, "cpp")?;
        output.run(syntax(&mut cxx(), "-std=c++17", context).arg(unit))?;
    }
    let kcoro = context.path("crates/capi/include");
    let mut compilers: Vec<fn() -> Command> = vec![cxx];
    if on_path("clang++").is_some() {
        compilers.push(|| Command::new("clang++"));
    }
    for header in [listed(&kcoro, "hpp")?, listed(&kcoro.join("kcoro"), "hpp")?].concat() {
        let unit = twice(&folder, &header, "kcoro.cpp")?;
        for compiler in &compilers {
            output.run(syntax(&mut compiler(), "-std=c++20", context).arg(&unit))?;
        }
    }
    Ok(())
}

pub(super) fn c_sdk(context: &Context, output: &mut Output) -> Result<(), Error> {
    run_tests(context, output, &cc, "-std=c11", "sdk/c/tests", "c")
}

/// `libkcoro` as its users have it: installed, found by pkg-config and by CMake, with the examples
/// and the C tests built from there.
pub(super) fn c_library(context: &Context, output: &mut Output) -> Result<(), Error> {
    install::check(context, true, context.is_full, output)
}

/// The C tests of `libkcoro` under valgrind's memcheck, which follows the coroutines' stacks.
pub(super) fn valgrind(context: &Context, output: &mut Output) -> Result<(), Error> {
    if on_path("valgrind").is_none() {
        return Err(Error::Missing(Missing {
            tool: "valgrind".into(),
            cause: "it is not on PATH".into(),
            hint: "`apt install valgrind`".into(),
        }));
    }
    output.run(
        cargo()
            .current_dir(context.root())
            .args(["test", "--locked", "--package=libkcoro", "--test=it"])
            .env("BECKET_TEST_VALGRIND", "1"),
    )
}

pub(super) fn cpp_sdk(context: &Context, output: &mut Output) -> Result<(), Error> {
    run_tests(context, output, &cxx, "-std=c++17", "sdk/cpp/tests", "cpp")
}

/// Compiles and runs every `*_test` of a folder: as it is, and under the address and undefined
/// behaviour sanitizers. Where the compiler has none, the step fails after the others have run.
fn run_tests(
    context: &Context,
    output: &mut Output,
    compiler: &dyn Fn() -> Command,
    standard: &str,
    tests: &str,
    extension: &str,
) -> Result<(), Error> {
    let folder = scratch(context, &format!("tests-{extension}"))?;
    let mut flavours: Vec<(&str, &[&str])> = vec![("plain", &["-O2"])];
    let sanitizers: &[&str] = &["-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
    let has_sanitizers = has_sanitizers(compiler, &folder, extension);
    if has_sanitizers {
        flavours.push(("sanitized", sanitizers));
    }
    let sources = listed(&context.path(tests), extension)?;
    let sources: Vec<_> = sources.iter().filter(|source| stem(source).ends_with("_test")).collect();
    if sources.is_empty() {
        return Err(Error::Absent(context.path(tests).join(format!("*_test.{extension}"))));
    }
    let (mut compilers, mut programs) = (Vec::new(), Vec::new());
    for source in sources {
        for (flavour, flags) in &flavours {
            let program = folder.join(format!("{}-{flavour}", stem(source)));
            let mut command = compiler();
            includes(command.arg(standard), context)
                .args(WARNINGS)
                .args(["-g", "-pthread"])
                .args(*flags)
                .arg(source)
                .arg("-o")
                .arg(&program);
            compilers.push(command);
            programs.push(program);
        }
    }
    output.run_all(compilers)?;
    for program in programs {
        output.run(Command::new(program).current_dir(context.root()))?;
    }
    if has_sanitizers {
        return Ok(());
    }
    Err(no_sanitizers(compiler))
}

pub(super) fn no_sanitizers(compiler: &dyn Fn() -> Command) -> Error {
    Error::Missing(Missing {
        tool: "the runtime of the address and undefined behaviour sanitizers".into(),
        cause: format!("{:?} builds no program with them that runs", compiler().get_program()),
        hint: "`apt install libasan8 libubsan1`, or another compiler in CC and CXX".into(),
    })
}

pub(super) fn has_sanitizers(
    compiler: &dyn Fn() -> Command,
    folder: &Path,
    extension: &str,
) -> bool {
    let source = folder.join("probe").with_extension(extension);
    let program = folder.join("probe");
    std::fs::write(&source, "int main(void) { return 0; }\n").is_ok()
        && probe(
            compiler().arg("-fsanitize=address,undefined").arg(&source).arg("-o").arg(&program),
        )
        .is_some()
        && probe(&mut Command::new(program)).is_some()
}

/// A source file that includes the header twice.
fn twice(folder: &Path, header: &Path, extension: &str) -> Result<PathBuf, Error> {
    let mut text = String::new();
    for _ in 0..2 {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "#include \"{}\"", header.display());
    }
    text.push_str("int main(void) { return 0; }\n");
    let unit = folder.join(stem(header)).with_extension(extension);
    write(&unit, &text)?;
    Ok(unit)
}

fn syntax<'a>(compiler: &'a mut Command, standard: &str, context: &Context) -> &'a mut Command {
    includes(compiler.arg(standard), context).args(WARNINGS).arg("-fsyntax-only")
}

pub(super) fn scratch(context: &Context, name: &str) -> Result<PathBuf, Error> {
    let folder = context.target().join("xtask").join(name);
    create_folder(&folder)?;
    Ok(folder)
}

/// The files of one extension directly in a folder, sorted.
pub(super) fn listed(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::File { action: "list", path: folder.into(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|other| other == extension) {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

pub(super) fn stem(path: &Path) -> &str {
    path.file_stem().and_then(OsStr::to_str).unwrap_or_default()
}
