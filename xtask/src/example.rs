// SPDX-License-Identifier: BSD-3-Clause
//! Builds the filters of `examples/gateway` into `target/gateway/lib*.so`, with the configuration beside them.
//!
//! A filter whose toolchain is not there is left out of the configuration. That cannot be the one that
//! asks for keys: a C++ compiler is not fetched, and without one the build fails.

use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::error::{Error, Missing};
use crate::process::{Output, cc, create_folder, publish, read, write};
use crate::samples::{cdylib, cpp_compiler, go_library, shared, zig_library};

/// A filter's name, which is its folder's, and its source.
const FILTERS: [(&str, &str); 5] = [
    ("metrics", "metrics.c"),
    ("auth", "auth.cpp"),
    ("rate", "rate.go"),
    ("variant", "variant.rs"),
    ("redact", "redact.zig"),
];

/// Where the sources are.
pub(crate) const SOURCES: &str = "examples/gateway";

/// Where the configuration and the filters are.
pub(crate) fn folder(context: &Context) -> PathBuf {
    context.target().join("gateway")
}

/// Builds what can be built here, and writes the configuration with it; returns why the others are not.
pub(crate) fn build(
    context: &Context,
    output: &mut Output,
) -> Result<Vec<(&'static str, Missing)>, Error> {
    let folder = folder(context);
    let beside = context.target().join("xtask").join("gateway");
    create_folder(&folder)?;
    create_folder(&beside)?;
    let mut without = Vec::new();
    for (name, source) in FILTERS {
        let library = format!("lib{name}.so");
        let built = beside.join(&library);
        match filter(context, &context.path(SOURCES).join(name), source, &built, output) {
            Ok(()) => publish(&built, &folder.join(library))?,
            Err(Error::Missing(missing)) => without.push((name, missing)),
            Err(error) => return Err(error),
        }
    }
    let names: Vec<_> = without.iter().map(|(name, _)| *name).collect();
    let config = read(&context.path(SOURCES).join("becket.toml"))?;
    write(&folder.join("becket.toml"), &config_without(&config, &names))?;
    Ok(without)
}

fn filter(
    context: &Context,
    folder: &Path,
    source: &str,
    library: &Path,
    output: &mut Output,
) -> Result<(), Error> {
    let mut compiler = match source.rsplit('.').next() {
        Some("rs") => return rust_library(context, library, output),
        Some("go") => return go_library(context, folder, library, output),
        Some("zig") => return zig_library(context, folder, source, library, output),
        Some("cpp") => cpp_compiler(),
        _ => {
            let mut compiler = cc();
            compiler.arg("-std=c11");
            compiler
        }
    };
    output.run(shared(&mut compiler, context).arg(folder.join(source)).arg("-o").arg(library))
}

/// The filter in Rust, which is a package of the workspace.
fn rust_library(context: &Context, library: &Path, output: &mut Output) -> Result<(), Error> {
    let built = cdylib(context, "becket-example-variant", output)?;
    std::fs::copy(&built, library).map(drop).map_err(|source| Error::File {
        action: "copy",
        path: built,
        source,
    })
}

/// Without the line of each of these in `[plugins]`, and that in `filters`.
fn config_without(config: &str, names: &[&str]) -> String {
    let is_of = |line: &str, name: &&str| {
        let line = line.trim_start();
        [format!("{name} = {{"), format!("\"{name}\","), format!("{{ name = \"{name}\"")]
            .iter()
            .any(|beginning| line.starts_with(beginning.as_str()))
    };
    let lines = config.split_inclusive('\n');
    lines.filter(|line| !names.iter().any(|name| is_of(line, name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_left_out_is_named_nowhere_in_the_configuration() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let config = read(&root.join(SOURCES).join("becket.toml")).expect("the configuration");
        assert_eq!(config_without(&config, &[]), config);
        for (name, _) in FILTERS {
            let without = config_without(&config, &[name]);
            assert_eq!(without.lines().count() + 2, config.lines().count(), "{name}: {without}");
            assert!(!without.contains(&format!("lib{name}.so")), "{without}");
            assert!(!without.contains(&format!("\"{name}\"")), "{without}");
        }
    }
}
