// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask run`: a gateway with the sample plugin of each language, from a fresh clone.
//!
//! ```text
//!   this thread    the command alone, and the sample in Rust ──────────────────────┐
//!   a second       the samples in C, C++, Go, Zig ─────────────────────────────────┴──► becket serve
//!   a third        Go, Zig: fetched if need be
//! ```
//!
//! `becket` is built without its default features but `process`, which the samples that are programs need, by a profile that takes half the time of a
//! release build; a command that is left out explains how to get it. Downloads take no processor
//! time, so they run while cargo compiles.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::thread;

use crate::context::Context;
use crate::error::{Error, Missing};
use crate::process::{Output, cargo, on_path, spawn_error};
use crate::samples::{self, Language};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where to listen.
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: String,
    /// More arguments for `becket serve`.
    #[arg(last = true, value_name = "ARGUMENTS")]
    more: Vec<String>,
}

/// The profile in `Cargo.toml`, and the name of its folder in the target folder.
pub(crate) const PROFILE: &str = "serve";

/// Samples that are programs: the name, what runs it, the file.
const PROGRAMS: [(&str, &str, &str); 2] = [
    ("python", "python3", "examples/plugins/python/plugin.py"),
    ("node", "node", "examples/plugins/node/plugin.js"),
];

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    let plugins = Plugins::of(build(context)?)?;
    for (language, missing) in &plugins.without {
        eprintln!("without {}: {missing}", language.name());
        eprintln!("  cause: {}", missing.cause);
        eprintln!("   hint: {}", missing.hint);
    }
    let mut serve = Command::new(context.target().join(PROFILE).join("becket"));
    serve.args(["serve", "--listen", &arguments.listen]);
    for (language, path) in plugins.built {
        let mut plugin = std::ffi::OsString::from(format!("--plugin={}=", language.name()));
        plugin.push(path);
        serve.arg(plugin);
    }
    for (name, interpreter, file) in PROGRAMS {
        if on_path(interpreter).is_none() {
            eprintln!("without {name}: `{interpreter}` is not on PATH");
            continue;
        }
        let mut plugin = std::ffi::OsString::from(format!("--plugin={name}="));
        plugin.push(context.path(file));
        serve.arg(plugin);
    }
    // The gateway replaces this process, so it gets the signals, and the exit status is its own.
    let failure = serve.args(&arguments.more).exec();
    Err(spawn_error(&serve, failure))
}

/// A sample, or why there is none.
type Sample = (Language, Result<PathBuf, Error>);

/// Builds the command and the samples, two at a time, while downloads are under way.
fn build(context: &Context) -> Result<Vec<Sample>, Error> {
    thread::scope(|scope| {
        scope.spawn(|| {
            // The build of the sample that needs the tool reports the error again.
            let _go = context.tools.go(&mut Output::Screen);
            let _zig = context.tools.zig(&mut Output::Screen);
        });
        let others = scope.spawn(|| {
            let others = Language::ALL.into_iter().filter(|language| *language != Language::Rust);
            let built = others
                .map(|language| (language, samples::build(context, language, &mut Output::Screen)));
            built.collect::<Vec<_>>()
        });
        let rust = rust(context);
        let panicked = |_| Error::Output {
            command: "cargo xtask run".into(),
            what: "the thread that builds samples panicked".into(),
        };
        let others = others.join().map_err(panicked)?;
        let mut samples = vec![(Language::Rust, Ok(rust?))];
        samples.extend(others);
        Ok(samples)
    })
}

/// Builds the command that serves, in the same way each time, so that nothing is compiled twice.
pub(crate) fn becket(context: &Context) -> Command {
    let mut command = cargo();
    command.current_dir(context.root()).args(["build", "--profile", PROFILE, "--locked"]);
    command.args(["--no-default-features", "--package=becket", "--features=becket/process"]);
    command
}

/// Builds the command and the sample in Rust together, so that shared dependencies are compiled
/// once.
fn rust(context: &Context) -> Result<PathBuf, Error> {
    let mut command = becket(context);
    command.args(["--package=becket-sample", "--features=becket-sample/export"]);
    Output::Screen.run(&mut command)?;
    let library = context.target().join(PROFILE).join("libbecket_sample.so");
    samples::take_rust(context, &library)
}

/// The samples that are served, and those that are not.
#[derive(Debug, Default)]
struct Plugins {
    built: Vec<(Language, PathBuf)>,
    without: Vec<(Language, Missing)>,
}

impl Plugins {
    /// A language whose toolchain is not available is left out; a sample that does not compile is
    /// an error.
    fn of(samples: Vec<Sample>) -> Result<Self, Error> {
        let mut plugins = Self::default();
        for (language, sample) in samples {
            match sample {
                Ok(path) => plugins.built.push((language, path)),
                Err(Error::Missing(missing)) => plugins.without.push((language, missing)),
                Err(error) => return Err(error),
            }
        }
        Ok(plugins)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing() -> Error {
        let (cause, hint) = ("no network".to_owned(), "`cargo xtask tools`".to_owned());
        Error::Missing(Missing { tool: "a tool".into(), cause, hint })
    }

    /// For every subset of the languages without a toolchain: the others are served, in their
    /// order, and each missing one is named with its cause.
    #[test]
    fn what_cannot_be_fetched_is_said_and_the_rest_is_served() {
        for absent in 0_u32..1 << Language::ALL.len() {
            let is_absent = |at: usize| absent >> at & 1 == 1;
            let sample = |(at, language)| {
                let path = PathBuf::from(format!("{language:?}.so"));
                (language, if is_absent(at) { Err(missing()) } else { Ok(path) })
            };
            let samples = Language::ALL.into_iter().enumerate().map(sample).collect();
            let plugins = Plugins::of(samples).unwrap();
            let of = |wanted: bool| {
                let all = Language::ALL.into_iter().enumerate();
                all.filter(move |(at, _)| is_absent(*at) == wanted).map(|(_, it)| it)
            };
            assert!(of(false).eq(plugins.built.iter().map(|(language, _)| *language)));
            assert!(of(true).eq(plugins.without.iter().map(|(language, _)| *language)));
            assert!(plugins.without.iter().all(|(_, missing)| missing.cause == "no network"));
        }
    }

    #[test]
    fn what_does_not_compile_is_not_left_out() {
        let broken = Error::Absent("plugin.c".into());
        let samples = vec![(Language::Go, Err(missing())), (Language::C, Err(broken))];
        assert!(matches!(Plugins::of(samples), Err(Error::Absent(_))));
    }
}
