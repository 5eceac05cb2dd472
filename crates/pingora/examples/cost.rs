// SPDX-License-Identifier: BSD-3-Clause
//! What filters cost: instructions for one request of a Pingora proxy, and of the gateway, beside the same without them.
//!
//! ```console
//! $ cargo xtask bench pingora
//! ```
//!
//! With `--quick` it counts few requests, to see that all of it works. Each proxy is a process of its own under callgrind, this program once more; client and upstream server are in the process
//! that counts. Each runs twice, with another number of requests on one connection: the difference is of the requests alone.
//! It needs `valgrind` and a C compiler.

use std::error::Error;
use std::ffi::OsString;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use becket_gateway::Gateway;
use becket_host::Host;
use becket_pingora::{Config, Filters, Proxy};
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{Fds, ListenFds};
use pingora_core::services::Service as _;
use pingora_core::upstreams::peer::HttpPeer;
use pingora_proxy::{ProxyHttp, Session};

type Failure = Box<dyn Error + Send + Sync>;

/// What is counted: a name, what it is, and the filters of its route.
const CASES: [(&str, Kind, &str); 13] = [
    ("Pingora alone", Kind::Alone, ""),
    ("no filter", Kind::Pingora, "[]"),
    ("one filter", Kind::Pingora, "[\"empty\"]"),
    ("three filters", Kind::Pingora, "[\"empty\", \"empty\", \"empty\"]"),
    ("one filter, both phases", Kind::Pingora, "[\"empty.both\"]"),
    (
        "three filters, both phases",
        Kind::Pingora,
        "[\"empty.both\", \"empty.both\", \"empty.both\"]",
    ),
    (
        "one filter, both phases and bodies",
        Kind::Pingora,
        "[{ name = \"empty.both\", request_body = true, response_body = true }]",
    ),
    ("the gateway before the server, no filter", Kind::Gateway, "[]"),
    ("one filter", Kind::Gateway, "[\"empty\"]"),
    ("three filters", Kind::Gateway, "[\"empty\", \"empty\", \"empty\"]"),
    ("the gateway before an entry, no filter", Kind::Entry, "[]"),
    ("one filter", Kind::Entry, "[\"empty\"]"),
    ("three filters", Kind::Entry, "[\"empty\", \"empty\", \"empty\"]"),
];

/// What a request goes through.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// Pingora without Becket.
    Alone,
    /// A Pingora proxy, to the server.
    Pingora,
    /// The gateway, to the server.
    Gateway,
    /// The gateway, to an entry of the plugin.
    Entry,
}

/// So many requests, and so many more.
const COUNTS: (u64, u64) = (100, 600);
/// The same, with `--quick`.
const COUNTS_QUICK: (u64, u64) = (5, 15);

