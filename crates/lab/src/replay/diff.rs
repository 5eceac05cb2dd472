// SPDX-License-Identifier: BSD-3-Clause
//! Two traces side by side.
//!
//! ```text
//!   healthy                                      faulty
//!   … 12 the same
//!   flow 1   ingress took 100 bytes              flow 1   ingress took 100 bytes
//!   flow 1   ingress put out 100 bytes at 0    | flow 1   ingress put out 100 bytes at 28
//!                                              > flow 1   ingress: out of place, …
//! ```
//!
//! `|` marks different events, `<` and `>` an event of one side only, and `~` the same event at
//! another time. Events are aligned by a shortest edit script (Myers, 1986) that ignores time. If
//! it would need more than `EDITS_MAX` edits, the events between the common start and the common
//! end have too little in common for an alignment, and are paired in order.

use std::fmt;

use super::steps::said;
use crate::trace::{Event, Trace};

/// Maximum number of edits of an alignment.
const EDITS_MAX: usize = 500;
/// Number of equal rows that are shown before and after a difference.
const CONTEXT: usize = 3;
/// Width of a column, in characters.
const WIDTH: usize = 58;

/// Two traces side by side.
#[derive(Debug)]
pub struct Diff<'a> {
    rows: Vec<Row<'a>>,
    names: [String; 2],
}

/// A row: the event of each side, if any.
type Row<'a> = (Option<&'a Event>, Option<&'a Event>);

impl<'a> Diff<'a> {
    /// Aligns a healthy trace with a faulty one.
    #[must_use]
    pub fn new(healthy: &'a Trace, faulty: &'a Trace) -> Self {
        Self::named(["healthy".into(), "faulty".into()], healthy, faulty)
    }

    /// Aligns two traces under these names.
    #[must_use]
    pub fn named(names: [String; 2], left: &'a Trace, right: &'a Trace) -> Self {
        let (left, right) = (left.events(), right.events());
        let pairs = left.iter().zip(right);
        let front = pairs.take_while(|(one, other)| is_same(one, other)).count();
        let (left_rest, right_rest) = (rest(left, front), rest(right, front));
        let pairs = left_rest.iter().rev().zip(right_rest.iter().rev());
        let back = pairs.take_while(|(one, other)| is_same(one, other)).count();
        let middle = |all: &'a [Event]| all.get(..all.len() - back).unwrap_or_default();

        let both = |(one, other)| (Some(one), Some(other));
        let mut rows: Vec<Row<'a>> = left.iter().zip(right).take(front).map(both).collect();
        rows.extend(beside(align(middle(left_rest), middle(right_rest))));
        let tail = |all: &'a [Event]| rest(all, all.len() - back);
        rows.extend(tail(left_rest).iter().zip(tail(right_rest)).map(both));
        Self { rows, names }
    }

    /// Number of rows that differ. 0: the traces are equal.
    #[must_use]
    pub fn differences(&self) -> usize {
        self.rows.iter().filter(|row| mark(row) != ' ').count()
    }
}

fn rest(events: &[Event], from: usize) -> &[Event] {
    events.get(from..).unwrap_or_default()
}

/// Equal except for the time.
fn is_same(one: &Event, other: &Event) -> bool {
    one.flow == other.flow && one.what == other.what
}

fn mark(row: &Row<'_>) -> char {
    match row {
        (Some(one), Some(other)) if one == other => ' ',
        (Some(one), Some(other)) if is_same(one, other) => '~',
        (Some(_), Some(_)) => '|',
        (Some(_), None) => '<',
        (None, _) => '>',
    }
}

