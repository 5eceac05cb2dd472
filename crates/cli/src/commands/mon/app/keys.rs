// SPDX-License-Identifier: BSD-3-Clause
//! What keys do.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use super::{App, Row, Tab, View};

/// The action of a key, for the loop that owns the terminal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Do {
    /// Nothing.
    Nothing,
    /// Draw what has changed.
    Draw,
    /// Draw all of it.
    DrawAnew,
    /// Draw, and let the driver run or pause.
    Run(bool),
    /// End.
    Quit,
    /// End as after Ctrl-C.
    Interrupt,
}

/// Every key, as the help shows it.
pub(crate) const KEYS: [(&str, &str); 14] = [
    ("q", "quit (Ctrl-C too)"),
    ("r", "run or stop: stopped, figures stay as they are"),
    ("c", "clear peaks, graphs and alerts"),
    ("t", "mode: rates of messages, bytes or failures"),
    ("h ?", "this help"),
    ("Tab 1-4", "another list"),
    ("Up Down j k", "another row"),
    ("PgUp PgDn", "a page on or back"),
    ("Home End g G", "the first row, the last"),
    ("Enter", "one row in detail"),
    ("Esc", "back; in the list: no filter"),
    ("/", "filter by name: Enter keeps it, Esc drops it"),
    ("s", "sort by the next column"),
    ("S", "sort the other way round"),
];

impl App {
    /// A key was pressed.
    pub(crate) fn key(&mut self, key: KeyEvent) -> Do {
        if key.kind == KeyEventKind::Release {
            return Do::Nothing;
        }
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Do::Interrupt,
                // The usual key of terminal programs.
                KeyCode::Char('l') => Do::DrawAnew,
                _ => Do::Nothing,
            };
        }
        if self.typing.is_some() {
            return self.typed(key.code);
        }
        if self.view == View::Help {
            if key.code == KeyCode::Char('q') {
                return Do::Quit;
            }
            self.view = self.under;
            return Do::Draw;
        }
        match key.code {
            KeyCode::Char('q') => return Do::Quit,
            KeyCode::Char('r') if self.ended.is_none() => {
                self.running = !self.running;
                return Do::Run(self.running);
            }
            KeyCode::Char('c') => self.store.clear(),
            KeyCode::Char('t') => self.unit = self.unit.next(),
            KeyCode::Char('h' | '?') | KeyCode::F(1) => {
                self.under = self.view;
                self.view = View::Help;
            }
            KeyCode::Tab | KeyCode::Right => self.turn_tab(1),
            KeyCode::BackTab | KeyCode::Left => self.turn_tab(Tab::ALL.len() - 1),
            KeyCode::Char(digit @ '1'..='4') => {
                let place = digit.to_digit(10).unwrap_or(1) as usize - 1;
                self.go(Tab::ALL.get(place).copied().unwrap_or(self.tab));
            }
            KeyCode::Esc => match self.view {
                View::List => {
                    let tab = self.tab;
                    self.list_mut(tab).set_filter(String::new());
                }
                View::Detail(_) | View::Help => self.view = View::List,
            },
            _ if self.view == View::List => return self.list_key(key.code),
            _ => return Do::Nothing,
        }
        Do::Draw
    }

    fn list_key(&mut self, key: KeyCode) -> Do {
        let selected = self.selected_row().map(Row::id);
        let tab = self.tab;
        let list = self.list_mut(tab);
        match key {
            KeyCode::Up | KeyCode::Char('k') => list.step(-1),
            KeyCode::Down | KeyCode::Char('j') => list.step(1),
            KeyCode::PageUp => list.turn(-1),
            KeyCode::PageDown | KeyCode::Char(' ') => list.turn(1),
            KeyCode::Home | KeyCode::Char('g') => list.select(0),
            KeyCode::End | KeyCode::Char('G') => list.select(u32::MAX),
            KeyCode::Char('s') => list.sort_next(),
            KeyCode::Char('S') => list.turn_round(),
            KeyCode::Char('/') => self.typing = Some(list.filter().to_owned()),
            KeyCode::Enter => match selected {
                Some(id) => self.view = View::Detail(id),
                None => return Do::Nothing,
            },
            _ => return Do::Nothing,
        }
        Do::Draw
    }

    /// A key while the filter is typed; the list follows each one.
    fn typed(&mut self, key: KeyCode) -> Do {
        let tab = self.tab;
        let mut filter = self.list().filter().to_owned();
        match key {
            KeyCode::Enter => {
                self.typing = None;
                return Do::Draw;
            }
            KeyCode::Esc => filter = self.typing.take().unwrap_or_default(),
            KeyCode::Backspace => drop(filter.pop()),
            KeyCode::Char(c) if !c.is_control() => filter.push(c),
            _ => return Do::Nothing,
        }
        self.list_mut(tab).set_filter(filter);
        Do::Draw
    }

    fn turn_tab(&mut self, by: usize) {
        let at = Tab::ALL.iter().position(|tab| *tab == self.tab).unwrap_or_default();
        let next = Tab::ALL.get((at + by) % Tab::ALL.len());
        self.go(next.copied().unwrap_or(self.tab));
    }

    fn go(&mut self, tab: Tab) {
        self.tab = tab;
        self.view = View::List;
    }
}
