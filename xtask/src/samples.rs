// SPDX-License-Identifier: BSD-3-Clause
//! Builds the sample plugin of each language into `target/plugins/libsample_LANG.so`.
//!
//! Each is built beside its final path and then moved there, so that a host that has the old file
//! mapped, or watches for a new one, never sees part of a file.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cargo, cc, create_folder, cxx, is_fresh, probe, publish};

/// A language with an SDK and a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    Rust,
    C,
    Cpp,
    Go,
    Zig,
}

impl Language {
    pub(crate) const ALL: [Self; 5] = [Self::Rust, Self::C, Self::Cpp, Self::Go, Self::Zig];

    /// Its name in paths, in the gateway and in the sample's answers.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Rust => "rust",
            Self::C => "c",
            Self::Cpp => "cpp",
            Self::Go => "go",
            Self::Zig => "zig",
        }
    }
}

/// Where the samples are.
pub(crate) fn folder(context: &Context) -> PathBuf {
    context.target().join("plugins")
}

/// Where the sample of this language is, or will be.
pub(crate) fn place(context: &Context, language: Language) -> PathBuf {
    folder(context).join(format!("libsample_{}.so", language.name()))
}

/// Builds one sample, and fetches its toolchain if it is missing.
pub(crate) fn build(
    context: &Context,
    language: Language,
    output: &mut Output,
) -> Result<PathBuf, Error> {
    let beside = context.target().join("xtask").join("samples").join(language.name());
    create_folder(&folder(context))?;
    create_folder(&beside)?;
    let built = match language {
        Language::Rust => rust(context, &beside, output)?,
        Language::C => c(context, &beside, output)?,
        Language::Cpp => cpp(context, &beside, output)?,
        Language::Go => go(context, &beside, output)?,
        Language::Zig => zig(context, &beside, output)?,
    };
    let place = place(context, language);
    publish(&built, &place)?;
    Ok(place)
}

/// Builds the samples that are not there, or older than their sources. Returns why others could not
/// be built.
pub(crate) fn build_stale(context: &Context, output: &mut Output) -> Result<(), Error> {
    let mut result = Ok(());
    for language in Language::ALL {
        if language == Language::Rust
            || !is_fresh(&place(context, language), &sources(context, language))
        {
            result = result.and(build(context, language, output).map(drop));
        }
    }
    result
}

/// The files and folders that a sample is built from. For the one in Rust cargo tracks them.
fn sources(context: &Context, language: Language) -> Vec<PathBuf> {
    let sdk = match language {
        Language::Rust | Language::C => "sdk/c",
        Language::Cpp => "sdk/cpp",
        Language::Go => "sdk/go",
        Language::Zig => "sdk/zig",
    };
    let sample = format!("examples/plugins/{}", language.name());
    [&sample, sdk, "sdk/c", HEADERS, "xtask/src/samples.rs"].map(|path| context.path(path)).into()
}

/// The headers of the ABI.
const HEADERS: &str = "crates/abi/include";

/// What every library in C or C++ is built from, besides its own file.
pub(crate) fn native_sources(context: &Context) -> Vec<PathBuf> {
    [HEADERS, "sdk/c", "sdk/cpp", "xtask/src/samples.rs"].map(|path| context.path(path)).into()
}

/// Copies the sample in Rust, built by another run of cargo, to its path.
pub(crate) fn take_rust(context: &Context, library: &Path) -> Result<PathBuf, Error> {
    let beside = context.target().join("xtask").join("samples").join(Language::Rust.name());
    create_folder(&folder(context))?;
    create_folder(&beside)?;
    let place = place(context, Language::Rust);
    publish(&copied(library, &beside)?, &place)?;
    Ok(place)
}

fn rust(context: &Context, beside: &Path, output: &mut Output) -> Result<PathBuf, Error> {
    copied(&cdylib(context, "becket-sample", output)?, beside)
}

fn copied(library: &Path, beside: &Path) -> Result<PathBuf, Error> {
    let copy = beside.join("sample.so");
    std::fs::copy(library, &copy).map_err(|source| Error::File {
        action: "copy",
        path: library.into(),
        source,
    })?;
    Ok(copy)
}

