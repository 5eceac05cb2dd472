// SPDX-License-Identifier: BSD-3-Clause
//! `becket serve` with a handler that never returns: other requests are answered, and it ends
//! within its limit.

use std::fs::{self, File};
use std::io::Write;
use std::net::TcpStream;
use std::path::Path;
use std::process::Command as Process;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;

use crate::serve::{Server, curl};
use crate::support::{compile, pipe, run};

/// A server with a call inside the plugin, for as long as this lives.
struct Stuck {
    server: Server,
    listen: String,
    admin: String,
    /// The connection of the call, and the pipe that keeps it inside the plugin.
    _held: (TcpStream, File),
    _dir: TempDir,
}

impl Stuck {
    fn start(dispatch: &str, drain: Duration) -> Self {
        let dir = TempDir::new().unwrap();
        let library = dir.path().join("libstuck.so");
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cli/stuck.c");
        compile(Path::new(source), &library);
        let pipe = pipe(dir.path());
        let file = dir.path().join("becket.toml");
        let drain_ms = drain.as_millis();
        let config = format!(
            "[limits]\ndrain_ms = {drain_ms}\n[plugins.sample]\nlinked = \"sample\"\n\
             [plugins.stuck]\npath = {library:?}\ndispatch = {dispatch:?}\n"
        );
        fs::write(&file, config).unwrap();
        let mut server = Server::start(&["--config", &file.display().to_string()]);
        let greeting = server.greeting();
        let address = |line: &str| {
            let (_, address) = line.split_once("http://").unwrap();
            address.trim_end_matches('/').to_owned()
        };
        let listen = address(&greeting[0]);
        let admin = greeting.iter().find(|line| line.starts_with("admin page")).unwrap();
        let admin = address(admin);
        let mut call = TcpStream::connect(&listen).unwrap();
        let path = pipe.display().to_string();
        let len = path.len();
        let head = "POST /stuck/any HTTP/1.1\r\nhost: becket\r\n";
        write!(call, "{head}content-length: {len}\r\n\r\n{path}").unwrap();
        // Returns when the handler is inside.
        let inside = File::options().write(true).open(&pipe).unwrap();
        Self { server, listen, admin, _held: (call, inside), _dir: dir }
    }

    fn others_are_answered(&self) {
        assert!(curl(&format!("http://{}/sample/unary", self.listen)).starts_with("Hello"));
        self.admin_answers(200);
    }

    /// `/healthz` is 200 as long as the process serves at all; `/readyz` says whether it takes
    /// requests.
    fn admin_answers(&self, ready: u16) {
        assert_eq!(status(&format!("http://{}/healthz", self.admin)), 200);
        assert_eq!(status(&format!("http://{}/readyz", self.admin)), ready);
    }
}

fn status(url: &str) -> u16 {
    let output =
        run(Process::new("curl").args(["-sS", "-o", "/dev/null", "-w", "%{http_code}", url]));
    String::from_utf8(output.stdout).unwrap().parse().unwrap()
}

/// On a worker of the plugin, and on a thread of the server, as if the plugin never blocked.
const EVERY_THREAD: [&str; 2] = ["auto", "caller"];

#[test]
fn a_drain_keeps_its_time_beside_a_handler_that_never_returns() {
    /// The time for shutting down plugins after a drain that took all of its time
    /// (`Host::shutdown`).
    const ENDS: Duration = Duration::from_secs(1);
    /// The tolerance for a time limit on a busy machine.
    const SOON: Duration = Duration::from_secs(1);
    const DRAIN: Duration = Duration::from_secs(1);
    for dispatch in EVERY_THREAD {
        let mut stuck = Stuck::start(dispatch, DRAIN);
        stuck.others_are_answered();
        stuck.server.signal(Signal::TERM);
        let line = stuck.server.says("ending");
        assert_eq!(line, "ending: what is under way has 1.00 s (a second signal does not wait)");
        // While it drains.
        stuck.admin_answers(503);
        let line = stuck.server.says("ended in");
        let (took, what) = line.strip_prefix("ended in ").unwrap().split_once(" s: ").unwrap();
        let took = Duration::from_secs_f64(took.parse().unwrap());
        assert!((DRAIN..DRAIN + ENDS + SOON).contains(&took), "{dispatch}: {line}");
        assert!(what.starts_with("1 request cut, "), "{dispatch}: {line}");
        assert_eq!(stuck.server.ended().code(), Some(1), "{dispatch}");
    }
}

#[test]
fn a_second_signal_ends_it_beside_a_handler_that_never_returns() {
    for dispatch in EVERY_THREAD {
        let mut stuck = Stuck::start(dispatch, Duration::from_secs(3600));
        stuck.others_are_answered();
        stuck.server.signal(Signal::TERM);
        // Two signals before the first is handled count as one.
        stuck.server.says("ending");
        stuck.server.signal(Signal::TERM);
        assert_eq!(stuck.server.ended().code(), Some(130), "{dispatch}");
    }
}
