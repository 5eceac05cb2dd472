// SPDX-License-Identifier: BSD-3-Clause
//! From a request's path and method to an entry.
//!
//! The most specific path decides, then the method: an exact path of the configuration, then its
//! longest prefix, then `/PLUGIN/ENTRY`. Paths are compared as they were sent, without decoding.
//!
//! # Invariants
//!
//! 1. A table never changes. A reload builds another and swaps it in one store; a request keeps
//!    the table it began with until its call is done, so a plugin of the old table is unloaded
//!    only when no request can still reach for it (see `reload`).
//! 2. A prefix ends at a segment: `/v1` takes `/v1` and `/v1/x`, not `/v1x`.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use becket_host::{CallError, Entry, EntryKind, Plugin};
use http::{HeaderValue, Method};
use serde::Serialize;
use tokio::sync::oneshot;

use crate::TARGET;
use crate::config::{
    Config, ConfigError, FilterConfig, HttpLimits, RouteConfig, client_tls, nearest,
};
use crate::error::GatewayError;
use crate::filter::Filter;
use crate::serve::{Files, Upstream};
use crate::stats::{EntryStats, Stats};

/// The keys come from the configuration, so that no client can make them collide.
type FastHash = foldhash::fast::RandomState;

/// In place of a plugin's name, which has no parentheses.
const UPSTREAM: &str = "(upstream)";
const FILES: &str = "(files)";

/// Everything that a request needs to know of the configuration.
#[derive(Debug)]
pub(crate) struct Table {
    exact: HashMap<String, Methods, FastHash>,
    /// Longest first.
    prefixes: Vec<(String, Methods)>,
    /// Plugins that do not describe themselves: any name may be an entry.
    opaque: HashMap<String, Opaque, FastHash>,
    pub(crate) limits: HttpLimits,
    pub(crate) error_hints: bool,
    /// A request without a trace gets one.
    pub(crate) makes_traces: bool,
    /// Dropped with the table, which completes the receiver: no request uses the table.
    pub(crate) in_use: Option<oneshot::Sender<()>>,
}

/// The routes of one path, by method.
#[derive(Debug, Default)]
struct Methods(Vec<Arc<Route>>);

#[derive(Debug)]
struct Opaque {
    plugin: Plugin,
    /// Entries that only routes of the configuration lead to.
    hidden: BTreeSet<String>,
    is_held: bool,
    stats: Arc<EntryStats>,
}

/// Where a request goes.
#[derive(Debug)]
pub(crate) struct Route {
    /// Its path, as [`RouteInfo::path`]; `None`: that of the request.
    pub(crate) path: Option<Box<str>>,
    pub(crate) target: Target,
    /// `None` if the plugin does not describe it: the request decides.
    pub(crate) kind: Option<EntryKind>,
    pub(crate) content_type: Option<HeaderValue>,
    pub(crate) timeout: Option<Duration>,
    pub(crate) stats: Arc<EntryStats>,
    /// What is called before and after the entry.
    pub(crate) filters: Box<[Filter]>,
    is_held: bool,
    /// Empty: every method.
    methods: Vec<Method>,
}

/// What answers the requests of a route.
#[derive(Debug)]
pub(crate) enum Target {
    Entry(Entry),
    Upstream(Box<Upstream>),
    Files(Box<Files>),
}

impl Target {
    /// What log records name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Entry(entry) => entry.name(),
            Self::Upstream(_) => UPSTREAM,
            Self::Files(_) => FILES,
        }
    }

    /// The same of a route that no plugin answers.
    pub(crate) fn name_without_plugin(route: &RouteInfo) -> Option<&'static str> {
        match (route.upstream.is_empty(), &route.files) {
            (false, _) => Some(UPSTREAM),
            (true, Some(_)) => Some(FILES),
            (true, None) => None,
        }
    }

    /// The upstream servers, if it is them.
    pub(crate) fn upstream(&self) -> Option<&Upstream> {
        match self {
            Self::Upstream(upstream) => Some(upstream),
            Self::Entry(_) | Self::Files(_) => None,
        }
    }
}

