// SPDX-License-Identifier: BSD-3-Clause
//! `becket cluster status`: the server, JetStream, how much is offered.

use std::collections::BTreeSet;

use becket_cluster::Connection;
use serde_json::json;

use super::not_known;
use crate::failure::Failure;
use crate::ui::{HEAD, Ui, WARN, paint, text};

pub(super) async fn run(connection: &Connection, ui: &Ui) -> Result<(), Failure> {
    let server = connection.server().await.map_err(|error| not_known(&error))?;
    let nodes = connection.nodes().await.map_err(|error| not_known(&error))?;
    let plugins: BTreeSet<&str> = nodes.iter().map(|node| node.plugin.as_str()).collect();
    if ui.json() {
        return ui.data(&json!({
            "server": server,
            "plugins": plugins.len(),
            "offers": nodes.len(),
        }));
    }
    let line =
        |name: &str, value: &str| format!("{}  {value}\n", paint(HEAD, &format!("{name:9}")));
    let of = server.cluster.as_ref().map(|name| format!(", of the cluster {name}"));
    let named = format!("{}, version {}{}", server.name, server.version, of.unwrap_or_default());
    let mut out = line("server", &named);
    if !server.addresses.is_empty() {
        out.push_str(&line("addresses", &server.addresses.join(", ")));
    }
    out.push_str(&line(
        "message",
        &format!("at most {} bytes", text::count(server.message_bytes_max as u64)),
    ));
    out.push_str(&match &server.jetstream {
        Some(stored) => line(
            "JetStream",
            &format!(
                "{}, {}, {} bytes in files, {} in memory",
                text::plural(stored.streams as u64, "stream"),
                text::plural(stored.consumers as u64, "consumer"),
                text::count(stored.file_bytes),
                text::count(stored.memory_bytes),
            ),
        ),
        None => line(
            "JetStream",
            &paint(WARN, "not there: plugins can be called, channels cannot be opened"),
        ),
    });
    let offers = text::plural(nodes.len() as u64, "offer");
    out.push_str(&line("plugins", &format!("{} by {offers}", text::count(plugins.len() as u64))));
    ui.text(&out)
}
