// SPDX-License-Identifier: BSD-3-Clause
//! A plugin that echoes its input, as an adapter.
//!
//! ```text
//!   offer ──► messages ──► entry of the plugin ──► answers ──► poll
//!             a call each, or messages of one stream a flow
//! ```
//!
//! It needs an entry that answers with the payload of the call, or a bidirectional one that sends
//! back each message. The bytes of a flow are sent in messages of many lengths, a few at a time, so
//! that a message that is lost, changed, duplicated, reordered or returned on another stream is
//! detected as for any other adapter. Each adapter of a pair has its own streams; the plugin is
//! loaded once.
//!
//! For a plugin that waits for room the queues of streams are short, and every other time more
//! messages are sent than fit, while nothing is read before that is necessary: what is lost when a
//! queue is full, on the way to the plugin or back, is missing like any other lost byte.
//!
//! What surrounds an answer is learned when the plugin is loaded: frames before the first answer,
//! bytes around a message, and output at its end. These are stripped. Bytes that differ from what
//! was learned are kept, and then the payload is wrong.
//!
//! | file | holds |
//! |---|---|
//! | `envelope` | what surrounds an answer |
//! | `line` | one flow: calls, or a stream |
//! | `error` | why a plugin cannot carry |
//!
//! # Invariants
//!
//! 1. A write waits until as many bytes have come back as were sent, woken by the answer itself, or
//!    until the stream has ended without them. So between two calls of an adapter nothing is in
//!    flight, and a run repeats.
//! 2. A wait ends after the idle timeout, in wall-clock time: then the plugin hangs. Before that a
//!    stream without output for a while is closed, so that it ends by itself. No verdict depends on
//!    how long an answer took.
//! 3. The bytes that came back and were not put out are bounded by the limits of the pair.
//! 4. Errors contain no byte of an answer.

mod envelope;
mod error;
mod line;

use std::cell::Cell;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use becket_host::{EntryKind, Host, Plugin, PluginSpec};

use self::envelope::Envelope;
pub use self::error::PluginError;
use self::line::Line;
use strum::{IntoStaticStr, VariantArray};

use super::{Failure, Spec, hangs, pair};
use crate::adapters::Pair;
use crate::all;
use crate::contract::{FlowId, Limits};

/// Time for an answer.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout after a first hang; otherwise a check would take hours.
const HUNG_DIVISOR: Duration = Duration::from_millis(500);
/// A stream with outstanding bytes is closed when nothing came for this long, to find out whether
/// they are late or lost. If the plugin lost bytes before, or hung, the stream is closed at once.
const QUIET: Duration = Duration::from_secs(1);
/// Capacity of a stream in each direction, in frames, for a plugin that waits for room: small, so
/// that queues get full.
const FEW_FRAMES: u32 = 16;
/// Entries that are tried by default, in this order.
const ENTRIES: [&str; 3] = ["pipe", "chat", "echo"];

/// Where the plugin runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Placement {
    /// In this process.
    #[default]
    Inline,
}

impl Placement {
    /// All placements.
    pub const ALL: [Self; Self::VARIANTS.len()] = all(Self::VARIANTS);

    /// Name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A plugin and one of its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The plugin's file.
    pub path: PathBuf,
    /// The entry; by default the first of `pipe`, `chat` and `echo` that it has.
    pub entry: Option<String>,
    /// Where it runs.
    pub placement: Placement,
}

impl Address {
    /// Parses `PATH` or `PATH#ENTRY`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let (path, entry) = match text.rsplit_once('#') {
            Some((path, entry)) if !entry.is_empty() => (path, Some(entry.to_owned())),
            _ => (text, None),
        };
        Self { path: path.into(), entry, placement: Placement::default() }
    }
}

/// A plugin that carries flows.
#[derive(Clone)]
pub struct PluginAdapter {
    inner: Arc<Inner>,
}

struct Inner {
    /// Keeps the plugin loaded.
    _host: Host,
    plugin: Plugin,
    entry: String,
    envelope: Envelope,
    has_hung: AtomicBool,
    has_lost: AtomicBool,
}

impl fmt::Debug for PluginAdapter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let entry = &self.inner.entry;
        f.debug_struct("PluginAdapter").field("entry", entry).finish_non_exhaustive()
    }
}