/// What was found for a request.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    Route(Routed<'a>),
    /// The plugin is being replaced: the request waits for the next table.
    Held,
    /// The path is there for other methods.
    WrongMethod(HeaderValue),
    Nothing,
}

/// A route of the table, or one made for an entry of a plugin that does not describe itself.
#[derive(Debug)]
pub(crate) enum Routed<'a> {
    Known(&'a Arc<Route>),
    Opaque(Box<Route>),
}

impl Deref for Routed<'_> {
    type Target = Route;

    fn deref(&self) -> &Route {
        match self {
            Self::Known(route) => route,
            Self::Opaque(route) => route,
        }
    }
}

/// One route, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RouteInfo {
    /// The path; a prefix ends in `*`.
    pub path: String,
    /// The methods; none: every one.
    pub methods: Vec<String>,
    /// The plugin's name; empty: another server answers, or a folder's files.
    pub plugin: String,
    /// The entry's name.
    pub entry: String,
    /// How it answers; `None` if the plugin does not describe it.
    pub kind: Option<EntryKind>,
    /// The plugin's description of the entry.
    pub help: String,
    /// What is called before and after the entry, as the configuration names it.
    pub filters: Vec<String>,
    /// The servers that answer, in place of a plugin.
    pub upstream: Vec<String>,
    /// The folder whose files answer, in place of a plugin.
    pub files: Option<PathBuf>,
    /// Whether the route is there by default, not by the configuration.
    pub by_default: bool,
}

/// A route of the configuration that leads nowhere, or that has a filter that can only fail.
#[derive(Debug)]
pub(crate) struct DeadRoute {
    index: usize,
    plugin: String,
    entry: String,
    why: Dead,
}

#[derive(Debug)]
enum Dead {
    /// There is no such entry.
    Entry(CallError),
    /// There is no such filter.
    Filter(CallError),
    /// The filter is an entry of another kind.
    FilterKind,
    /// The files of TLS to its servers cannot be used.
    Tls(ConfigError),
}

impl std::fmt::Display for DeadRoute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { index, plugin, entry, why } = self;
        match why {
            Dead::Entry(_) => write!(
                f,
                "`routes[{index}]` leads to entry `{entry}`, which plugin `{plugin}` does not \
                have"
            ),
            Dead::Filter(_) => write!(
                f,
                "`routes[{index}]` has the filter `{entry}`, which plugin `{plugin}` does not have"
            ),
            Dead::FilterKind => write!(
                f,
                "`routes[{index}]` has the filter `{entry}` of plugin `{plugin}`, which is not unary"
            ),
            Dead::Tls(error) => write!(f, "{error}"),
        }
    }
}

impl DeadRoute {
    /// What its requests are answered.
    pub(crate) fn status(&self) -> u16 {
        match self.why {
            Dead::Entry(_) => 404,
            Dead::Filter(_) | Dead::FilterKind | Dead::Tls(_) => 502,
        }
    }
}

impl From<DeadRoute> for GatewayError {
    fn from(route: DeadRoute) -> Self {
        let DeadRoute { index, plugin, entry, why } = route;
        match why {
            Dead::Entry(error) => {
                Self::NoSuchEntry { index, plugin, entry, source: Box::new(error) }
            }
            Dead::Filter(error) => {
                Self::NoSuchFilter { index, plugin, entry, source: Box::new(error) }
            }
            Dead::FilterKind => Self::FilterKind { index, plugin, entry },
            Dead::Tls(error) => error.into(),
        }
    }
}

/// A table, its listing, and the configured routes that lead nowhere.
type Built = (Table, Vec<RouteInfo>, Vec<DeadRoute>);

