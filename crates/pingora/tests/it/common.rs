// SPDX-License-Identifier: BSD-3-Clause
//! A proxy, its upstream servers, and a client.

#[allow(dead_code, unreachable_pub, reason = "the gateway's tests use more of it")]
#[path = "../../../gateway/tests/it/common/guard.rs"]
pub(crate) mod guard;
#[allow(dead_code, unreachable_pub, reason = "the gateway's tests use more of it")]
#[path = "../../../gateway/tests/it/common/kit.rs"]
pub(crate) mod kit;

use std::convert::Infallible;
use std::ffi::OsString;
use std::future::Future;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::os::fd::IntoRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use becket_pingora::{Config, Filters, Proxy};
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::rt::TokioIo;
use pingora_core::server::configuration::ServerConf;
use pingora_core::server::{Fds, ListenFds};
use pingora_core::services::Service as _;
use pingora_proxy::ProxyHttp;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// A proxy in this process, with its own runtime.
pub(crate) struct World {
    pub(crate) addr: SocketAddr,
    pub(crate) server: Server,
    pub(crate) filters: Arc<Filters>,
    runtime: Option<Runtime>,
    /// Dropped, it ends the service.
    _shutdown: watch::Sender<bool>,
}

/// Plugins of these tests, before the routes.
pub(crate) const PLUGINS: &str = "admin.enabled = false\n[plugins.kit]\nlinked = \"kit\"\n\
                                  [plugins.guard]\nlinked = \"guard\"\n";

impl World {
    /// A proxy that passes everything on to a server, by these filters.
    pub(crate) fn new(filters: &str) -> Self {
        Self::with(PLUGINS, filters)
    }

    /// The same with this before the routes.
    pub(crate) fn with(before: &str, filters: &str) -> Self {
        Self::of(|server| routes(before, filters, server))
    }

    /// A proxy with the configuration that `text` makes of the server's address.
    pub(crate) fn of(text: impl FnOnce(SocketAddr) -> String) -> Self {
        Self::around(text, Proxy::new)
    }

    pub(crate) fn around<P>(
        text: impl FnOnce(SocketAddr) -> String,
        proxy: impl FnOnce(Arc<Filters>) -> P,
    ) -> Self
    where
        P: ProxyHttp + Send + Sync + 'static,
        P::CTX: Send + Sync,
    {
        let runtime = Runtime::new().unwrap();
        let server = runtime.block_on(Server::start());
        let config = config(&text(server.addr));
        let filters = Filters::builder()
            .link("kit", kit::PLUGIN)
            .link("guard", guard::PLUGIN)
            .processes(worker())
            .start(config);
        let filters = Arc::new(filters.unwrap_or_else(|error| panic!("{error}")));
        let proxy = proxy(Arc::clone(&filters));
        let listener = StdListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let addr = listener.local_addr().unwrap();
        let (shutdown, watched) = watch::channel(false);
        let mut fds = Fds::new();
        fds.add(addr.to_string(), listener.into_raw_fd());
        let fds: ListenFds = Arc::new(fds.into());
        let mut service =
            pingora_proxy::http_proxy_service(&Arc::new(ServerConf::default()), proxy);
        service.add_tcp(&addr.to_string());
        runtime.spawn(async move { service.start_service(Some(fds), watched, 1).await });
        Self { addr, server, filters, runtime: Some(runtime), _shutdown: shutdown }
    }

    pub(crate) fn run<F: Future>(&self, future: F) -> F::Output {
        self.runtime.as_ref().unwrap().block_on(async {
            tokio::time::timeout(Duration::from_secs(60), future).await.expect("in a minute")
        })
    }

    pub(crate) fn spawn<F>(&self, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.runtime.as_ref().unwrap().spawn(future)
    }

    pub(crate) fn send(&self, request: Request<Full<Bytes>>) -> Answer {
        self.run(send(self.addr, request))
    }

    /// The metrics once all requests are counted: a client has its answer before that.
    pub(crate) fn metrics(&self) -> String {
        let admin = self.filters.gateway().admin_addr().unwrap();
        self.run(async {
            loop {
                let metrics = send(admin, request("GET", "/metrics", b"")).await;
                let mut in_flight = metrics.text().lines().filter_map(|line| {
                    line.strip_prefix("becket_http_requests_in_flight")?.rsplit_once(' ')
                });
                if in_flight.all(|(_, count)| count == "0") {
                    return metrics.text().to_owned();
                }
            }
        })
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send(request("GET", path, b""))
    }

    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.send(request("POST", path, body))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

pub(crate) fn routes(before: &str, filters: &str, server: SocketAddr) -> String {
    format!(
        "{before}[[routes]]\nprefix = \"/\"\nupstream = \"http://{server}\"\nfilters = {filters}\n"
    )
}

pub(crate) fn config(text: &str) -> Config {
    Config::parse(text, "becket.toml").unwrap_or_else(|error| panic!("{}", error.render()))
}

/// The example, which cargo builds with the tests.
pub(crate) fn program() -> PathBuf {
    let this = std::env::current_exe().unwrap();
    let folder = this.parent().and_then(Path::parent).unwrap();
    folder.join("examples").join("proxy")
}

/// The program that workers begin as.
fn worker() -> Vec<OsString> {
    vec![program().into()]
}

/// A plugin in C, built for a test.
pub(crate) fn built(folder: &Path, source: &Path) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let name = source.file_stem().unwrap().to_str().unwrap();
    let library = folder.join(format!("lib{name}.so"));
    let beside = folder.join(format!("lib{name}.new"));
    let (compiler, standard) = match source.extension().and_then(|it| it.to_str()) {
        Some("cpp") => ("c++", "-std=c++20"),
        _ => ("cc", "-std=c11"),
    };
    let built = Command::new(compiler)
        .args([standard, "-shared", "-fPIC", "-O1"])
        .arg(format!("-I{}", root.join("crates/abi/include").display()))
        .arg(format!("-I{}", root.join("sdk/c").display()))
        .arg(format!("-I{}", root.join("sdk/cpp").display()))
        .arg(source)
        .arg("-o")
        .arg(&beside)
        .output()
        .unwrap();
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    // Renamed, as a host that watches the file needs it.
    std::fs::rename(beside, &library).unwrap();
    library
}

