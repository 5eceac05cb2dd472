// SPDX-License-Identifier: BSD-3-Clause
//! Fetches reports periodically and on request, on its own thread, so that the thread that shows
//! them never waits for the monitored process.
//!
//! ```text
//!   main thread ──Order──► driver ──Query──► feed
//!      ▲                     │
//!      └────────News─────────┘
//! ```
//!
//! Between two reports the thread waits for an order, with the time of the next report as deadline.

use std::thread;
use std::time::{Duration, Instant};

use becket_chan::{Receiver, RecvError, Sender, bounded};
use becket_ipc::monitor::{Feed, FeedError, Query, Report};

use crate::exit::Exit;
use crate::failure::Failure;

/// An order to the driver.
#[derive(Debug)]
pub(crate) enum Order {
    /// Fetch this now and at each interval.
    Query(Box<Query>),
    /// Run, or pause.
    Run(bool),
}

/// A message to the main thread, from the driver or from the terminal.
#[derive(Debug)]
pub(crate) enum News {
    /// A report.
    Report(Box<Report>),
    /// There are no further reports.
    Ended(Ending),
    /// A key, or a new size of the terminal.
    Terminal(ratatui::crossterm::event::Event),
    /// The terminal cannot be read any more.
    Deaf(String),
    /// A signal asks to end.
    Signal,
    /// A thread panicked; the terminal is as it was before.
    Panicked,
}

/// Why there are no more reports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The monitored process has ended, or the recording.
    Finished,
    /// `--duration` is over.
    TimeUp,
    /// It failed.
    Failed(FeedError),
}

/// What to fetch, and how often.
pub(crate) struct Plan {
    pub(crate) feed: Box<dyn Feed>,
    pub(crate) query: Query,
    pub(crate) interval: Duration,
    pub(crate) duration: Option<Duration>,
    /// Whether a recording is shown at its interval, and not as fast as it can be read.
    pub(crate) paced: bool,
}

/// Capacity of the channel of orders. The driver takes orders at once, except during a fetch.
const ORDERS_MAX: usize = 16;

/// Starts the driver. It sends to `news`, and ends when that is closed or the returned sender is
/// dropped.
pub(crate) fn start(plan: Plan, news: Sender<News>) -> Result<Sender<Order>, Failure> {
    let (orders, taken) = bounded(ORDERS_MAX);
    thread::Builder::new()
        .name("becket-mon-feed".to_owned())
        .spawn(move || {
            let ending = drive(plan, &taken, &news);
            // The channel is closed only if the main thread has ended.
            if let Some(ending) = ending {
                let _ = news.send(News::Ended(ending)).wait();
            }
        })
        .map_err(|error| {
            Failure::new(Exit::Failure, "no thread can be started").cause(error.to_string())
        })?;
    Ok(orders)
}

/// The next action of the driver.
enum Turn {
    Fetch,
    /// The time limit is over: a last report covers the time until then.
    FetchLast,
    Order(Order),
    /// The time limit is over while it is paused.
    Over,
    Closed,
}

fn drive(plan: Plan, orders: &Receiver<Order>, news: &Sender<News>) -> Option<Ending> {
    let Plan { mut feed, mut query, interval, duration, paced } = plan;
    let begun = Instant::now();
    let end = duration.and_then(|duration| begun.checked_add(duration));
    let live = feed.is_live();
    let paced = live || paced;
    let (mut due, mut running) = (begun, true);
    loop {
        let wait = running.then_some(if paced { due } else { begun });
        let turn = next(orders, wait, end);
        let is_last = match turn {
            Turn::Fetch => false,
            Turn::FetchLast => true,
            Turn::Over => return Some(Ending::TimeUp),
            Turn::Closed => return None,
            Turn::Order(Order::Run(run)) => {
                running = run;
                due = Instant::now();
                continue;
            }
            Turn::Order(Order::Query(asked)) => {
                query = *asked;
                // A query by a key does not advance a recording.
                if !live {
                    continue;
                }
                false
            }
        };
        match feed.next(&query) {
            Ok(report) => news.send(News::Report(Box::new(report))).wait().ok()?,
            Err(FeedError::Ended) => return Some(Ending::Finished),
            Err(error) => return Some(Ending::Failed(error)),
        }
        if is_last {
            return Some(Ending::TimeUp);
        }
        // At equal intervals, unless it was late by a whole interval.
        let now = Instant::now();
        if due <= now {
            due = due.checked_add(interval).filter(|due| *due > now).unwrap_or(now + interval);
        }
    }
}

