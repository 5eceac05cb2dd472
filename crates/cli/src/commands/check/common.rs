// SPDX-License-Identifier: BSD-3-Clause
//! How much a check tries, and where its reports go: the same for all checks.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use becket_lab::check::{EXPECT_BYTES_MAX, Expectations, JOBS_MAX, Mode, Options, PROFILES_MAX};
use becket_lab::contract::Capability;
use becket_lab::report::{Report, html_sheet, json, junit, markdown};
use becket_lab::rules::Exit as LabExit;

use crate::commands::lab::adapter::Adapter;
use crate::commands::lab::files::{self, Output, cannot};
use crate::commands::lab::load;
use crate::commands::pick;
use crate::exit::{self, Exit};
use crate::failure::Failure;
use crate::ui::Ui;

/// Runs that shrinking a failure may take when the adapter is a process: every second run starts a
/// new process, which takes some languages as long as a hundred runs. An adapter that hangs has
/// fewer, like a plugin: see `TRIES_A_HANG` of the lab.
const SHRINK_TRIES_EXEC: u32 = 100;
/// Where replays of failed runs are kept unless a place is named.
const ARTEFACTS: &str = "becket-lab";
/// Deviations from the default schedule in the orders of a small run: each order starts a process,
/// or makes some hundred requests to one.
const DEVIATIONS_EXEC: u32 = 1;

/// How much is tried.
#[derive(Debug, Clone, clap::Args)]
pub(in crate::commands) struct Effort {
    /// Three scenarios, three profiles, all mutants [the default]
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// All scenarios, twenty profiles, all mutants; a rule that is never exercised counts
    #[arg(long)]
    full: bool,
    /// The seed of the first profile, which decides everything in it; the next has the next
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = seed, allow_negative_numbers = true)]
    pub(super) start_seed: u64,
    /// How many profiles, from 1 to 10000 [default: 3, with --full 20]
    #[arg(long, value_name = "N", value_parser = profiles)]
    pub(super) profiles: Option<u32>,
    /// How many threads, from 1 to 64; the report does not depend on it [default: one a core]
    #[arg(long, short, value_name = "N", value_parser = jobs)]
    jobs: Option<usize>,
}

impl Effort {
    /// The same settings as arguments of a command.
    pub(super) fn arguments(&self) -> Vec<String> {
        let mut all = vec!["--start-seed".into(), self.start_seed.to_string()];
        all.extend(["--jobs".into(), self.jobs().to_string()]);
        all.extend(self.full.then(|| "--full".into()));
        if let Some(profiles) = self.profiles {
            all.extend(["--profiles".into(), profiles.to_string()]);
        }
        all
    }

    /// The options of a check without progress reports.
    pub(in crate::commands) fn options<'a>(&self, adapter: &'a Adapter) -> Options<'a> {
        let mut options = Options::quick(&adapter.name, adapter.make());
        options.mode = self.mode();
        options.start_seed = self.start_seed;
        options.profiles = self.profiles;
        options.jobs = self.jobs();
        if adapter.is_process() {
            options.shrink_tries = SHRINK_TRIES_EXEC;
            options.deviations_max = DEVIATIONS_EXEC;
        }
        options
    }

    /// How much is tried, and the first seed.
    pub(super) fn begun(&self) -> (Mode, u64) {
        (self.mode(), self.start_seed)
    }

    pub(super) fn mode(&self) -> Mode {
        if self.full { Mode::Full } else { Mode::Quick }
    }

    pub(super) fn jobs(&self) -> usize {
        Self::threads(self.jobs)
    }

    /// As many threads as are asked for, or one a core.
    pub(in crate::commands) fn threads(asked: Option<usize>) -> usize {
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        asked.unwrap_or_else(cores).clamp(1, JOBS_MAX)
    }
}

/// Capabilities that the adapters have to claim.
#[derive(Debug, Clone, Default, clap::Args)]
pub(super) struct Required {
    /// A capability that the adapters have to claim, such as flow_reset; may be given several times
    #[arg(long = "require", value_name = "NAME")]
    pub(super) names: Vec<String>,
}

