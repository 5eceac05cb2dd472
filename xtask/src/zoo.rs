// SPDX-License-Identifier: BSD-3-Clause
//! Builds the deliberately broken plugins of `examples/zoo` into `target/zoo/NAME.so`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cargo, cc, create_folder, is_fresh, publish};
use crate::samples::{cpp_compiler, native_sources, shared};

/// The folder of the built zoo.
pub(crate) fn folder(context: &Context) -> PathBuf {
    context.target().join("zoo")
}

/// Builds the plugins of the zoo that are not there, or older than their sources; returns how many
/// plugins it has.
pub(crate) fn build(context: &Context, output: &mut Output) -> Result<usize, Error> {
    let folder = folder(context);
    create_folder(&folder)?;
    let plugins = context.path("examples/zoo/plugins");
    let mut shared_sources = native_sources(context);
    shared_sources.extend([plugins.join("zoo.h"), context.path("xtask/src/zoo.rs")]);
    let sources = sources(&plugins)?;
    let (mut commands, mut built) = (Vec::new(), Vec::new());
    for source in &sources {
        let name = source.file_stem().unwrap_or_default();
        let place = folder.join(name).with_extension("so");
        if is_fresh(&place, &shared_sources) && is_fresh(&place, std::slice::from_ref(source)) {
            continue;
        }
        let mut compiler = match source.extension().and_then(OsStr::to_str) {
            Some("cpp") => cpp_compiler(),
            _ => {
                let mut compiler = cc();
                compiler.arg("-std=c11");
                compiler
            }
        };
        let beside = place.with_extension("new");
        shared(&mut compiler, context).arg(source).arg("-o").arg(&beside);
        commands.push(compiler);
        built.push((beside, place));
    }
    output.run_all(commands)?;
    for (beside, place) in built {
        publish(&beside, &place)?;
    }
    Ok(sources.len() + rust(context, &folder, output)?)
}

/// The plugins in Rust are crates of a separate workspace: they violate the lints of this one.
fn rust(context: &Context, folder: &Path, output: &mut Output) -> Result<usize, Error> {
    let crates = context.path("examples/zoo/rust");
    let target = folder.join("cargo");
    let mut command = cargo();
    command.current_dir(&crates).args(["build", "--release", "--locked", "--target-dir"]);
    output.run(command.arg(&target))?;
    let built = entries(&crates)?;
    for name in built.iter().filter_map(|path| path.file_name()) {
        let mut library = std::ffi::OsString::from("lib");
        library.push(name);
        let library = target.join("release").join(library).with_extension("so");
        let beside = folder.join(name).with_extension("new");
        std::fs::copy(&library, &beside).map_err(|source| Error::File {
            action: "copy",
            path: library,
            source,
        })?;
        publish(&beside, &folder.join(name).with_extension("so"))?;
    }
    Ok(built.len())
}

/// The C and C++ files of a folder, sorted.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let is_source =
        |path: &PathBuf| path.extension().is_some_and(|other| other == "c" || other == "cpp");
    Ok(entries(folder)?.into_iter().filter(is_source).collect())
}

/// What is in a folder, sorted.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::File { action: "list", path: folder.into(), source };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        found.push(entry.map_err(failed)?.path());
    }
    found.sort();
    Ok(found)
}