/// Waits for an order, the next report or the time limit.
fn next(orders: &Receiver<Order>, due: Option<Instant>, end: Option<Instant>) -> Turn {
    let wait = orders.recv();
    let outcome = match [due, end].into_iter().flatten().min() {
        Some(at) => wait.deadline(at).wait(),
        None => wait.wait(),
    };
    match outcome {
        Ok(order) => Turn::Order(order),
        Err(RecvError::TimedOut) if end.is_some_and(|end| end <= Instant::now()) => {
            if due.is_some() { Turn::FetchLast } else { Turn::Over }
        }
        Err(RecvError::TimedOut) => Turn::Fetch,
        Err(_) => Turn::Closed,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use becket_ipc::monitor::{Exporter, LocalFeed};

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn plan() -> Plan {
        let source = Arc::new(Exporter::new("test"));
        Plan {
            feed: Box::new(LocalFeed::new(source, "test")),
            query: Query::default(),
            interval: LONG,
            duration: None,
            paced: true,
        }
    }

    fn started(plan: Plan) -> (Sender<Order>, Receiver<News>) {
        let (say, news) = bounded(16);
        (start(plan, say).unwrap(), news)
    }

    /// The next news: a report, or the end.
    fn next_of(news: &Receiver<News>) -> Option<Ending> {
        match news.recv().wait().unwrap() {
            News::Report(_) => None,
            News::Ended(ending) => Some(ending),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_first_report_comes_at_once_and_a_query_does_not_wait_for_the_next() {
        let (orders, news) = started(plan());
        assert_eq!(next_of(&news), None);
        orders.send(Order::Query(Box::default())).wait().unwrap();
        assert_eq!(next_of(&news), None);
    }

    #[test]
    fn a_time_ends_with_a_last_report_also_while_it_is_stopped() {
        let short = Some(Duration::from_millis(20));
        let (_orders, news) = started(Plan { duration: short, ..plan() });
        assert_eq!(next_of(&news), None);
        assert_eq!(next_of(&news), None);
        assert_eq!(next_of(&news), Some(Ending::TimeUp));
        let (orders, news) = started(Plan { duration: short, ..plan() });
        assert_eq!(next_of(&news), None);
        // The time limit may have passed before the driver receives the order, or before it is sent.
        let _ended = orders.send(Order::Run(false)).wait();
        let ending = std::iter::repeat_with(|| next_of(&news)).find_map(|ending| ending);
        assert_eq!(ending, Some(Ending::TimeUp));
    }

    #[test]
    fn who_is_no_longer_asked_ends() {
        let (orders, news) = started(plan());
        assert_eq!(next_of(&news), None);
        drop(orders);
        assert!(news.recv().wait().is_err());
    }

    #[test]
    fn a_feed_that_fails_says_so_once() {
        struct Broken;
        impl Feed for Broken {
            fn next(&mut self, _: &Query) -> Result<Report, FeedError> {
                Err(FeedError::Lost { cause: "it broke".into() })
            }
            fn origin(&self) -> String {
                "broken".into()
            }
        }
        let (_orders, news) = started(Plan { feed: Box::new(Broken), ..plan() });
        let lost = FeedError::Lost { cause: "it broke".into() };
        assert_eq!(next_of(&news), Some(Ending::Failed(lost)));
        assert!(news.recv().wait().is_err());
    }
}