impl Required {
    /// Whether each is one that the lab knows.
    pub(super) fn are_known(&self) -> Result<(), Failure> {
        for asked in &self.names {
            pick::one("capability", asked, Capability::ALL, |it| it.name())?;
        }
        Ok(())
    }
}

/// A seed, as every command takes it.
pub(in crate::commands) fn seed(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("a seed is a whole number from 0 to {}", u64::MAX))
}

fn profiles(text: &str) -> Result<u32, String> {
    let said = || format!("it is a whole number from 1 to {PROFILES_MAX}");
    text.parse().ok().filter(|count| (1..=PROFILES_MAX).contains(count)).ok_or_else(said)
}

pub(in crate::commands) fn jobs(text: &str) -> Result<usize, String> {
    let said = || format!("it is a whole number from 1 to {JOBS_MAX}");
    text.parse().ok().filter(|count| (1..=JOBS_MAX).contains(count)).ok_or_else(said)
}

/// Where reports go, besides the text on stdout.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Outputs {
    /// Write the report as JSON into this file; the same check gives the same bytes. `-` is stdout
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write it as JUnit XML, for build servers
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Write it as one self-contained page of HTML, with matrix and plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write it as Markdown, for pull requests
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Put durations into the reports, which then differ each time
    #[arg(long)]
    pub(super) timing: bool,
    /// Failures that are known, in TOML: they do not count, and one that does not occur does
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Where replays of failed runs are kept; it is made when there is one
    ///
    /// [default: becket-lab]
    #[arg(long, value_name = "DIR")]
    artefacts: Option<PathBuf>,
}

/// The opened files, each with the format that is written there.
pub(super) struct Opened(Vec<(Form, Output)>);

/// A form of reports.
#[derive(Clone, Copy)]
enum Form {
    Json,
    Junit,
    Html,
    Markdown,
}

impl Outputs {
    /// The places that are named.
    pub(super) fn places(&self) -> Vec<PathBuf> {
        let places = [&self.out, &self.junit, &self.html, &self.markdown];
        places.into_iter().flatten().cloned().collect()
    }

    /// Where replays of failed runs are kept.
    pub(super) fn artefacts(&self) -> PathBuf {
        self.artefacts.clone().unwrap_or_else(|| ARTEFACTS.into())
    }

    /// The failures that are known.
    pub(super) fn expected(&self) -> Result<Option<Expectations>, Failure> {
        let Some(path) = &self.expect else { return Ok(None) };
        let text = load::text(path, EXPECT_BYTES_MAX)?;
        let parsed = Expectations::parse(&text).map_err(|error| {
            Failure::new(Exit::Lab(LabExit::Usage), format!("{}: {error}", path.display()))
                .cause(error.cause())
                .hint(error.hint())
        });
        parsed.map(Some)
    }

    /// Opens all files, so that one that cannot be written is reported before the check begins.
    ///
    /// The folder for replays is made with the first replay; here it is only checked that it can be
    /// made, if it was named: a check that keeps no replay needs none.
    pub(super) fn open(&self, ui: &Ui) -> Result<Opened, Failure> {
        let places = [
            (Form::Json, &self.out),
            (Form::Junit, &self.junit),
            (Form::Html, &self.html),
            (Form::Markdown, &self.markdown),
        ];
        if let Some(named) = &self.artefacts {
            can_be_a_directory(named).map_err(|it| cannot("written", named, &it))?;
        }
        let paths: Vec<&Path> =
            places.iter().filter_map(|(_, path)| path.as_deref()).filter(is_file).collect();
        for (at, path) in paths.iter().enumerate() {
            if paths.iter().take(at).any(|other| other == path) {
                let failure = format!("{} is named for two reports", path.display());
                return Err(Failure::new(Exit::Lab(LabExit::Usage), failure)
                    .cause("the second would replace the first")
                    .hint("name a file for each form"));
            }
        }
        let named = places.into_iter().filter_map(|(form, path)| Some((form, path.as_deref()?)));
        let opened: Result<Vec<_>, Failure> =
            named.map(|(form, path)| Ok((form, Output::open(path)?))).collect();
        let opened = Opened(opened?);
        let to_stdout = opened.0.iter().filter(|(_, output)| output.is_stdout()).count();
        one_for_stdout(to_stdout + usize::from(ui.json()))?;
        Ok(opened)
    }
}

