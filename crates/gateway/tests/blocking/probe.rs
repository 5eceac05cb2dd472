// SPDX-License-Identifier: BSD-3-Clause
//! Clients on threads of their own: what is probed, the load, and what the machine itself does.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::{BLOCK, PROBED, WORST, is_full};

/// How often it is probed.
const PERIOD: Duration = Duration::from_millis(10);
/// Longer than anything takes, stuck or not.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// One connection.
pub(crate) struct Client {
    socket: BufReader<TcpStream>,
}

impl Client {
    pub(crate) fn connect(addr: SocketAddr) -> Self {
        let socket = TcpStream::connect(addr).unwrap();
        socket.set_nodelay(true).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket: BufReader::new(socket) }
    }

    /// The answer's status, 0 if there is none, and how long it took.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> (u16, Duration) {
        self.ask("POST", path, "", body)
    }

    pub(crate) fn get(&mut self, path: &str) -> (u16, Duration) {
        self.ask("GET", path, "", "")
    }

    /// Opens a WebSocket, sends one message and stays for a while; how long the opening took.
    pub(crate) fn frame(mut self, path: &str, text: &str) -> (u16, Duration) {
        const UPGRADE: &str = "connection: upgrade\r\nupgrade: websocket\r\n\
            sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        let opened = self.ask("GET", path, UPGRADE, "");
        assert!(text.len() < 126);
        // A text frame, masked with zeros.
        let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(text.as_bytes());
        self.socket.get_mut().write_all(&frame).unwrap();
        thread::sleep(PROBED + PROBED / 2);
        opened
    }

    fn ask(&mut self, method: &str, path: &str, headers: &str, body: &str) -> (u16, Duration) {
        let began = Instant::now();
        let len = body.len();
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\n{headers}content-length: {len}\r\n\r\n{body}"
        );
        // A drain may have cut the connection.
        let status = match self.socket.get_mut().write_all(request.as_bytes()) {
            Ok(()) => self.answer().unwrap_or(0),
            Err(_) => 0,
        };
        (status, began.elapsed())
    }

    fn answer(&mut self) -> Option<u16> {
        let mut line = String::new();
        self.socket.read_line(&mut line).ok()?;
        let status = line.split(' ').nth(1)?.parse().ok()?;
        let mut len = 0;
        loop {
            line.clear();
            self.socket.read_line(&mut line).ok()?;
            if line.trim().is_empty() {
                break;
            }
            if let Some(value) = line.strip_prefix("content-length: ") {
                len = value.trim().parse().ok()?;
            }
        }
        let mut body = vec![0; len];
        self.socket.read_exact(&mut body).ok()?;
        Some(status)
    }
}

/// Probes that run until they are ended.
pub(crate) struct Probes {
    over: Arc<AtomicBool>,
    served: Vec<(&'static str, JoinHandle<Duration>)>,
}

/// The same on a socket that no gateway serves: what the machine takes.
pub(crate) struct Machine {
    over: Arc<AtomicBool>,
    probe: JoinHandle<Duration>,
}

impl Machine {
    pub(crate) fn start() -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut echo = Client::connect(echo());
        let probe = repeat(&over, move || echo.get("/"));
        Self { over, probe }
    }

    /// Its worst answer.
    pub(crate) fn end(self) -> Duration {
        self.over.store(true, Ordering::SeqCst);
        self.probe.join().unwrap()
    }
}

impl Probes {
    pub(crate) fn start(addr: SocketAddr, path: &'static str, admin: SocketAddr) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let mut kept = Client::connect(addr);
        let served = vec![
            ("a kept connection", repeat(&over, move || kept.post(path, "x"))),
            ("a new connection", repeat(&over, move || anew(addr, path))),
            ("the admin listener", repeat(&over, move || anew(admin, "/healthz"))),
        ];
        Self { over, served }
    }

    /// The worst answer; an error if it is too slow.
    pub(crate) fn end(self) -> Result<Duration, String> {
        self.over.store(true, Ordering::SeqCst);
        let mut worst = Duration::ZERO;
        for (name, probe) in self.served {
            let took = probe.join().unwrap();
            if took >= WORST {
                return Err(format!("{name} was answered after {took:?}"));
            }
            worst = worst.max(took);
        }
        Ok(worst)
    }
}

fn anew(addr: SocketAddr, path: &str) -> (u16, Duration) {
    let began = Instant::now();
    let (status, _) = Client::connect(addr).get(path);
    (status, began.elapsed())
}

fn repeat(
    over: &Arc<AtomicBool>,
    mut probe: impl FnMut() -> (u16, Duration) + Send + 'static,
) -> JoinHandle<Duration> {
    let over = Arc::clone(over);
    thread::spawn(move || {
        let mut worst = Duration::ZERO;
        while !over.load(Ordering::SeqCst) {
            let (status, took) = probe();
            assert_eq!(status, 200);
            worst = worst.max(took);
            thread::sleep(PERIOD);
        }
        worst
    })
}

/// A server of one thread that answers each request on one connection.
fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = listener.local_addr().unwrap();
    thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut socket = BufReader::new(socket);
        let mut line = String::new();
        while socket.read_line(&mut line).is_ok_and(|len| len > 0) {
            if line.trim().is_empty() {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
                socket.get_mut().write_all(answer).unwrap();
            }
            line.clear();
        }
    });
    addr
}

/// Requests without pause, until it is dropped.
pub(crate) enum Load {
    Wrk(Child),
    Own { over: Arc<AtomicBool>, threads: Vec<JoinHandle<()>> },
}

impl Load {
    pub(crate) fn start(addr: SocketAddr, path: &'static str) -> Self {
        if is_full()
            && let Some(wrk) = wrk(addr, path)
        {
            return Self::Wrk(wrk);
        }
        let over = Arc::new(AtomicBool::new(false));
        let threads = (0..4)
            .map(|_| {
                let (over, mut client) = (Arc::clone(&over), Client::connect(addr));
                thread::spawn(move || {
                    while !over.load(Ordering::SeqCst) {
                        assert_eq!(client.post(path, "load").0, 200);
                    }
                })
            })
            .collect();
        Self::Own { over, threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        match self {
            Self::Wrk(wrk) => {
                let _ = wrk.kill();
                let _ = wrk.wait();
            }
            Self::Own { over, threads } => {
                over.store(true, Ordering::SeqCst);
                threads.drain(..).for_each(|thread| thread.join().unwrap());
            }
        }
    }
}

fn wrk(addr: SocketAddr, path: &str) -> Option<Child> {
    let mut wrk = Command::new("wrk");
    wrk.args(["-t2", "-c32", &format!("-d{}s", BLOCK.as_secs() + 2)]);
    wrk.arg(format!("http://{addr}{path}")).stdout(Stdio::null()).stderr(Stdio::null());
    wrk.spawn().ok()
}
