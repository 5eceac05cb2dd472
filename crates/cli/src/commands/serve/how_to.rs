// SPDX-License-Identifier: BSD-3-Clause
//! What is served, and commands that call it, which work as they are printed: on one screen, or
//! with `--verbose` for each entry.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use becket_gateway::config::ListenAt;
use becket_gateway::{Gateway, ListenerInfo, RouteInfo};
use becket_host::{EntryKind, Host, Plugin};
use serde_json::json;

use crate::commands::program;
use crate::failure::Failure;
use crate::ui::{DIM, GOOD, HEAD, Ui, paint, text};

/// Plugins that the one screen has a line for.
const PLUGINS_MAX: usize = 8;
/// Entries that the line of a plugin names.
const ENTRIES_MAX: usize = 8;

/// The cluster that a gateway is a node of.
#[derive(Debug)]
pub(super) struct Cluster<'a> {
    pub(super) urls: &'a [String],
    pub(super) is_connected: bool,
}

/// Prints it; one JSON object with `--json`.
pub(super) fn show(
    gateway: &Gateway,
    host: &Host,
    monitor: Option<&Path>,
    cluster: Option<&Cluster<'_>>,
    is_verbose: bool,
    ui: &Ui,
) -> Result<(), Failure> {
    let admin = gateway.admin_addr().map(reachable);
    let listeners = gateway.listeners();
    let routes = gateway.routes();
    if ui.json() {
        return ui.data(&json!({
            "event": "started",
            "listen": listeners.first().map(|listener| listener.at.to_string()),
            "listeners": listeners.iter().map(listener_json).collect::<Vec<_>>(),
            "tls": gateway.has_tls(),
            "admin": gateway.admin_addr().map(|addr| addr.to_string()),
            "monitor": monitor.map(|path| path.display().to_string()),
            "cluster": cluster.map(|it| json!({ "urls": it.urls, "connected": it.is_connected })),
            "pid": std::process::id(),
            "routes": routes,
        }));
    }
    let version = env!("CARGO_PKG_VERSION");
    let becket = program();
    let is_tcp = |listener: &&ListenerInfo| matches!(listener.at, ListenAt::Tcp(_));
    let Some(called) = listeners.iter().find(is_tcp).or(listeners.first()) else { return Ok(()) };
    let (plugins, lines) = (host.plugins(), Lines { called, becket: &becket, routes: &routes });
    let all: Vec<_> = listeners.iter().map(shown).collect();
    let mut out = format!("{} {version} serves on {}\n", paint(HEAD, "becket"), all.join(", "));
    match is_verbose {
        true => out.extend(plugins.iter().map(|plugin| lines.all(plugin))),
        false => out.push_str(&lines.brief(&plugins)),
    }
    out.push_str(&lines.elsewhere());
    match admin {
        Some(admin) => out.push_str(&format!(
            "\n{}    http://{admin}/\n{}       http://{admin}/metrics\n",
            paint(HEAD, "admin page"),
            paint(HEAD, "metrics")
        )),
        None => out.push_str("\nThere is no admin page: it is off.\n"),
    }
    if let Some(path) = monitor {
        let path = text::shell_word(&path.display().to_string());
        let line = format!("{becket} mon --socket {path}");
        out.push_str(&format!("{}   {}\n", paint(HEAD, "to watch it"), paint(GOOD, &line)));
    }
    if let Some(Cluster { urls, is_connected }) = cluster {
        let urls = urls.join(",");
        let line = match is_connected {
            true => paint(
                GOOD,
                &format!("{becket} cluster plugins --cluster {}", text::shell_word(&urls)),
            ),
            false => format!("no server answers at {urls}; it is tried again"),
        };
        out.push_str(&format!("{}       {line}\n", paint(HEAD, "cluster")));
    }
    let more = if is_verbose { "" } else { "With -v each entry has a line that calls it.\n" };
    out.push_str(&format!("\n{}\n", paint(DIM, &format!("{more}Ctrl-C ends it."))));
    ui.text(&out)
}

/// How the lines of all routes are made.
#[derive(Debug)]
struct Lines<'a> {
    /// The listener that they call.
    called: &'a ListenerInfo,
    becket: &'a str,
    routes: &'a [RouteInfo],
}