impl PluginAdapter {
    /// Loads a plugin and learns how its entry answers, by calling it.
    ///
    /// # Errors
    ///
    /// It cannot be loaded, has no such entry, or the entry does not echo.
    pub fn load(address: &Address) -> Result<Self, PluginError> {
        let Placement::Inline = address.placement;
        let spec = PluginSpec::path(name_of(&address.path), &address.path);
        Self::of_spec(spec, address.entry.as_deref())
    }

    /// As [`Self::load`], from the specification that a host takes.
    ///
    /// # Errors
    ///
    /// As [`Self::load`].
    pub fn of_spec(spec: PluginSpec, entry: Option<&str>) -> Result<Self, PluginError> {
        let few =
            becket_host::Limits { stream_frames_max: FEW_FRAMES, ..becket_host::Limits::default() };
        let short = Self::learned(spec.clone().limits(few), entry);
        // A plugin that cannot wait for room would lose what it sends when its queue is full: it
        // gets a long one.
        let may_stay = |it: &Self| it.inner.envelope.waits_for_room || !it.inner.envelope.is_stream;
        if short.as_ref().is_ok_and(may_stay) {
            return short;
        }
        drop(short);
        Self::learned(spec, entry)
    }

    /// Loads it, and learns from the entry what surrounds its answers, and whether it waits for
    /// room.
    fn learned(spec: PluginSpec, entry: Option<&str>) -> Result<Self, PluginError> {
        let host = Host::new();
        let plugin = host.load(spec).map_err(|error| PluginError::Load(Box::new(error)))?;
        let entries = plugin.entries();
        let known = |name: &str| entries.iter().find(|entry| entry.name == name);
        let found = match entry {
            Some(name) => known(name),
            None => ENTRIES.into_iter().find_map(known),
        };
        let found = found.ok_or_else(|| PluginError::NoEntry {
            entry: entry.unwrap_or("pipe, chat or echo").to_owned(),
            known: entries.iter().map(|entry| entry.name.clone()).collect(),
        })?;
        let envelope = match found.kind {
            EntryKind::Unary => Envelope::of_calls(&plugin, &found.name, IDLE_TIMEOUT),
            EntryKind::Bidirectional => Envelope::of_stream(&plugin, &found.name, IDLE_TIMEOUT),
            _ => Err(Failure::new("it only sends")),
        };
        let entry = found.name.clone();
        let envelope = envelope.map_err(|why| PluginError::NoEcho { entry: entry.clone(), why })?;
        let (has_hung, has_lost) = (AtomicBool::new(false), AtomicBool::new(false));
        let inner = Inner { _host: host, plugin, entry, envelope, has_hung, has_lost };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// The entry that carries flows.
    #[must_use]
    pub fn entry(&self) -> &str {
        &self.inner.entry
    }

    /// Creates a pair of adapters.
    #[must_use]
    pub fn pair(&self, limits: Limits) -> Pair {
        let spec = Spec::new(self.inner.plugin.name(), limits);
        pair(&spec, || {
            let inner = Arc::clone(&self.inner);
            let held = Rc::<Cell<u64>>::default();
            move |_: FlowId| Line::open(&inner, limits, &held)
        })
    }
}

impl Inner {
    fn idle_timeout(&self) -> Duration {
        if self.has_hung.load(Ordering::Relaxed) { HUNG_DIVISOR } else { IDLE_TIMEOUT }
    }

    /// How long a stream with outstanding bytes may be silent.
    fn quiet(&self) -> Duration {
        let is_known = [&self.has_lost, &self.has_hung].iter().any(|it| it.load(Ordering::Relaxed));
        if is_known { Duration::ZERO } else { QUIET }
    }

    fn hung(&self) -> Failure {
        self.has_hung.store(true, Ordering::Relaxed);
        hangs::count();
        Failure::new("the plugin did not give back all that it was given")
    }
}

/// `target/libhello.so` is `hello`.
fn name_of(path: &Path) -> String {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let name = stem.strip_prefix("lib").unwrap_or(&stem);
    if name.is_empty() { "plugin".to_owned() } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_stands_behind_the_last_hash() {
        let parse = |text: &str| {
            let Address { path, entry, .. } = Address::parse(text);
            (path.display().to_string(), entry)
        };
        assert_eq!(parse("a/b.so"), ("a/b.so".into(), None));
        assert_eq!(parse("a#1/b.so#chat"), ("a#1/b.so".into(), Some("chat".into())));
        assert_eq!(Placement::ALL.map(Placement::name), ["inline"]);
        assert_eq!(name_of(Path::new("target/libhello.so")), "hello");
    }
}
