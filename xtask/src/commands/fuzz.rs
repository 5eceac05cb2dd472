// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask fuzz`: hostile bytes for the decoders and state machines of `becket-wire` and
//! `becket-ipc`.
//!
//! A run starts from the inputs in `fuzz/corpus`; new inputs stay in `target`, unless `--keep` adds to the corpus those
//! that reach code which no other input reaches. An input that fails is kept in `fuzz/artifacts`, and libFuzzer prints its
//! path.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use crate::context::Context;
use crate::error::Error;
use crate::nightly::Nightly;
use crate::process::{Output, create_folder};

/// The programs of `fuzz/targets`.
const TARGETS: [&str; 5] = ["v1", "decode", "session", "pair", "shm"];

/// A target that takes more memory has failed.
const MEMORY_MIB_MAX: u32 = 2048;
/// An input that takes longer has failed.
const INPUT_SECONDS_MAX: u32 = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Only this one.
    #[arg(value_name = "TARGET", value_parser = TARGETS)]
    target: Option<String>,
    /// How long each target is fuzzed.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Add what was found to the corpus, as far as it reaches code that nothing there reaches.
    #[arg(long)]
    keep: bool,
}

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    let output = &mut Output::Screen;
    let fuzzer = Fuzzer::find(context, output)?;
    for target in TARGETS {
        if arguments.target.as_ref().is_none_or(|only| only == target) {
            fuzzer.run(target, arguments.seconds, output)?;
            if arguments.keep {
                fuzzer.keep(target, output)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

struct Fuzzer<'a> {
    context: &'a Context,
    nightly: Nightly,
    /// Where cargo-fuzz is.
    folder: PathBuf,
}

impl<'a> Fuzzer<'a> {
    fn find(context: &'a Context, output: &mut Output) -> Result<Self, Error> {
        let nightly = Nightly::find()?;
        let program = context.tools.cargo_fuzz(output)?;
        let folder = program.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { context, nightly, folder })
    }

    fn run(&self, target: &str, seconds: u32, output: &mut Output) -> Result<(), Error> {
        let [found, corpus] = self.folders(target);
        create_folder(&found)?;
        let mut command = self.fuzz(target);
        command
            // New inputs go to the first; both are read.
            .args([&found, &corpus])
            .arg("--")
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"))
            .arg(format!("-timeout={INPUT_SECONDS_MAX}"))
            .arg("-print_final_stats=1");
        output.run(&mut command)
    }

    /// Adds to the corpus what reaches more code.
    fn keep(&self, target: &str, output: &mut Output) -> Result<(), Error> {
        let [found, corpus] = self.folders(target);
        output.run(self.fuzz(target).args([&corpus, &found]).args(["--", "-merge=1"]))
    }

    /// Where inputs are that were found, and the corpus.
    fn folders(&self, target: &str) -> [PathBuf; 2] {
        let found = self.context.target().join("fuzz-corpus").join(target);
        [found, Path::new("fuzz/corpus").join(target)]
    }

    fn fuzz(&self, target: &str) -> Command {
        let mut command = self.cargo();
        command
            .args(["fuzz", "run", "--fuzz-dir", "fuzz", "--target-dir"])
            .arg(self.context.target().join("fuzz"))
            .arg(target);
        command
    }

    /// Cargo finds cargo-fuzz on `PATH`, and passes its own path to it.
    fn cargo(&self) -> Command {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = [self.folder.clone()].into_iter().chain(env::split_paths(&path));
        let mut command = self.nightly.cargo();
        command.current_dir(self.context.root());
        // Cannot fail: a folder that came out of PATH has no separator, nor has a repository's.
        if let Ok(path) = env::join_paths(folders) {
            command.env("PATH", path);
        }
        command
    }
}
