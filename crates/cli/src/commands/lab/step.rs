// SPDX-License-Identifier: BSD-3-Clause
//! A run on a terminal, one event after the other.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};

use becket_lab::check::Repeated;
use becket_lab::replay::step;
use ratatui::crossterm::event::{Event as Input, KeyCode, KeyEventKind, KeyModifiers, read};
use ratatui::crossterm::terminal::{disable_raw_mode, enable_raw_mode};

use super::once;
use super::plot::Plot;
use crate::failure::Failure;
use crate::ui::{DIM, Ui, out, paint};

/// The command of a key.
enum Next {
    Event,
    OfFlow,
    Finding,
    Rest,
    Plot,
    Quit,
}

/// True if stdin and stdout are a terminal.
pub(super) fn can() -> bool {
    io::stdin().is_terminal() && out::is_terminal()
}

/// Raw mode of the terminal: keys are read one by one without echo, until this is dropped.
struct Keys;

impl Keys {
    fn new() -> io::Result<Self> {
        enable_raw_mode()?;
        Ok(Self)
    }

    fn next(&self) -> io::Result<Next> {
        loop {
            let Input::Key(key) = read()? else { continue };
            if key.kind == KeyEventKind::Release {
                continue;
            }
            let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
            return Ok(match key.code {
                KeyCode::Char('c' | 'd') if is_control => Next::Quit,
                KeyCode::Enter | KeyCode::Char(' ' | 'j') | KeyCode::Down => Next::Event,
                KeyCode::Char('n') => Next::OfFlow,
                KeyCode::Char('f') => Next::Finding,
                KeyCode::Char('a') => Next::Rest,
                KeyCode::Char('p') => Next::Plot,
                KeyCode::Char('q') | KeyCode::Esc => Next::Quit,
                _ => continue,
            });
        }
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // It fails only if the terminal is gone.
        let _ = disable_raw_mode();
    }
}

/// Shows one event after the other, as directed by keys.
pub(super) fn through(repeated: &Repeated, ui: &Ui) -> Result<(), Failure> {
    let events = repeated.trace.events();
    let mut findings: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for finding in &repeated.findings {
        // An index past the end means the last event.
        let at = finding.event.min(events.len().saturating_sub(1));
        findings.entry(at).or_default().push(once::tell(finding));
    }
    let (mut plot, mut at) = (Plot::default(), 0);
    while let Some(event) = events.get(at) {
        plot.add(event);
        ui.text(&format!("{}\n", step(at + 1, event)))?;
        for finding in findings.get(&at).into_iter().flatten() {
            ui.text(finding)?;
        }
        let next = ask(&plot, at + 1, events.len(), ui)?;
        let from = at + 1;
        let stop = match next {
            Next::Quit => return Ok(()),
            Next::Event | Next::Plot => from,
            Next::Rest => events.len(),
            Next::OfFlow => {
                let rest = events.get(from..).unwrap_or_default();
                let place = rest.iter().position(|other| other.flow == event.flow);
                place.map_or(events.len(), |place| from + place)
            }
            Next::Finding => findings.range(from..).next().map_or(events.len(), |(at, _)| *at),
        };
        for (number, passed) in events.iter().enumerate().take(stop).skip(from) {
            plot.add(passed);
            if matches!(next, Next::Rest | Next::Finding) {
                ui.text(&format!("{}\n", step(number + 1, passed)))?;
            }
        }
        if let Next::Rest = next {
            for finding in findings.range(from..).flat_map(|(_, findings)| findings) {
                ui.text(finding)?;
            }
        }
        at = stop;
    }
    ui.text("\n")
}

/// Shows the line with the keys until one is pressed.
fn ask(plot: &Plot, at: usize, of: usize, ui: &Ui) -> Result<Next, Failure> {
    let line =
        format!("{at}/{of}  Enter next · n of this flow · f finding · p plot · a all · q quit");
    loop {
        ui.text(&paint(DIM, &clip(&line)))?;
        let next = Keys::new().and_then(|keys| keys.next());
        let mut out = out::out();
        out.write_all(b"\r\x1b[2K")?;
        out.flush()?;
        match next? {
            Next::Plot => ui.text(&plot.draw(columns()))?,
            next => return Ok(next),
        }
    }
}

/// Columns of the terminal.
pub(super) fn columns() -> usize {
    ratatui::crossterm::terminal::size().map_or(80, |(columns, _)| usize::from(columns).max(40))
}

fn clip(line: &str) -> String {
    line.chars().take(columns().saturating_sub(1)).collect()
}