/// A plugin of the repository's examples.
pub(crate) fn example(folder: &Path, source: &str) -> PathBuf {
    built(folder, &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(source))
}

/// An upstream server, which counts its requests.
pub(crate) struct Server {
    pub(crate) addr: SocketAddr,
    pub(crate) requests: Arc<AtomicUsize>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::<AtomicUsize>::default();
        let counted = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                let counted = Arc::clone(&counted);
                let service = hyper::service::service_fn(move |request| {
                    counted.fetch_add(1, Ordering::SeqCst);
                    serve(request)
                });
                let server = hyper::server::conn::http1::Builder::new();
                let served = server.serve_connection(TokioIo::new(socket), service);
                tokio::spawn(served.with_upgrades());
            }
        });
        Self { addr, requests }
    }

    pub(crate) fn asked(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

type Failure = Box<dyn std::error::Error + Send + Sync>;
type ServerBody = BoxBody<Bytes, std::io::Error>;

fn full(bytes: impl Into<Bytes>) -> ServerBody {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed()
}

async fn serve(mut request: Request<Incoming>) -> Result<Response<ServerBody>, Failure> {
    let answer = Response::builder().header("X-Server", "yes");
    match request.uri().path() {
        "/echo" => {
            let body = request.into_body().collect().await?.to_bytes();
            Ok(answer.body(full(body)).unwrap())
        }
        "/empty" => Ok(answer.status(204).body(full("")).unwrap()),
        "/unavailable" => Ok(answer.status(503).body(full("not now")).unwrap()),
        "/missing" => Ok(answer.status(404).body(full("not there")).unwrap()),
        // In pieces, of which the client is not said the number.
        "/pieces" => {
            let pieces = ["one ", "two ", "three"].map(|piece| Ok(Frame::data(Bytes::from(piece))));
            let body = StreamBody::new(futures_util::stream::iter(pieces));
            Ok(answer.body(body.boxed()).unwrap())
        }
        // The connection ends.
        "/nothing" => Err("no answer".into()),
        // Ends before it is whole.
        "/broken" => {
            let pieces = [
                Ok(Frame::data(Bytes::from_static(b"half"))),
                Err(std::io::Error::other("broken")),
            ];
            let body = StreamBody::new(futures_util::stream::iter(pieces));
            Ok(answer.header("content-length", "8").body(body.boxed()).unwrap())
        }
        "/endless" => {
            let piece = || Ok(Frame::data(Bytes::from(vec![b'x'; 1 << 16])));
            let body = StreamBody::new(futures_util::stream::repeat_with(piece));
            Ok(answer.body(body.boxed()).unwrap())
        }
        "/switch" => {
            let upgraded = hyper::upgrade::on(&mut request);
            tokio::spawn(async move {
                let mut socket = TokioIo::new(upgraded.await.unwrap());
                let (mut read, mut write) = tokio::io::split(&mut socket);
                let _ = tokio::io::copy(&mut read, &mut write).await;
            });
            let answer = answer.status(101).header("connection", "upgrade");
            Ok(answer.header("upgrade", "websocket").body(full("")).unwrap())
        }
        _ => {
            let (head, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                format!("{name}={}", value.to_str().unwrap())
            };
            let mut lines: Vec<_> = head.headers.iter().map(header).collect();
            lines.sort();
            let text =
                format!("{} {} [{}] {} bytes", head.method, head.uri, lines.join(" "), body.len());
            Ok(answer.body(full(text)).unwrap())
        }
    }
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.get_all(name).iter().map(|value| value.to_str().unwrap()).collect()
    }
}

pub(crate) fn request(method: &str, path: &str, body: &[u8]) -> Request<Full<Bytes>> {
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    request.body(Full::new(Bytes::copy_from_slice(body))).unwrap()
}

pub(crate) fn with<B>(mut request: Request<B>, name: &'static str, value: &str) -> Request<B> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

/// One request on a connection of its own.
pub(crate) async fn send<B>(addr: SocketAddr, request: Request<B>) -> Answer
where
    B: hyper::body::Body<Data: Send, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    try_send(addr, request).await.unwrap_or_else(|error| panic!("{error:?}"))
}

pub(crate) async fn try_send<B>(
    addr: SocketAddr,
    request: Request<B>,
) -> Result<Answer, hyper::Error>
where
    B: hyper::body::Body<Data: Send, Error: std::error::Error + Send + Sync> + Send + 'static,
{
    let socket = TcpStream::connect(addr).await.unwrap();
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    let (head, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answer { status: head.status, headers: head.headers, body })
}
