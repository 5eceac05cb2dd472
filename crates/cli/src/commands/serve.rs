// SPDX-License-Identifier: BSD-3-Clause
//! `becket serve`: the gateway, until a signal ends it.
//!
//! | module | what lives there |
//! |---|---|
//! | `activation` | listening sockets that the service manager passes |
//! | `cluster` | this gateway as a node of a cluster; with the feature `cluster` |
//! | `how_to` | what is served, and commands that call it, to paste |
//! | `upgrade` | another binary takes over |
//! | `watched` | the socket that answers `becket mon`; with the feature `ipc` |
//!
//! | signal | what happens |
//! |---|---|
//! | SIGHUP | the file of the access log is opened again; the configuration is read again, as when its file changes; if it is wrong or empty, the old one stays |
//! | `POST /reload`, `POST /drain` on the admin listener | as SIGHUP, as SIGTERM |
//! | SIGTERM, SIGINT | no new calls; calls in flight get `limits.drain_ms`; then a report |
//! | the second of them | the end, at once |
//! | SIGUSR2 | another process takes over, of the binary that is at this one's path by now |

mod activation;
#[cfg(feature = "cluster")]
mod cluster;
#[cfg(not(feature = "cluster"))]
#[path = "serve/no_cluster.rs"]
mod cluster;
mod how_to;
mod upgrade;
#[cfg(feature = "ipc")]
mod watched;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use becket_gateway::config::{ListenAt, ListenConfig, PluginConfig};
use becket_gateway::{
    AdminAction, AdminRequest, Config, ConfigError, FileWatch, Gateway, ReloadReport,
};
use becket_host::Host;
use serde_json::json;
use tokio::sync::Notify;

use self::activation::Passed;
use self::cluster::Node;
use self::upgrade::{Ending, Inheritance};
use super::signals::{Asked, Signals};
use super::{program, runtime};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{Ui, text};

/// Serve plugins over HTTP until a signal ends it
///
/// Without a configuration and without plugins it serves the built-in sample under the name
/// `sample`. Every entry is at /PLUGIN/ENTRY. SIGTERM and SIGINT wait for calls in flight, a second
/// one does not; SIGHUP reads the configuration again; SIGUSR2 starts the binary at this one's path
/// and hands over to it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The configuration file; `becket config example` documents it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where requests are taken: an address, where port 0 lets the system choose, unix:PATH, or
    /// systemd or systemd:NAME for sockets of the service manager; may be given several times [default:
    /// 127.0.0.1:8080]
    #[arg(long, value_name = "LISTENER")]
    listen: Vec<ListenAt>,
    /// Where the admin page and the metrics are, or off [default: 127.0.0.1:9900]
    #[arg(long, value_name = "ADDR")]
    admin: Option<Admin>,
    /// Answer `becket mon --socket PATH` at this path, for this user alone; the directory is made
    /// if it is absent
    #[arg(long, value_name = "PATH", hide = cfg!(not(feature = "ipc")))]
    monitor: Option<PathBuf>,
    /// Offer plugins to other machines over this NATS server, and call theirs; several, separated by commas
    #[arg(long, value_name = "URL", hide = cfg!(not(feature = "cluster")))]
    cluster: Option<String>,
    /// Serve the plugin in a file, or a program such as plugin.py, under a name; may be given several times
    #[arg(long, value_name = "NAME=PATH")]
    plugin: Vec<Named>,
    /// Take over from the process that has started this one
    #[arg(long, hide = true)]
    successor: bool,
    /// Print each entry with a line that calls it
    #[arg(long, short)]
    verbose: bool,
}

/// The admin listener, as `--admin` has it.
#[derive(Debug, Clone, Copy)]
enum Admin {
    Off,
    At(SocketAddr),
}

/// A plugin, as `--plugin` has it.
#[derive(Debug, Clone)]
struct Named {
    name: String,
    path: PathBuf,
}

/// The name of the plugin that this binary contains.
const SAMPLE: &str = "sample";

