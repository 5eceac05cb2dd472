// SPDX-License-Identifier: BSD-3-Clause
//! The entries that a plugin describes.

use std::collections::HashSet;
use std::fmt;

use becket_abi::{
    BK_ENTRY_BIDIRECTIONAL, BK_ENTRY_NEVER_WAITS, BK_ENTRY_STREAM, BK_ENTRY_UNARY, BkEntryInfo,
    NrStatus, NrStr,
};
use serde::Serialize;

use super::entry_points::EntryPoints;
use super::memory;
use crate::text::escape_controls;

/// At most this many entries are read.
const ENTRIES_MAX: u32 = 4096;
/// An entry's name is at most this long.
const NAME_BYTES_MAX: u32 = 4096;
/// A help text is at most this long.
const HELP_BYTES_MAX: u32 = 4096;

/// One entry of a plugin, as it describes itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntryInfo {
    /// The name to call it by.
    pub name: String,
    /// What comes back from it.
    pub kind: EntryKind,
    /// One line on what it does, or empty.
    pub help: String,
    /// In a plugin that wants coroutines, its handler needs none: it never waits.
    #[serde(skip)]
    pub never_waits: bool,
}

/// What an entry answers with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EntryKind {
    /// One answer.
    Unary,
    /// Many frames out.
    Stream,
    /// Frames both ways.
    Bidirectional,
}

impl EntryKind {
    /// The name, as in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unary => "unary",
            Self::Stream => "stream",
            Self::Bidirectional => "bidirectional",
        }
    }

    fn of(kind: u32) -> Option<Self> {
        Some(match kind {
            BK_ENTRY_UNARY => Self::Unary,
            BK_ENTRY_STREAM => Self::Stream,
            BK_ENTRY_BIDIRECTIONAL => Self::Bidirectional,
            _ => return None,
        })
    }
}

impl fmt::Display for EntryKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl EntryPoints {
    /// The entries in the plugin's order, without repeats; empty if it has no `describe`.
    ///
    /// A record that makes no sense (a name that is absent, too long, unreadable, not UTF-8 or has
    /// control characters, a kind that has no number here) is left out with a warning; one bad help
    /// text is left empty.
    pub(crate) fn entries(&self) -> Vec<EntryInfo> {
        let Some(describe) = self.describe else { return Vec::new() };
        let mut entries = Vec::new();
        let mut known = HashSet::new();
        for index in 0..ENTRIES_MAX {
            let mut record = BkEntryInfo::EMPTY;
            // SAFETY: `describe` is code of a live image (checked when it was bound) and gets its
            // own plugin's context; `record` is exclusive and says its size.
            let status = unsafe { describe(self.plugin_ctx, index, &raw mut record) };
            if status == NrStatus::Invalid {
                return entries;
            }
            if !status.is_ok() {
                tracing::warn!(index, %status, "describe ended with an unexpected status");
                return entries;
            }
            match (
                text(record.name, NAME_BYTES_MAX),
                EntryKind::of(record.kind & !BK_ENTRY_NEVER_WAITS),
            ) {
                (Some(name), Some(kind)) if !name.is_empty() && escape_controls(&name) == name => {
                    if known.insert(name.clone()) {
                        let help = text(record.help, HELP_BYTES_MAX).unwrap_or_default();
                        let help = escape_controls(&help).into_owned();
                        let never_waits = record.kind & BK_ENTRY_NEVER_WAITS != 0;
                        entries.push(EntryInfo { name, kind, help, never_waits });
                    }
                }
                (name, kind) => tracing::warn!(
                    index,
                    ?name,
                    ?kind,
                    kind_number = record.kind,
                    "left out an entry that describes itself badly"
                ),
            }
        }
        tracing::warn!(ENTRIES_MAX, "describe does not end: the entries behind that are left out");
        entries
    }
}

/// A copy of a view's text, or `None` if the view is unsound.
fn text(view: NrStr, len_max: u32) -> Option<String> {
    if view.len == 0 {
        return Some(String::new());
    }
    if view.len > len_max {
        return None;
    }
    let bytes = memory::read(view.ptr.expose_provenance(), view.len as usize).ok()?;
    String::from_utf8(bytes).ok()
}
