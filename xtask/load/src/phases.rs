// SPDX-License-Identifier: BSD-3-Clause
//! The phases of the proof on plugins that behave.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{MissedTickBehavior, interval};

use crate::chats;
use crate::error::Error;
use crate::gateway::Gateway;
use crate::memory::Memory;
use crate::wrk::{Counted, Wrk};

const LANGUAGES: [&str; 5] = ["rust", "c", "cpp", "go", "zig"];

/// How many messages each chat sends.
const MESSAGES: u32 = 20;

/// The deadline of each call: long for a plugin that answers, short for one that never does.
const DEADLINE_MS: u32 = 3000;
/// What a plugin of the zoo is called here.
pub(crate) const BAD: &str = "bad";
/// How long its calls may take to end when it is removed: a reload waits for that, and three times
/// as long for a shutdown that does not return.
const BAD_DRAIN_MS: u32 = 3000;

/// The results of a phase, and the requirements that did not hold.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) said: Vec<String>,
    pub(crate) broken: Vec<String>,
}

impl Verdict {
    /// Adds the counts of wrk: no request may have failed.
    pub(crate) fn load(&mut self, counted: Counted) {
        self.said.push(format!(
            "{} requests, {:.0} each second, {} failed",
            counted.requests,
            counted.per_second,
            counted.failed()
        ));
        if counted.failed() > 0 || counted.requests == 0 {
            self.broken.push(format!(
                "of {} requests {} were refused and {} broke",
                counted.requests, counted.refused, counted.broken
            ));
        }
    }

    /// Adds the samples of memory: it must be flat.
    fn memory(&mut self, memory: &Memory) {
        let (peak, growth) = (memory.peak_mib(), memory.growth_kib());
        self.said.push(format!("memory: {peak} MiB at most, {growth} KiB more at the end"));
        if !memory.is_flat() {
            self.broken.push(format!("memory grew by {growth} KiB"));
        }
    }
}

/// A folder with a configuration, and the programs that the phases use.
#[derive(Debug)]
pub(crate) struct Bench {
    becket: PathBuf,
    samples: PathBuf,
    /// Whether the gateway watches its files, or reloads on request.
    watch: bool,
    folder: TempDir,
}

impl Bench {
    pub(crate) fn new(becket: &Path, samples: &Path, watch: bool) -> Result<Self, Error> {
        let folder = tempfile::tempdir().map_err(|source| Error::File {
            action: "create",
            path: std::env::temp_dir(),
            source,
        })?;
        Ok(Self { becket: becket.into(), samples: samples.into(), watch, folder })
    }

    /// The sample plugins that were built, with their languages.
    fn samples(&self) -> Vec<(&'static str, PathBuf)> {
        LANGUAGES
            .iter()
            .map(|&language| (language, self.samples.join(format!("libsample_{language}.so"))))
            .filter(|(_, path)| path.is_file())
            .collect()
    }

    /// Starts a gateway that serves these plugins.
    pub(crate) async fn gateway(&self, plugins: &[(&str, PathBuf)]) -> Result<Gateway, Error> {
        self.configure(plugins)?;
        let log = self.samples.join("log/load-gateway.log");
        Gateway::start(&self.becket, &self.config(), &log).await
    }

    /// Writes the configuration anew, for the next start or reload.
    pub(crate) fn configure(&self, plugins: &[(&str, PathBuf)]) -> Result<(), Error> {
        let mut text = format!("watch = {}\n", self.watch);
        for (name, path) in plugins {
            // Writing to a String cannot fail.
            let path = path.display().to_string();
            let _ = writeln!(text, "[plugins.{name}]\npath = {path:?}");
            let _ = writeln!(text, "[plugins.{name}.limits]\ndeadline_ms = {DEADLINE_MS}");
            if *name == BAD {
                let _ = writeln!(text, "drain_ms = {BAD_DRAIN_MS}");
            }
        }
        write(&self.config(), text.as_bytes())
    }

    /// A copy of a sample that may be replaced. In C: Go's runtime, for one, keeps the images of
    /// plugins that were unloaded, so that each reload leaves one behind.
    pub(crate) fn replaceable(&self) -> Result<Replaceable, Error> {
        Replaceable::new(&self.sample("c"), self.folder.path())
    }

    pub(crate) fn sample(&self, language: &str) -> PathBuf {
        self.samples.join(format!("libsample_{language}.so"))
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("becket.toml")
    }
}

/// A plugin file whose bytes change: the same code, followed by another number.
#[derive(Debug)]
pub(crate) struct Replaceable {
    code: Vec<u8>,
    place: PathBuf,
    written: u64,
}