pub(crate) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    // First: before this process opens a descriptor or starts a thread.
    let inheritance = args.successor.then(upgrade::claim).transpose()?;
    let passed = activation::sockets()?;
    runtime::run_many(serve(args, passed, inheritance, *ui))
}

async fn serve(
    args: Args,
    passed: Vec<Passed>,
    inheritance: Option<Inheritance>,
    ui: Ui,
) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let mut config = configuration(&args, Config::load_with_files)?;
    let host = Host::builder().search_path(config.plugin_path.clone()).build();
    // Kept until the end. Bound first, so that a path that cannot be bound is reported before
    // plugins run.
    #[cfg(feature = "ipc")]
    #[cfg(feature = "ipc")]
    let monitor = args.monitor.as_deref();
    // The process before this one has it until it ends.
    #[cfg(feature = "ipc")]
    let mut watched_by = match &inheritance {
        None => monitor.map(|path| watched::serve(path, &host)).transpose()?,
        Some(_) => None,
    };
    #[cfg(not(feature = "ipc"))]
    if args.monitor.is_some() {
        return Err(super::left_out::failure("serve --monitor", "serve --monitor …", "ipc"));
    }
    let changed = Changes::of(&args, &config)?;
    let mut starting = Gateway::builder().link(SAMPLE, becket_sample::PLUGIN);
    for Passed { name, socket } in passed {
        starting = starting.passed(name, socket);
    }
    #[cfg(feature = "process")]
    {
        starting = starting.processes(super::worker::processes()?);
    }
    let mut old = None;
    if let Some(Inheritance { sockets, old: before }) = inheritance {
        starting = starting.inherit(sockets);
        old = Some(before);
    }
    let mut node = tokio::select! {
        node = Node::start(&config) => node?,
        () = signals.end() => return Ok(Exit::Interrupted),
    };
    if let Some(node) = &node {
        starting = starting.cluster(node.placing());
    }
    let gateway = tokio::select! {
        started = starting.start(config.clone(), host.clone()) => started?,
        () = signals.end() => return Ok(Exit::Interrupted),
    };
    let mut before = Ending::default();
    match old {
        None => upgrade::serves(),
        Some(old) => {
            before = tokio::select! {
                before = old.succeed(&gateway) => before?,
                () = signals.end() => return Ok(Exit::Interrupted),
            };
            gateway.open();
        }
    }
    let cluster = node.as_ref().map(|node| how_to::Cluster {
        urls: &config.cluster.url,
        is_connected: node.is_connected(),
    });
    how_to::show(&gateway, &host, args.monitor.as_deref(), cluster.as_ref(), args.verbose, &ui)?;
    let mut successor = None;
    loop {
        let (asked, request) = tokio::select! {
            asked = signals.asked() => (Some(asked), None),
            () = changed.next() => (Some(Asked::Reload), None),
            request = gateway.next_action() => (asked_by(&request), Some(request)),
            () = next(&mut node, &gateway) => (None, None),
            () = before.reached() => {
                #[cfg(feature = "ipc")]
                if let Some(path) = monitor {
                    watched_by = watched::serve(path, &host).inspect_err(|it| ui.failure(it)).ok();
                }
                continue;
            }
        };
        if matches!(asked, Some(Asked::Upgrade)) {
            let within = Duration::from_millis(config.limits.upgrade_ms);
            let handed_over = tokio::select! {
                handed_over = upgrade::hand_over(&gateway, within) => handed_over,
                () = signals.end() => break,
            };
            match handed_over {
                Ok(it) => {
                    if let Some(request) = request {
                        request.upgraded(it.pid);
                    }
                    // The other process waits for its path.
                    #[cfg(feature = "ipc")]
                    drop(watched_by.take());
                    ui.note(&format!("process {} has taken over", it.pid));
                    successor = Some(it);
                    break;
                }
                // This process goes on.
                Err(failure) => {
                    ui.failure(&failure);
                    if let Some(request) = request {
                        answer(request, &failure);
                    }
                }
            }
            continue;
        }
        if matches!(asked, Some(Asked::End)) {
            if let Some(request) = request {
                request.done(None);
            }
            break;
        }
        let acting = async {
            if asked.is_some() {
                // Whatever is in the configuration: the file may have been renamed.
                gateway.reopen_access_log();
                match reload(&args, &gateway, node.as_mut()).await {
                    Ok((new, report)) => {
                        config = new;
                        if let Some(request) = request {
                            request.done(Some(report));
                        }
                    }
                    // The old configuration stays in force.
                    Err(failure) => {
                        ui.failure(&failure);
                        if let Some(request) = request {
                            answer(request, &failure);
                        }
                    }
                }
            }
            if let Some(node) = &mut node {
                node.settle(&config, &gateway, &host).await;
            }
        };
        tokio::select! {
            () = acting => {}
            () = signals.end() => break,
        }
    }
    if successor.is_none() {
        upgrade::ends();
    }
    tokio::select! {
        ended = end(&gateway, &host, node, &config, &ui) => ended,
        () = signals.end() => Ok(Exit::Interrupted),
    }
}

