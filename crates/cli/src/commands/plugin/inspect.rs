// SPDX-License-Identifier: BSD-3-Clause
//! `becket plugin inspect PATH`: the description of a plugin's file.

use std::path::PathBuf;

use becket_host::{Inspection, escape_controls};

use super::load::LayoutArg;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{DIM, HEAD, Ui, out, paint, text};

/// Show the ABI, layout and entries of a plugin's file
///
/// Also the evidence for the layout of its function table, and its SHA-256. The plugin is mapped
/// but not started; constructors of the file run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The plugin's file
    path: PathBuf,
    /// Read the function table in this layout instead of detecting it
    #[arg(long, value_enum)]
    layout: Option<LayoutArg>,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    out::take_for_data()?;
    let inspection = becket_host::inspect(&args.path, args.layout.map(Into::into))?;
    if ui.json() {
        ui.data(&inspection)?;
    } else {
        ui.text(&describe(&inspection))?;
    }
    Ok(Exit::Ok)
}

fn describe(plugin: &Inspection) -> String {
    let size = text::plural(plugin.size_bytes, "byte");
    let runtime = plugin.runtime.map_or_else(String::new, |runtime| format!(", {runtime}"));
    let missing = functions(plugin, false);
    let lines = [
        ("file", format!("{}, {size}, {}{runtime}", plugin.path.display(), plugin.machine)),
        ("sha256", plugin.sha256.clone()),
        ("abi", abi(plugin)),
        ("layout", format!("{}: {}", plugin.layout, plugin.layout_reason)),
        ("flags", or_none(&plugin.flags.join(", "))),
        ("functions", functions(plugin, true)),
        ("not there", or_none(&missing)),
        ("exports", format!("{} of {}", plugin.exports.join(", "), plugin.exports_total)),
        ("needs", or_none(&plugin.needed.join(", "))),
        ("config", or_none(&plugin.config_default)),
    ];
    let mut text = paint(HEAD, &format!("{} {}", plugin.name, plugin.version));
    text.push('\n');
    for (label, value) in lines {
        let value = escape_controls(&value);
        text.push_str(&format!("{}  {value}\n", paint(DIM, &format!("{label:<9}"))));
    }
    text.push_str(&format!("\n{}\n", paint(HEAD, "entries")));
    text.push_str(&entries(plugin));
    text
}

fn abi(plugin: &Inspection) -> String {
    let table = match plugin.vtable_size {
        0 => "a function table without a size".to_owned(),
        size => format!("function table {size} bytes"),
    };
    let attach = if plugin.attach { ", attaches to the host's functions" } else { "" };
    format!("version {}, info {} bytes, {table}{attach}", plugin.abi_version, plugin.struct_size)
}

fn functions(plugin: &Inspection, present: bool) -> String {
    let slots = plugin.slots.iter().filter(|slot| slot.present == present);
    slots.map(|slot| slot.name).collect::<Vec<_>>().join(", ")
}

fn entries(plugin: &Inspection) -> String {
    if plugin.entries.is_empty() {
        return "the plugin does not say which entries it has\n".to_owned();
    }
    let width = plugin.entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or(0);
    let line = |entry: &becket_host::EntryInfo| {
        let kind = entry.kind.to_string();
        format!("{:<width$}  {kind:<13}  {}", entry.name, entry.help).trim_end().to_owned() + "\n"
    };
    plugin.entries.iter().map(line).collect()
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { text.to_owned() }
}
