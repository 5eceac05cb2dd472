// SPDX-License-Identifier: BSD-3-Clause
//! The terminal: in raw mode while a [`Screen`] lives, and restored however that ends.
//!
//! # Invariants
//!
//! 1. The terminal is restored once: by the drop, or by the panic hook in any thread, before the
//!    panic message is printed.
//! 2. Keys are read by a thread that blocks in between, without polling.

use std::io::{self, Stdout};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use becket_chan::Sender;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::cursor::{Hide, Show};
use ratatui::crossterm::event;
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{
    EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::layout::Rect;

use super::app::App;
use super::driver::News;
use super::view::{self, Theme};
use crate::exit::Exit;
use crate::failure::Failure;

/// Whether the terminal is in raw mode and must be restored.
static OURS: AtomicBool = AtomicBool::new(false);

/// The terminal, taken over.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    /// Takes the terminal over. Keys and sizes go to `news`.
    pub(super) fn open(news: &Sender<News>) -> Result<Self, Failure> {
        enable_raw_mode().map_err(|error| no_terminal(&error))?;
        OURS.store(true, Ordering::SeqCst);
        on_panic(news.clone());
        let screen = Terminal::new(CrosstermBackend::new(io::stdout()))
            .map(|terminal| Self { terminal })
            .map_err(|error| no_terminal(&error));
        // Without a `Screen` no drop would restore the terminal.
        let screen = screen.inspect_err(|_| give_back())?;
        execute!(io::stdout(), EnterAlternateScreen, Hide).map_err(|error| no_terminal(&error))?;
        read_keys(news.clone()).map_err(|error| no_terminal(&error))?;
        Ok(screen)
    }

    /// Draws the state; `anew` forgets what is on the terminal.
    pub(super) fn draw(&mut self, app: &mut App, theme: Theme, anew: bool) -> Result<(), Failure> {
        let size = self.terminal.size()?;
        if anew {
            // Not `clear`: it asks the terminal where the cursor is, and the thread that reads keys
            // would get the answer.
            self.terminal.resize(Rect::new(0, 0, size.width, size.height))?;
        }
        app.fit(view::list_rows(app, size));
        self.terminal.draw(|frame| view::draw(app, theme, frame.buffer_mut()))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if OURS.swap(false, Ordering::SeqCst) {
        // Errors are ignored: there is no terminal left to print them on.
        let _ = execute!(io::stdout(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

/// Installs a panic hook that restores the terminal before the message is printed, in any thread,
/// and then ends the monitor.
fn on_panic(news: Sender<News>) {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let ours = OURS.load(Ordering::SeqCst);
        give_back();
        before(info);
        if ours {
            // Full or closed: the monitor is about to end or has ended.
            let _ = news.try_send(News::Panicked);
        }
    }));
}

fn read_keys(news: Sender<News>) -> io::Result<()> {
    thread::Builder::new().name("becket-mon-keys".to_owned()).spawn(move || {
        loop {
            let heard = match event::read() {
                Ok(event) => News::Terminal(event),
                Err(error) => News::Deaf(error.to_string()),
            };
            let deaf = matches!(heard, News::Deaf(_));
            if news.send(heard).wait().is_err() || deaf {
                return;
            }
        }
    })?;
    Ok(())
}

fn no_terminal(error: &io::Error) -> Failure {
    Failure::new(Exit::Failure, "the monitor has no terminal to draw on")
        .cause(error.to_string())
        .hint("`--headless` writes lines instead")
}
