// SPDX-License-Identifier: BSD-3-Clause
//! Commands that call the served entries: each entry with a line that works as it is printed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use becket_gateway::{Gateway, RouteInfo};
use becket_host::{EntryKind, Host};
use serde_json::json;

use crate::commands::program;
use crate::failure::Failure;
use crate::ui::{DIM, GOOD, HEAD, Ui, paint, text};

/// Prints it; one JSON object with `--json`.
pub(super) fn show(
    gateway: &Gateway,
    host: &Host,
    monitor: Option<&Path>,
    ui: &Ui,
) -> Result<(), Failure> {
    let at = reachable(gateway.addr());
    let admin = gateway.admin_addr().map(reachable);
    let routes = gateway.routes();
    if ui.json() {
        return ui.data(&json!({
            "event": "started",
            "listen": gateway.addr().to_string(),
            "admin": gateway.admin_addr().map(|addr| addr.to_string()),
            "monitor": monitor.map(|path| path.display().to_string()),
            "pid": std::process::id(),
            "routes": routes,
        }));
    }
    let version = env!("CARGO_PKG_VERSION");
    let mut out = format!("{} {version} serves on http://{at}\n", paint(HEAD, "becket"));
    let becket = program();
    for plugin in host.plugins() {
        let info = plugin.info();
        out.push_str(&format!(
            "\n{} is {} {}\n",
            paint(HEAD, plugin.name()),
            info.reported_name,
            info.version
        ));
        let mut any = false;
        for route in routes.iter().filter(|route| route.plugin == plugin.name()) {
            let lines = Lines { at, becket: &becket, sample: is_sample(&info.reported_name) };
            out.push_str(&lines.of(route));
            any = true;
        }
        if !any {
            let name = plugin.name();
            out.push_str(&format!(
                "  it does not say which entries it has; each is at http://{at}/{name}/ENTRY\n"
            ));
        }
    }
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
        out.push_str(&format!("\n{}    {}\n", paint(HEAD, "to watch it"), paint(GOOD, &line)));
    }
    out.push_str(&format!("\n{}\n", paint(DIM, "Ctrl-C ends it.")));
    ui.text(&out)
}

/// How the lines of all routes are made.
#[derive(Debug)]
struct Lines<'a> {
    at: SocketAddr,
    becket: &'a str,
    sample: bool,
}

impl Lines<'_> {
    /// The description of a route, then its lines.
    fn of(&self, route: &RouteInfo) -> String {
        let path = route.path.trim_end_matches('*');
        let url = text::shell_word(&format!("http://{}{path}", self.at));
        let kind = match route.kind {
            Some(EntryKind::Stream) => " (stream)",
            Some(EntryKind::Bidirectional) => " (WebSocket)",
            _ => "",
        };
        let colon = if route.help.is_empty() { "" } else { ": " };
        let what = format!("{}{kind}{colon}{}", route.entry, route.help);
        let mut out = format!("  {}\n", paint(DIM, &what));
        let mut line = |line: &str| out.push_str(&format!("    {}\n", paint(GOOD, line)));
        match route.kind {
            Some(EntryKind::Stream) => {
                line(&format!("curl -N {url}"));
                line(&format!("curl -N -H 'accept: text/event-stream' {url}"));
            }
            Some(EntryKind::Bidirectional) => {
                let url = text::shell_word(&format!("ws://{}{path}", self.at));
                line(&format!("printf 'hello\\nagain\\n' | {} ws {url}", self.becket));
                line(&format!("websocat {url}"));
            }
            _ => line(&self.unary(route, &url)),
        }
        out
    }

    fn unary(&self, route: &RouteInfo, url: &str) -> String {
        let takes = |method: &str| {
            route.methods.is_empty() || route.methods.iter().any(|other| other == method)
        };
        let payload = self.payload(&route.entry);
        match route.methods.first() {
            _ if takes("POST") => format!("curl -d {} {url}", text::shell_word(payload)),
            Some(method) if !takes("GET") => format!("curl -X {} {url}", text::shell_word(method)),
            _ => format!("curl {url}"),
        }
    }

    /// A payload that the entry answers; known for the entries of the sample.
    fn payload(&self, entry: &str) -> &'static str {
        match entry {
            "state" if self.sample => "colour=blue",
            "slow" if self.sample => "250",
            "fail" if self.sample => "2",
            _ => "hello",
        }
    }
}

/// True for the sample plugin in any language.
fn is_sample(reported_name: &str) -> bool {
    reported_name.starts_with("sample-")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_is_shown_as_this_machine() {
        let shown = |text: &str| reachable(text.parse().unwrap()).to_string();
        assert_eq!(shown("0.0.0.0:80"), "127.0.0.1:80");
        assert_eq!(shown("[::]:80"), "[::1]:80");
        assert_eq!(shown("192.0.2.1:80"), "192.0.2.1:80");
    }
}
