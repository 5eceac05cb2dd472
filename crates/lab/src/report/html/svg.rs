// SPDX-License-Identifier: BSD-3-Clause
//! SVG drawings within a page: shapes and texts, whose colours are style classes of the page. Each
//! drawing has a description.
//!
//! Lengths are whole pixels, and so the same on each machine.

use maud::{Markup, Render, html};

use crate::report::words::shown;

/// A drawing.
#[derive(Debug)]
pub(super) struct Svg {
    width: u32,
    height: u32,
    body: String,
}

/// A rectangle.
#[derive(Debug, Clone, Copy)]
pub(super) struct Box {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

/// Alignment of a text at its position.
#[derive(Debug, Clone, Copy)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

impl Svg {
    pub(super) const fn new(width: u32, height: u32) -> Self {
        Self { width, height, body: String::new() }
    }

    fn push(&mut self, shape: &Markup) {
        shape.render_to(&mut self.body);
    }

    /// A rectangle with round corners, and a tooltip.
    pub(super) fn rect(&mut self, class: &str, at: Box, said: &str) {
        let Box { x, y, width, height } = at;
        let round = width.min(height).min(8) / 4;
        self.push(&html! {
            rect class=(class) x=(x) y=(y) width=(width) height=(height) rx=(round) {
                @if !said.is_empty() { title { (shown(said)) } }
            }
        });
    }

    pub(super) fn line(&mut self, class: &str, (x1, y1): (u32, u32), (x2, y2): (u32, u32)) {
        self.push(&html! { line class=(class) x1=(x1) y1=(y1) x2=(x2) y2=(y2) {} });
    }

    pub(super) fn circle(&mut self, class: &str, (x, y): (u32, u32), radius: u32, said: &str) {
        self.push(&html! {
            circle class=(class) cx=(x) cy=(y) r=(radius) { title { (shown(said)) } }
        });
    }

    pub(super) fn text(&mut self, class: &str, anchor: Anchor, (x, y): (u32, u32), text: &str) {
        let anchor = match anchor {
            Anchor::Start => None,
            Anchor::Middle => Some("middle"),
            Anchor::End => Some("end"),
        };
        self.push(&html! {
            text class=(class) x=(x) y=(y) text-anchor=[anchor] { (shown(text)) }
        });
    }

    /// The drawing, with a description for screen readers.
    pub(super) fn finish(self, said: &str) -> Markup {
        let Self { width, height, body } = self;
        let view = format!("0 0 {width} {height}");
        html! {
            svg width=(width) height=(height) viewBox=(view) role="img" aria-label=(shown(said)) {
                (maud::PreEscaped(body))
            }
        }
    }
}
