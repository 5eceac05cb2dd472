// SPDX-License-Identifier: BSD-3-Clause
//! Three gateways on one cluster. The first alone has the plugin; the others call it there.

use std::fs::{self, File};
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::ChildStdout;
use tokio::time::timeout;

use crate::error::Error;
use crate::process::Process;
use crate::servers::last_lines;
use crate::{Programs, WAIT_MAX};

pub(crate) const GATEWAYS: usize = 3;
/// The gateway with the plugin.
pub(crate) const WITH_PLUGIN: usize = 0;
/// The plugin's name.
pub(crate) const PLUGIN: &str = "greeter";

pub(crate) struct Gateways {
    becket: PathBuf,
    url: String,
    gateways: Vec<Gateway>,
}

struct Gateway {
    folder: PathBuf,
    address: SocketAddr,
    process: Option<(Process, BufReader<ChildStdout>)>,
}

impl Gateways {
    /// Starts three gateways of the cluster at `url`, each with its files below `folder`.
    pub(crate) async fn start(
        programs: &Programs,
        url: &str,
        folder: &Path,
    ) -> Result<Self, Error> {
        let mut gateways =
            Self { becket: programs.becket.clone(), url: url.to_owned(), gateways: Vec::new() };
        for at in 0..GATEWAYS {
            let folder = folder.join(format!("gateway-{}", at + 1));
            fs::create_dir_all(&folder).map_err(Error::file("create", &folder))?;
            let plugin = match at {
                WITH_PLUGIN => format!("path = {:?}", absolute(&programs.plugin)?),
                _ => "placement = \"cluster\"".to_owned(),
            };
            let config = folder.join("becket.toml");
            let text = format!("[plugins.{PLUGIN}]\n{plugin}\n");
            fs::write(&config, text).map_err(Error::file("write", &config))?;
            let address = SocketAddr::from(([127, 0, 0, 1], 0));
            gateways.gateways.push(Gateway { folder, address, process: None });
            gateways.launch(at).await?;
        }
        Ok(gateways)
    }

    /// Where they listen.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.gateways.iter().map(|gateway| gateway.address).collect()
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, at: usize) {
        if let Some(gateway) = self.gateways.get_mut(at) {
            gateway.process = None;
        }
    }

    /// Starts a gateway again that was killed, at its address; or at one that the system chooses, the first time.
    pub(crate) async fn launch(&mut self, at: usize) -> Result<(), Error> {
        let Some(gateway) = self.gateways.get_mut(at) else { return Ok(()) };
        let log = gateway.folder.join("log");
        let file = File::create(&log).map_err(Error::file("create", &log))?;
        let config = gateway.folder.join("becket.toml");
        let mut arguments =
            ["serve", "--json", "--admin=off", "--cluster"].map(String::from).to_vec();
        arguments.extend([self.url.clone(), format!("--listen={}", gateway.address)]);
        arguments.push(format!("--config={}", config.display()));
        let mut process = Process::start(&self.becket, &arguments, |command| {
            command.env("RUST_LOG", "warn").stdout(Stdio::piped()).stderr(file);
        })?;
        let failed = |cause: String| Error::Start { name: format!("gateway {}", at + 1), cause };
        let stdout = process.stdout.take().ok_or_else(|| failed("it has no output".into()))?;
        let stdout = ChildStdout::from_std(stdout).map_err(|error| failed(error.to_string()))?;
        let (mut lines, mut started) = (BufReader::new(stdout), String::new());
        match timeout(WAIT_MAX, lines.read_line(&mut started)).await {
            Ok(Ok(1..)) => {}
            Ok(Ok(0)) => return Err(failed(reason(&log))),
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(_) => return Err(failed(io::Error::from(io::ErrorKind::TimedOut).to_string())),
        }
        let started: Value = serde_json::from_str(&started)
            .map_err(|error| failed(format!("{error}: {started}")))?;
        let address = started.get("listen").and_then(Value::as_str).and_then(|it| it.parse().ok());
        gateway.address = address.ok_or_else(|| failed(format!("it has no address: {started}")))?;
        // The output is held open: the gateway reports there how it ends.
        gateway.process = Some((process, lines));
        Ok(())
    }
}

/// Why a gateway ended: the last line of its log is an object then.
fn reason(log: &Path) -> String {
    let line = last_lines(log, 1);
    let reason = serde_json::from_str::<Value>(&line).ok();
    let error = reason.as_ref().and_then(|reason| reason.get("error")?.as_str());
    error.map_or(line.clone(), str::to_owned)
}

fn absolute(path: &Path) -> Result<PathBuf, Error> {
    path.canonicalize().map_err(Error::file("find", path))
}