impl Lines<'_> {
    /// The beginning of every URL.
    fn base(&self) -> String {
        match self.called.at {
            ListenAt::Tcp(_) => shown(self.called),
            ListenAt::Unix(_) | ListenAt::Systemd(_) => "http://localhost".to_owned(),
        }
    }

    /// `curl`, with the way to the listener.
    fn curl(&self) -> String {
        match &self.called.at {
            ListenAt::Unix(path) => {
                format!("curl --unix-socket {}", text::shell_word(&path.display().to_string()))
            }
            ListenAt::Tcp(_) | ListenAt::Systemd(_) => "curl".to_owned(),
        }
    }

    fn of<'b>(&'b self, plugin: &'b Plugin) -> impl Iterator<Item = &'b RouteInfo> {
        self.routes.iter().filter(|route| route.plugin == plugin.name())
    }

    /// A line for each plugin, and how the first entry of each kind is called.
    fn brief(&self, plugins: &[Plugin]) -> String {
        let shown: Vec<_> = plugins.iter().take(PLUGINS_MAX).map(|it| (it, what(it))).collect();
        let names = shown.iter().map(|(plugin, _)| plugin.name().chars().count()).max();
        let whats = shown.iter().map(|(_, what)| what.chars().count()).max();
        let (names, whats) = (names.unwrap_or(0), whats.unwrap_or(0));
        let mut out = "\n".to_owned();
        for (plugin, what) in &shown {
            let name = paint(HEAD, &format!("{:names$}", plugin.name()));
            out.push_str(&format!("{name}  {what:whats$}  {}\n", self.entries(plugin)));
        }
        if plugins.len() > shown.len() {
            let more = text::plural((plugins.len() - shown.len()) as u64, "more plugin");
            out.push_str(&format!("{}\n", paint(DIM, &format!("and {more}"))));
        }
        let kinds = [EntryKind::Unary, EntryKind::Stream, EntryKind::Bidirectional];
        let examples = kinds.into_iter().filter_map(|kind| {
            let of_kind = |route: &&RouteInfo| route.kind.unwrap_or(EntryKind::Unary) == kind;
            let mut entries = self.routes.iter().filter(|route| !route.plugin.is_empty());
            let route = entries.find(of_kind)?;
            let plugin = plugins.iter().find(|plugin| plugin.name() == route.plugin)?;
            self.calls(route, is_sample(plugin)).into_iter().next()
        });
        let examples: String =
            examples.map(|line| format!("    {}\n", paint(GOOD, &line))).collect();
        if !examples.is_empty() {
            out.push_str(&format!("\n{examples}"));
        }
        out
    }

    /// The routes that lead to no plugin.
    fn elsewhere(&self) -> String {
        let routes = self.routes.iter().filter(|route| route.plugin.is_empty());
        let lines = routes.map(|route| {
            let what = match &route.files {
                Some(folder) => format!("the files of {}", folder.display()),
                None => format!("passed on to {}", route.upstream.join(", ")),
            };
            format!("{}{}  {what}\n", self.base(), route.path)
        });
        let lines: Vec<_> = lines.take(PLUGINS_MAX).collect();
        match lines.is_empty() {
            true => String::new(),
            false => format!("\n{}", lines.concat()),
        }
    }

    /// The names of a plugin's entries.
    fn entries(&self, plugin: &Plugin) -> String {
        let entries = once(self.of(plugin).map(|route| route.entry.as_str()));
        let listed = entries.iter().take(ENTRIES_MAX).copied().collect::<Vec<_>>().join(", ");
        match entries.len() {
            0 if !plugin.entries().is_empty() => "only for routes".to_owned(),
            0 => format!("{}/{}/ENTRY", self.base(), plugin.name()),
            count if count > ENTRIES_MAX => format!("{listed}, {} more", count - ENTRIES_MAX),
            _ => listed,
        }
    }

    /// A plugin, and the description of each of its routes with the lines that call it.
    fn all(&self, plugin: &Plugin) -> String {
        let mut out = format!("\n{} is {}\n", paint(HEAD, plugin.name()), what(plugin));
        if self.of(plugin).next().is_none() {
            let (base, name) = (self.base(), plugin.name());
            out.push_str(&format!(
                "  it does not say which entries it has; each is at {base}/{name}/ENTRY\n"
            ));
        }
        for route in self.of(plugin) {
            let kind = match route.kind {
                Some(EntryKind::Stream) => " (stream)",
                Some(EntryKind::Bidirectional) => " (WebSocket)",
                _ => "",
            };
            let colon = if route.help.is_empty() { "" } else { ": " };
            let what = format!("{}{kind}{colon}{}", route.entry, route.help);
            out.push_str(&format!("  {}\n", paint(DIM, &what)));
            for line in self.calls(route, is_sample(plugin)) {
                out.push_str(&format!("    {}\n", paint(GOOD, &line)));
            }
        }
        out
    }

    /// The lines that call a route.
    fn calls(&self, route: &RouteInfo, is_sample: bool) -> Vec<String> {
        let path = route.path.trim_end_matches('*');
        let url = text::shell_word(&format!("{}{path}", self.base()));
        let curl = self.curl();
        match route.kind {
            Some(EntryKind::Stream) => vec![
                format!("{curl} -N {url}"),
                format!("{curl} -N -H 'accept: text/event-stream' {url}"),
            ],
            Some(EntryKind::Bidirectional) => {
                // Neither `becket ws` nor websocat goes to a Unix socket by a URL.
                let ListenAt::Tcp(at) = self.called.at else { return Vec::new() };
                let has_tls = self.called.has_tls;
                let scheme = if has_tls { "wss" } else { "ws" };
                let url = text::shell_word(&format!("{scheme}://{}{path}", reachable(at)));
                let own = format!("printf 'hello\\nagain\\n' | {} ws {url}", self.becket);
                // `becket ws` has no TLS.
                let own = (!has_tls).then_some(own);
                own.into_iter().chain([format!("websocat {url}")]).collect()
            }
            _ => vec![unary(route, &curl, &url, is_sample)],
        }
    }
}

