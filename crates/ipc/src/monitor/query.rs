// SPDX-License-Identifier: BSD-3-Clause
//! Which rows a report contains. The query is evaluated in the watched process, so that a process
//! with ten thousand channels serialises only a page of them.

use std::cmp::Ordering;

use serde::{Deserialize, Serialize};

use super::report::{PluginReport, Report, SessionReport};
use super::source::plugin_id;
use super::tame::{ROWS_MAX, ReportError, TEXT_BYTES_MAX, tame_text};
use super::{ReportError as Error, SCHEMA};

/// The maximum size of a query as JSON, in bytes.
const QUERY_BYTES_MAX: usize = 64 * 1024;

/// The contents of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Query {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The channels to include.
    pub channels: Select<ChannelSort>,
    /// The coroutines to include.
    pub coroutines: Select<CoroutineSort>,
    /// The plugins to include.
    pub plugins: Select<PluginSort>,
    /// The sessions to include.
    pub sessions: Select<SessionSort>,
}

/// Which rows of one list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Select<S> {
    /// The order.
    pub sort: S,
    /// Reverses the order.
    pub reverse: bool,
    /// Only rows whose name contains this, case-insensitively.
    pub filter: String,
    /// The number of rows to skip.
    pub first: u32,
    /// The maximum number of rows; 0: the list is not requested.
    pub rows: u32,
    /// The id of a row to include in any case.
    pub pin: Option<u64>,
}

/// Some rows of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Page<T> {
    /// The number of rows in the list.
    pub total: u64,
    /// The number of rows that match the filter.
    pub matched: u64,
    /// The index of the first row among those.
    pub first: u32,
    /// The rows.
    pub rows: Vec<T>,
    /// The row that was requested by its id, if it exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<T>,
}

/// The order of channels. Counts: the largest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelSort {
    /// In the order in which they were exported.
    #[default]
    Id,
    /// By name.
    Name,
    /// By the number of values held.
    Depth,
    /// By waiting sends and receives.
    Waiting,
    /// By values received per second, lately.
    Rate,
    /// By bytes received per second, lately.
    Bytes,
    /// Failures.
    Failed,
}

/// The order of coroutines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CoroutineSort {
    /// By id.
    #[default]
    Id,
    /// By name.
    Name,
    /// By state, the running ones first.
    State,
    /// The longest in its state first.
    Age,
    /// By worker.
    Worker,
}

/// The order of plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PluginSort {
    /// By name.
    #[default]
    Name,
    /// Most calls first.
    Calls,
    /// Most errors first.
    Errors,
    /// Longest queue first.
    Depth,
}

/// The order of sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionSort {
    /// In the order in which they began.
    #[default]
    Id,
    /// Most bytes in both directions first.
    Bytes,
    /// Most streams first.
    Streams,
    /// Most refused first.
    Refused,
}

impl Default for Query {
    /// The first page of everything.
    fn default() -> Self {
        fn page<S: Default>() -> Select<S> {
            Select { rows: 100, ..Select::default() }
        }
        Self {
            schema: SCHEMA,
            channels: page(),
            coroutines: page(),
            plugins: page(),
            sessions: page(),
        }
    }
}

impl Query {
    /// No rows.
    pub(super) fn nothing() -> Self {
        Self {
            schema: SCHEMA,
            channels: Select::default(),
            coroutines: Select::default(),
            plugins: Select::default(),
            sessions: Select::default(),
        }
    }

    /// Limits each list to `rows_max` rows.
    pub(super) fn limit(&mut self, rows_max: u32) {
        let Self { schema: _, channels, coroutines, plugins, sessions } = self;
        for rows in
            [&mut channels.rows, &mut coroutines.rows, &mut plugins.rows, &mut sessions.rows]
        {
            *rows = rows_max.min(*rows);
        }
    }

