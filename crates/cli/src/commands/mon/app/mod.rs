// SPDX-License-Identifier: BSD-3-Clause
//! The state of the screen: a state machine of keys and reports, without a terminal.
//!
//! ```text
//!            Enter               h
//!   ┌────► list ──────► detail ──────► help
//!   │      │  ▲  ◄────── Esc    ◄────── any key
//!   │    / │  │ Enter, Esc
//!   │      ▼  │
//!   └── filter being typed
//! ```

mod keys;
mod lists;
mod rows;

use becket_ipc::monitor::{FeedError, Query, Report, Select};

pub(crate) use self::keys::{Do, KEYS};
pub(crate) use self::lists::{List, Sorts};
pub(crate) use self::rows::{Row, Rows, with_id};
use super::driver::Ending;
use super::store::{Store, Unit};

/// What is listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tab {
    Channels,
    Coroutines,
    Plugins,
    Sessions,
}

impl Tab {
    /// In their order.
    pub(crate) const ALL: [Self; 4] =
        [Self::Channels, Self::Coroutines, Self::Plugins, Self::Sessions];

    /// Its title.
    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Channels => "channels",
            Self::Coroutines => "coroutines",
            Self::Plugins => "plugins",
            Self::Sessions => "sessions",
        }
    }
}

/// The view in the middle of the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum View {
    List,
    /// One of the list, by its id.
    Detail(u64),
    Help,
}

/// The state of the screen.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) origin: String,
    pub(crate) interval_ms: u64,
    pub(crate) tab: Tab,
    pub(crate) view: View,
    /// The view that help returns to.
    under: View,
    pub(crate) unit: Unit,
    pub(crate) running: bool,
    /// Why there are no further reports.
    pub(crate) ended: Option<String>,
    /// The failure of the feed, if that is the reason.
    pub(crate) failed: Option<FeedError>,
    /// The filter before it was edited; `None` while it is not being edited.
    typing: Option<String>,
    lists: [List; 4],
    pub(crate) report: Option<Box<Report>>,
    pub(crate) store: Store,
    /// Rows that fit on the screen.
    page_rows: u32,
}

impl App {
    /// Before the first report.
    pub(crate) fn new(origin: String, interval_ms: u64) -> Self {
        Self {
            origin,
            interval_ms,
            tab: Tab::Channels,
            view: View::List,
            under: View::List,
            unit: Unit::default(),
            running: true,
            ended: None,
            failed: None,
            typing: None,
            lists: Tab::ALL.map(List::new),
            report: None,
            store: Store::default(),
            page_rows: 10,
        }
    }

    /// Processes a report.
    pub(crate) fn take(&mut self, report: Box<Report>) {
        self.store.take(&report);
        self.report = Some(report);
        for tab in Tab::ALL {
            let matched = self.matched(tab);
            self.list_mut(tab).fit(matched);
        }
    }

    /// Processes the end of the reports.
    pub(crate) fn end(&mut self, ending: &Ending) {
        if let Ending::Failed(error) = ending {
            self.failed = Some(error.clone());
        }
        self.ended = Some(match ending {
            Ending::Finished | Ending::Failed(FeedError::Ended) => "ended".to_owned(),
            Ending::TimeUp => "time is up".to_owned(),
            Ending::Failed(error) => error.to_string(),
        });
    }

    /// Sets the number of rows that fit on the screen.
    pub(crate) fn fit(&mut self, page_rows: u16) {
        self.page_rows = u32::from(page_rows.max(1));
        let rows = self.page_rows;
        self.lists.iter_mut().for_each(|list| list.show(rows));
    }

    /// The list of the tab that is shown.
    pub(crate) fn list(&self) -> &List {
        self.list_of(self.tab)
    }

    /// A tab's list.
    pub(crate) fn list_of(&self, tab: Tab) -> &List {
        let [channels, coroutines, plugins, sessions] = &self.lists;
        match tab {
            Tab::Channels => channels,
            Tab::Coroutines => coroutines,
            Tab::Plugins => plugins,
            Tab::Sessions => sessions,
        }
    }

    fn list_mut(&mut self, tab: Tab) -> &mut List {
        let [channels, coroutines, plugins, sessions] = &mut self.lists;
        match tab {
            Tab::Channels => channels,
            Tab::Coroutines => coroutines,
            Tab::Plugins => plugins,
            Tab::Sessions => sessions,
        }
    }

    /// Whether a filter is being typed.
    pub(crate) fn is_typing(&self) -> bool {
        self.typing.is_some()
    }

    /// The page of a tab's list in the latest report.
    fn page(&self, tab: Tab) -> Option<&dyn Rows> {
        let report = self.report.as_ref()?;
        Some(match tab {
            Tab::Channels => &report.channels,
            Tab::Coroutines => &report.coroutines.rows,
            Tab::Plugins => &report.plugins,
            Tab::Sessions => &report.sessions,
        })
    }

    /// How many rows the tab's filter lets through.
    pub(crate) fn matched(&self, tab: Tab) -> u64 {
        self.page(tab).map_or(0, Rows::matched)
    }

    /// The number of rows without the filter.
    pub(crate) fn total(&self, tab: Tab) -> u64 {
        let Some(report) = &self.report else { return 0 };
        match tab {
            Tab::Channels => report.channels.total,
            Tab::Coroutines => report.coroutines.live,
            Tab::Plugins => report.plugins.total,
            Tab::Sessions => report.sessions.total,
        }
    }

    /// The row under the cursor, if the latest report has it.
    pub(crate) fn selected_row(&self) -> Option<&dyn Row> {
        let page = self.page(self.tab)?;
        page.row(self.list().selected().checked_sub(page.first())? as usize)
    }

    /// The query for the screen: the visible rows of the current list and a page on either side,
    /// and the lengths of the other lists.
    pub(crate) fn query(&self) -> Query {
        fn select<S: Default>(app: &App, tab: Tab, sort: S) -> Select<S> {
            let list = app.list_of(tab);
            let shown = app.tab == tab;
            let (first, rows) = list.window();
            Select {
                sort,
                reverse: list.is_reversed(),
                filter: list.filter().to_owned(),
                first: if shown { first } else { 0 },
                rows: if shown { rows } else { 0 },
                pin: match app.view {
                    View::Detail(id) if shown => Some(id),
                    _ => None,
                },
            }
        }
        let mut query = Query {
            channels: select(self, Tab::Channels, self.list_of(Tab::Channels).sort().channels()),
            coroutines: select(
                self,
                Tab::Coroutines,
                self.list_of(Tab::Coroutines).sort().coroutines(),
            ),
            plugins: select(self, Tab::Plugins, self.list_of(Tab::Plugins).sort().plugins()),
            sessions: select(self, Tab::Sessions, self.list_of(Tab::Sessions).sort().sessions()),
            ..Query::default()
        };
        // Alerts are found in rows, so a page of channels is always included.
        query.channels.rows = query.channels.rows.max(100);
        query
    }
}

#[cfg(test)]
mod tests;