/// What a request on the admin listener asks for.
fn asked_by(request: &AdminRequest) -> Option<Asked> {
    match request.action() {
        AdminAction::Reload => Some(Asked::Reload),
        AdminAction::Drain => Some(Asked::End),
        AdminAction::Upgrade => Some(Asked::Upgrade),
        _ => None,
    }
}

fn answer(request: AdminRequest, failure: &Failure) {
    let owned = |text: Option<&str>| text.map(str::to_owned);
    request.failed(failure.to_string(), owned(failure.why()), owned(failure.advice()));
}

/// Waits until a node of a cluster has something to do.
async fn next(node: &mut Option<Node>, gateway: &Gateway) {
    match node {
        Some(node) => node.next(gateway).await,
        None => std::future::pending().await,
    }
}

/// Reads a configuration file.
type Load = fn(&Path) -> Result<Config, ConfigError>;

/// The configuration file, overridden by the command line.
fn configuration(args: &Args, load: Load) -> Result<Config, Failure> {
    let mut config = match &args.config {
        Some(path) => load(path)?,
        None => Config::default(),
    };
    check_names(&args.plugin)?;
    for Named { name, path } in &args.plugin {
        let plugin = match program::command(path) {
            Some(command) => {
                let word = |word: OsString| word.to_string_lossy().into_owned();
                let command = Some(command.into_iter().map(word).collect());
                PluginConfig { command, ..PluginConfig::default() }
            }
            None => PluginConfig { path: Some(as_file(path)), ..PluginConfig::default() },
        };
        config.plugins.insert(name.clone(), plugin);
    }
    if config.plugins.is_empty() {
        let linked = Some(SAMPLE.to_owned());
        config.plugins.insert(SAMPLE.into(), PluginConfig { linked, ..PluginConfig::default() });
    }
    if !args.listen.is_empty() {
        config.listen = args.listen.iter().cloned().map(ListenConfig::from).collect();
    }
    if let Some(urls) = &args.cluster {
        config.cluster.url = urls.split(',').map(|url| url.trim().to_owned()).collect();
    }
    match args.admin {
        Some(Admin::Off) => config.admin.enabled = false,
        Some(Admin::At(listen)) => config.admin.listen = listen,
        None => {}
    }
    config.check()?;
    Ok(config)
}

/// Refuses a name with two files.
fn check_names(plugins: &[Named]) -> Result<(), Failure> {
    for (i, Named { name, path }) in plugins.iter().enumerate() {
        if let Some(before) = plugins.iter().take(i).find(|before| before.name == *name) {
            let what = format!("`--plugin {name}=…` is given twice");
            return Err(Failure::new(Exit::Usage, what)
                .cause(format!(
                    "`{name}` is to be both {} and {}",
                    before.path.display(),
                    path.display()
                ))
                .hint("give each plugin a name of its own"));
        }
    }
    Ok(())
}