/// Fails if more than one report would be written to stdout.
pub(super) fn one_for_stdout(count: usize) -> Result<(), Failure> {
    if count <= 1 {
        return Ok(());
    }
    Err(Failure::new(Exit::Lab(LabExit::Usage), "stdout can carry one report only")
        .cause("`--json` and each `-` want it")
        .hint("name files for the others"))
}

/// Neither stdout, which is checked separately, nor a device, which is written as it is.
fn is_file(path: &&Path) -> bool {
    *path != Path::new("-") && !path.metadata().is_ok_and(|there| !there.is_file())
}

/// Whether the path is a directory that files can be made in, or could become one: then its nearest
/// existing parent is such a directory. The check makes a file and removes it, the only reliable
/// test.
fn can_be_a_directory(path: &Path) -> io::Result<()> {
    let path = std::path::absolute(path)?;
    let there = path.ancestors().find_map(|above| Some((above, above.metadata().ok()?)));
    let Some((above, there)) = there else { return Ok(()) };
    if !there.is_dir() {
        return Err(io::ErrorKind::NotADirectory.into());
    }
    let probe = above.join(format!(".becket.{}.part", std::process::id()));
    OpenOptions::new().write(true).create_new(true).open(&probe)?;
    fs::remove_file(&probe)
}

impl Opened {
    /// Writes the requested reports of a check that did not complete. On the terminal it is shown
    /// like any other failure.
    pub(super) fn write_unended(self, reports: &[Report], ui: &Ui) -> Result<(), Failure> {
        for (form, output) in self.0 {
            output.write(&form.of(reports)?, ui)?;
        }
        if ui.json() { ui.bytes(as_json(reports)?.as_bytes()) } else { Ok(()) }
    }

    /// Writes everything; the text only where nothing else has stdout.
    pub(super) fn write(self, reports: &[Report], text: &str, ui: &Ui) -> Result<(), Failure> {
        let takes_stdout = self.0.iter().any(|(_, output)| output.is_stdout());
        for (form, output) in self.0 {
            output.write(&form.of(reports)?, ui)?;
        }
        match ui.json() {
            true => ui.bytes(as_json(reports)?.as_bytes()),
            false if takes_stdout => Ok(()),
            false => ui.text(text),
        }
    }
}

impl Form {
    fn of(self, reports: &[Report]) -> Result<String, Failure> {
        Ok(match self {
            Self::Json => as_json(reports)?,
            Self::Junit => junit(reports),
            Self::Html => html_sheet(reports),
            Self::Markdown => reports.iter().map(markdown).collect::<Vec<_>>().join("\n"),
        })
    }
}

/// One report, or a list of several.
fn as_json(reports: &[Report]) -> Result<String, Failure> {
    let [report] = reports else {
        let texts: Result<Vec<String>, Failure> =
            reports.iter().map(|report| files::as_json(json(report))).collect();
        let texts = texts?;
        let lists: Vec<&str> = texts.iter().map(|text| text.trim_end()).collect();
        return Ok(format!("[\n{}\n]\n", lists.join(",\n")));
    };
    files::as_json(json(report))
}

/// The exit of a command with these reports.
pub(super) fn exit_of(reports: &[Report]) -> Exit {
    let exits = reports.iter().map(|report| exit_of_code(report.exit_code));
    Exit::Lab(exits.fold(LabExit::Ok, LabExit::worse))
}

/// The exit that a report names by its number.
pub(in crate::commands) fn exit_of_code(code: u8) -> LabExit {
    exit::LAB.into_iter().find(|exit| exit.code() == code).unwrap_or(LabExit::Internal)
}
