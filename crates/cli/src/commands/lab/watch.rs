// SPDX-License-Identifier: BSD-3-Clause
//! Long work on its own thread, while the first thread shows its progress and waits for Ctrl-C.
//!
//! If a signal comes first, the command ends at once: every output file is either complete or
//! absent, see `files`. The thread ends with the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use becket_lab::bridge::exec::Exec;
use becket_lab::rules::Exit as LabExit;
use parking_lot::Mutex;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::commands::runtime;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{DIM, GOOD, Ui, paint};

/// How often the line on a terminal is redrawn.
const DRAWN_EVERY: Duration = Duration::from_millis(100);
/// Without a terminal, work that takes longer than this is named, once.
const SAID_AFTER: Duration = Duration::from_secs(5);
/// Characters of the bar.
const BAR: u64 = 24;

/// The progress of the work. Written by the working thread, read by the thread that shows it.
#[derive(Debug, Default)]
pub(in crate::commands) struct Board {
    done: AtomicU64,
    total: AtomicU64,
    /// The number of changes of any field.
    changes: AtomicU64,
    /// The title of the work, and the current step.
    said: Mutex<(String, String)>,
    /// The longest time without a change, after which the work counts as hanging.
    idle_timeout: Mutex<Option<Duration>>,
    /// Notes to print, in order.
    notes: Mutex<Vec<String>>,
}

impl Board {
    /// Begins another piece of work, with no steps done.
    pub(in crate::commands) fn begin(&self, title: &str) {
        self.begin_within(None, title);
    }

