// SPDX-License-Identifier: BSD-3-Clause
//! The gateway: start, reload of the configuration, drain.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use becket_host::{Host, LinkedPlugin, Plugin};
use tokio::runtime::Handle;

use crate::access_log::AccessLog;
use crate::actions::{Actions, AdminRequest};
use crate::admin::Admin;
use crate::config::{Complaint, Config, ListenAt, check_upstream_files};
use crate::connections::{Connections, Phase};
use crate::embed;
use crate::error::GatewayError;
use crate::listen::{self, Acceptor, Bound, Heirs, ListenSocket, ListenerInfo, Passed};
use crate::origins::{Origins, StartCluster, StartProcess};
use crate::otlp::{self, Tracer};
use crate::reload::{self, Control, ReloadReport};
use crate::router::{RouteInfo, Table};
use crate::serve::{Listener, Public, Recorders, accept};
use crate::shared::Shared;
use crate::stats::Stats;
use crate::tls::{Loaded, Tls};

/// How long the admin listener has to write its last answers, of which one may be that of the drain.
const ADMIN_DRAIN: Duration = Duration::from_millis(250);

/// Puts a gateway together: [`Gateway::builder`].
#[derive(Debug, Default)]
pub struct Builder {
    origins: Origins,
    passed: Vec<Passed>,
    /// `None`: there is no process before.
    inherited: Option<Vec<Passed>>,
    /// Another server takes the requests.
    embedded: bool,
}

impl Builder {
    /// Offers a plugin of this binary to configurations, as `linked = "NAME"`.
    #[must_use]
    pub fn link(mut self, name: impl Into<String>, plugin: LinkedPlugin) -> Self {
        self.origins.linked.insert(name.into(), plugin);
        self
    }

    /// Lets configurations place plugins in processes of their own. `start` returns the launcher of
    /// one such plugin.
    #[must_use]
    pub fn processes(mut self, start: StartProcess) -> Self {
        self.origins.process = Some(start);
        self
    }

    /// Lets configurations name plugins on other machines. `start` returns what calls such a plugin.
    #[must_use]
    pub fn cluster(mut self, start: StartCluster) -> Self {
        self.origins.cluster = Some(start);
        self
    }

    /// A listening socket that another process has opened, as a service manager does, and its name there: what
    /// `listen = "systemd:NAME"` takes. Several may have one name.
    #[must_use]
    pub fn passed(mut self, name: impl Into<String>, socket: ListenSocket) -> Self {
        self.passed.push(Passed { name: name.into(), socket });
        self
    }

    /// Takes over from another process: these are its [`Gateway::sockets`]. The gateway accepts nothing before
    /// [`Gateway::open`]; until then the other process may go on.
    #[must_use]
    pub fn inherit(mut self, sockets: Vec<(String, ListenSocket)>) -> Self {
        let passed = |(name, socket)| Passed { name, socket };
        self.inherited = Some(sockets.into_iter().map(passed).collect());
        self
    }

    /// Opens no listener for requests: another HTTP server of this program takes them, and asks [`Gateway::find`] for the
    /// route of each. `listen`, `tls`, `access_log` and the limits of connections, clients and headers are that server's
    /// own, and those of the configuration have no meaning. `trace`, and `https` of upstream servers, are refused. The
    /// admin listener is there as `admin` has it.
    #[must_use]
    pub fn embedded(mut self) -> Self {
        self.embedded = true;
        self
    }

    /// Loads the plugins into `host` and begins to listen. Runs on the caller's tokio runtime, and
    /// registers it with the host as the executor ([`Host::set_executor`]).
    ///
    /// # Errors
    /// [`GatewayError`]; plugins that were loaded for it are unloaded again.
    pub async fn start(self, config: Config, host: Host) -> Result<Gateway, GatewayError> {
        config.check()?;
        config.check_token().map_err(Complaint::without_text)?;
        config.check_folders().map_err(Complaint::without_text)?;
        otlp::check(config.trace.as_ref()).map_err(Complaint::without_text)?;
        if self.embedded {
            embed::check(&config).map_err(Complaint::without_text)?;
        }
        let tls = match self.embedded {
            true => None,
            false => load_tls(&config).await?.map(Tls::new),
        };
        let phase = if self.inherited.is_some() { Phase::Held } else { Phase::Serving };
        let mut inherited = self.inherited.unwrap_or_default();
        let listeners = match self.embedded {
            true => Vec::new(),
            false => listen::bind_all(&config, self.passed, &mut inherited).await?,
        };
        let admin_at = admin_name(&config);
        let inherited_admin = inherited.into_iter().find(|passed| passed.name == admin_at);
        let admin = match config.admin.enabled {
            true => Some(
                listen::bind_tcp(config.admin.listen, "the admin page", inherited_admin).await?,
            ),
            false => None,
        };
        let plugins = reload::load_all(&host, &self.origins, &config).await?;
        let sockets = Sockets { listeners, admin, tls, phase };
        let run = Gateway::run(self.origins, config, host.clone(), &plugins, sockets);
        match run.await {
            Ok(gateway) => Ok(gateway),
            Err(error) => {
                reload::unload_all(&host, plugins.keys()).await;
                Err(error)
            }
        }
    }
}