impl Table {
    /// Builds the table, its listing, and the list of configured routes that lead nowhere. The
    /// routes of the plugins in `held` make their requests wait.
    ///
    /// Resolving an entry that a plugin does not describe calls the plugin and waits, so this runs
    /// on a thread that serves no requests.
    pub(crate) async fn build(
        config: &Config,
        plugins: &BTreeMap<String, Plugin>,
        stats: &Arc<Stats>,
        held: Option<&BTreeSet<String>>,
    ) -> Built {
        let (config, plugins) = (config.clone(), plugins.clone());
        let (stats, held) = (Arc::clone(stats), held.cloned());
        let build = move || Self::build_here(&config, &plugins, &stats, held.as_ref());
        match tokio::task::spawn_blocking(build).await {
            Ok(built) => built,
            Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
        }
    }

    fn build_here(
        config: &Config,
        plugins: &BTreeMap<String, Plugin>,
        stats: &Stats,
        held: Option<&BTreeSet<String>>,
    ) -> Built {
        let mut table = Self {
            exact: HashMap::default(),
            prefixes: Vec::new(),
            opaque: HashMap::default(),
            limits: config.limits.clone(),
            error_hints: config.error_hints,
            makes_traces: config.traceparent,
            in_use: None,
        };
        let is_held = |name: &str| held.is_some_and(|held| held.contains(name));
        let mut listing = Vec::new();
        let mut dead = Vec::new();
        for (index, route) in config.routes.iter().enumerate() {
            let (target, plugin) = match (&route.upstream, &route.files) {
                (Some(upstream), _) => {
                    let tls = client_tls(index, upstream).unwrap_or_else(|complaint| {
                        dead.push(DeadRoute {
                            index,
                            plugin: String::new(),
                            entry: String::new(),
                            why: Dead::Tls(complaint.without_text()),
                        });
                        None
                    });
                    let upstream = Upstream::new(upstream, tls, &shown_path(route), stats);
                    (Target::Upstream(Box::new(upstream)), None)
                }
                (None, Some(folder)) => {
                    let prefix = route.prefix.clone().unwrap_or_default();
                    (Target::Files(Box::new(Files::new(folder.clone(), prefix))), None)
                }
                (None, None) => {
                    let Some(plugin) = plugins.get(&route.plugin) else { continue };
                    match plugin.entry(&route.entry) {
                        Ok(entry) => (Target::Entry(entry), Some(plugin)),
                        Err(error) => {
                            dead.push(DeadRoute {
                                index,
                                plugin: route.plugin.clone(),
                                entry: route.entry.clone(),
                                why: Dead::Entry(error),
                            });
                            continue;
                        }
                    }
                }
            };
            let mut is_waiting = is_held(&route.plugin);
            let mut filters = Vec::new();
            for filter in &route.filters {
                match self::filter(config, plugins, index, filter, stats, &mut dead) {
                    Some((plugin, filter)) => {
                        is_waiting |= is_held(plugin);
                        filters.push(filter);
                    }
                    // Its plugin is not loaded: no request passes without it.
                    None => is_waiting = true,
                }
            }
            listing.push(table.configured(route, target, plugin, filters, is_waiting, stats));
        }
        table.prefixes.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        if config.default_routes {
            let guarded = guarded(config);
            for (name, plugin) in plugins {
                let hidden = guarded.get(name.as_str()).cloned().unwrap_or_default();
                table.default_routes(name, plugin, &hidden, is_held(name), stats, &mut listing);
            }
        }
        (table, listing, dead)
    }

