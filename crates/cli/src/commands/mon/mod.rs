// SPDX-License-Identifier: BSD-3-Clause
//! `becket mon`: shows a running process, on a terminal or as lines.
//!
//! ```text
//!   feed ──► driver ──┐                      ┌─► app ──► view ──► screen
//!   keys ─────────────┼─ News ──► main thread┤
//!   signals ──────────┘                      └─► headless lines
//! ```
//!
//! | module | what lives there |
//! |---|---|
//! | `origin` | where reports come from |
//! | `driver` | the thread that fetches them |
//! | `store` | rates and their past, alerts |
//! | `app` | the state of the screen: keys and reports in, a query out |
//! | `view` | the state, drawn |
//! | `screen`, `tui` | the terminal; the loop |
//! | `headless` | lines for programs |
//! | `signals`, `units` | signals as news; figures as text |

mod app;
mod driver;
mod headless;
mod origin;
#[cfg(test)]
mod sample;
mod screen;
mod signals;
mod store;
mod tui;
pub(super) mod units;
mod view;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use becket_ipc::monitor::{Feed, FeedError};

use self::app::App;
use self::driver::Plan;
use self::store::Store;
use self::view::Theme;
use crate::commands::ipc::place;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Watch a process: its channels, coroutines, plugins and sessions
///
/// Lists with rates, depths, waiting operations and failures, each row in detail, graphs, and
/// alerts. `h` shows the keys, `q` quits.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Watch the process that serves this socket [default: that of `becket ipc serve`]
    #[arg(long, value_name = "PATH", conflicts_with = "replay")]
    socket: Option<PathBuf>,
    /// Show a recording
    #[arg(long, value_name = "FILE")]
    replay: Option<PathBuf>,
    /// Write every report to a file, for --replay
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Write lines of JSON instead of drawing; so does --json
    #[arg(long)]
    headless: bool,
    /// Where the lines go: a file, or - for stdout
    #[arg(value_name = "OUTPUT", default_value = "-")]
    output: PathBuf,
    /// The interval of reports, such as 1s or 250ms; at least 100ms
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = units::parse_interval)]
    interval: Duration,
    /// End after this time, such as 30s or 2m
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    duration: Option<Duration>,
    /// With --headless: only rows whose names contain this
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// No colours; so does NO_COLOR
    #[arg(long)]
    no_color: bool,
    /// ASCII characters only
    #[arg(long)]
    ascii: bool,
}

/// Capacity of the channel of news. Senders wait while it is full.
const NEWS_MAX: usize = 64;

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    let headless = args.headless || ui.json();
    if args.filter.is_some() && !headless {
        return Err(Failure::new(Exit::Usage, "`--filter` is for lines, and the monitor draws")
            .hint("add `--headless`"));
    }
    if !headless && !io::stdout().is_terminal() {
        return Err(Failure::new(Exit::Failure, "the monitor has no terminal to draw on")
            .cause("stdout is not a terminal")
            .hint("`--headless` writes lines instead"));
    }
    let feed = source(&args)?;
    let feed = match &args.record {
        Some(path) => origin::recorded(feed, path.clone())?,
        None => feed,
    };
    let (say, news) = becket_chan::bounded(NEWS_MAX);
    signals::listen(say.clone())?;
    let mut app = App::new(feed.origin(), args.interval.as_millis() as u64);
    let plan = Plan {
        feed,
        query: if headless {
            headless::query(args.filter.as_deref().unwrap_or_default())
        } else {
            app.query()
        },
        interval: args.interval,
        duration: args.duration,
        paced: !headless,
    };
    if headless {
        let mut out = output(&args.output)?;
        let _orders = driver::start(plan, say)?;
        let mut store = Store::default();
        return headless::run(&news, &mut store, &mut out)?.end(&mut out);
    }
    let orders = driver::start(plan, say.clone())?;
    let exit = tui::run(&mut app, theme(&args), (&say, &news), &orders)?;
    app.failed.as_ref().map_or(Ok(exit), |error| Err(feed_failed(error)))
}

fn source(args: &Args) -> Result<Box<dyn Feed>, Failure> {
    match &args.replay {
        Some(path) => origin::of_recording(path),
        None => origin::of_socket(&place::client(args.socket.as_deref())?),
    }
}

fn theme(args: &Args) -> Theme {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    Theme { colour: !(args.no_color || set("NO_COLOR") || dumb), ascii: args.ascii }
}

fn output(path: &Path) -> Result<Box<dyn Write>, Failure> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdout().lock()));
    }
    let file = File::create(path).map_err(|error| Failure::file("written", path, &error))?;
    Ok(Box::new(BufWriter::new(file)))
}

/// The failure of the feed, as a message for people.
fn feed_failed(error: &FeedError) -> Failure {
    match error {
        FeedError::Lost { cause } => {
            Failure::new(Exit::Failure, "the process cannot be reached any more")
                .cause(cause.clone())
        }
        FeedError::Refused { cause } => {
            Failure::new(Exit::Failure, "the process shows nothing to a monitor")
                .cause(cause.clone())
        }
        FeedError::Report(error) => {
            Failure::new(Exit::Failure, "what came is no report").cause(error.to_string())
        }
        error => Failure::new(Exit::Failure, error.to_string()),
    }
}