    /// The same, with a limit: without a change for that long, the work hangs in a plugin.
    pub(in crate::commands) fn begin_within(&self, idle_timeout: Option<Duration>, title: &str) {
        self.done.store(0, Ordering::Relaxed);
        self.total.store(0, Ordering::Relaxed);
        *self.said.lock() = (title.into(), String::new());
        *self.idle_timeout.lock() = idle_timeout;
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Sets the number of steps done.
    pub(in crate::commands) fn step(&self, done: u64, total: u64, what: &str) {
        self.total.store(total, Ordering::Relaxed);
        // Threads may report out of order; the shown number never decreases.
        self.done.fetch_max(done, Ordering::Relaxed);
        let mut said = self.said.lock();
        if said.1 != what {
            said.1 = what.into();
        }
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    /// Adds a note that is printed at once.
    pub(in crate::commands) fn note(&self, text: String) {
        self.notes.lock().push(text);
        self.changes.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&self) -> (u64, u64, String, String) {
        let (title, what) = self.said.lock().clone();
        let total = self.total.load(Ordering::Relaxed);
        (self.done.load(Ordering::Relaxed).min(total), total, title, what)
    }

    /// The progress as one line of `columns` columns.
    fn line(&self, columns: usize) -> String {
        let (done, total, title, what) = self.read();
        let mut left = columns;
        let mut take = |text: &str| {
            let text: String = text.chars().take(left).collect();
            left -= text.chars().count();
            text
        };
        if total == 0 {
            return take(&format!("{title} …"));
        }
        let full = (done * BAR / total).min(BAR);
        let count = format!("{done}/{total}");
        let title = take(&format!("{title} "));
        let (bar, rest) = (take(&"━".repeat(full as usize)), "╌".repeat((BAR - full) as usize));
        let rest = take(&rest);
        let count = take(&format!(" {count}"));
        let what = take(&format!("  {what}"));
        format!("{title}{}{}{count}{}", paint(GOOD, &bar), paint(DIM, &rest), paint(DIM, &what))
    }
}

/// Does the work. `None` if Ctrl-C or SIGTERM came first; then the progress is printed.
///
/// # Errors
/// The board has not changed within its limit, or the work panicked.
pub(in crate::commands) fn watch<T: Send + 'static>(
    ui: &Ui,
    board: &Arc<Board>,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<Option<T>, Failure> {
    runtime::run_one(async {
        let no_signals = |error: std::io::Error| {
            Failure::new(Exit::Lab(LabExit::Internal), "signals cannot be heard")
                .cause(error.to_string())
        };
        let mut interrupts = signal(SignalKind::interrupt()).map_err(no_signals)?;
        let mut ends = signal(SignalKind::terminate()).map_err(no_signals)?;
        let (sender, mut result) = oneshot::channel();
        let thread = thread::Builder::new().name("becket-lab".to_owned());
        let spawned = thread.spawn(move || {
            // The receiver is gone only if the work was interrupted.
            let _ = sender.send(catch_unwind(AssertUnwindSafe(work)));
        });
        spawned.map_err(|error| {
            Failure::new(Exit::Lab(LabExit::Internal), "no thread can be started")
                .cause(error.to_string())
        })?;
        let progress = ui.progress();
        let tell = || {
            for note in std::mem::take(&mut *board.notes.lock()) {
                progress.set("");
                ui.note(&note);
            }
        };
        let mut tick = tokio::time::interval(DRAWN_EVERY);
        let mut phase = Phase::begun(Instant::now());
        let mut still = Still { changes: 0, since: Instant::now() };
        loop {
            tokio::select! {
                biased;
                done = &mut result => {
                    tell();
                    drop(progress);
                    return match done {
                        Ok(Ok(done)) => Ok(Some(done)),
                        _ => Err(broke_down()),
                    };
                }
                _ = interrupts.recv() => break,
                _ = ends.recv() => break,
                _ = tick.tick() => {
                    tell();
                    let is_still = still.lasts(board, Instant::now());
                    let idle_timeout = *board.idle_timeout.lock();
                    if let Some(idle_timeout) = idle_timeout.filter(|idle_timeout| is_still >= *idle_timeout) {
                        tell();
                        drop(progress);
                        return Err(hangs(board, idle_timeout));
                    }
                    if progress.is_shown() {
                        progress.set(&board.line(columns()));
                    } else if let Some(title) = phase.due(board, Instant::now()) {
                        ui.note(&format!("{title} …"));
                    }
                }
            }
        }
        // The thread's values are never dropped, so the processes of its adapters are killed here.
        Exec::kill_all();
        tell();
        drop(progress);
        let (done, total, title, _) = board.read();
        match total {
            0 => ui.note(&format!("interrupted: {title}")),
            _ => ui.note(&format!("interrupted: {title}, {done} of {total}")),
        }
        Ok(None)
    })
}

/// The current work, shown without a terminal.
#[derive(Debug)]
struct Phase {
    title: String,
    since: Instant,
    is_said: bool,
}

impl Phase {
    fn begun(now: Instant) -> Self {
        Self { title: String::new(), since: now, is_said: false }
    }

    /// The title of work that has taken long, once.
    fn due(&mut self, board: &Board, now: Instant) -> Option<&str> {
        let (_, _, title, _) = board.read();
        if title != self.title {
            *self = Self { title, ..Self::begun(now) };
        }
        let is_late = !self.is_said && now.duration_since(self.since) >= SAID_AFTER;
        self.is_said |= is_late;
        is_late.then_some(self.title.as_str())
    }
}

/// The time since the last change.
#[derive(Debug)]
struct Still {
    changes: u64,
    since: Instant,
}

impl Still {
    fn lasts(&mut self, board: &Board, now: Instant) -> Duration {
        let changes = board.changes.load(Ordering::Relaxed);
        if changes != self.changes {
            *self = Self { changes, since: now };
        }
        now.duration_since(self.since)
    }
}

/// Does work that is short unless an adapter hangs. No progress is shown.
pub(in crate::commands) fn listen<T: Send + 'static>(
    work: impl FnOnce(&Board) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (silent, board) = (Ui::plain(true), Arc::<Board>::default());
    let shown = Arc::clone(&board);
    let interrupted = || Failure::new(Exit::Interrupted, "interrupted");
    watch(&silent, &board, move || work(&shown))?.unwrap_or_else(|| Err(interrupted()))
}

/// Columns of the terminal, less one for the cursor.
fn columns() -> usize {
    ratatui::crossterm::terminal::size().map_or(79, |(columns, _)| usize::from(columns.max(2)) - 1)
}

fn hangs(board: &Board, idle_timeout: Duration) -> Failure {
    let (done, total, title, what) = board.read();
    let behind = match total {
        0 => String::new(),
        _ => format!(", after {what}, {done} of {total}"),
    };
    Failure::new(Exit::Lab(LabExit::Conformance), "the plugin hangs")
        .cause(format!("{title}: nothing in {} s{behind}", idle_timeout.as_secs()))
        .hint("a call into it does not return; a debugger shows where, on the thread `becket-lab`")
}

fn broke_down() -> Failure {
    Failure::new(Exit::Lab(LabExit::Internal), "the lab broke down")
        .cause("a part of it panicked, which stands above")
        .hint("run it again with the same seed; if it does it again, it is a bug of becket")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Without the colours.
    fn plain(text: &str) -> String {
        anstream::adapter::strip_str(text).to_string()
    }

    #[test]
    fn the_line_fits_and_what_is_behind_comes_last() {
        let board = Board::default();
        board.begin("checking memory");
        assert_eq!(plain(&board.line(80)), "checking memory …");
        board.step(6, 12, "slow_drip, seed 3");
        let line = plain(&board.line(80));
        assert_eq!(line, "checking memory ━━━━━━━━━━━━╌╌╌╌╌╌╌╌╌╌╌╌ 6/12  slow_drip, seed 3");
        for columns in 0..80 {
            let cut: String = line.chars().take(columns).collect();
            assert_eq!(plain(&board.line(columns)), cut);
        }
    }

    #[test]
    fn it_never_goes_back_within_one_work() {
        let board = Board::default();
        board.begin("one");
        board.step(9, 10, "");
        board.step(7, 10, "");
        assert_eq!(board.read().0, 9);
        board.begin("two");
        assert_eq!(board.read().0, 0);
    }

    #[test]
    fn what_takes_long_is_named_once_where_nobody_watches() {
        let (board, start) = (Board::default(), Instant::now());
        let mut phase = Phase::begun(start);
        let mut at = |seconds| {
            let said = phase.due(&board, start + Duration::from_secs(seconds));
            said.map(str::to_owned)
        };
        board.begin("checking memory");
        assert_eq!([0, 4].map(&mut at), [None, None]);
        assert_eq!([5, 6, 60].map(&mut at), [Some("checking memory".to_owned()), None, None]);
        board.begin("checking ring");
        assert_eq!([61, 65].map(&mut at), [None, None]);
        board.step(3, 9, "slow_drip");
        assert_eq!([66, 99].map(&mut at), [Some("checking ring".to_owned()), None]);
    }

    #[test]
    fn work_that_does_not_move_is_given_up_and_work_that_does_is_not() {
        let board = Arc::<Board>::default();
        board.begin_within(Some(Duration::from_millis(1)), "checking plugin:x");
        board.step(3, 9, "slow_drip, seed 1");
        let (keep, never) = std::sync::mpsc::channel::<()>();
        let hangs = move || never.recv();
        let failure = watch(&Ui::plain(true), &board, hangs).unwrap_err();
        drop(keep);
        assert_eq!(failure.exit().code(), 1);
        assert_eq!(failure.to_string(), "the plugin hangs");
        let cause = failure.why().unwrap();
        assert_eq!(cause, "checking plugin:x: nothing in 0 s, after slow_drip, seed 1, 3 of 9");

        let start = Instant::now();
        let mut still = Still { changes: 0, since: start };
        let mut lasts = |seconds| still.lasts(&board, start + Duration::from_secs(seconds));
        assert_eq!([1, 4].map(&mut lasts).map(|it| it.as_secs()), [0, 3]);
        board.step(4, 9, "slow_drip, seed 1");
        assert_eq!([9, 11].map(&mut lasts).map(|it| it.as_secs()), [0, 2]);
        board.note("kept".to_owned());
        assert_eq!([12, 14].map(&mut lasts).map(|it| it.as_secs()), [0, 2]);
    }

    #[test]
    fn work_that_panics_is_the_labs_own_failure() {
        let board = Arc::default();
        let failure = watch::<()>(&Ui::plain(true), &board, || panic!("on purpose")).unwrap_err();
        assert_eq!(failure.exit().code(), 70);
        assert_eq!(watch(&Ui::plain(true), &board, || 7).unwrap(), Some(7));
    }
}