/// A bare file name is the file in the current directory, if there is one; else a name for the
/// search path.
fn as_file(path: &PathBuf) -> PathBuf {
    if path.is_file() && path.components().count() == 1 {
        return PathBuf::from(".").join(path);
    }
    path.clone()
}

/// Applies the current configuration, and returns it.
async fn reload(
    args: &Args,
    gateway: &Gateway,
    node: Option<&mut Node>,
) -> Result<(Config, ReloadReport), Failure> {
    let config =
        configuration(args, Config::load_next).inspect_err(|_| gateway.count_refused_config())?;
    if let Some(node) = node {
        node.leave(&config).await;
    }
    let report = gateway.reload(config.clone()).await?;
    tracing::info!(
        loaded = ?report.loaded,
        replaced = ?report.replaced,
        rolling_out = ?report.rolling_out,
        unloaded = ?report.unloaded,
        "configuration reloaded"
    );
    if !report.needs_restart.is_empty() {
        tracing::warn!(settings = ?report.needs_restart, "these take effect at the next start");
    }
    Ok((config, report))
}

/// Drains the connections, then shuts down the plugins, both within `drain_ms`, and prints a report.
async fn end(
    gateway: &Gateway,
    host: &Host,
    node: Option<Node>,
    config: &Config,
    ui: &Ui,
) -> Result<Exit, Failure> {
    let began = Instant::now();
    let limit = Duration::from_millis(config.limits.drain_ms);
    ui.note(&format!(
        "ending: what is under way has {} (a second signal does not wait)",
        text::duration(limit)
    ));
    let left = async {
        match node {
            Some(node) => node.end(limit).await as u64,
            None => 0,
        }
    };
    let (drained, cut) = tokio::join!(gateway.drain(limit), left);
    let stopped = host.shutdown(limit.saturating_sub(began.elapsed())).await;
    let took = began.elapsed();
    let cut = cut + drained.requests_cut;
    if ui.json() {
        ui.data(&json!({
            "event": "ended",
            "took_ms": took.as_millis() as u64,
            "connections_cut": drained.connections_cut,
            "requests_cut": cut,
            "calls_abandoned": stopped.abandoned_calls,
        }))?;
    }
    let took = text::duration(took);
    if cut == 0 && stopped.abandoned_calls == 0 {
        ui.note(&format!("ended in {took}: every request was answered"));
        return Ok(Exit::Ok);
    }
    ui.note(&format!(
        "ended in {took}: {} cut, {} abandoned",
        text::plural(cut, "request"),
        text::plural(stopped.abandoned_calls, "call"),
    ));
    Ok(Exit::Failure)
}

/// Changes of the configuration file.
#[derive(Debug)]
struct Changes {
    /// Keeps the watch alive.
    _watch: Option<FileWatch>,
    notice: Option<Arc<Notify>>,
}

impl Changes {
    /// There are none without a file, or with `watch = false` in the configuration at the start: a
    /// reload does not change this.
    fn of(args: &Args, config: &Config) -> Result<Self, Failure> {
        let Some(path) = args.config.as_deref().filter(|_| config.watch) else {
            return Ok(Self { _watch: None, notice: None });
        };
        let watch = FileWatch::new([path]).map_err(|error| {
            Failure::new(Exit::Failure, format!("{} cannot be watched", path.display()))
                .cause(error.to_string())
                .hint("set `watch = false` in it, and reload by SIGHUP")
        })?;
        Ok(Self { notice: watch.notice(path), _watch: Some(watch) })
    }

    async fn next(&self) {
        match &self.notice {
            Some(notice) => notice.notified().await,
            None => std::future::pending().await,
        }
    }
}

impl FromStr for Admin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        text.parse()
            .map(Self::At)
            .map_err(|_| "write an address such as 127.0.0.1:9900, or off".into())
    }
}

impl FromStr for Named {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((name, path)) if !name.is_empty() && !path.is_empty() => {
                Ok(Self { name: name.to_owned(), path: path.into() })
            }
            _ => Err("write it as NAME=PATH, such as hello=target/release/libhello.so".into()),
        }
    }
}