    /// Applies the query to the rows of a report. Orders by recent rates use the total counts: a
    /// report holds no rates.
    pub(super) fn choose(&self, report: &mut Report) {
        let Self { schema: _, channels, coroutines, plugins, sessions } = self;
        report.channels = channels.again(
            &report.channels,
            |row| &row.name,
            |row| row.id,
            |a, b| match channels.sort {
                ChannelSort::Id => a.id.cmp(&b.id),
                ChannelSort::Name => a.name.cmp(&b.name),
                ChannelSort::Depth => b.len.cmp(&a.len),
                ChannelSort::Waiting => b.waiting().cmp(&a.waiting()),
                ChannelSort::Rate => b.receives.cmp(&a.receives),
                ChannelSort::Bytes => b.bytes_out.cmp(&a.bytes_out),
                ChannelSort::Failed => b.failed.total().cmp(&a.failed.total()),
            },
        );
        report.coroutines.rows = coroutines.again(
            &report.coroutines.rows,
            |row| if row.name.is_empty() { &row.site } else { &row.name },
            |row| row.id,
            |a, b| match coroutines.sort {
                CoroutineSort::Id => a.id.cmp(&b.id),
                CoroutineSort::Name => a.name.cmp(&b.name),
                CoroutineSort::State => a.state_rank().cmp(&b.state_rank()),
                CoroutineSort::Age => b.state_ms.cmp(&a.state_ms),
                CoroutineSort::Worker => a.worker.cmp(&b.worker),
            },
        );
        report.plugins = plugins.again(
            &report.plugins,
            |row| &row.name,
            |row| plugin_id(&row.name),
            |a, b| plugins.sort.order(a, b),
        );
        report.sessions = sessions.again(
            &report.sessions,
            |row| &row.transport,
            |row| row.id,
            |a, b| sessions.sort.order(a, b),
        );
    }

    /// As JSON.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// Parses a query from another process.
    ///
    /// # Errors
    ///
    /// It is too long, not JSON of this shape, or of another schema.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ReportError> {
        if bytes.len() > QUERY_BYTES_MAX {
            return Err(Error::TooLong { bytes: bytes.len(), bytes_max: QUERY_BYTES_MAX });
        }
        let mut query: Self = serde_json::from_slice(bytes).map_err(Error::json)?;
        if query.schema != SCHEMA {
            return Err(Error::Schema { found: query.schema });
        }
        query.channels.tame();
        query.coroutines.tame();
        query.plugins.tame();
        query.sessions.tame();
        Ok(query)
    }
}

impl PluginSort {
    /// The order of two plugins.
    pub(super) fn order(self, a: &PluginReport, b: &PluginReport) -> Ordering {
        match self {
            Self::Name => a.name.cmp(&b.name),
            Self::Calls => b.calls.cmp(&a.calls),
            Self::Errors => b.errors().cmp(&a.errors()),
            Self::Depth => b.queue_depth.cmp(&a.queue_depth),
        }
    }
}

impl SessionSort {
    /// The order of two sessions.
    pub(super) fn order(self, a: &SessionReport, b: &SessionReport) -> Ordering {
        let bytes = |row: &SessionReport| row.bytes_in.saturating_add(row.bytes_out);
        match self {
            Self::Id => a.id.cmp(&b.id),
            Self::Bytes => bytes(b).cmp(&bytes(a)),
            Self::Streams => b.streams.cmp(&a.streams),
            Self::Refused => b.refused().cmp(&a.refused()),
        }
    }
}

impl<S> Select<S> {
    /// A page of a page: selects from its rows. Rows that the source left out are still counted.
    fn again<T: Clone>(
        &self,
        page: &Page<T>,
        name: impl Fn(&T) -> &str,
        id: impl Fn(&T) -> u64,
        order: impl Fn(&T, &T) -> Ordering,
    ) -> Page<T> {
        let total = page.total;
        Page { total, ..self.page(&page.rows, name, id, order, Clone::clone) }
    }

    fn tame(&mut self) {
        self.rows = self.rows.min(ROWS_MAX as u32);
        tame_text(&mut self.filter, TEXT_BYTES_MAX);
    }

