// SPDX-License-Identifier: BSD-3-Clause
//! Chromium without a window: found, or installed where that is allowed; opens a page.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Missing};
use crate::process::{Output, on_path, probe};

/// Names of Chromium in packages.
const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Virtual time that the page gets before it is captured, in milliseconds: several of its
/// refreshes. Virtual time is faster than real time, and stands still while requests are pending.
const PAGE_MS: &str = "10000";

/// A browser.
#[derive(Debug)]
pub(crate) struct Browser {
    program: PathBuf,
    root: bool,
}

impl Browser {
    /// Finds Chromium. Where it is not there, this is Debian and we are root, installs it.
    pub(crate) fn obtain(output: &mut Output) -> Result<Self, Error> {
        let root = probe(Command::new("id").arg("-u")).is_some_and(|id| id.trim() == "0");
        let find = || NAMES.iter().find_map(|name| on_path(name));
        if let Some(program) = find() {
            return Ok(Self { program, root });
        }
        let missing = |cause: &str| {
            Error::Missing(Missing {
                tool: "Chromium".into(),
                cause: cause.into(),
                hint: "`apt install chromium`, or your system's package of it".into(),
            })
        };
        if !root || on_path("apt-get").is_none() {
            return Err(missing("it is not on PATH"));
        }
        output.run(Command::new("apt-get").args(["update", "--quiet"]))?;
        output.run(
            Command::new("apt-get")
                .args(["install", "--yes", "--quiet", "--no-install-recommends", "chromium"])
                .env("DEBIAN_FRONTEND", "noninteractive"),
        )?;
        let program = find().ok_or_else(|| missing("apt-get installed none"))?;
        Ok(Self { program, root })
    }

    /// The document after its scripts ran, as HTML.
    pub(crate) fn document(
        &self,
        url: &str,
        profile: &Path,
        output: &mut Output,
    ) -> Result<String, Error> {
        output.read(self.command(profile).arg("--dump-dom").arg(url))
    }

    /// A picture of the page in a window of this many pixels.
    pub(crate) fn picture(
        &self,
        url: &str,
        profile: &Path,
        (width, height): (u32, u32),
        to: &Path,
        output: &mut Output,
    ) -> Result<(), Error> {
        let mut picture = std::ffi::OsString::from("--screenshot=");
        picture.push(to);
        output.run(
            self.command(profile)
                .arg(format!("--window-size={width},{height}"))
                .arg(picture)
                .arg(url),
        )
    }

    fn command(&self, profile: &Path) -> Command {
        let mut data = std::ffi::OsString::from("--user-data-dir=");
        data.push(profile);
        let mut command = Command::new(&self.program);
        command
            .args(["--headless=new", "--disable-gpu", "--hide-scrollbars", "--no-first-run"])
            .arg(format!("--virtual-time-budget={PAGE_MS}"))
            .arg(data);
        if self.root {
            // Chromium's sandbox refuses root. The page is our own.
            command.arg("--no-sandbox");
        }
        command
    }
}