/// HTTP in front of a host's plugins.
///
/// Dropping it cuts every connection; [`Self::drain`] first lets requests finish.
#[derive(Debug)]
pub struct Gateway {
    control: Arc<Control>,
    recorders: Recorders,
    actions: Arc<Actions>,
    listeners: Vec<ListenerInfo>,
    heirs: Heirs,
    admin: Option<(SocketAddr, Arc<Connections>)>,
}

/// What a drain left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// Connections that did not end in time and were cut.
    pub connections_cut: u32,
    /// Requests on them that were not answered to their end.
    pub requests_cut: u64,
    /// How long it took.
    pub took: Duration,
}

impl Gateway {
    /// A gateway with plugins of this binary.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// [`Builder::start`] without plugins of this binary.
    ///
    /// # Errors
    /// As [`Builder::start`].
    pub async fn start(config: Config, host: Host) -> Result<Self, GatewayError> {
        Self::builder().start(config, host).await
    }

    async fn run(
        origins: Origins,
        config: Config,
        host: Host,
        plugins: &BTreeMap<String, Plugin>,
        sockets: Sockets,
    ) -> Result<Self, GatewayError> {
        lend_threads(&host);
        let Sockets { listeners, admin, tls, phase } = sockets;
        let stats = Arc::new(Stats::default());
        let (table, listing, dead) = Table::build(&config, plugins, &stats, None).await;
        if let Some(dead) = dead.into_iter().next() {
            return Err(dead.into());
        }
        let shared = Arc::new(Shared::new(table, listing, plugins.clone(), stats, phase));
        let connections = Arc::clone(&shared.connections);
        let log = AccessLog::start(&config.access_log, &shared.stats);
        let log = log.map_err(Complaint::without_text)?;
        let tracer = Tracer::start(config.trace.as_ref(), &shared.stats);
        let tracer = tracer.map_err(Complaint::without_text)?;
        let recorders = Recorders { log, tracer };
        let (actions, admin_config) = (Arc::<Actions>::default(), config.admin.clone());
        let admin_at = admin_name(&config);
        let control = Control::new(host, origins, config, Arc::clone(&shared), tls.clone())?;
        let (mut infos, mut heirs) = (Vec::new(), Heirs::default());
        for Bound { acceptor, name, info } in listeners {
            let acceptor = Arc::new(acceptor);
            heirs.add(name, &acceptor);
            let public = Listener::Public(Public::new(Arc::clone(&shared), recorders.clone()));
            let tls = tls.clone().filter(|_| info.has_tls);
            accept::start(acceptor, Arc::clone(&connections), public, tls);
            infos.push(info);
        }
        let admin = admin.map(|(acceptor, addr)| {
            let acceptor = Arc::new(acceptor);
            heirs.add(admin_at, &acceptor);
            let connections = Connections::new(phase);
            let admin = Listener::Admin(Admin::new(
                Arc::clone(&control),
                Arc::clone(&actions),
                &admin_config,
                addr,
            ));
            accept::start(acceptor, Arc::clone(&connections), admin, None);
            (addr, connections)
        });
        Ok(Self { control, recorders, actions, listeners: infos, heirs, admin })
    }

    /// Where requests are taken, in the order of the configuration.
    #[must_use]
    pub fn listeners(&self) -> &[ListenerInfo] {
        &self.listeners
    }