    /// Creates a page of `items`: `name` and `id` of an item, and the order of this list. Only the
    /// rows on the page are created.
    pub(super) fn page<I, T>(
        &self,
        items: &[I],
        name: impl Fn(&I) -> &str,
        id: impl Fn(&I) -> u64,
        order: impl Fn(&I, &I) -> Ordering,
        make: impl Fn(&I) -> T,
    ) -> Page<T> {
        let filter = self.filter.to_lowercase();
        let mut matched: Vec<&I> = items
            .iter()
            .filter(|item| filter.is_empty() || name(item).to_lowercase().contains(&filter))
            .collect();
        // Equal items in the order of their ids, so that rows do not move without need.
        let mut compare = |a: &&I, b: &&I| {
            let by_sort = if self.reverse { order(b, a) } else { order(a, b) };
            by_sort.then_with(|| id(a).cmp(&id(b)))
        };
        let first = (self.first as usize).min(matched.len());
        let last = first.saturating_add((self.rows as usize).min(ROWS_MAX)).min(matched.len());
        // Items after the page need not be sorted.
        if last < matched.len() && last > 0 {
            matched.select_nth_unstable_by(last - 1, &mut compare);
        }
        let matched_count = matched.len() as u64;
        matched.truncate(last);
        matched.sort_unstable_by(&mut compare);
        Page {
            total: items.len() as u64,
            matched: matched_count,
            first: first as u32,
            rows: matched.iter().skip(first).map(|item| make(item)).collect(),
            pinned: self.pin.and_then(|pin| items.iter().find(|item| id(item) == pin)).map(make),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn page(select: &Select<ChannelSort>, items: &[(u64, u64)]) -> Page<(u64, u64)> {
        select.page(items, |_| "", |item| item.0, |a, b| b.1.cmp(&a.1), |item| *item)
    }

    proptest! {
        #[test]
        fn a_page_is_a_range_of_the_sorted_list(
            keys in prop::collection::vec(0_u64..20, 0..80),
            first in 0_u32..100,
            rows in 0_u32..50,
            reverse: bool,
        ) {
            let items: Vec<(u64, u64)> =
                keys.iter().enumerate().map(|(id, key)| (id as u64, *key)).collect();
            let mut sorted = items.clone();
            sorted.sort_by_key(|(id, key)| (if reverse { *key as i64 } else { -(*key as i64) }, *id));
            let expected: Vec<_> =
                sorted.into_iter().skip(first as usize).take(rows as usize).collect();
            let select = Select { first, rows, reverse, ..Select::default() };
            let page = page(&select, &items);
            prop_assert_eq!(page.rows, expected);
            prop_assert_eq!(page.total, items.len() as u64);
            prop_assert_eq!(page.matched, items.len() as u64);
        }
    }

    #[test]
    fn a_filter_ignores_case() {
        let names = ["Orders", "order-log", "other"];
        let select = Select { filter: "ORDER".into(), rows: 9, ..Select::<ChannelSort>::default() };
        let items: Vec<usize> = (0..names.len()).collect();
        let page = select.page(
            &items,
            |item| names[*item],
            |item| *item as u64,
            |_, _| Ordering::Equal,
            |item| *item,
        );
        assert_eq!((page.rows, page.matched, page.total), (vec![0, 1], 2, 3));
    }

    #[test]
    fn a_pinned_row_is_there_beside_the_page() {
        let select = Select { pin: Some(7), rows: 0, ..Select::default() };
        let items: Vec<(u64, u64)> = (0..10).map(|id| (id, id)).collect();
        assert_eq!(page(&select, &items).pinned, Some((7, 7)));
        assert_eq!(page(&Select { pin: Some(70), ..select }, &items).pinned, None);
    }

    #[test]
    fn a_query_from_another_process_is_checked() {
        let mut query = Query::default();
        query.channels.rows = u32::MAX;
        query.channels.filter = "x\u{1b}[2J".repeat(1000);
        let read = Query::from_json(&query.to_json()).unwrap();
        assert_eq!(read.channels.rows, ROWS_MAX as u32);
        assert!(read.channels.filter.len() <= TEXT_BYTES_MAX);
        assert!(!read.channels.filter.contains('\u{1b}'));
        assert!(matches!(
            Query::from_json(&vec![b' '; QUERY_BYTES_MAX + 1]),
            Err(Error::TooLong { .. })
        ));
        assert!(matches!(Query::from_json(br#"{"schema":2}"#), Err(Error::Schema { found: 2 })));
        assert!(matches!(Query::from_json(b"{"), Err(Error::Json { .. })));
    }
}
