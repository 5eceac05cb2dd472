// SPDX-License-Identifier: BSD-3-Clause
//! Three NATS servers with JetStream that are one cluster, on loopback.

use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::jetstream::{self, Context};
use becket_cluster::Kind;
use tokio::io::{copy, sink};
use tokio::net::TcpStream;
use tokio::process::ChildStdout;

use crate::error::Error;
use crate::process::Process;
use crate::wait_for;

pub(crate) const SERVERS: usize = 3;
/// The lines of a log that a failure shows.
const LINES_SHOWN: usize = 5;
/// A server that is away answers nothing for so long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(1);

pub(crate) struct Servers {
    program: PathBuf,
    servers: Vec<Server>,
}

struct Server {
    folder: PathBuf,
    port: u16,
    route_port: u16,
    /// Nothing is written to its standard output, which ends with it.
    process: Option<(Process, ChildStdout)>,
}

impl Servers {
    /// Starts three servers, each with its files below `folder`, and waits until each accepts clients.
    pub(crate) async fn start(program: &Path, folder: &Path) -> Result<Self, Error> {
        let ports = free_ports(2 * SERVERS).map_err(Error::system("find free ports"))?;
        let pairs = ports.chunks_exact(2).filter_map(|pair| <[u16; 2]>::try_from(pair).ok());
        let servers = (1..).zip(pairs).map(|(number, [port, route_port])| {
            let folder = folder.join(format!("n{number}"));
            Server { folder, port, route_port, process: None }
        });
        let mut servers = Self { program: program.to_owned(), servers: servers.collect() };
        for at in 0..SERVERS {
            servers.launch(at)?;
        }
        for at in 0..SERVERS {
            servers.accepts_clients(at).await?;
        }
        Ok(servers)
    }

    /// The addresses of all, separated by commas.
    pub(crate) fn url(&self) -> String {
        let urls = self.servers.iter().map(|server| format!("nats://127.0.0.1:{}", server.port));
        urls.collect::<Vec<_>>().join(",")
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self, at: usize) {
        if let Some(server) = self.servers.get_mut(at) {
            server.process = None;
        }
    }

    /// Starts a server again that was killed, with its ports and files.
    pub(crate) async fn start_again(&mut self, at: usize) -> Result<(), Error> {
        self.launch(at)?;
        self.accepts_clients(at).await
    }

    fn launch(&mut self, at: usize) -> Result<(), Error> {
        let routes: Vec<_> =
            self.servers.iter().enumerate().filter(|(other, _)| *other != at).collect();
        let routes =
            routes.iter().map(|(_, other)| format!("nats://127.0.0.1:{}", other.route_port));
        let routes = routes.collect::<Vec<_>>().join(", ");
        let Some(server) = self.servers.get_mut(at) else { return Ok(()) };
        let Server { folder, port, route_port, .. } = server;
        fs::create_dir_all(&*folder).map_err(Error::file("create", &*folder))?;
        let (config, log) = (folder.join("server.conf"), folder.join("log"));
        let text = format!(
            "server_name: {}\nhost: 127.0.0.1\nport: {port}\njetstream {{ store_dir: {:?} }}\n\
             cluster {{ name: demo, host: 127.0.0.1, port: {route_port}, routes: [{routes}] }}\n",
            name(at),
            folder.join("store"),
        );
        fs::write(&config, text).map_err(Error::file("write", &config))?;
        let log = File::create(&log).map_err(Error::file("create", &log))?;
        let arguments = ["--config".into(), config.display().to_string()];
        let mut process = Process::start(&self.program, &arguments, |command| {
            command.stdout(Stdio::piped()).stderr(log);
        })?;
        let stdout = process.stdout.take().map(ChildStdout::from_std).transpose();
        let stdout = stdout.map_err(Error::system("read the output of a server"))?;
        server.process = stdout.map(|stdout| (process, stdout));
        Ok(())
    }

    /// Waits until a server accepts clients, or has ended.
    async fn accepts_clients(&mut self, at: usize) -> Result<(), Error> {
        let Some(server) = self.servers.get_mut(at) else { return Ok(()) };
        let Server { folder, port, process, .. } = server;
        let failed = || Error::Start {
            name: format!("server {}", name(at)),
            cause: last_lines(&folder.join("log"), LINES_SHOWN),
        };
        let Some((_, stdout)) = process else { return Err(failed()) };
        let address = (Ipv4Addr::LOCALHOST, *port);
        let what = || format!("server {} does not accept clients", name(at));
        let accepts = wait_for(what, async || TcpStream::connect(address).await.ok().map(drop));
        let mut nowhere = sink();
        tokio::select! {
            biased;
            _ended = copy(stdout, &mut nowhere) => Err(failed()),
            accepted = accepts => accepted.map_err(|_| failed()),
        }
    }
}

/// The name of a server.
pub(crate) fn name(at: usize) -> String {
    format!("n{}", at + 1)
}

/// The end of a log, which has the cause of a failure.
pub(crate) fn last_lines(log: &Path, count: usize) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let mut lines: Vec<_> = text.lines().rev().take(count).collect();
    lines.reverse();
    if lines.is_empty() { "it has no log".to_owned() } else { lines.join("\n") }
}

/// Ports that are free in this moment.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let free = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    // All are held before one is given back, so that they differ.
    let free = free.collect::<io::Result<Vec<_>>>()?;
    free.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// What the servers answer about the stream of a channel.
pub(crate) struct Streams {
    context: Context,
    stream: String,
}

impl Streams {
    /// Connects; the stream is that of a bounded channel with three replicas.
    pub(crate) async fn connect(url: &str, kind: Kind) -> Result<Self, Error> {
        let urls: Vec<_> = url.split(',').collect();
        let client = ConnectOptions::new().connect(urls).await?;
        let mut context = jetstream::new(client);
        context.set_timeout(REQUEST_TIMEOUT);
        let capacity = match kind {
            Kind::Bounded { capacity } => capacity,
            _ => 0,
        };
        Ok(Self { context, stream: format!("becket-b{capacity}-r{SERVERS}") })
    }

    /// The server that leads the channel, if one does.
    pub(crate) async fn leader(&self) -> Option<usize> {
        let stream = self.context.get_stream(&self.stream).await.ok()?;
        let leader = stream.cached_info().cluster.as_ref()?.leader.clone()?;
        (0..SERVERS).find(|at| name(*at) == leader)
    }

    /// Whether each server has all that is stored.
    pub(crate) async fn is_on_all(&self) -> bool {
        let Ok(stream) = self.context.get_stream(&self.stream).await else { return false };
        let Some(cluster) = &stream.cached_info().cluster else { return false };
        let current = cluster.replicas.iter().filter(|replica| replica.current && !replica.offline);
        cluster.leader.is_some() && current.count() == SERVERS - 1
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails so")]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    /// Writes more than is shown, and ends.
    const BROKEN: &str = "#!/bin/sh\nfor at in 1 2 3 4 5 6 7; do echo line $at >&2; done\nexit 1\n";

    #[tokio::test]
    async fn a_server_that_ends_is_reported_with_its_last_lines() {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("broken");
        fs::write(&program, BROKEN).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o700)).unwrap();
        let error = Servers::start(&program, folder.path()).await.err().unwrap();
        let Error::Start { name, cause } = error else { panic!("{error}") };
        assert_eq!(name, "server n1");
        assert_eq!(cause, "line 3\nline 4\nline 5\nline 6\nline 7");
    }
}
