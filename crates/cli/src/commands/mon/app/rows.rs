// SPDX-License-Identifier: BSD-3-Clause
//! The rows of the lists: what the four kinds have in common.

use becket_ipc::monitor::{
    ChannelReport, CoroutineRow, Page, PluginReport, SessionReport, plugin_id,
};

use crate::commands::mon::store::Of;

/// A row of a list.
pub(crate) trait Row {
    /// Its id in a query.
    fn id(&self) -> u64;
    /// The name of its graph, and what the graph is of; a coroutine has none.
    fn graph(&self) -> Option<(String, Of)>;
}

impl Row for ChannelReport {
    fn id(&self) -> u64 {
        self.id
    }

    fn graph(&self) -> Option<(String, Of)> {
        Some((self.name.clone(), Of::Channel(self.id)))
    }
}

impl Row for CoroutineRow {
    fn id(&self) -> u64 {
        self.id
    }

    fn graph(&self) -> Option<(String, Of)> {
        None
    }
}

impl Row for PluginReport {
    fn id(&self) -> u64 {
        plugin_id(&self.name)
    }

    fn graph(&self) -> Option<(String, Of)> {
        Some((self.name.clone(), Of::Plugin(self.name.clone())))
    }
}

impl Row for SessionReport {
    fn id(&self) -> u64 {
        self.id
    }

    fn graph(&self) -> Option<(String, Of)> {
        Some((format!("session {}", self.id), Of::Session(self.id)))
    }
}

/// The rows of a report's page, whatever they are of.
pub(crate) trait Rows {
    /// How many rows the filter lets through.
    fn matched(&self) -> u64;
    /// The number of the first row on the page.
    fn first(&self) -> u32;
    /// A row, counted from the first on the page.
    fn row(&self, at: usize) -> Option<&dyn Row>;
}

impl<T: Row> Rows for Page<T> {
    fn matched(&self) -> u64 {
        self.matched
    }

    fn first(&self) -> u32 {
        self.first
    }

    fn row(&self, at: usize) -> Option<&dyn Row> {
        self.rows.get(at).map(|row| row as _)
    }
}

/// The row with this id: the one that the query pinned, or one of the page.
pub(crate) fn with_id<T: Row>(page: &Page<T>, id: u64) -> Option<&T> {
    page.pinned.iter().chain(&page.rows).find(|row| row.id() == id)
}