    fn configured(
        &mut self,
        config: &RouteConfig,
        target: Target,
        plugin: Option<&Plugin>,
        filters: Vec<Filter>,
        is_held: bool,
        stats: &Stats,
    ) -> RouteInfo {
        let entries = plugin.map(Plugin::entries).unwrap_or_default();
        let described = entries.into_iter().find(|info| info.name == config.entry);
        let path = shown_path(config);
        let (kind, stats) = match &target {
            Target::Entry(entry) => {
                let stats = stats.entry(&config.plugin, &config.entry);
                (config.kind.or_else(|| entry.kind()), stats)
            }
            Target::Upstream(_) | Target::Files(_) => (None, stats.entry(target.name(), &path)),
        };
        let route = Route {
            path: Some(path.as_str().into()),
            kind,
            target,
            content_type: config.content_type.as_deref().and_then(|text| text.parse().ok()),
            timeout: config.timeout_ms.map(Duration::from_millis),
            stats,
            filters: filters.into(),
            is_held,
            methods: config.methods.clone(),
        };
        let info = RouteInfo {
            path,
            methods: config.methods.iter().map(Method::to_string).collect(),
            plugin: config.plugin.clone(),
            entry: config.entry.clone(),
            kind: route.kind,
            help: described.map(|info| info.help).unwrap_or_default(),
            filters: config.filters.iter().map(|filter| filter.name.clone()).collect(),
            upstream: config.upstream.as_ref().map(|it| it.urls.clone()).unwrap_or_default(),
            files: config.files.clone(),
            by_default: false,
        };
        if let Some(path) = &config.path {
            self.exact.entry(path.clone()).or_default().0.push(Arc::new(route));
        } else if let Some(prefix) = &config.prefix {
            match self.prefixes.iter_mut().find(|(known, _)| known == prefix) {
                Some((_, methods)) => methods.0.push(Arc::new(route)),
                None => self.prefixes.push((prefix.clone(), Methods(vec![Arc::new(route)]))),
            }
        }
        info
    }

    fn default_routes(
        &mut self,
        name: &str,
        plugin: &Plugin,
        hidden: &BTreeSet<&str>,
        is_held: bool,
        stats: &Stats,
        listing: &mut Vec<RouteInfo>,
    ) {
        let entries = plugin.entries();
        if entries.is_empty() {
            let stats = stats.entry(name, "*");
            let hidden = hidden.iter().map(|entry| (*entry).to_owned()).collect();
            let opaque = Opaque { plugin: plugin.clone(), hidden, is_held, stats };
            self.opaque.insert(name.to_owned(), opaque);
        }
        for info in entries.into_iter().filter(|info| !hidden.contains(info.name.as_str())) {
            let path = format!("/{name}/{}", info.name);
            if !is_plain_path(&path) {
                tracing::warn!(target: TARGET,
                    plugin = name,
                    entry = info.name,
                    "no default route: the entry's \
                    name does not fit a URL; give it a path in [[routes]]"
                );
                continue;
            }
            let Ok(entry) = plugin.entry(&info.name) else { continue };
            if self.exact.contains_key(&path) {
                continue;
            }
            let route = Route {
                path: Some(path.as_str().into()),
                kind: Some(info.kind),
                target: Target::Entry(entry),
                content_type: None,
                timeout: None,
                stats: stats.entry(name, &info.name),
                filters: Box::default(),
                is_held,
                methods: Vec::new(),
            };
            self.exact.insert(path.clone(), Methods(vec![Arc::new(route)]));
            listing.push(RouteInfo {
                path,
                methods: Vec::new(),
                plugin: name.to_owned(),
                entry: info.name,
                kind: Some(info.kind),
                help: info.help,
                filters: Vec::new(),
                upstream: Vec::new(),
                files: None,
                by_default: true,
            });
        }
    }

