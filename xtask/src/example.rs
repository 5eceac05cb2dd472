// SPDX-License-Identifier: BSD-3-Clause
//! Builds the filters of `examples/gateway` into `target/gateway/lib*.so`, with the configuration beside them; some of them once
//! more into `target/pingora-example`, with that of `examples/pingora`.
//!
//! A filter whose toolchain is not there is left out of the configuration. That cannot be the one that
//! asks for keys: a C++ compiler is not fetched, and without one the build fails.

use std::path::{Path, PathBuf};

use crate::context::Context;
use crate::error::{Error, Missing};
use crate::process::{Output, cc, create_folder, publish, read, write};
use crate::samples::{cdylib, cpp_compiler, go_library, shared, zig_library};

/// An example: its configuration, and its filters.
#[derive(Debug)]
pub(crate) struct Example {
    /// Of the built filters and the configuration, in cargo's target folder.
    folder: &'static str,
    config: &'static str,
    /// A filter's name, which is its folder's, and its source.
    filters: &'static [(&'static str, &'static str)],
}

const METRICS: (&str, &str) = ("metrics", "metrics.c");
const AUTH: (&str, &str) = ("auth", "auth.cpp");
const RATE: (&str, &str) = ("rate", "rate.go");
const VARIANT: (&str, &str) = ("variant", "variant.rs");
const REDACT: (&str, &str) = ("redact", "redact.zig");

pub(crate) const GATEWAY: Example = Example {
    folder: "gateway",
    config: "examples/gateway/becket.toml",
    filters: &[METRICS, AUTH, RATE, VARIANT, REDACT],
};

pub(crate) const PINGORA: Example = Example {
    folder: "pingora-example",
    config: "examples/pingora/becket.toml",
    filters: &[AUTH, RATE, REDACT],
};

/// Where the sources of filters are, and the service.
pub(crate) const SOURCES: &str = "examples/gateway";

/// Where the configuration and the filters are.
pub(crate) fn folder(context: &Context, example: &Example) -> PathBuf {
    context.target().join(example.folder)
}

/// Builds what can be built here, and writes the configuration with it; returns why the others are not.
pub(crate) fn build(
    context: &Context,
    example: &Example,
    output: &mut Output,
) -> Result<Vec<(&'static str, Missing)>, Error> {
    let folder = folder(context, example);
    let beside = context.target().join("xtask").join(example.folder);
    create_folder(&folder)?;
    create_folder(&beside)?;
    let mut without = Vec::new();
    for &(name, source) in example.filters {
        let library = format!("lib{name}.so");
        let built = beside.join(&library);
        match filter(context, &context.path(SOURCES).join(name), source, &built, output) {
            Ok(()) => publish(&built, &folder.join(library))?,
            Err(Error::Missing(missing)) => without.push((name, missing)),
            Err(error) => return Err(error),
        }
    }
    let names: Vec<_> = without.iter().map(|(name, _)| *name).collect();
    let config = read(&context.path(example.config))?;
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
        for example in [GATEWAY, PINGORA] {
            let config = read(&root.join(example.config)).expect("the configuration");
            assert_eq!(config_without(&config, &[]), config);
            for (name, _) in example.filters {
                let without = config_without(&config, &[name]);
                assert_eq!(
                    without.lines().count() + 2,
                    config.lines().count(),
                    "{name}: {without}"
                );
                assert!(!without.contains(&format!("lib{name}.so")), "{without}");
                assert!(!without.contains(&format!("\"{name}\"")), "{without}");
            }
        }
    }
}
