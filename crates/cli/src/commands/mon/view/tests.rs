// SPDX-License-Identifier: BSD-3-Clause
//! The screen as text. `SNAPSHOTS=overwrite cargo test -p becket` updates the snapshots.

use std::sync::Arc;

use becket_chan::bounded;
use becket_ipc::monitor::{Exporter, Feed, LocalFeed};
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;

use super::super::driver::Ending;
use super::super::sample;
use super::*;

const COLOUR: Theme = Theme { colour: true, ascii: false };
const PLAIN: Theme = Theme { colour: false, ascii: false };
const ASCII: Theme = Theme { colour: false, ascii: true };
const SMALL: (u16, u16) = (80, 24);
const LARGE: (u16, u16) = (200, 50);

/// The sample after some seconds, with these keys pressed.
fn app(keys: &str, size: (u16, u16)) -> App {
    let mut app = App::new("/run/becket.sock".into(), 1000);
    fit(&mut app, size);
    (0..6).for_each(|second| app.take(Box::new(sample::report(second))));
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '↓' => KeyCode::Down,
            '⇥' => KeyCode::Tab,
            key => KeyCode::Char(key),
        };
        app.key(KeyEvent::new(code, KeyModifiers::NONE));
    }
    fit(&mut app, size);
    app
}

fn fit(app: &mut App, (width, height): (u16, u16)) {
    let rows = list_rows(app, Size { width, height });
    app.fit(rows);
}

fn drawn(app: &App, theme: Theme, (width, height): (u16, u16)) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(app, theme, frame.buffer_mut())).unwrap();
    terminal.backend().buffer().clone()
}

fn text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let mut text = String::new();
    for line in buffer.content.chunks(width) {
        let line: String = line.iter().map(|cell| cell.symbol()).collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// The text with each change of style written before it.
fn styled_text(buffer: &Buffer) -> String {
    let width = usize::from(buffer.area.width);
    let mut text = String::new();
    for line in buffer.content.chunks(width) {
        let mut before = String::new();
        for cell in line {
            let colour = if cell.fg == Color::Reset { String::new() } else { cell.fg.to_string() };
            let style = format!("{colour}{:?}", cell.modifier).replace("NONE", "");
            if style != before {
                text.push_str(&format!("{{{style}}}"));
                before = style;
            }
            text.push_str(cell.symbol());
        }
        text.push('\n');
    }
    text
}

fn same(name: &str, text: String) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/commands/mon/view/snapshots/");
    let expected = snapbox::Data::read_from(
        std::path::Path::new(&format!("{path}{name}.txt")),
        Some(snapbox::data::DataFormat::Text),
    );
    snapbox::Assert::new().action_env("SNAPSHOTS").eq(text, expected);
}

/// Every kind of screen, by name and keys.
const SCREENS: [(&str, &str); 12] = [
    ("channels", ""),
    ("channels-bytes", "t↓"),
    ("channel", "↓\n"),
    ("coroutines", "2"),
    ("coroutine", "2\n"),
    ("plugins", "3"),
    ("plugin", "3\n"),
    ("plugin-workers", "3↓\n"),
    ("sessions", "4"),
    ("session", "4\n"),
    ("session-older", "4↓\n"),
    ("help", "h"),
];

#[test]
fn every_screen_at_80x24() {
    for (name, keys) in SCREENS {
        same(&format!("80x24-{name}"), text(&drawn(&app(keys, SMALL), PLAIN, SMALL)));
    }
}

#[test]
fn every_screen_at_200x50() {
    for (name, keys) in SCREENS {
        same(&format!("200x50-{name}"), text(&drawn(&app(keys, LARGE), PLAIN, LARGE)));
    }
}

#[test]
fn in_ascii_every_character_is() {
    for size in [SMALL, LARGE, (40, 10), (120, 34)] {
        for (name, keys) in SCREENS {
            let mut app = app(keys, size);
            app.origin = "/run/café.sock".into();
            let text = text(&drawn(&app, ASCII, size));
            assert!(text.is_ascii(), "{name} {size:?}\n{text}");
        }
    }
    same("80x24-channels-ascii", text(&drawn(&app("", SMALL), ASCII, SMALL)));
    same("80x24-channel-ascii", text(&drawn(&app("↓\n", SMALL), ASCII, SMALL)));
}

#[test]
fn nothing_depends_on_colour_and_without_it_there_is_none() {
    for size in [SMALL, LARGE] {
        for (name, keys) in SCREENS {
            let app = app(keys, size);
            let (with, without) = (drawn(&app, COLOUR, size), drawn(&app, PLAIN, size));
            assert_eq!(text(&with), text(&without), "{name}");
            let plain =
                |cell: &ratatui::buffer::Cell| cell.fg == Color::Reset && cell.bg == Color::Reset;
            assert!(without.content.iter().all(plain), "{name}");
            assert!(!with.content.iter().all(plain), "{name}");
        }
    }
    same("80x24-channels-colour", styled_text(&drawn(&app("", SMALL), COLOUR, SMALL)));
    same("80x24-channels-no-colour", styled_text(&drawn(&app("", SMALL), PLAIN, SMALL)));
}

