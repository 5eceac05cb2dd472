// SPDX-License-Identifier: BSD-3-Clause
//! The state machine: lists, detail, filter, help, with keys and reports in any order.

use proptest::prelude::*;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

use super::super::sample;
use super::*;

fn app() -> App {
    let mut app = App::new("test".into(), 1000);
    app.fit(10);
    app.take(Box::new(sample::report(0)));
    app.take(Box::new(sample::report(1)));
    app
}

fn press(app: &mut App, key: KeyCode) -> Do {
    app.key(KeyEvent::new(key, KeyModifiers::NONE))
}

fn types(app: &mut App, text: &str) {
    for c in text.chars() {
        press(app, KeyCode::Char(c));
    }
}

#[test]
fn enter_shows_the_row_under_the_cursor_and_escape_goes_back() {
    let mut app = app();
    press(&mut app, KeyCode::Down);
    press(&mut app, KeyCode::Enter);
    assert_eq!(app.view, View::Detail(2));
    assert_eq!(app.query().channels.pin, Some(2), "it stays there, wherever the list goes");
    press(&mut app, KeyCode::Esc);
    assert_eq!((app.view, app.list().selected()), (View::List, 1));
    assert_eq!(app.query().channels.pin, None);
}

#[test]
fn help_covers_what_was_there_and_uncovers_it() {
    let mut app = app();
    press(&mut app, KeyCode::Enter);
    let before = app.view;
    press(&mut app, KeyCode::Char('h'));
    assert_eq!(app.view, View::Help);
    press(&mut app, KeyCode::Char('x'));
    assert_eq!(app.view, before);
    press(&mut app, KeyCode::Char('?'));
    assert_eq!(press(&mut app, KeyCode::Char('q')), Do::Quit);
}

#[test]
fn a_filter_is_asked_for_while_it_is_typed() {
    let mut app = app();
    press(&mut app, KeyCode::End);
    types(&mut app, "/pay");
    assert!(app.is_typing());
    assert_eq!(app.query().channels.filter, "pay");
    assert_eq!(app.list().selected(), 0);
    types(&mut app, "q");
    assert_eq!(app.query().channels.filter, "payq", "a letter, not the key");
    press(&mut app, KeyCode::Backspace);
    press(&mut app, KeyCode::Enter);
    assert_eq!((app.is_typing(), app.list().filter()), (false, "pay"));
    types(&mut app, "/x");
    press(&mut app, KeyCode::Esc);
    assert_eq!(app.list().filter(), "pay", "as it was before");
    press(&mut app, KeyCode::Esc);
    assert_eq!(app.list().filter(), "");
}

#[test]
fn each_list_has_its_own_filter_order_and_cursor() {
    let mut app = app();
    types(&mut app, "/o");
    press(&mut app, KeyCode::Enter);
    types(&mut app, "sS");
    press(&mut app, KeyCode::Tab);
    assert_eq!((app.tab, app.list().filter()), (Tab::Coroutines, ""));
    assert_eq!(app.list().sort(), Sorts::Id);
    press(&mut app, KeyCode::BackTab);
    assert_eq!((app.list().filter(), app.list().sort()), ("o", Sorts::Name));
    assert!(app.list().is_reversed());
    types(&mut app, "4");
    assert_eq!(app.tab, Tab::Sessions);
}

#[test]
fn every_order_comes_by_and_the_first_comes_again() {
    for tab in Tab::ALL {
        let mut list = List::new(tab);
        let mut seen = Vec::new();
        for _ in Sorts::of(tab) {
            seen.push(list.sort());
            list.sort_next();
        }
        assert_eq!((seen.as_slice(), list.sort()), (Sorts::of(tab), seen[0]));
    }
}

#[test]
fn only_the_list_that_is_shown_is_fetched() {
    let mut app = app();
    types(&mut app, "2");
    let query = app.query();
    assert!(query.coroutines.rows > 0);
    assert_eq!((query.plugins.rows, query.sessions.rows), (0, 0));
    assert_eq!(query.channels.rows, 100, "alerts are found in these");
}

#[test]
fn stopping_tells_the_driver_and_the_end_stops_that() {
    let mut app = app();
    assert_eq!(press(&mut app, KeyCode::Char('r')), Do::Run(false));
    assert_eq!(press(&mut app, KeyCode::Char('r')), Do::Run(true));
    app.end(&Ending::Finished);
    assert_eq!(press(&mut app, KeyCode::Char('r')), Do::Nothing);
    assert_eq!(app.ended.as_deref(), Some("ended"));
}

#[test]
fn the_mode_goes_round_and_clearing_forgets() {
    let mut app = app();
    let peak = |app: &App| {
        app.store.track(&crate::commands::mon::store::Of::Total).unwrap().rates(app.unit)
    };
    assert!(peak(&app).is_some());
    for unit in [Unit::Bytes, Unit::Failures, Unit::Messages] {
        types(&mut app, "t");
        assert_eq!(app.unit, unit);
    }
    assert!(app.store.alerts().list().len() > 0);
    types(&mut app, "c");
    assert_eq!((peak(&app), app.store.alerts().list().len()), (None, 0));
}

#[test]
fn ctrl_c_ends_it_everywhere() {
    let mut app = app();
    let ctrl_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
    assert_eq!(app.key(ctrl_c), Do::Interrupt);
    types(&mut app, "/");
    assert_eq!(app.key(ctrl_c), Do::Interrupt);
    types(&mut app, "h");
    assert_eq!(app.key(ctrl_c), Do::Interrupt);
}

/// An operation on a list.
#[derive(Debug, Clone)]
enum Step {
    Key(KeyCode),
    Fit(u16),
    Report(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let keys = [
        KeyCode::Up,
        KeyCode::Down,
        KeyCode::PageUp,
        KeyCode::PageDown,
        KeyCode::Home,
        KeyCode::End,
        KeyCode::Enter,
        KeyCode::Esc,
        KeyCode::Tab,
        KeyCode::BackTab,
        KeyCode::Backspace,
    ];
    prop_oneof![
        8 => prop::sample::select(keys.to_vec()).prop_map(Step::Key),
        4 => "[a-zA-Z0-9/?é ]".prop_map(|c| Step::Key(KeyCode::Char(c.chars().next().unwrap()))),
        1 => (0_u16..60).prop_map(Step::Fit),
        2 => (0_u64..20_000).prop_map(Step::Report),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_cursor_is_on_a_row_that_is_seen_and_asked_for(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        let mut app = app();
        for step in steps {
            match step {
                Step::Key(key) => drop(press(&mut app, key)),
                Step::Fit(rows) => app.fit(rows),
                Step::Report(matched) => {
                    let mut report = sample::report(2);
                    report.channels.matched = matched;
                    report.channels.rows.truncate(usize::try_from(matched).unwrap());
                    app.take(Box::new(report));
                }
            }
            let rows = app.page_rows;
            for tab in Tab::ALL {
                let list = app.list_of(tab);
                let (selected, offset) = (list.selected(), list.offset());
                let matched = app.matched(tab);
                prop_assert!(u64::from(selected) < matched.max(1), "{:?}", list);
                prop_assert!(offset <= selected && selected < offset + rows, "{:?}", list);
                let (first, count) = list.window();
                prop_assert!(first <= offset && offset + rows <= first + count, "{:?}", list);
            }
            let query = app.query();
            prop_assert!(query.channels.filter.chars().count() <= 60);
        }
    }
}