    /// The address of the first of [`Self::listeners`] that is TCP; `0.0.0.0:0` if none is.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        let addr = self.listeners.iter().find_map(|listener| match listener.at {
            ListenAt::Tcp(addr) => Some(addr),
            ListenAt::Unix(_) | ListenAt::Systemd(_) => None,
        });
        addr.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0)))
    }

    /// Whether one of [`Self::listeners`] takes requests with TLS: `https`.
    #[must_use]
    pub fn has_tls(&self) -> bool {
        self.listeners.iter().any(|listener| listener.has_tls)
    }

    /// Where the admin page is, if there is one.
    #[must_use]
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(|(addr, _)| *addr)
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        self.control.shared()
    }

    /// The routes in force, those of the configuration first.
    #[must_use]
    pub fn routes(&self) -> Vec<RouteInfo> {
        self.control.shared().listing()
    }

    /// Puts another configuration in force: new plugins are loaded, changed ones replaced, removed
    /// ones unloaded, others left alone. Requests are answered meanwhile; those for a plugin that
    /// is being replaced wait for it.
    ///
    /// # Errors
    /// [`GatewayError`]: what was in force stays in force.
    pub async fn reload(&self, config: Config) -> Result<ReloadReport, GatewayError> {
        // Embedded.
        if self.listeners.is_empty()
            && let Err(complaint) = embed::check(&config)
        {
            self.count_refused_config();
            return Err(complaint.without_text().into());
        }
        self.control.reload(config).await
    }

    /// Loads a plugin again that has changed elsewhere, and puts the routes of its entries in force.
    ///
    /// # Errors
    /// [`GatewayError::Replace`]: what was loaded goes on.
    pub async fn reload_plugin(&self, name: &str) -> Result<(), GatewayError> {
        self.control.reload_plugin(name).await
    }

    /// Waits until other routes are in force than those of this version, and returns the version of
    /// these. 0 returns at once.
    pub async fn routes_changed(&self, since: u64) -> u64 {
        self.control.shared().changed_since(since).await
    }

    /// Waits for the next action that is asked for on the admin listener. A program that never waits for one takes
    /// none. Dropped, it has taken none.
    pub async fn next_action(&self) -> AdminRequest {
        self.actions.next().await
    }

    /// Opens the file of the access log again, before its next line: what `SIGHUP` does after `logrotate`.
    pub fn reopen_access_log(&self) {
        if let Some(log) = &self.recorders.log {
            log.reopen();
        }
    }

    /// Counts a configuration that could not be read among those that were refused.
    pub fn count_refused_config(&self) {
        self.control.shared().stats.reload_failures.add(1);
    }

    /// The listening sockets once more, the admin listener's too, and the names by which [`Builder::inherit`] in another
    /// process finds them.
    ///
    /// # Errors
    /// This process has no descriptor left.
    pub fn sockets(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        self.heirs.duplicates()
    }

    /// Begins to accept what a gateway with [`Builder::inherit`] has let wait.
    pub fn open(&self) {
        self.heirs.claim();
        self.advance(Phase::Serving);
    }

    /// Another process accepts at the sockets of these names, which are of its own [`Self::sockets`]: this one does no
    /// more. What waits at its others is still taken. A connection ends with its next answer, a WebSocket
    /// with 1001. [`Self::drain`] then gives clients that long to ask once more.
    pub fn hand_over(&self, names: &[String]) {
        self.heirs.hand_over(names);
        self.advance(Phase::HandedOver);
    }

    fn advance(&self, phase: Phase) {
        self.control.shared().connections.advance(phase);
        if let Some((_, connections)) = &self.admin {
            connections.advance(phase);
        }
    }

    /// Accepts no more requests, gives those in flight up to `within` to finish, and cuts the rest.
    /// WebSockets are closed with 1001. The plugins stay loaded: they are the host's to shut down.
    pub async fn drain(&self, within: Duration) -> DrainReport {
        let since = Instant::now();
        let shared = self.control.shared();
        self.control.stop_watching();
        self.heirs.hide();
        let stats = Arc::clone(&shared.stats);
        let (connections_cut, requests_cut) =
            shared.connections.drain(within, || stats.in_flight()).await;
        if let Some((_, connections)) = &self.admin {
            connections.drain(ADMIN_DRAIN, || 0).await;
        }
        if let Some(log) = &self.recorders.log {
            log.finish().await;
        }
        if let Some(tracer) = &self.recorders.tracer {
            tracer.finish().await;
        }
        DrainReport { connections_cut, requests_cut, took: since.elapsed() }
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.control.stop_watching();
        self.heirs.hide();
        self.control.shared().connections.cut();
        if let Some((_, connections)) = &self.admin {
            connections.cut();
        }
    }
}

/// What a gateway is served by.
struct Sockets {
    listeners: Vec<Bound>,
    admin: Option<(Acceptor, SocketAddr)>,
    tls: Option<Arc<Tls>>,
    phase: Phase,
}

/// The name by which the next process finds the admin listener.
fn admin_name(config: &Config) -> String {
    format!("admin {}", config.admin.listen)
}

/// Registers the calling tokio runtime with `host`: plugins that never block, or have been quick so far, run on all but one
/// of its threads. A function of its own for the reason of [`accept::start`].
fn lend_threads(host: &Host) {
    let runtime = Handle::current();
    let threads = runtime.metrics().num_workers();
    host.set_executor(threads, move |work| drop(runtime.spawn(async { work.run() })));
}

/// The settings of TLS, if there are to be any. Those for upstream servers are only read, since each table of routes reads
/// them again: what is wrong with them changes nothing that is in force. Reading files may block.
pub(crate) async fn load_tls(config: &Config) -> Result<Option<Loaded>, GatewayError> {
    let config = config.clone();
    let read = move || {
        check_upstream_files(&config)?;
        config.tls.as_ref().map(Loaded::read).transpose()
    };
    match tokio::task::spawn_blocking(read).await {
        Ok(loaded) => Ok(loaded.map_err(Complaint::without_text)?),
        Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
    }
}
