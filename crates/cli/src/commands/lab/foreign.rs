// SPDX-License-Identifier: BSD-3-Clause
//! `--adapter exec:COMMAND` and `--adapter plugin:PATH#ENTRY`: adapters that do not come with the
//! lab.

use becket_lab::adapters::Pair;
use becket_lab::bridge::exec::{Exec, ExecError};
use becket_lab::bridge::plugin::{Address, PluginAdapter, PluginError};
use becket_lab::contract::Limits;
use becket_lab::rules::Exit as LabExit;

use super::watch::listen;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{GOOD, WARN, out, paint};

/// Makes a pair.
pub(super) type Make = Box<dyn Fn(Limits) -> Pair + Send + Sync>;

/// Adapters that do not come with the lab.
pub(super) struct Foreign {
    pub(super) make: Make,
    /// If they are processes.
    pub(super) exec: Option<Exec>,
}

/// Limits that every adapter supports, to test whether a process answers the first request.
const LIMITS: Limits =
    Limits { flows_max: 1, buffered_bytes_max: 64 << 10, flow_buffered_bytes_max: 64 << 10 };

/// The adapter of this name, if it is a foreign one.
pub(super) fn of_name(name: &str) -> Option<Result<Foreign, Failure>> {
    let (kind, rest) = name.split_once(':')?;
    match kind {
        "exec" => Some(exec(rest)),
        "plugin" => Some(plugin(rest)),
        _ => None,
    }
}

fn exec(command: &str) -> Result<Foreign, Failure> {
    let failure = |error: &ExecError| not_started(command, error);
    let exec = Exec::new(command).map_err(|error| failure(&error))?;
    let tried = exec.clone();
    listen(move |_| Ok(tried.try_it(LIMITS)))?.map_err(|error| failure(&error))?;
    let makes = exec.clone();
    Ok(Foreign { make: Box::new(move |limits| makes.pair(limits)), exec: Some(exec) })
}

/// Loads a plugin. Its output must not be taken for a report: stdout goes to stderr from here on.
fn plugin(address: &str) -> Result<Foreign, Failure> {
    if address.is_empty() || address.starts_with('#') {
        return Err(Failure::new(Exit::Lab(LabExit::Usage), "no plugin is named")
            .cause(format!("behind `plugin:` stands no file in `plugin:{address}`"))
            .hint("`plugin:PATH`, or `plugin:PATH#ENTRY`"));
    }
    out::take_for_data().map_err(|error| {
        Failure::new(Exit::Lab(LabExit::Internal), "stdout cannot be kept from the plugin")
            .cause(error.to_string())
    })?;
    let loaded = PluginAdapter::load(&Address::parse(address));
    let plugin = loaded.map_err(|error| not_loaded(address, &error))?;
    Ok(Foreign { make: Box::new(move |limits| plugin.pair(limits)), exec: None })
}

/// Events of the processes that no trace shows, for people; `None` if there were none.
pub(super) fn mishaps(exec: &Exec) -> Option<String> {
    let mut lines: Vec<_> = exec
        .mishaps()
        .into_iter()
        .map(|mishap| format!("{} {mishap}", paint(WARN, "cause:")))
        .collect();
    if lines.is_empty() {
        return None;
    }
    lines.extend(exec.hint().map(|hint| format!("{}  {hint}", paint(GOOD, "hint:"))));
    Some(lines.join("\n"))
}

fn not_started(command: &str, error: &ExecError) -> Failure {
    let failure = Failure::new(
        Exit::Lab(LabExit::Usage),
        format!("there is no adapter behind the command `{command}`"),
    );
    let cause = error.cause().map_or_else(|| error.to_string(), |why| format!("{error}: {why}"));
    with_hint(failure.cause(cause), error.hint().map(Into::into))
}

fn not_loaded(address: &str, error: &PluginError) -> Failure {
    let failure = Failure::new(
        Exit::Lab(LabExit::Usage),
        format!("there is no adapter in the plugin {address}"),
    );
    let cause = error.cause().map_or_else(|| error.to_string(), |why| format!("{error}: {why}"));
    with_hint(failure.cause(cause), error.hint())
}

fn with_hint(failure: Failure, hint: Option<String>) -> Failure {
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
