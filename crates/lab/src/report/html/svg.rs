// SPDX-License-Identifier: BSD-3-Clause
//! A small writer of SVG drawings within a page: shapes and texts, whose colours are style classes
//! of the page. Each drawing has a name and a description.
//!
//! Lengths are whole pixels, and so the same on each machine.

use crate::report::words::escaped;

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

/// Where a text stands at its place.
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

    /// A rectangle with round corners, and a tooltip.
    pub(super) fn rect(&mut self, class: &str, at: Box, said: &str) {
        let Box { x, y, width, height } = at;
        let round = width.min(height).min(8) / 4;
        self.body.push_str(&format!(
            r#"<rect class="{class}" x="{x}" y="{y}" width="{width}" height="{height}" rx="{round}""#
        ));
        if said.is_empty() {
            self.body.push_str("/>");
        } else {
            self.body.push_str(&format!("><title>{}</title></rect>", escaped(said)));
        }
    }

    pub(super) fn line(&mut self, class: &str, (x1, y1): (u32, u32), (x2, y2): (u32, u32)) {
        self.body.push_str(&format!(
            r#"<line class="{class}" x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}"/>"#
        ));
    }

    pub(super) fn circle(&mut self, class: &str, (x, y): (u32, u32), radius: u32, said: &str) {
        let said = escaped(said);
        self.body.push_str(&format!(
            r#"<circle class="{class}" cx="{x}" cy="{y}" r="{radius}"><title>{said}</title></circle>"#
        ));
    }

    pub(super) fn text(&mut self, class: &str, anchor: Anchor, (x, y): (u32, u32), text: &str) {
        let anchor = match anchor {
            Anchor::Start => "",
            Anchor::Middle => r#" text-anchor="middle""#,
            Anchor::End => r#" text-anchor="end""#,
        };
        let text = escaped(text);
        self.body
            .push_str(&format!(r#"<text class="{class}" x="{x}" y="{y}"{anchor}>{text}</text>"#));
    }

    /// The drawing, with a description for screen readers.
    pub(super) fn finish(self, said: &str) -> String {
        let Self { width, height, body } = self;
        let said = escaped(said);
        format!(
            "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             role=\"img\" aria-label=\"{said}\">{body}</svg>"
        )
    }
}
