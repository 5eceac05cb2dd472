// SPDX-License-Identifier: BSD-3-Clause
//! `becket cluster plugins`: which node offers which plugin.

use std::time::Duration;

use becket_cluster::{Connection, EntryReport, Node};

use super::not_known;
use crate::failure::Failure;
use crate::ui::table::{self, Column};
use crate::ui::{Ui, text};

const COLUMNS: [Column; 8] = [
    ("PLUGIN", false),
    ("NODE", false),
    ("VERSION", false),
    ("ENTRY", false),
    ("KIND", false),
    ("ANSWERED", true),
    ("FAILED", true),
    ("TIME", true),
];

pub(super) async fn run(connection: &Connection, ui: &Ui) -> Result<(), Failure> {
    let nodes = connection.nodes().await.map_err(|error| not_known(&error))?;
    if ui.json() {
        return nodes.iter().try_for_each(|node| ui.data(node));
    }
    if nodes.is_empty() {
        ui.note(
            "no node offers a plugin: `becket serve --cluster URL` offers those that it serves",
        );
        return Ok(());
    }
    let rows: Vec<_> = nodes.iter().flat_map(rows).collect();
    ui.text(&table::of(&COLUMNS, &rows))
}

/// A line for each entry; the plugin and the node are on the first.
fn rows(node: &Node) -> Vec<Vec<String>> {
    let name = if node.node.is_empty() { &node.id } else { &node.node };
    let version = format!("{} {}", node.name, node.version);
    let offer = [node.plugin.clone(), name.clone(), version];
    let mut rows: Vec<_> =
        node.entries.iter().map(|entry| [vec![String::new(); 3], cells(entry)].concat()).collect();
    match rows.first_mut() {
        Some(first) => first.splice(..3, offer).for_each(drop),
        None => rows.push(offer.to_vec()),
    }
    rows
}

fn cells(entry: &EntryReport) -> Vec<String> {
    let time = match entry.requests {
        0 => String::new(),
        _ => text::duration(Duration::from_nanos(entry.average_ns)),
    };
    vec![
        entry.name.clone(),
        entry.kind.clone(),
        text::count(entry.requests),
        text::count(entry.errors),
        time,
    ]
}