fn main() -> Result<(), Failure> {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let [server, plugin, case] = arguments.as_slice() {
        let case: usize = text(case)?.parse()?;
        let (_, kind, filters) = CASES.get(case).ok_or("there is no such case")?;
        return serve(text(server)?.parse()?, plugin, *kind, filters);
    }
    let counts = match arguments.as_slice() {
        [] => COUNTS,
        [word] if word == "--quick" => COUNTS_QUICK,
        _ => return Err("it takes `--quick` and nothing else".into()),
    };
    let folder = std::env::temp_dir().join(format!("becket-cost-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let counted = count_all(&folder, counts);
    std::fs::remove_dir_all(&folder)?;
    counted
}

fn count_all(folder: &Path, (few, many): (u64, u64)) -> Result<(), Failure> {
    let plugin = plugin(folder)?;
    let server = upstream()?;
    println!("| proxy | instructions of a request | more than the first |\n|---|---|---|");
    let mut first = None;
    for (case, (name, kind, _)) in CASES.into_iter().enumerate() {
        let less = instructions(server, &plugin, case, few)?;
        let more = instructions(server, &plugin, case, many)?;
        let each = more.saturating_sub(less) / (many - few);
        // A Pingora proxy is compared with Pingora alone, the gateway with itself.
        let first = match (kind, first) {
            (Kind::Pingora, Some((_, first))) => first,
            (_, Some((other, first))) if other == kind => first,
            _ => {
                first = Some((kind, each));
                each
            }
        };
        println!("| {name} | {each} | {} |", each.saturating_sub(first));
    }
    Ok(())
}

/// The instructions of a proxy that has answered so many requests.
fn instructions(
    server: SocketAddr,
    plugin: &Path,
    case: usize,
    requests: u64,
) -> Result<u64, Failure> {
    let mut proxy = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--fair-sched=yes"])
        .arg(std::env::current_exe()?)
        .arg(server.to_string())
        .arg(plugin)
        .arg(case.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(proxy.stdout.take().ok_or("no output")?).lines();
    let addr: SocketAddr = lines.next().ok_or("the proxy has ended")??.parse()?;
    let mut client = TcpStream::connect(addr)?;
    for _ in 0..requests {
        client.write_all(
            b"POST /x HTTP/1.1\r\nhost: localhost\r\nuser-agent: cost\r\naccept: */*\r\n\
              content-length: 4\r\n\r\nbody",
        )?;
        let answer = message(&mut client)?;
        if !answer.starts_with("HTTP/1.1 200 ") {
            return Err(format!("the proxy answered {answer}").into());
        }
    }
    drop(client);
    // Its end.
    drop(proxy.stdin.take());
    let ended = proxy.wait_with_output()?;
    let report = String::from_utf8_lossy(&ended.stderr).into_owned();
    let counted = report.lines().find_map(|line| line.split("Collected :").nth(1));
    let counted = counted.ok_or_else(|| format!("callgrind counted nothing:\n{report}"))?;
    Ok(counted.trim().parse()?)
}

/// Serves until stdin ends.
fn serve(server: SocketAddr, plugin: &OsString, kind: Kind, filters: &str) -> Result<(), Failure> {
    let threads = match kind {
        Kind::Alone | Kind::Pingora => 1,
        // The host lends a plugin all threads of the gateway but the last one.
        Kind::Gateway | Kind::Entry => 2,
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_all().build()?;
    let leads_to = match kind {
        Kind::Entry => "plugin = \"empty\"\nentry = \"hello\"".to_owned(),
        _ => format!("upstream = \"http://{server}\""),
    };
    let text = format!(
        "watch = false\nlisten = \"127.0.0.1:0\"\nadmin.enabled = false\n\
         [plugins.empty]\npath = {plugin:?}\n\
         [[routes]]\nprefix = \"/\"\n{leads_to}\nfilters = {filters}\n"
    );
    let config = || Config::parse(&text, "becket.toml").map_err(|error| error.render());
    // Serves while it is there.
    let mut gateway = None;
    match kind {
        Kind::Alone => runtime.block_on(start(Alone(server)))?,
        Kind::Pingora => runtime.block_on(start(Proxy::new(Filters::start(config()?)?)))?,
        Kind::Gateway | Kind::Entry => {
            let started = runtime.block_on(Gateway::start(config()?, Host::new()))?;
            println!("{}", gateway.insert(started).addr());
        }
    }
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(gateway);
    runtime.shutdown_background();
    Ok(())
}

/// A proxy without filters.
struct Alone(SocketAddr);

#[async_trait]
impl ProxyHttp for Alone {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(
        &self,
        _: &mut Session,
        (): &mut (),
    ) -> pingora_core::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.0, false, String::new())))
    }
}

/// Starts the service, and prints where.
async fn start<P>(proxy: P) -> Result<(), Failure>
where
    P: ProxyHttp + Send + Sync + 'static,
    P::CTX: Send + Sync,
{
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let addr = listener.local_addr()?;
    let mut fds = Fds::new();
    fds.add(addr.to_string(), listener.into_raw_fd());
    let fds: ListenFds = Arc::new(fds.into());
    let mut service = pingora_proxy::http_proxy_service(&Arc::new(ServerConf::default()), proxy);
    service.add_tcp(&addr.to_string());
    let (shutdown, watched) = tokio::sync::watch::channel(false);
    tokio::spawn(async move {
        let _shutdown = shutdown;
        service.start_service(Some(fds), watched, 1).await;
    });
    println!("{addr}");
    Ok(())
}

/// A server that answers each request with the same 13 bytes, a thread for each connection.
fn upstream() -> Result<SocketAddr, Failure> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let answer = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\n\
                               content-length: 13\r\n\r\nHello, world!";
                while message(&mut socket).is_ok() {
                    if socket.write_all(answer).is_err() {
                        break;
                    }
                }
            });
        }
    });
    Ok(addr)
}

/// Reads the next message; returns its head.
fn message(socket: &mut TcpStream) -> Result<String, Failure> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        socket.read_exact(&mut byte)?;
        head.extend_from_slice(&byte);
    }
    let head = String::from_utf8(head)?;
    let lower = head.to_ascii_lowercase();
    let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next());
    let length = length.map_or(Ok(0), str::parse)?;
    socket.read_exact(&mut vec![0; length])?;
    Ok(head)
}

fn plugin(folder: &Path) -> Result<PathBuf, Failure> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library = folder.join("libempty.so");
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let built = Command::new(compiler)
        .args(["-std=c11", "-shared", "-fPIC", "-O2"])
        .arg(format!("-I{}", here.join("../abi/include").display()))
        .arg(format!("-I{}", here.join("../../sdk/c").display()))
        .arg(here.join("tests/plugins/empty.c"))
        .arg("-o")
        .arg(&library)
        .status()?;
    if !built.success() {
        return Err("the plugin does not compile".into());
    }
    Ok(library)
}

fn text(argument: &OsString) -> Result<&str, Failure> {
    argument.to_str().ok_or_else(|| "an argument is no text".into())
}
