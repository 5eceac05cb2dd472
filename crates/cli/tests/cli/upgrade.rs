// SPDX-License-Identifier: BSD-3-Clause
//! `SIGUSR2`: another binary takes over, and no request is lost.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command as Process, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::serve::{Server, curl};
use crate::support::process;

/// A server at a link, which may lead to another binary later.
struct World {
    folder: TempDir,
    server: Server,
    /// Every process but the first, which the server kills: they are killed at the end.
    successors: Vec<Pid>,
}

impl World {
    fn new(args: &[&str], command: impl FnOnce(&mut Process)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("becket");
        symlink(env!("CARGO_BIN_EXE_becket"), &link).unwrap();
        let mut process = Process::new(&link);
        process.args(["serve", "--json"]).args(args).current_dir(folder.path());
        process.env_remove("RUST_LOG").env_remove("NO_COLOR").env_remove("NOTIFY_SOCKET");
        process.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command(&mut process);
        let server = Server::of(&mut process);
        Self { folder, server, successors: Vec::new() }
    }

    /// Puts a shell script in the binary's place.
    fn script(&self, text: &str) {
        let next = self.folder.path().join("next");
        fs::write(&next, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(&next, self.folder.path().join("becket")).unwrap();
    }

    /// Puts the binary back.
    fn mend(&self) {
        let next = self.folder.path().join("next");
        symlink(env!("CARGO_BIN_EXE_becket"), &next).unwrap();
        fs::rename(&next, self.folder.path().join("becket")).unwrap();
    }

    fn signal(&self, signal: Signal) {
        match self.successors.last() {
            None => self.server.signal(signal),
            Some(last) => kill_process(*last, signal).unwrap(),
        }
    }

    /// Another process takes over; what it says at its start.
    fn upgrade(&mut self) -> Value {
        self.signal(Signal::USR2);
        let started = self.server.event("started");
        let pid = i32::try_from(started["pid"].as_i64().unwrap()).unwrap();
        self.successors.push(Pid::from_raw(pid).unwrap());
        started
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for pid in &self.successors {
            // An error means that it has ended already.
            let _ = kill_process(*pid, Signal::KILL);
        }
    }
}

const ONE: &str = "POST /sample/echo HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n";

/// Sends a request, and reads its answer. Whether the connection is kept.
fn ask(socket: &mut (impl Read + Write), is_last: bool) -> io::Result<bool> {
    let close = if is_last { "connection: close\r\n" } else { "" };
    socket.write_all(format!("{ONE}{close}\r\nhello").as_bytes())?;
    let mut reader = BufReader::new(socket);
    let (mut head, mut length) = (String::new(), 0);
    while !head.ends_with("\r\n\r\n") {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(value) = line.strip_prefix("content-length: ") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    assert!(head.starts_with("HTTP/1.1 200 ") && body == b"hello", "{head}");
    Ok(!head.contains("connection: close"))
}

/// Clients that ask until `ends`, and what became of each request.
struct Load {
    ends: Arc<AtomicBool>,
    clients: Vec<thread::JoinHandle<()>>,
    results: Receiver<io::Result<()>>,
    sender: Sender<io::Result<()>>,
}

impl Load {
    fn new() -> Self {
        let (sender, results) = channel();
        Self { ends: Arc::default(), clients: Vec::new(), results, sender }
    }

    /// One more client, which keeps its connection as long as the server does, or has a new one for each request.
    fn client<S: Read + Write>(
        &mut self,
        keeps: bool,
        connect: impl Fn() -> io::Result<S> + Send + 'static,
    ) {
        let (ends, sender) = (Arc::clone(&self.ends), self.sender.clone());
        self.clients.push(thread::spawn(move || {
            let mut kept = None;
            while !ends.load(Ordering::Relaxed) {
                let asked = kept.take().map_or_else(&connect, Ok).and_then(|mut socket| {
                    let is_kept = ask(&mut socket, !keeps)?;
                    kept = is_kept.then_some(socket);
                    Ok(())
                });
                // No one reads the results of the last.
                let _ = sender.send(asked);
            }
        }));
    }

    /// Waits for so many answers.
    fn answered(&self, count: usize) {
        for _ in 0..count {
            self.results.recv_timeout(Duration::from_secs(60)).unwrap().unwrap();
        }
    }

    /// How many answers there were since the last wait.
    fn end(self) -> usize {
        self.ends.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        drop(self.sender);
        self.results.into_iter().map(Result::unwrap).count()
    }
}

#[test]
fn no_request_is_lost_while_processes_take_over() {
    let args = [
        "--listen",
        "127.0.0.1:0",
        "--listen",
        "unix:s",
        "--admin",
        "127.0.0.1:0",
        "--monitor",
        "m/m",
    ];
    let mut world = World::new(&args, |_| {});
    let first = world.server.started();
    let (listen, admin) = (first["listen"].clone(), first["admin"].clone());
    let addr = listen.as_str().unwrap().to_owned();
    let socket: PathBuf = world.folder.path().join("s");
    let mut load = Load::new();
    for keeps in [false, true] {
        let (addr, socket) = (addr.clone(), socket.clone());
        load.client(keeps, move || TcpStream::connect(&addr));
        load.client(keeps, move || UnixStream::connect(&socket));
    }
    load.answered(100);
    // This one asks no more until all has changed.
    let mut idle = TcpStream::connect(&addr).unwrap();
    assert!(ask(&mut idle, false).unwrap());
    for turn in 0..3 {
        let started = world.upgrade();
        assert_eq!((&started["listen"], &started["admin"]), (&listen, &admin));
        load.answered(100);
        if turn == 0 {
            while ask(&mut idle, false).unwrap() {}
            // With its last connection the first process ends.
            assert_eq!(world.server.wait().code(), Some(0));
        }
    }
    load.answered(100);
    load.end();
    assert!(curl(&format!("http://{}/metrics", admin.as_str().unwrap())).contains("becket_"));
    world.signal(Signal::TERM);
    // It reads until every process has ended.
    let rest = world.server.rest();
    assert!(rest.iter().all(|line| !line.contains("\"requests_cut\":1")), "{rest:?}");
    assert!(!socket.exists());
}

const MON: [&str; 6] =
    ["mon", "--headless", "--interval=100ms", "--duration=150ms", "--quiet", "--socket"];

/// Whether a process answers monitors at this path.
fn is_watched(path: &Path) -> bool {
    let watched = process().args(MON).arg(path).output().unwrap();
    watched.status.success()
}

#[test]
fn what_is_not_ready_is_killed_and_the_old_process_goes_on() {
    let text = |upgrade_ms: u32| {
        format!(
            "listen = \"127.0.0.1:0\"\n[admin]\nenabled = false\n[limits]\nupgrade_ms = {upgrade_ms}\n"
        )
    };
    let patient = text(60_000);
    let mut world = World::new(&["--config", "becket.toml", "--monitor", "m/m"], |process| {
        fs::write(process.get_current_dir().unwrap().join("becket.toml"), &patient).unwrap();
    });
    let config = world.folder.path().join("becket.toml");
    let addr = world.server.started()["listen"].as_str().unwrap().to_owned();
    let serves = || assert!(ask(&mut TcpStream::connect(&addr).unwrap(), true).is_ok());
    world.script("exit 3");
    world.signal(Signal::USR2);
    world.server.says("it ended before it was ready: exit status: 3");
    serves();
    fs::remove_file(world.folder.path().join("becket")).unwrap();
    world.signal(Signal::USR2);
    world.server.says("No such file or directory");
    serves();
    fs::write(&config, text(300)).unwrap();
    world.server.says("configuration reloaded");
    world.script("exec sleep 1000");
    world.signal(Signal::USR2);
    let starts = world.server.says("a new process starts");
    let (_, pid) = starts.rsplit_once('=').unwrap();
    world.server.says("it was not ready after 300 ms");
    assert!(!Path::new("/proc").join(pid).exists(), "process {pid} is left");
    serves();
    assert!(is_watched(&world.folder.path().join("m/m")));
    // A configuration that is wrong for a start.
    fs::write(&config, &patient).unwrap();
    world.server.says("configuration reloaded");
    world.mend();
    fs::write(&config, format!("listen_ = 1\n{patient}")).unwrap();
    world.server.says("unknown key `listen_`");
    world.signal(Signal::USR2);
    world.server.says("it ended before it was ready: exit status: 6");
    serves();
    fs::write(&config, &patient).unwrap();
    world.upgrade();
    assert_eq!(world.server.wait().code(), Some(0));
    serves();
    // Once the old process has ended, its monitor's path is the new one's.
    while !is_watched(&world.folder.path().join("m/m")) {}
}

#[test]
fn the_service_manager_gets_the_main_process() {
    let notified = tempfile::tempdir().unwrap();
    let path = notified.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let next = || {
        let mut text = [0; 256];
        let count = manager.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..count]).trim().to_owned()
    };
    let args = ["--listen", "127.0.0.1:0", "--admin", "off"];
    let mut world = World::new(&args, |process| _ = process.env("NOTIFY_SOCKET", &path));
    assert_eq!(next(), "READY=1");
    world.server.started();
    let successor = world.upgrade();
    assert_eq!(next(), format!("MAINPID={}", successor["pid"]));
    assert_eq!(world.server.wait().code(), Some(0));
    world.signal(Signal::TERM);
    assert_eq!(next(), "STOPPING=1");
}