impl Replaceable {
    fn new(original: &Path, folder: &Path) -> Result<Self, Error> {
        let code = std::fs::read(original).map_err(|source| Error::File {
            action: "read",
            path: original.into(),
            source,
        })?;
        let mut this = Self { code, place: folder.join("replaced.so"), written: 0 };
        this.replace()?;
        Ok(this)
    }

    /// Puts new bytes in the old ones' place, in one step.
    fn replace(&mut self) -> Result<(), Error> {
        self.written += 1;
        // The bytes behind an ELF file's sections are not mapped by the loader.
        let bytes = [self.code.as_slice(), &self.written.to_le_bytes()].concat();
        let beside = self.place.with_extension("new");
        write(&beside, &bytes)?;
        std::fs::rename(&beside, &self.place).map_err(|source| Error::File {
            action: "move into place",
            path: self.place.clone(),
            source,
        })
    }
}

/// Unary requests, in every language in turn.
pub(crate) async fn unary(bench: &Bench, seconds: u64) -> Result<Verdict, Error> {
    let mut verdict = Verdict::default();
    let samples = bench.samples();
    let gateway = bench.gateway(&samples).await?;
    // The whole time for the first, a sixth of it for each other.
    for (place, (language, _)) in samples.iter().enumerate() {
        let seconds = if place == 0 { seconds } else { (seconds / 6).max(1) };
        verdict.said.push(format!("{language}, {seconds} s"));
        let url = format!("http://{}/{language}/unary", gateway.listen);
        let (counted, memory) = under_load(&gateway, &url, seconds, || Ok(())).await?;
        verdict.load(counted);
        if place == 0 {
            verdict.memory(&memory);
        }
    }
    gateway.end().await?;
    Ok(verdict)
}

/// Chats, in every language in turn.
pub(crate) async fn chats(bench: &Bench, number: u32) -> Result<Verdict, Error> {
    let mut verdict = Verdict::default();
    let samples = bench.samples();
    let gateway = bench.gateway(&samples).await?;
    for (language, _) in &samples {
        chats::all(gateway.listen, &format!("/{language}/chat"), number, MESSAGES).await?;
        verdict.said.push(format!("{language}: {number} chats of {MESSAGES} messages, none lost"));
    }
    gateway.end().await?;
    Ok(verdict)
}

/// A new plugin file each second, under load on that plugin.
pub(crate) async fn reload(bench: &Bench, seconds: u64) -> Result<Verdict, Error> {
    let mut verdict = Verdict::default();
    let mut plugin = bench.replaceable()?;
    let gateway = bench.gateway(&[("sample", plugin.place.clone())]).await?;
    let url = format!("http://{}/sample/unary", gateway.listen);
    let before = generation(&gateway).await?;
    let (counted, memory) = under_load(&gateway, &url, seconds, || plugin.replace()).await?;
    let after = generation(&gateway).await?;
    verdict.load(counted);
    verdict.memory(&memory);
    let (replaced, ran) = (plugin.written - 1, after.saturating_sub(before));
    verdict.said.push(format!("{replaced} files put in place, {ran} reloads"));
    // The reload of the last file may still be in progress; no other may be missing.
    if ran + 1 < replaced {
        verdict.broken.push(format!("only {ran} of {replaced} files ran"));
    }
    gateway.end().await?;
    Ok(verdict)
}

/// Runs wrk; each second measures memory and does `each_second`.
async fn under_load(
    gateway: &Gateway,
    url: &str,
    seconds: u64,
    mut each_second: impl FnMut() -> Result<(), Error>,
) -> Result<(Counted, Memory), Error> {
    let mut memory = Memory::default();
    let wrk = Wrk::start(url, Duration::from_secs(seconds))?.finish();
    let mut second = interval(Duration::from_secs(1));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    tokio::pin!(wrk);
    loop {
        tokio::select! {
            counted = &mut wrk => return Ok((counted?, memory)),
            _ = second.tick() => {
                memory.sample(gateway.resident_kib()?);
                each_second()?;
            }
        }
    }
}

async fn generation(gateway: &Gateway) -> Result<u64, Error> {
    let plugin = gateway.plugin("sample").await?.unwrap_or_default();
    plugin
        .get("info")
        .and_then(|info| info.get("generation"))
        .and_then(Value::as_u64)
        .ok_or_else(|| Error::Gateway("/plugins does not say the plugin's generation".into()))
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    std::fs::write(path, bytes).map_err(|source| Error::File {
        action: "write",
        path: path.into(),
        source,
    })
}