/// A shortest edit script: a row with both sides has equal events, any other has one side.
fn align<'a>(left: &'a [Event], right: &'a [Event]) -> Vec<Row<'a>> {
    // `reach` has, for each diagonal (left minus right), the furthest position on the left after
    // this many edits. The state of each round is kept, to trace the path back.
    let (left_len, right_len) = (left.len() as isize, right.len() as isize);
    let middle = EDITS_MAX as isize + 1;
    let at = |reach: &[isize], diagonal: isize| {
        usize::try_from(diagonal + middle).ok().and_then(|at| reach.get(at).copied()).unwrap_or(-1)
    };
    let mut reach = vec![-1; 2 * EDITS_MAX + 3];
    let mut history: Vec<Vec<isize>> = Vec::new();
    for edits in 0..=EDITS_MAX as isize {
        for diagonal in (-edits..=edits).step_by(2) {
            let down = at(&reach, diagonal + 1);
            let over = at(&reach, diagonal - 1) + 1;
            let mut x = if edits == 0 { 0 } else { down.max(over) };
            let same = |x: isize| {
                let one = usize::try_from(x).ok().and_then(|x| left.get(x));
                let other = usize::try_from(x - diagonal).ok().and_then(|y| right.get(y));
                one.zip(other).is_some_and(|(one, other)| is_same(one, other))
            };
            while same(x) {
                x += 1;
            }
            if let Some(place) =
                usize::try_from(diagonal + middle).ok().and_then(|at| reach.get_mut(at))
            {
                *place = x;
            }
            if x >= left_len && x - diagonal >= right_len {
                return way_back(left, right, &history, |reach, diagonal| at(reach, diagonal));
            }
        }
        // Of an edit more only the diagonals around the middle are looked at.
        history.push(reach.clone());
    }
    let ones = left.iter().map(|one| (Some(one), None));
    ones.chain(right.iter().map(|other| (None, Some(other)))).collect()
}

/// Traces the found path back from its end, and returns its rows in order.
fn way_back<'a>(
    left: &'a [Event],
    right: &'a [Event],
    history: &[Vec<isize>],
    at: impl Fn(&[isize], isize) -> isize,
) -> Vec<Row<'a>> {
    let (mut x, mut y) = (left.len() as isize, right.len() as isize);
    let one = |x: isize| usize::try_from(x).ok().and_then(|x| left.get(x));
    let other = |y: isize| usize::try_from(y).ok().and_then(|y| right.get(y));
    let mut rows = Vec::new();
    for reach in history.iter().rev() {
        let diagonal = x - y;
        let (down, over) = (at(reach, diagonal + 1), at(reach, diagonal - 1) + 1);
        let start = down.max(over);
        while x > start {
            (x, y) = (x - 1, y - 1);
            rows.push((one(x), other(y)));
        }
        if down >= over {
            y -= 1;
            rows.push((None, other(y)));
        } else {
            x -= 1;
            rows.push((one(x), None));
        }
    }
    while x > 0 && y > 0 {
        (x, y) = (x - 1, y - 1);
        rows.push((one(x), other(y)));
    }
    rows.reverse();
    rows
}

/// Pairs neighbouring rows that have only the left side with those that have only the right side.
fn beside(rows: Vec<Row<'_>>) -> Vec<Row<'_>> {
    let mut laid = Vec::with_capacity(rows.len());
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    let lay = |ones: &mut Vec<_>, others: &mut Vec<_>, laid: &mut Vec<_>| {
        let count = ones.len().max(others.len());
        let (mut ones, mut others) = (ones.drain(..), others.drain(..));
        laid.extend((0..count).map(|_| (ones.next(), others.next())));
    };
    for row in rows {
        match row {
            (Some(one), None) => ones.push(one),
            (None, Some(other)) => others.push(other),
            both => {
                lay(&mut ones, &mut others, &mut laid);
                laid.push(both);
            }
        }
    }
    lay(&mut ones, &mut others, &mut laid);
    laid
}

impl fmt::Display for Diff<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let differs: Vec<_> = self.rows.iter().map(|row| mark(row) != ' ').collect();
        if !differs.contains(&true) {
            return writeln!(f, "the traces are the same: {} events", self.rows.len());
        }
        let [left, right] = self.names.each_ref().map(|name| cut(name));
        writeln!(f, "{left:<WIDTH$}   {right}")?;
        let mut skipped = 0;
        for (at, row) in self.rows.iter().enumerate() {
            let near = at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(differs.len());
            if !differs.get(near).is_some_and(|near| near.contains(&true)) {
                skipped += 1;
                continue;
            }
            tell_skipped(f, std::mem::take(&mut skipped))?;
            let (one, other) = row;
            let (one, other) = (column(*one, row), column(*other, row));
            let line = format!("{one:<WIDTH$} {} {other}", mark(row));
            writeln!(f, "{}", line.trim_end())?;
        }
        tell_skipped(f, skipped)
    }
}

fn tell_skipped(f: &mut fmt::Formatter<'_>, skipped: usize) -> fmt::Result {
    if skipped == 0 { Ok(()) } else { writeln!(f, "… {skipped} the same") }
}

/// An event, cut to the width of a column; with its time if only that differs.
fn column(event: Option<&Event>, row: &Row<'_>) -> String {
    let Some(event) = event else { return String::new() };
    let text = match mark(row) {
        '~' => format!("{} ms {}", event.tick.0, said(event)),
        _ => said(event),
    };
    cut(&text)
}

