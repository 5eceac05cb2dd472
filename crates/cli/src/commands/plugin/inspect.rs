// SPDX-License-Identifier: BSD-3-Clause
//! `becket plugin inspect PATH`: the description of a plugin's file.

use std::path::PathBuf;

#[cfg(feature = "process")]
use becket_gateway::{
    InProcess,
    config::{PluginConfig, SandboxConfig, SandboxProfile},
};
use becket_host::{EntryInfo, Inspection, escape_controls};
#[cfg(feature = "process")]
use becket_host::{Host, PluginInfo, PluginSpec};
#[cfg(feature = "process")]
use clap::ValueEnum;

use super::load::LayoutArg;
#[cfg(feature = "process")]
use super::load::name_of;
use crate::commands::program;
#[cfg(feature = "process")]
use crate::commands::worker;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{DIM, HEAD, Ui, out, paint, text};

/// How long the plugin's process may take to end.
#[cfg(feature = "process")]
const END_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(5);

/// Show the ABI, layout and entries of a plugin's file
///
/// Also the evidence for the layout of its function table, and its SHA-256. The plugin is mapped
/// but not started; constructors of the file run.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The plugin's file, or its program, such as plugin.py, which is started
    path: PathBuf,
    /// Read the function table in this layout instead of detecting it
    #[arg(long, value_enum)]
    layout: Option<LayoutArg>,
    /// Where the plugin runs; `process` starts it and shows what its process may do. A program runs
    /// in a process
    #[cfg(feature = "process")]
    #[arg(long, value_enum, default_value_t)]
    placement: PlacementArg,
    /// The sandbox of its process
    #[cfg(feature = "process")]
    #[arg(long, value_enum, default_value_t)]
    sandbox: SandboxArg,
}

/// Where a plugin runs.
#[cfg(feature = "process")]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum PlacementArg {
    /// In this process
    #[default]
    Inline,
    /// In a process of its own
    Process,
}

/// What the process of a plugin may do.
#[cfg(feature = "process")]
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
enum SandboxArg {
    /// Resource limits, and its end with this process
    None,
    /// Nothing to files and other processes
    #[default]
    Default,
    /// Only libraries and its own file can be read; no network
    Strict,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    let is_program = program::command(&args.path).is_some();
    if is_program && args.layout.is_some() {
        let cause = "it has no function table, and so no layout of one";
        return Err(program::refused(&args.path, cause, "leave `--layout` out".to_owned()));
    }
    out::take_for_data()?;
    #[cfg(feature = "process")]
    if is_program || args.placement == PlacementArg::Process {
        return run_in_process(&args, ui);
    }
    #[cfg(not(feature = "process"))]
    if is_program {
        // Fails with the feature that is missing.
        program::spec("inspected", &args.path)?;
    }
    let inspection = becket_host::inspect(&args.path, args.layout.map(Into::into))?;
    if ui.json() {
        ui.data(&inspection)?;
    } else {
        ui.text(&describe(&inspection))?;
    }
    Ok(Exit::Ok)
}

/// Starts the plugin in a process of its own, and shows what that was given.
#[cfg(feature = "process")]
fn run_in_process(args: &Args, ui: &Ui) -> Result<Exit, Failure> {
    let sandbox = SandboxConfig {
        profile: match args.sandbox {
            SandboxArg::None => SandboxProfile::None,
            SandboxArg::Default => SandboxProfile::Default,
            SandboxArg::Strict => SandboxProfile::Strict,
        },
        ..SandboxConfig::default()
    };
    let plugin = PluginConfig {
        layout: args.layout.map(Into::into),
        sandbox: Some(sandbox),
        ..PluginConfig::default()
    };
    // A path, not a name for a search path.
    let path = std::path::absolute(&args.path).unwrap_or_else(|_| args.path.clone());
    let process = worker::processes()?(match program::command(&path) {
        Some(command) => InProcess::Program(command, &plugin),
        None => InProcess::Native(&path, &plugin),
    });
    let host = Host::new();
    let loaded = host.load(PluginSpec::remote(name_of(&path), process))?;
    let info = loaded.info();
    futures_lite::future::block_on(host.shutdown(END_TIMEOUT));
    if ui.json() {
        ui.data(&info)?;
    } else {
        ui.text(&describe_process(&info))?;
    }
    Ok(Exit::Ok)
}

#[cfg(feature = "process")]
fn describe_process(plugin: &PluginInfo) -> String {
    let mut text = paint(HEAD, &format!("{} {}", plugin.reported_name, plugin.version));
    let mut line = |label: &str, value: &str| {
        let value = escape_controls(value);
        text.push_str(&format!("\n{}  {value}", paint(DIM, &format!("{label:<17}"))));
    };
    let file = plugin.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
    line("file", &file);
    line("placement", plugin.placement);
    if let Some(sandbox) = &plugin.sandbox {
        line("sandbox", sandbox.profile);
        for measure in &sandbox.measures {
            let missing = measure.missing.as_ref().map(|missing| format!("missing: {missing}"));
            line(measure.kind, missing.as_deref().unwrap_or("given"));
        }
    }
    text.push_str(&format!("\n\n{}\n", paint(HEAD, "entries")));
    text.push_str(&entries(&plugin.entries));
    text
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
    text.push_str(&entries(&plugin.entries));
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

fn entries(entries: &[EntryInfo]) -> String {
    if entries.is_empty() {
        return "the plugin does not say which entries it has\n".to_owned();
    }
    let width = entries.iter().map(|entry| entry.name.chars().count()).max().unwrap_or(0);
    let line = |entry: &EntryInfo| {
        let kind = entry.kind.to_string();
        format!("{:<width$}  {kind:<13}  {}", entry.name, entry.help).trim_end().to_owned() + "\n"
    };
    entries.iter().map(line).collect()
}

fn or_none(text: &str) -> String {
    if text.is_empty() { "none".to_owned() } else { text.to_owned() }
}
