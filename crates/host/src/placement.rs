// SPDX-License-Identifier: BSD-3-Clause
//! Where a plugin runs.
//!
//! Everything above this trait (call table, streams, deadlines, quotas, reload) is the same at
//! every placement; a placement carries the vtable's functions to the plugin. What a plugin is made
//! of, its image, its functions and their context, stays behind the trait: above it there is only
//! what the plugin can be asked for ([`Capabilities`]). Answers come back through the host's
//! callbacks, which is why none of these functions returns one.

mod inline;
pub(crate) mod views;

use becket_abi::{NrRequest, NrStatus};

pub(crate) use self::inline::{Inline, PluginGuard};
use crate::load::EntryInfo;

/// An entry as a placement wants it named.
#[derive(Debug, Clone, Copy)]
pub(crate) enum EntryRef<'a> {
    /// By name.
    Name(&'a str),
    /// By the id that [`Placement::resolve`] gave, with the name for one that has no ids.
    Id(u32, &'a str),
}

/// What `resolve` found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Resolved {
    /// The entry has this id.
    Id(u32),
    /// The plugin knows its entries, and this is none of them.
    Unknown,
    /// The plugin has no ids: entries go by name.
    ByName,
}

/// What a plugin can be asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Capabilities {
    /// It gets the host's full API, and calls `stream_ready` when a stream takes data again.
    pub(crate) attaches: bool,
    pub(crate) describes: bool,
    /// It gives its entries ids.
    pub(crate) resolves: bool,
    pub(crate) cancels: bool,
    pub(crate) takes_data: bool,
    pub(crate) takes_close: bool,
    pub(crate) takes_room: bool,
    pub(crate) exports_state: bool,
    /// No two threads may be inside.
    pub(crate) one_at_a_time: bool,
    /// `handle` passes the call on: whether a stream is open is known later.
    pub(crate) is_remote: bool,
}

/// A place where a plugin's functions run.
pub(crate) trait Placement {
    /// What can be asked for; the same for as long as the plugin is loaded.
    fn capabilities(&self) -> &Capabilities;

    /// One request; `None` for a call without metadata.
    fn handle(
        &self,
        entry: EntryRef<'_>,
        sid: u64,
        request: Option<&NrRequest>,
        payload: &[u8],
    ) -> NrStatus;

    /// A frame to the plugin; `None` if it takes none.
    fn stream_data(&self, sid: u64, data: &[u8]) -> Option<NrStatus>;

    /// The stream's queue has room again, after it had been full.
    fn stream_room(&self, sid: u64);

    /// No more frames to the plugin.
    fn stream_close(&self, sid: u64) -> Option<NrStatus>;

    /// The caller of call or stream `sid` has left.
    fn cancel(&self, sid: u64, stream: bool);

    /// The entry's id.
    fn resolve(&self, entry: &str) -> Resolved;

    /// The entries that the plugin describes; empty if it has no `describe`.
    fn entries(&self) -> Vec<EntryInfo>;

    /// The state for the next version: `None` if the plugin hands over none.
    fn export_state(&self) -> Option<Result<Vec<u8>, NrStatus>>;

    /// Takes over the state of the version before; `None` if the plugin takes none.
    fn import_state(&self, state: &[u8]) -> Option<NrStatus>;

    /// Ends the plugin; returns when its `shutdown` has.
    fn shutdown(&self);
}
