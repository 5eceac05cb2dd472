// SPDX-License-Identifier: BSD-3-Clause
//! Builds the deliberately broken plugins of `examples/zoo` into `target/zoo/NAME.so`.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, cc, create_folder, publish};
use crate::samples::{cpp_compiler, shared};

/// Where the built zoo is.
pub(crate) fn folder(context: &Context) -> PathBuf {
    context.target().join("zoo")
}

/// Builds every plugin of the zoo; returns how many there are.
pub(crate) fn build(context: &Context, output: &mut Output) -> Result<usize, Error> {
    let folder = folder(context);
    create_folder(&folder)?;
    let sources = sources(&context.path("examples/zoo/plugins"))?;
    for source in &sources {
        let name = source.file_stem().unwrap_or_default();
        let mut compiler = match source.extension().and_then(OsStr::to_str) {
            Some("cpp") => cpp_compiler(),
            _ => {
                let mut compiler = cc();
                compiler.arg("-std=c11");
                compiler
            }
        };
        let beside = folder.join(name).with_extension("new");
        output.run(shared(&mut compiler, context).arg(source).arg("-o").arg(&beside))?;
        publish(&beside, &folder.join(name).with_extension("so"))?;
    }
    Ok(sources.len())
}

/// The C and C++ files of a folder, sorted.
fn sources(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::File { action: "list", path: folder.into(), source };
    let mut sources = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "c" || extension == "cpp") {
            sources.push(path);
        }
    }
    sources.sort();
    Ok(sources)
}