#[test]
fn a_service_that_would_end_with_its_main_process_is_not_upgraded() {
    let becket = process();
    let mut shell = Process::new("sh");
    let script = "SYSTEMD_EXEC_PID=$$ exec \"$@\" serve --json --listen 127.0.0.1:0 --admin off";
    shell.args(["-c", script, "sh"]).arg(becket.get_program()).env_remove("NOTIFY_SOCKET");
    shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut server = Server::of(&mut shell);
    let addr = server.started()["listen"].as_str().unwrap().to_owned();
    server.signal(Signal::USR2);
    server.says("without `Type=notify`");
    assert!(ask(&mut TcpStream::connect(&addr).unwrap(), true).is_ok());
    // By hand it is no successor of anything.
    let output = process().args(["serve", "--successor"]).stdin(Stdio::null()).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no process hands its sockets over"));
}

/// With the token, the admin listener does what the signal does, and the asker gets what came of it.
#[test]
fn an_upgrade_is_asked_for_by_the_token() {
    let text = "watch = false\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \
                \"file:token\"\n";
    let mut world = World::new(&["--config", "becket.toml"], |process| {
        let folder = process.get_current_dir().unwrap();
        fs::write(folder.join("becket.toml"), text).unwrap();
        fs::write(folder.join("token"), "0123456789abcdef0123456789abcdef\n").unwrap();
        let private = fs::Permissions::from_mode(0o600);
        fs::set_permissions(folder.join("token"), private).unwrap();
    });
    let started = world.server.started();
    let addr = started["listen"].as_str().unwrap().to_owned();
    let admin = format!("http://{}", started["admin"].as_str().unwrap());
    let token = format!("file:{}", world.folder.path().join("token").display());
    let asked = |token: &str| {
        let upgrade = ["admin", "upgrade", "--json", "--url", &admin, "--token", token];
        process().args(upgrade).env("WRONG", "another token of some length").output().unwrap()
    };
    let serves = || assert!(ask(&mut TcpStream::connect(&addr).unwrap(), true).is_ok());
    let refused = asked("env:WRONG");
    assert_eq!(refused.status.code(), Some(1));
    world.script("exit 3");
    let refused = asked(&token);
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8(refused.stderr).unwrap();
    assert!(text.contains("no new process takes over; this one goes on"), "{text}");
    assert!(text.contains("it ended before it was ready: exit status: 3"), "{text}");
    serves();
    world.mend();
    let upgraded = asked(&token);
    let answer: Value = serde_json::from_slice(&upgraded.stdout).unwrap();
    let started = world.server.event("started");
    assert_eq!((&answer["done"], &answer["pid"]), (&"upgrade".into(), &started["pid"]), "{answer}");
    let pid = i32::try_from(started["pid"].as_i64().unwrap()).unwrap();
    world.successors.push(Pid::from_raw(pid).unwrap());
    assert_eq!(world.server.wait().code(), Some(0));
    serves();
}
