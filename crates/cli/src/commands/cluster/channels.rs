// SPDX-License-Identifier: BSD-3-Clause
//! `becket cluster channels`: what the channels hold.

use becket_cluster::{ChannelReport, Connection};

use super::not_known;
use crate::failure::Failure;
use crate::ui::table::{self, Column};
use crate::ui::{Ui, text};

const COLUMNS: [Column; 8] = [
    ("CHANNEL", false),
    ("KIND", false),
    ("REPLICAS", true),
    ("DEPTH", true),
    ("IN HAND", true),
    ("WAITING", true),
    ("AGAIN", true),
    ("STATE", false),
];

pub(super) async fn run(connection: &Connection, namespace: &str, ui: &Ui) -> Result<(), Failure> {
    let channels = connection.channels(namespace).await.map_err(|error| not_known(&error))?;
    if ui.json() {
        return channels.iter().try_for_each(|channel| ui.data(channel));
    }
    if channels.is_empty() {
        ui.note(&format!("the cluster has no channels in the namespace {namespace}"));
        return Ok(());
    }
    let rows: Vec<_> = channels.iter().map(cells).collect();
    ui.text(&table::of(&COLUMNS, &rows))
}

fn cells(channel: &ChannelReport) -> Vec<String> {
    let kind = match channel.capacity {
        Some(capacity) => format!("{}:{capacity}", channel.kind),
        None => channel.kind.to_owned(),
    };
    // Nothing of a rendezvous is stored.
    let stored = |value| match channel.kind {
        "rendezvous" => String::new(),
        _ => text::count(value),
    };
    vec![
        channel.name.clone(),
        kind,
        replicas(channel),
        stored(channel.len),
        stored(channel.in_hand),
        stored(channel.receivers_waiting),
        stored(channel.redelivered),
        if channel.is_closed { "closed" } else { "open" }.to_owned(),
    ]
}

/// How many servers have it; and of how many, if some are away.
fn replicas(channel: &ChannelReport) -> String {
    if channel.replicas_online < channel.replicas {
        format!("{} of {}", channel.replicas_online, channel.replicas)
    } else {
        channel.replicas.to_string()
    }
}