    pub(crate) fn find(&self, method: &Method, path: &str) -> Found<'_> {
        if let Some(methods) = self.exact.get(path) {
            return methods.find(method);
        }
        let below = |prefix: &str| match path.strip_prefix(prefix) {
            Some(rest) => rest.is_empty() || rest.starts_with('/') || prefix.ends_with('/'),
            None => false,
        };
        if let Some((_, methods)) = self.prefixes.iter().find(|(prefix, _)| below(prefix)) {
            return methods.find(method);
        }
        self.opaque(path).unwrap_or(Found::Nothing)
    }

    /// `/PLUGIN/ENTRY` of a plugin that does not describe itself.
    fn opaque(&self, path: &str) -> Option<Found<'static>> {
        if self.opaque.is_empty() {
            return None;
        }
        let (name, entry) = path.strip_prefix('/')?.split_once('/')?;
        let opaque = self.opaque.get(name).filter(|opaque| !opaque.hidden.contains(entry))?;
        if opaque.is_held {
            return Some(Found::Held);
        }
        Some(Found::Route(Routed::Opaque(Box::new(Route {
            path: None,
            // Resolved with the call: routing runs none of the plugin's code.
            target: Target::Entry(opaque.plugin.entry_later(entry)),
            kind: None,
            content_type: None,
            timeout: None,
            stats: Arc::clone(&opaque.stats),
            filters: Box::default(),
            is_held: false,
            methods: Vec::new(),
        }))))
    }

    /// The known path nearest to one that was not found. Bounded, because any client can ask.
    pub(crate) fn nearest(&self, path: &str) -> Option<&str> {
        const COMPARED_MAX: usize = 256;
        const PATH_BYTES_MAX: usize = 128;
        if path.len() > PATH_BYTES_MAX {
            return None;
        }
        let known = self.exact.keys().map(String::as_str).take(COMPARED_MAX);
        nearest(path, known.clone()).or_else(|| known.min())
    }
}

impl Methods {
    fn find(&self, method: &Method) -> Found<'_> {
        let takes =
            |route: &&Arc<Route>| route.methods.is_empty() || route.methods.contains(method);
        match self.0.iter().find(takes) {
            Some(route) if route.is_held => return Found::Held,
            Some(route) => return Found::Route(Routed::Known(route)),
            None => {}
        }
        let names: Vec<&str> =
            self.0.iter().flat_map(|route| &route.methods).map(Method::as_str).collect();
        HeaderValue::from_str(&names.join(", ")).map_or(Found::Nothing, Found::WrongMethod)
    }
}

/// A filter of the route at `index`, and the name of its plugin. `None`: that is not loaded.
fn filter<'a>(
    config: &Config,
    plugins: &'a BTreeMap<String, Plugin>,
    index: usize,
    filter: &FilterConfig,
    stats: &Stats,
    dead: &mut Vec<DeadRoute>,
) -> Option<(&'a String, Filter)> {
    let (name, entry) = filter.target(&config.plugins)?;
    let (name, plugin) = plugins.get_key_value(name)?;
    let resolved = match plugin.entry(entry) {
        Ok(found) => match found.kind() {
            Some(EntryKind::Unary) | None => Ok(found),
            Some(_) => Err(Dead::FilterKind),
        },
        Err(error) => Err(Dead::Filter(error)),
    };
    let resolved = resolved.map_err(|why| {
        dead.push(DeadRoute { index, plugin: name.clone(), entry: entry.to_owned(), why });
    });
    Some((name, Filter::new(filter, resolved.ok(), stats.filter(name, entry))))
}

/// The entries that have no route by default, by plugin: those that are filters, and those behind filters, which could
/// be passed by otherwise.
fn guarded(config: &Config) -> BTreeMap<&str, BTreeSet<&str>> {
    let mut guarded = BTreeMap::<_, BTreeSet<_>>::new();
    for route in config.routes.iter().filter(|route| !route.filters.is_empty()) {
        let filters = route.filters.iter().filter_map(|filter| filter.target(&config.plugins));
        for (plugin, entry) in filters.chain([(route.plugin.as_str(), route.entry.as_str())]) {
            guarded.entry(plugin).or_default().insert(entry);
        }
    }
    guarded
}

/// The path of a route, for people; a prefix ends in `*`.
fn shown_path(config: &RouteConfig) -> String {
    match (&config.path, &config.prefix) {
        (Some(path), _) => path.clone(),
        (None, prefix) => format!("{}*", prefix.as_deref().unwrap_or_default()),
    }
}

/// Whether a path reads the same in a URL.
fn is_plain_path(path: &str) -> bool {
    path.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#%\"<>\\^`{|}".contains(&byte))
}