/// Cuts a text to the width of a column.
fn cut(text: &str) -> String {
    if text.chars().count() <= WIDTH {
        return text.to_owned();
    }
    text.chars().take(WIDTH - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::super::super::choice::Random;
    use super::*;
    use crate::contract::{FlowId, Tick};
    use crate::trace::EventKind;

    fn trace(events: &[u64]) -> Trace {
        let mut trace = Trace::new(1 << 16);
        for event in events {
            let place = crate::trace::Stage::Ingress;
            trace.push(
                Tick(event >> 32),
                FlowId::new(1),
                EventKind::Took { place, bytes: event & 0xffff },
            );
        }
        trace
    }

    fn rule_sets(one: &[u64], other: &[u64]) -> String {
        let (one, other) = (trace(one), trace(other));
        Diff::new(&one, &other).rows.iter().map(mark).collect()
    }

    #[test]
    fn rows_are_marked() {
        assert_eq!(rule_sets(&[], &[]), "");
        assert_eq!(rule_sets(&[1, 2, 3], &[1, 2, 3]), "   ");
        assert_eq!(rule_sets(&[1, 2, 3], &[1, 3]), " < ");
        assert_eq!(rule_sets(&[1, 3], &[1, 2, 3]), " > ");
        assert_eq!(rule_sets(&[1, 2, 3], &[1, 4, 3]), " | ");
        assert_eq!(rule_sets(&[1, 2, 3], &[1, 2 | 5 << 32, 3]), " ~ ");
        assert_eq!(rule_sets(&[1, 2, 3, 4, 5, 6], &[1, 9, 3, 4, 7, 8, 5, 6]), " |  >>  ");
        assert_eq!(rule_sets(&[1, 2], &[]), "<<");
    }

    /// Each side is whole and in order, and the script is a shortest one.
    #[test]
    fn both_sides_are_whole_and_no_shorter_way_was_there() {
        let mut random = Random::new(3);
        for _ in 0..2000 {
            let [one, other] = [(); 2].map(|()| {
                (0..random.below(12)).map(|_| random.below(4).into()).collect::<Vec<u64>>()
            });
            let (left, right) = (trace(&one), trace(&other));
            let rows = align(left.events(), right.events());
            let ones: Vec<_> = rows.iter().filter_map(|row| row.0.copied()).collect();
            let others: Vec<_> = rows.iter().filter_map(|row| row.1.copied()).collect();
            assert_eq!((&ones[..], &others[..]), (left.events(), right.events()));
            let edits = rows.iter().filter(|row| row.0.is_none() || row.1.is_none()).count();
            // By the textbook: the longest common subsequence.
            let mut common = vec![vec![0; other.len() + 1]; one.len() + 1];
            for (x, a) in one.iter().enumerate() {
                for (y, b) in other.iter().enumerate() {
                    common[x + 1][y + 1] = match a == b {
                        true => common[x][y] + 1,
                        false => common[x][y + 1].max(common[x + 1][y]),
                    };
                }
            }
            assert_eq!(edits, one.len() + other.len() - 2 * common[one.len()][other.len()]);
            let diff = Diff::new(&left, &right);
            let ones: Vec<_> = diff.rows.iter().filter_map(|row| row.0.copied()).collect();
            let others: Vec<_> = diff.rows.iter().filter_map(|row| row.1.copied()).collect();
            assert_eq!((&ones[..], &others[..]), (left.events(), right.events()));
            assert_eq!(diff.differences() == 0, one == other);
        }
    }

    #[test]
    fn what_has_little_in_common_stands_side_by_side_as_it_comes() {
        let one: Vec<u64> = (0..3000).collect();
        let other: Vec<u64> = (10_000..12_000).collect();
        let rule_sets = rule_sets(&one, &other);
        assert_eq!(rule_sets, "|".repeat(2000) + &"<".repeat(1000));
    }

    #[test]
    fn what_is_the_same_far_from_differences_is_counted() {
        let one: Vec<u64> = (0..30).collect();
        let mut other = one.clone();
        other[10] = 99;
        let (left, right) = (trace(&one), trace(&other));
        let text = Diff::new(&left, &right).to_string();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!((lines[1], lines[9]), ("… 7 the same", "… 16 the same"));
        assert!(
            lines[5].contains("took 10 bytes") && lines[5].contains("| flow 1   ingress took 99")
        );
        assert_eq!(lines.len(), 10);
        let same = Diff::new(&left, &left).to_string();
        assert_eq!(same, "the traces are the same: 30 events\n");
    }
}
