// SPDX-License-Identifier: BSD-3-Clause
//! The state of a list: its sorting, filter and selected row.
//!
//! # Invariants
//!
//! 1. The selected row is one of those that the filter lets through, if there are any.
//! 2. It is on the screen: `offset <= selected < offset + page`.

use becket_ipc::monitor::{ChannelSort, CoroutineSort, PluginSort, SessionSort};

use super::Tab;

/// What a list can be sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sorts {
    Id,
    Name,
    Depth,
    Waiting,
    Rate,
    Bytes,
    Failed,
    State,
    Age,
    Worker,
    Calls,
    Streams,
}

impl Sorts {
    /// Those of a list, the first one first.
    pub(crate) fn of(tab: Tab) -> &'static [Self] {
        match tab {
            Tab::Channels => &[
                Self::Id,
                Self::Name,
                Self::Depth,
                Self::Waiting,
                Self::Rate,
                Self::Bytes,
                Self::Failed,
            ],
            Tab::Coroutines => &[Self::Id, Self::Name, Self::State, Self::Age, Self::Worker],
            Tab::Plugins => &[Self::Name, Self::Calls, Self::Failed, Self::Depth],
            Tab::Sessions => &[Self::Id, Self::Bytes, Self::Streams, Self::Failed],
        }
    }

    /// In one word.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Name => "name",
            Self::Depth => "depth",
            Self::Waiting => "waiting",
            Self::Rate => "rate",
            Self::Bytes => "bytes",
            Self::Failed => "failures",
            Self::State => "state",
            Self::Age => "age",
            Self::Worker => "worker",
            Self::Calls => "calls",
            Self::Streams => "streams",
        }
    }

    pub(super) fn channels(self) -> ChannelSort {
        match self {
            Self::Name => ChannelSort::Name,
            Self::Depth => ChannelSort::Depth,
            Self::Waiting => ChannelSort::Waiting,
            Self::Rate => ChannelSort::Rate,
            Self::Bytes => ChannelSort::Bytes,
            Self::Failed => ChannelSort::Failed,
            _ => ChannelSort::Id,
        }
    }

    pub(super) fn coroutines(self) -> CoroutineSort {
        match self {
            Self::Name => CoroutineSort::Name,
            Self::State => CoroutineSort::State,
            Self::Age => CoroutineSort::Age,
            Self::Worker => CoroutineSort::Worker,
            _ => CoroutineSort::Id,
        }
    }

    pub(super) fn plugins(self) -> PluginSort {
        match self {
            Self::Calls => PluginSort::Calls,
            Self::Failed => PluginSort::Errors,
            Self::Depth => PluginSort::Depth,
            _ => PluginSort::Name,
        }
    }

    pub(super) fn sessions(self) -> SessionSort {
        match self {
            Self::Bytes => SessionSort::Bytes,
            Self::Streams => SessionSort::Streams,
            Self::Failed => SessionSort::Refused,
            _ => SessionSort::Id,
        }
    }
}

/// The sorting, filter and selected row of one list. Rows are counted among those that match.
#[derive(Debug, Clone)]
pub(crate) struct List {
    sorts: &'static [Sorts],
    sort: usize,
    reverse: bool,
    filter: String,
    selected: u32,
    offset: u32,
    page: u32,
    matched: u32,
}

/// Characters of a filter.
const FILTER_CHARS_MAX: usize = 60;

impl List {
    pub(super) fn new(tab: Tab) -> Self {
        Self {
            sorts: Sorts::of(tab),
            sort: 0,
            reverse: false,
            filter: String::new(),
            selected: 0,
            offset: 0,
            page: 1,
            matched: 0,
        }
    }

    /// By what it is sorted.
    pub(crate) fn sort(&self) -> Sorts {
        self.sorts.get(self.sort).copied().unwrap_or(Sorts::Id)
    }

    /// Whether it is sorted the other way round.
    pub(crate) fn is_reversed(&self) -> bool {
        self.reverse
    }

    /// What names must contain.
    pub(crate) fn filter(&self) -> &str {
        &self.filter
    }

    /// The row under the cursor, among those that match.
    pub(crate) fn selected(&self) -> u32 {
        self.selected
    }

    /// The first row on the screen.
    pub(crate) fn offset(&self) -> u32 {
        self.offset
    }

    /// The rows to fetch: the first, and how many. A page more than shown on either side, so that
    /// scrolling shows rows at once.
    pub(super) fn window(&self) -> (u32, u32) {
        let first = self.offset.saturating_sub(self.page);
        (first, self.offset - first + 2 * self.page)
    }

    /// Sets the number of rows that match the filter.
    pub(super) fn fit(&mut self, matched: u64) {
        self.matched = u32::try_from(matched).unwrap_or(u32::MAX);
        self.select(self.selected);
    }

    /// Sets the number of rows that fit on the screen.
    pub(super) fn show(&mut self, page: u32) {
        self.page = page.max(1);
        self.select(self.selected);
    }

    /// Moves the cursor by `rows` rows, towards the end if positive.
    pub(super) fn step(&mut self, rows: i64) {
        let target = i64::from(self.selected).saturating_add(rows).max(0);
        self.select(u32::try_from(target).unwrap_or(u32::MAX));
    }

    /// Moves the cursor by `pages` pages.
    pub(super) fn turn(&mut self, pages: i64) {
        self.step(pages * i64::from(self.page));
    }

    /// Moves the cursor to a row.
    pub(super) fn select(&mut self, row: u32) {
        self.selected = row.min(self.matched.saturating_sub(1));
        let lowest = self.selected.saturating_sub(self.page - 1);
        self.offset = self.offset.clamp(lowest, self.selected);
    }

    /// Sorts by the next column.
    pub(super) fn sort_next(&mut self) {
        self.sort = (self.sort + 1) % self.sorts.len().max(1);
        self.reverse = false;
        self.select(0);
    }

    /// Reverses the order.
    pub(super) fn turn_round(&mut self) {
        self.reverse = !self.reverse;
        self.select(0);
    }

    /// Changes the filter.
    pub(super) fn set_filter(&mut self, filter: String) {
        self.filter = filter.chars().take(FILTER_CHARS_MAX).collect();
        self.select(0);
    }
}
