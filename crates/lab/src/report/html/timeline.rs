// SPDX-License-Identifier: BSD-3-Clause
//! The last events before a failure as a drawing: a lane for each flow and place, a column for each
//! event.
//!
//! ```text
//!              31   32   33   34          each event's number
//!   flow 1 ┌ ingress   ▷    ✓
//!          └ egress              →    ✗      the column in which the rule is violated is marked
//!   tick       0 ms      2 ms
//! ```

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::svg::{Anchor, Box, Svg};
use super::{legend, region};
use crate::report::EventReport;

/// The order of places within a flow: as bytes go.
const PLACES: [&str; 7] = ["run", "flow", "source", "ingress", "network", "egress", "target"];

const LEFT: u32 = 118;
const COLUMN: u32 = 27;
const LANE: u32 = 22;
const TOP: u32 = 18;

/// A symbol and a tone for each kind of event.
fn glyph(kind: &str) -> (&'static str, &'static str) {
    match kind {
        "call" => ("○", ""),
        "offer" => ("▷", ""),
        "took" => ("✓", ""),
        "out" => ("→", ""),
        "said" => ("“", ""),
        "held" => ("■", "dim"),
        "crossed" => ("↔", "dim"),
        "state" => ("●", ""),
        "stall" => ("‖", "warn"),
        "fault" => ("◆", "warn"),
        "refused" => ("⊘", "warn"),
        _ => ("✗", "bad"),
    }
}

/// What each symbol means, in the order of the drawing's legend.
const LEGEND: [(&str, &str); 12] = [
    ("call", "call"),
    ("offer", "offered"),
    ("took", "took"),
    ("out", "put out"),
    ("said", "said"),
    ("held", "holds"),
    ("crossed", "network"),
    ("state", "state"),
    ("stall", "stall"),
    ("fault", "fault"),
    ("refused", "refused"),
    ("wrong", "wrong"),
];

pub(super) fn timeline(events: &[EventReport], broken: Option<usize>, title: &str) -> Markup {
    let lanes = lanes(events);
    let columns = events.len() as u32;
    let height = TOP + LANE * lanes.len() as u32 + 18;
    let mut svg = Svg::new(LEFT + COLUMN * columns + 8, height);
    ground(&mut svg, &lanes, columns);
    let mut last_tick = None;
    for (at, event) in (0..).zip(events) {
        let x = LEFT + COLUMN * at;
        let is_it = broken == Some(event.event);
        if is_it {
            let place = Box { x, y: 0, width: COLUMN, height: height - 16 };
            svg.rect("here", place, "the rule is violated here");
        }
        let middle = x + COLUMN / 2;
        let class = if is_it { "ink small" } else { "small" };
        svg.text(class, Anchor::Middle, (middle, 12), &(event.event + 1).to_string());
        if last_tick != Some(event.tick) {
            svg.line("dash", (x, TOP), (x, height - 14));
            svg.text("small", Anchor::Start, (x + 2, height - 4), &format!("{} ms", event.tick));
            last_tick = Some(event.tick);
        }
        let Some(lane) = lanes.get(&key(event)) else { continue };
        let y = TOP + LANE * lane + LANE / 2;
        let (symbol, tone) = glyph(event.kind);
        let tone = if is_it { "bad" } else { tone };
        svg.circle(&format!("dot {tone}"), (middle, y), 9, &event.said);
        svg.text(&format!("glyph {tone}"), Anchor::Middle, (middle, y + 4), symbol);
    }
    let said = format!("{title}, by flow and place; the list beside has them in words.");
    let kinds = LEGEND.into_iter().filter(|(kind, _)| events.iter().any(|it| it.kind == *kind));
    let symbols = kinds.map(|(kind, name)| {
        let (symbol, tone) = glyph(kind);
        (symbol, if tone.is_empty() { "good" } else { tone }, name)
    });
    html! {
        (region("wide", "Timeline", &svg.finish(&said)))
        (legend(symbols))
    }
}

fn key(event: &EventReport) -> (u32, usize) {
    let place = PLACES.iter().position(|place| *place == event.place).unwrap_or(0);
    (event.flow, place)
}

/// Lanes that have an event, from the top.
fn lanes(events: &[EventReport]) -> BTreeMap<(u32, usize), u32> {
    let mut lanes: BTreeMap<_, u32> = events.iter().map(|event| (key(event), 0)).collect();
    for (lane, at) in lanes.values_mut().zip(0..) {
        *lane = at;
    }
    lanes
}

fn ground(svg: &mut Svg, lanes: &BTreeMap<(u32, usize), u32>, columns: u32) {
    let mut before = None;
    for ((flow, place), lane) in lanes {
        let y = TOP + LANE * lane;
        let width = COLUMN * columns + 4;
        svg.rect("lane", Box { x: LEFT, y: y + 1, width, height: LANE - 2 }, "");
        if before != Some(*flow) {
            let name = match flow {
                0 => "the run".into(),
                flow => format!("flow {flow}"),
            };
            svg.text("ink", Anchor::Start, (2, y + LANE - 7), &name);
            before = Some(*flow);
        }
        let name = PLACES.get(*place).copied().unwrap_or("");
        let name = if matches!(name, "run" | "flow") { "state" } else { name };
        svg.text("", Anchor::End, (LEFT - 8, y + LANE - 7), name);
    }
}
