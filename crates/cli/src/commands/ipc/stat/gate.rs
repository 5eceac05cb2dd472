// SPDX-License-Identifier: BSD-3-Clause
//! `--fail-if`: a condition on a channel's figures, such as `len>100`.

use std::fmt;
use std::str::FromStr;

use super::row::{Figure, Row};
use crate::commands::pick::nearest;

/// A condition that must not hold.
#[derive(Debug, Clone)]
pub(super) struct Gate {
    text: String,
    figure: Figure,
    operator: Operator,
    bound: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Below,
    AtMost,
    Above,
    AtLeast,
    Equal,
    NotEqual,
}

/// The longer ones first, so that `>=` is not read as `>`.
const OPERATORS: [(&str, Operator); 7] = [
    ("<=", Operator::AtMost),
    (">=", Operator::AtLeast),
    ("==", Operator::Equal),
    ("!=", Operator::NotEqual),
    ("<", Operator::Below),
    (">", Operator::Above),
    ("=", Operator::Equal),
];

impl Gate {
    /// A message if the condition holds; none if it does not, or the row lacks the figure.
    pub(super) fn violated_by(&self, row: &Row) -> Option<String> {
        let value = row.get(self.figure)?;
        let name = &row.channel.name;
        self.holds(value).then(|| format!("{name}: {} (it is {})", self.text, shown(value)))
    }

    /// Whether it needs two readings.
    pub(super) fn is_of_a_rate(&self) -> bool {
        matches!(self.figure, Figure::Rate(_))
    }

    fn holds(&self, value: f64) -> bool {
        match self.operator {
            Operator::Below => value < self.bound,
            Operator::AtMost => value <= self.bound,
            Operator::Above => value > self.bound,
            Operator::AtLeast => value >= self.bound,
            // Counts are integers, so exact comparison is meaningful; an exact rate is not a useful
            // condition.
            Operator::Equal => value.total_cmp(&self.bound).is_eq(),
            Operator::NotEqual => value.total_cmp(&self.bound).is_ne(),
        }
    }
}

/// A count without a point, a rate with one digit behind it.
fn shown(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.1}") }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for Gate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let split = text.find(['<', '>', '=', '!']).and_then(|at| {
            let (name, rest) = text.split_at_checked(at)?;
            let (sign, operator) = OPERATORS.iter().find(|(sign, _)| rest.starts_with(sign))?;
            Some((name.trim(), *operator, rest.strip_prefix(sign)?.trim()))
        });
        let Some((name, operator, bound)) = split else {
            return Err("write it as FIGURE, <, <=, >, >=, == or !=, NUMBER: 'len>100'".into());
        };
        let figure = Figure::named(name).ok_or_else(|| unknown(name))?;
        let bound = match bound {
            // As JSON shows `closed`.
            "true" => 1.0,
            "false" => 0.0,
            _ => bound
                .parse::<f64>()
                .ok()
                .filter(|bound| bound.is_finite())
                .ok_or_else(|| format!("{bound:?} is no number"))?,
        };
        Ok(Self { text: text.trim().to_owned(), figure, operator, bound })
    }
}

fn unknown(name: &str) -> String {
    match nearest(name, Figure::names()) {
        Some(near) => format!("there is no figure {name:?}; did you mean {near}?"),
        None => {
            let names: Vec<_> = Figure::names().collect();
            format!("there is no figure {name:?}, only {}", names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use becket_ipc::monitor::ChannelReport;

    use super::*;

    fn row(len: u64) -> Row {
        Row::new(ChannelReport { name: "jobs".into(), len, ..ChannelReport::default() }, None)
    }

    #[test]
    fn every_operator_holds_where_it_should() {
        for (text, below, at, above) in [
            ("len<5", true, false, false),
            ("len<=5", true, true, false),
            ("len>5", false, false, true),
            ("len >= 5", false, true, true),
            ("len==5", false, true, false),
            ("len = 5", false, true, false),
            ("len!=5", true, false, true),
        ] {
            let gate: Gate = text.parse().unwrap();
            let held = [4, 5, 6].map(|len| gate.violated_by(&row(len)).is_some());
            assert_eq!(held, [below, at, above], "{text}");
        }
    }

    #[test]
    fn closed_is_asked_for_as_json_shows_it() {
        let closed = ChannelReport { closed: true, ..ChannelReport::default() };
        let row = Row::new(closed, None);
        for (text, holds) in [("closed==true", true), ("closed==1", true), ("closed==false", false)]
        {
            let gate: Gate = text.parse().unwrap();
            assert_eq!(gate.violated_by(&row).is_some(), holds, "{text}");
        }
    }

    #[test]
    fn a_rate_that_is_not_known_violates_nothing() {
        let gate: Gate = "receives_per_second<1".parse().unwrap();
        assert!(gate.is_of_a_rate());
        assert_eq!(gate.violated_by(&row(0)), None);
        let at = |at_ns, receives| ChannelReport { at_ns, receives, ..ChannelReport::default() };
        let slow = Row::new(at(3_000_000_000, 2), Some(&at(1_000_000_000, 1)));
        assert_eq!(gate.violated_by(&slow).unwrap(), ": receives_per_second<1 (it is 0.5)");
    }

    #[test]
    fn what_is_no_condition_is_told_why() {
        let why = |text: &str| text.parse::<Gate>().unwrap_err();
        assert!(why("len").contains("'len>100'"));
        assert!(why("len!5").contains("'len>100'"));
        assert!(why("lenn>5").contains("did you mean len?"));
        assert!(why("xyz>5").contains("receivers_waiting"));
        assert!(why("len>x").contains("no number"));
        assert!(why("len>nan").contains("no number"));
    }
}