#[test]
fn before_the_first_report_and_after_the_last() {
    let mut app = App::new("/run/becket.sock".into(), 250);
    same("80x24-waiting", text(&drawn(&app, PLAIN, SMALL)));
    app.take(Box::new(sample::report(0)));
    app.end(&Ending::Finished);
    same("80x24-ended", text(&drawn(&app, PLAIN, SMALL)));
}

#[test]
fn a_filter_shows_while_it_is_typed_and_what_it_leaves() {
    let mut app = app("/prices", SMALL);
    same("80x24-filter", text(&drawn(&app, PLAIN, SMALL)));
    let mut report = sample::report(9);
    report.channels.rows.clear();
    report.channels.matched = 0;
    app.take(Box::new(report));
    let shown = text(&drawn(&app, PLAIN, SMALL));
    assert!(shown.contains("no name of channels contains \"prices\""), "{shown}");
}

#[test]
fn a_row_that_is_gone_says_so() {
    let mut app = app("\n", SMALL);
    let mut report = sample::report(9);
    report.channels.rows.remove(0);
    app.take(Box::new(report));
    let shown = text(&drawn(&app, PLAIN, SMALL));
    assert!(shown.contains("it is gone"), "{shown}");
}

#[test]
fn ten_thousand_channels_are_scrolled_to_their_end() {
    let exporter = Exporter::new("many");
    let pairs: Vec<_> = (0..10_000).map(|_| Arc::new(bounded::<u64>(8))).collect();
    for (number, pair) in pairs.iter().enumerate() {
        let weak = Arc::downgrade(pair);
        exporter
            .channel_with(format!("channel-{number:05}"), move || {
                weak.upgrade().map(|pair| pair.0.snapshot())
            })
            .unwrap();
    }
    let mut feed = LocalFeed::new(Arc::new(exporter), "test");
    let mut app = App::new("test".into(), 1000);
    fit(&mut app, SMALL);
    app.take(Box::new(feed.next(&app.query()).unwrap()));
    let shown = text(&drawn(&app, PLAIN, SMALL));
    assert!(shown.contains("[1 channels 10.0k]"), "{shown}");
    assert!(shown.contains("channel-00000") && !shown.contains("channel-00050"), "{shown}");
    for (keys, first, last) in [
        ("G", "channel-09983", "channel-09999"),
        ("k", "channel-09983", "channel-09999"),
        ("/0777", "channel-00777", "channel-07779"),
    ] {
        keys.chars().for_each(|key| {
            app.key(KeyEvent::new(KeyCode::Char(key), KeyModifiers::NONE));
        });
        let query = app.query();
        let report = feed.next(&query).unwrap();
        assert!(report.channels.rows.len() <= 100);
        app.take(Box::new(report));
        let shown = text(&drawn(&app, PLAIN, SMALL));
        assert!(shown.contains(first) && shown.contains(last), "{keys}\n{shown}");
    }
}

#[test]
fn another_size_is_drawn_whole() {
    let mut terminal = Terminal::new(TestBackend::new(200, 50)).unwrap();
    let mut app = app("", LARGE);
    for size in [LARGE, SMALL, (40, 10), (39, 9), (132, 43), SMALL] {
        fit(&mut app, size);
        terminal.backend_mut().resize(size.0, size.1);
        terminal.autoresize().unwrap();
        terminal.draw(|frame| draw(&app, PLAIN, frame.buffer_mut())).unwrap();
        let fresh = drawn(&app, PLAIN, size);
        assert_eq!(text(terminal.backend().buffer()), text(&fresh), "{size:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Every report can be drawn at every size.
    #[test]
    fn every_size_and_every_figure_can_be_drawn(
        width in 1_u16..260, height in 1_u16..80, screen in 0..SCREENS.len(),
        figure: u64, name in "\\PC{0,200}", ascii: bool,
    ) {
        let size = (width, height);
        let mut app = app(SCREENS[screen].1, size);
        let mut report = sample::report(7);
        for row in &mut report.channels.rows {
            row.name.clone_from(&name);
            (row.len, row.receives, row.bytes_out) = (figure, figure, figure);
            row.capacity = Some(figure / 2);
        }
        report.process.name.clone_from(&name);
        report.coroutines.rows.rows[0].name.clone_from(&name);
        report.workers[0].dispatches = figure;
        let plugin = &mut report.plugins.rows[0];
        (plugin.calls, plugin.latency.counts) = (figure, vec![figure; 2]);
        report.sessions.rows[0].credit_bytes = figure;
        app.take(Box::new(report));
        fit(&mut app, size);
        let buffer = drawn(&app, Theme { colour: true, ascii }, size);
        prop_assert!(!ascii || text(&buffer).is_ascii());
    }
}