fn unary(route: &RouteInfo, curl: &str, url: &str, is_sample: bool) -> String {
    let takes = |method: &str| {
        route.methods.is_empty() || route.methods.iter().any(|other| other == method)
    };
    // A payload that the entry answers; known for the entries of the sample.
    let payload = match route.entry.as_str() {
        "state" if is_sample => "colour=blue",
        "slow" if is_sample => "250",
        "fail" if is_sample => "2",
        _ => "hello",
    };
    match route.methods.first() {
        _ if takes("POST") => format!("{curl} -d {} {url}", text::shell_word(payload)),
        Some(method) if !takes("GET") => format!("{curl} -X {} {url}", text::shell_word(method)),
        _ => format!("{curl} {url}"),
    }
}

/// The name and version that a plugin reports.
fn what(plugin: &Plugin) -> String {
    let info = plugin.info();
    format!("{} {}", info.reported_name, info.version)
}

/// True for the sample plugin in any language.
fn is_sample(plugin: &Plugin) -> bool {
    plugin.info().reported_name.starts_with("sample-")
}

/// A listener as a client on this machine reaches it.
fn shown(listener: &ListenerInfo) -> String {
    match &listener.at {
        ListenAt::Tcp(addr) => {
            format!("http{}://{}", if listener.has_tls { "s" } else { "" }, reachable(*addr))
        }
        at => at.to_string(),
    }
}

fn listener_json(listener: &ListenerInfo) -> serde_json::Value {
    json!({ "at": listener.at.to_string(), "tls": listener.has_tls })
}

/// The address that a client on this machine uses: a client cannot connect to the unspecified
/// address.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}

/// Each name at its first place: several routes may lead to one entry.
fn once<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = HashSet::new();
    names.filter(|name| seen.insert(*name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_several_routes_is_named_once() {
        assert_eq!(once(["echo", "unary", "unary", "echo"].into_iter()), ["echo", "unary"]);
    }

    #[test]
    fn every_address_is_shown_as_this_machine() {
        let shown = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(shown("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(shown("[::]:80"), "[::1]:80");
        assert_eq!(shown("192.0.2.1:80"), "192.0.2.1:80");
    }
}
