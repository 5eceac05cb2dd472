// SPDX-License-Identifier: BSD-3-Clause
//! A plugin at placement `cluster`, on a node that each load of it starts in this program: so the tests of other
//! placements are those of this one.
//!
//! What a node counts and logs stays there; the tests look at it through their own host. So a [`Reporter`] of this
//! program takes it there, past the server.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::Duration;

use becket_abi::{BK_LOG_ERROR, BK_LOG_WARN};
use becket_cluster::{ClusterPlugin, Offer, offer};
use becket_host::{
    Answers, Host, Limits, MetricChange, MetricValue, NotStarted, NrStatus, Observer, Plugin,
    PluginSpec, Remote, RemoteCall, RemoteSpec, RemoteState, ReportedCounts, StartRemote, Started,
    log_message,
};
use futures_lite::future::block_on;
use parking_lot::Mutex;
use tracing::{Level, event};

use crate::nodes::shared;

/// What a node reports to the test.
#[derive(Debug)]
struct Reporter {
    name: String,
    /// Its name on the node.
    offered: String,
    plugin: OnceLock<Plugin>,
    answers: OnceLock<Answers>,
    reported: Mutex<(ReportedCounts, HashMap<String, u64>)>,
    wakes: mpsc::Sender<bool>,
}

impl Reporter {
    fn start(name: &str, offered: &str) -> Arc<Self> {
        let (wakes, woken) = mpsc::channel();
        let reporter = Arc::new(Self {
            name: name.to_owned(),
            offered: offered.to_owned(),
            plugin: OnceLock::new(),
            answers: OnceLock::new(),
            reported: Mutex::default(),
            wakes,
        });
        let reporting = reporter.clone();
        thread::spawn(move || {
            for goes_on in woken {
                if !goes_on {
                    break;
                }
                reporting.report();
            }
        });
        reporter
    }

    fn wake(&self, goes_on: bool) {
        // It has ended with the plugin.
        let _ = self.wakes.send(goes_on);
    }

    fn report(&self) {
        let (Some(plugin), Some(answers)) = (self.plugin.get(), self.answers.get()) else { return };
        let mut reported = self.reported.lock();
        let (counts, counters) = &mut *reported;
        let now = plugin.reported_counts();
        answers.counted(&now.since(*counts));
        *counts = now;
        for metric in plugin.changed_metrics() {
            match metric.value {
                MetricValue::Counter(now) => {
                    let before = counters.insert(metric.name.clone(), now).unwrap_or(0);
                    let change = MetricChange::Counter(now - before);
                    answers.metric(&metric.name, &metric.help, change);
                }
                MetricValue::Gauge(now) => {
                    answers.metric(&metric.name, &metric.help, MetricChange::Gauge(now));
                }
                _ => {}
            }
        }
    }
}

impl Observer for Reporter {
    fn log_level_max(&self) -> u32 {
        5
    }

    fn log(&self, level: u32, from: &str, message: &str) {
        log_message(&self.name, level, from, message);
    }

    fn metrics_changed(&self) {
        self.wake(true);
    }

    fn watchdog(&self, level: u32, message: &str) {
        const TARGET: &str = "becket::watchdog";
        let (plugin, message) = (&self.name, message.replace(&self.offered, &self.name));
        match level {
            ..=BK_LOG_ERROR => event!(target: TARGET, Level::ERROR, plugin, "{message}"),
            BK_LOG_WARN => event!(target: TARGET, Level::WARN, plugin, "{message}"),
            _ => event!(target: TARGET, Level::INFO, plugin, "{message}"),
        }
    }

    fn counts_changed(&self) {
        self.wake(true);
    }
}

/// See the module's documentation.
pub fn through(
    name: &str,
    make: impl Fn(&str) -> PluginSpec + Send + Sync + 'static,
) -> PluginSpec {
    PluginSpec::remote(name, Arc::new(Through { make: Box::new(make) }))
}

struct Through {
    make: Box<dyn Fn(&str) -> PluginSpec + Send + Sync>,
}

impl std::fmt::Debug for Through {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Through").finish_non_exhaustive()
    }
}

impl StartRemote for Through {
    fn placement(&self) -> &'static str {
        "cluster"
    }

    fn start(&self, spec: RemoteSpec<'_>) -> Result<Started, NotStarted> {
        static LOADS: AtomicU64 = AtomicU64::new(0);
        let name = format!("{}.{}", spec.name, LOADS.fetch_add(1, Ordering::Relaxed));
        let host = Host::builder().search_path(spec.search_path.to_vec()).build();
        // A node may have a call for a moment after its caller has left.
        let limits = Limits {
            pending_max: spec.limits.pending_max.saturating_mul(2),
            streams_max: spec.limits.streams_max.saturating_mul(2),
            ..spec.limits.clone()
        };
        let reporter = Reporter::start(spec.name, &name);
        let made = (self.make)(&name).observer(reporter.clone());
        let made = made.config(spec.config.clone()).limits(limits).dispatch(spec.dispatch);
        let plugin = host.load(made).map_err(|error| NotStarted {
            what: error.to_string().replace(&name, spec.name),
            cause: error.cause(),
            hint: error.hint(),
        })?;
        let offer = block_on(offer(&shared().node, &plugin)).unwrap();
        let started = ClusterPlugin::new(&shared().host, name).start(spec)?;
        // What it counted before this is in the first report.
        let _ = reporter.plugin.set(plugin.clone());
        let remote = Arc::new(WithNode {
            remote: started.remote,
            offer: Mutex::new(Some(offer)),
            host,
            reporter,
        });
        Ok(Started { remote, ..started })
    }
}

struct WithNode {
    remote: Arc<dyn Remote>,
    offer: Mutex<Option<Offer>>,
    host: Host,
    reporter: Arc<Reporter>,
}

impl Remote for WithNode {
    fn attach(&self, answers: Answers) {
        self.remote.attach(answers);
        // Once for each load.
        let _ = self.reporter.answers.set(answers);
        self.reporter.wake(true);
    }

    fn handle(&self, call: RemoteCall<'_>) -> NrStatus {
        self.remote.handle(call)
    }

    fn stream_data(&self, sid: u64, data: &[u8]) -> NrStatus {
        self.remote.stream_data(sid, data)
    }

    fn stream_close(&self, sid: u64) -> NrStatus {
        self.remote.stream_close(sid)
    }

    fn stream_room(&self, sid: u64) {
        self.remote.stream_room(sid);
    }

    fn cancel(&self, sid: u64) {
        self.remote.cancel(sid);
    }

    fn export_state(&self) -> Result<Vec<u8>, NrStatus> {
        self.remote.export_state()
    }

    fn import_state(&self, state: &[u8]) -> NrStatus {
        self.remote.import_state(state)
    }

    fn state(&self) -> RemoteState {
        self.remote.state()
    }

    fn blocked_now(&self) -> u32 {
        self.reporter.plugin.get().map_or(0, |plugin| plugin.reported_counts().blocked_now)
    }

    fn shutdown(&self) {
        const DRAIN: Duration = Duration::from_secs(4);
        self.remote.shutdown();
        let offer = self.offer.lock().take();
        // It is shut down once.
        offer.map(|offer| block_on(offer.withdraw(DRAIN)));
        block_on(self.host.shutdown(DRAIN));
        self.reporter.report();
        self.reporter.wake(false);
    }
}