/// Builds a package in release mode and returns its shared library.
pub(crate) fn cdylib(
    context: &Context,
    package: &str,
    output: &mut Output,
) -> Result<PathBuf, Error> {
    let mut command = cargo();
    command
        .current_dir(context.root())
        .args(["build", "--release", "--message-format=json-render-diagnostics", "--package"])
        .arg(package);
    let messages = output.read(&mut command)?;
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| {
            message.get("reason").and_then(Value::as_str) == Some("compiler-artifact")
        })
        .filter_map(|message| message.get("filenames").and_then(Value::as_array).cloned())
        .flatten()
        .filter_map(|name| name.as_str().map(PathBuf::from))
        // The last one: dependencies come before the package itself.
        .rfind(|path| path.extension().is_some_and(|extension| extension == "so"))
        .ok_or_else(|| Error::Output {
            command: format!("cargo build --package {package}"),
            what: "it built no shared library".into(),
        })
}

fn c(context: &Context, beside: &Path, output: &mut Output) -> Result<PathBuf, Error> {
    let library = beside.join("sample.so");
    output.run(
        shared(cc().arg("-std=c11"), context)
            .arg(context.path("examples/plugins/c/plugin.c"))
            .arg("-o")
            .arg(&library),
    )?;
    Ok(library)
}

fn cpp(context: &Context, beside: &Path, output: &mut Output) -> Result<PathBuf, Error> {
    let library = beside.join("sample.so");
    output.run(
        shared(&mut cpp_compiler(), context)
            .arg(context.path("examples/plugins/cpp/plugin.cpp"))
            .arg("-o")
            .arg(&library),
    )?;
    Ok(library)
}

/// The C++ compiler, for plugins. Where it is GCC it must not make "unique" symbols: the loader
/// keeps a library that has one mapped for ever.
pub(crate) fn cpp_compiler() -> Command {
    let mut compiler = cxx();
    compiler.arg("-std=c++17");
    let mut question = cxx();
    question.args(["-fno-gnu-unique", "-E", "-x", "c++", "/dev/null"]);
    if probe(&mut question).is_some() {
        compiler.arg("-fno-gnu-unique");
    }
    compiler
}

/// The flags that every shared library in C or C++ is built with.
pub(crate) fn shared<'a>(compiler: &'a mut Command, context: &Context) -> &'a mut Command {
    includes(compiler, context).args([
        "-O2",
        "-g",
        "-fPIC",
        "-shared",
        "-fvisibility=hidden",
        "-pthread",
        "-Wall",
        "-Wextra",
    ])
}

/// Where the headers are.
pub(crate) fn includes<'a>(compiler: &'a mut Command, context: &Context) -> &'a mut Command {
    for folder in [HEADERS, "sdk/c", "sdk/cpp"] {
        compiler.arg("-I").arg(context.path(folder));
    }
    compiler
}

fn go(context: &Context, beside: &Path, output: &mut Output) -> Result<PathBuf, Error> {
    let library = beside.join("sample.so");
    go_library(context, &context.path("examples/plugins/go"), &library, output)?;
    Ok(library)
}

/// Builds the plugin in Go of this folder.
pub(crate) fn go_library(
    context: &Context,
    folder: &Path,
    library: &Path,
    output: &mut Output,
) -> Result<(), Error> {
    let go = context.tools.go(output)?;
    output.run(
        Command::new(go)
            .current_dir(folder)
            .args(["build", "-buildmode=c-shared", "-o"])
            .arg(library)
            .arg("."),
    )
}

fn zig(context: &Context, beside: &Path, output: &mut Output) -> Result<PathBuf, Error> {
    let library = beside.join("sample.so");
    zig_library(context, &context.path("examples/plugins/zig"), "sample.zig", &library, output)?;
    Ok(library)
}

/// Builds the plugin in Zig of this folder, which is as deep in the repository as the sample's.
pub(crate) fn zig_library(
    context: &Context,
    folder: &Path,
    source: &str,
    library: &Path,
    output: &mut Output,
) -> Result<(), Error> {
    let zig = context.tools.zig(output)?;
    let mut place = std::ffi::OsString::from("-femit-bin=");
    place.push(library);
    output.run(
        Command::new(zig)
            .current_dir(folder)
            .args(["build-lib", "-dynamic", "-O", "ReleaseFast", "-lc", "--name", "plugin"])
            .args(["--dep", "becket", &format!("-Mroot={source}"), ZIG_SDK])
            .arg("--cache-dir")
            .arg(zig_cache(context))
            .arg(place),
    )
}

/// The SDK, as seen from a plugin's folder.
pub(crate) const ZIG_SDK: &str = "-Mbecket=../../../sdk/zig/becket.zig";

/// Zig would keep its cache beside the sources.
pub(crate) fn zig_cache(context: &Context) -> PathBuf {
    context.target().join("xtask").join("zig-cache")
}
