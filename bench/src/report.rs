// SPDX-License-Identifier: BSD-3-Clause
//! The tables: printed, kept in `bench/RESULTS.md`, and compared with what is kept there.
//!
//! A group's table stands between two comments, so that a run of one group leaves the others as
//! they are:
//!
//! ```text
//!   <!-- group: calls -->
//!   …
//!   <!-- end of group: calls -->
//! ```

use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::path::PathBuf;

use crate::error::BenchError;
use crate::harness::Figures;
use crate::machine::Machine;

/// A ratio that falls behind the committed one by more than this fails `--check`.
pub(crate) const TOLERANCE_PERCENT: u32 = 20;

const HEADING: &str = "<!-- SPDX-License-Identifier: BSD-3-Clause -->\n\
    # Beside the peers\n\n\
    Every figure is the median of its repetitions, with the smallest and the largest in brackets. \
    Becket and its peers took turns in one process, did the same work, and each result was \
    checked. What counts is the ratio: the absolute figures belong to the machine.\n";

/// Whether a small or a large figure is the good one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Better {
    /// Nanoseconds.
    Less,
    /// A rate.
    More,
}

/// What our figure has to reach.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Goal {
    /// This figure.
    Figure(f64),
    /// So many times the figure of this column.
    Times(f64, &'static str),
}

/// One operation.
#[derive(Debug)]
pub(crate) struct Row {
    /// What was done.
    pub name: String,
    /// Which figures are good ones.
    pub better: Better,
    /// How many digits after the point its figures have.
    pub digits: usize,
    /// What our figure has to reach.
    pub goal: Option<Goal>,
    /// One for each of the group's columns; `None`: it has no such thing.
    pub figures: Vec<Option<Figures>>,
}

impl Row {
    /// Nanoseconds, of the participants by column.
    pub(crate) fn of(
        columns: &[&str],
        name: impl Into<String>,
        goal: Option<Goal>,
        taken: impl IntoIterator<Item = (&'static str, Figures)>,
    ) -> Self {
        let mut figures = vec![None; columns.len()];
        for (column, taken) in taken {
            debug_assert!(columns.contains(&column), "no column is named {column}");
            let cells = columns.iter().zip(&mut figures);
            cells.filter(|(name, _)| **name == column).for_each(|(_, cell)| {
                *cell = Some(taken.clone());
            });
        }
        Self { name: name.into(), better: Better::Less, digits: 1, goal, figures }
    }

    /// The same row in a unit of which more is better.
    pub(crate) fn into_rate(self, digits: usize, convert: impl Fn(f64) -> f64) -> Self {
        let figures = self.figures.iter().map(|cell| Some(cell.as_ref()?.map(&convert))).collect();
        Self { better: Better::More, digits, figures, ..self }
    }

    fn ours(&self) -> Option<&Figures> {
        self.figures.first()?.as_ref()
    }

    /// The figures of these columns with the columns' numbers, the best first.
    fn ranked(&self, columns: Range<usize>) -> Vec<(usize, &Figures)> {
        let figures = self.figures.iter().enumerate();
        let mut ranked: Vec<_> = figures
            .filter(|(column, _)| columns.contains(column))
            .filter_map(|(column, figures)| Some((column, figures.as_ref()?)))
            .collect();
        ranked.sort_by(|(_, a), (_, b)| match self.better {
            Better::Less => a.median().total_cmp(&b.median()),
            Better::More => b.median().total_cmp(&a.median()),
        });
        ranked
    }

    /// How many times better these figures are than those.
    fn better(&self, these: &Figures, those: &Figures) -> Figures {
        match self.better {
            Better::Less => those.over(these),
            Better::More => these.over(those),
        }
    }
}

/// How a group's table is laid out. In each, a row begins with its name and ends with the ratio.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A column for each side.
    Columns,
    /// Ours with its goal, the best peer by name, and all other peers in one cell: for groups with
    /// many peers of which each takes part in some rows only.
    Peers,
}

/// What a group found out.
#[derive(Debug)]
pub(crate) struct Group {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What one must know to read the table, in Markdown.
    pub notes: String,
    /// The sides, ours first, floors last.
    pub columns: Vec<String>,
    /// How many of the columns are floors: no peers, but what the machine itself can do.
    pub floors: usize,
    /// How the table shows them.
    pub shape: Shape,
    /// The operations.
    pub rows: Vec<Row>,
}

impl Group {
    /// A group in which peers take part in some rows only.
    pub(crate) fn of_peers(
        (name, title): (&'static str, &'static str),
        notes: String,
        columns: &[&str],
        floors: usize,
        rows: Vec<Row>,
    ) -> Self {
        let columns = columns.iter().map(|name| (*name).to_owned()).collect();
        Self { name, title, notes, columns, floors, shape: Shape::Peers, rows }
    }

    /// The table, in Markdown.
    pub(crate) fn table(&self) -> String {
        match self.shape {
            Shape::Columns => self.table_of_columns(),
            Shape::Peers => self.table_of_peers(),
        }
    }

    /// How many times better our figures of this row are than those of the best peer.
    pub(crate) fn ahead(&self, row: &Row) -> Option<Figures> {
        let (_, best) = *row.ranked(self.peers()).first()?;
        Some(row.better(row.ours()?, best))
    }

    fn peers(&self) -> Range<usize> {
        1..self.columns.len() - self.floors
    }

    /// The goal, and whether our median reaches it.
    fn judged(&self, row: &Row) -> String {
        let (goal, text) = match row.goal {
            None => return "–".to_owned(),
            Some(Goal::Figure(goal)) => (Some(goal), goal.to_string()),
            Some(Goal::Times(times, column)) => {
                let column_figures = self
                    .columns
                    .iter()
                    .position(|name| name == column)
                    .and_then(|index| row.figures.get(index)?.as_ref());
                let goal = column_figures.map(|figures| times * figures.median());
                (goal, format!("{times} × {column}"))
            }
        };
        let ours = row.ours().map(Figures::median);
        let (sign, met) = match row.better {
            Better::Less => ("≤", ours.zip(goal).map(|(ours, goal)| ours <= goal)),
            Better::More => ("≥", ours.zip(goal).map(|(ours, goal)| ours >= goal)),
        };
        let verdict = match met {
            Some(true) => ", met",
            Some(false) => ", **missed**",
            None => "",
        };
        format!("{sign} {text}{verdict}")
    }

    fn table_of_peers(&self) -> String {
        let ours = self.columns.first().map_or("", String::as_str);
        let (head, line) = if self.floors > 0 { ("floors | ", "---|") } else { ("", "") };
        let mut text = format!(
            "| operation | {ours} | goal | best peer | the other peers | {head}ahead by |\n\
             |---|---:|---:|---:|---|{line}---:|\n"
        );
        for row in &self.rows {
            let named = |(column, figures): (usize, &Figures), range: bool| {
                let name = self.columns.get(column).map_or("", String::as_str);
                let cell = match range {
                    true => cell(Some(figures), row.digits, "", ""),
                    false => format!("{:.*}", row.digits, figures.median()),
                };
                format!("{name} {cell}")
            };
            let all = |ranked: Vec<(usize, &Figures)>| {
                ranked.into_iter().map(|one| named(one, false)).collect::<Vec<_>>().join(", ")
            };
            let mut peers = row.ranked(self.peers());
            let others = peers.split_off(peers.len().min(1));
            let best = peers.pop().map_or_else(|| "–".to_owned(), |best| named(best, true));
            let floors = match self.floors {
                0 => String::new(),
                _ => format!("{} | ", all(row.ranked(self.peers().end..self.columns.len()))),
            };
            let _ = writeln!(
                text,
                "| {} | {} | {} | {best} | {} | {floors}{} |",
                row.name,
                cell(row.ours(), row.digits, "", ""),
                self.judged(row),
                all(others),
                cell(self.ahead(row).as_ref(), 2, "**", "×"),
            );
        }
        text
    }

    fn table_of_columns(&self) -> String {
        let mut text = format!("| operation | {} | ahead by |\n", self.columns.join(" | "));
        let _ = writeln!(text, "|---|{}---:|", "---:|".repeat(self.columns.len()));
        for row in &self.rows {
            let _ = write!(text, "| {} |", row.name);
            for figures in &row.figures {
                let _ = write!(text, " {} |", cell(figures.as_ref(), row.digits, "", ""));
            }
            let _ = writeln!(text, " {} |", cell(self.ahead(row).as_ref(), 2, "**", "×"));
        }
        text
    }

    /// Puts the group's section into RESULTS.md.
    pub(crate) fn write(&self, machine: &Machine) -> Result<PathBuf, BenchError> {
        let path = results();
        let old = fs::read_to_string(&path).unwrap_or_else(|_| HEADING.to_owned());
        let (begin, end) = marks(self.name);
        let section = format!(
            "{begin}\n## {title}\n\nMade by `cargo xtask bench {name}`.\n\n{machine}\n{table}\n\
             {notes}\n{end}\n",
            title = self.title,
            name = self.name,
            table = self.table(),
            notes = self.notes,
        );
        let new = match split(&old, self.name) {
            Some((before, _, after)) => format!("{before}{section}{after}"),
            None => format!("{}\n\n{section}", old.trim_end()),
        };
        fs::write(&path, new).map_err(|source| BenchError::File { path: path.clone(), source })?;
        Ok(path)
    }

    /// Compares the ratios with those in RESULTS.md, row by row, and says how many fell behind.
    pub(crate) fn check(&self) -> Result<usize, BenchError> {
        let path = results();
        let text = fs::read_to_string(&path)
            .map_err(|source| BenchError::File { path: path.clone(), source })?;
        let section = split(&text, self.name).map_or("", |(_, section, _)| section);
        let mut behind = 0;
        for row in &self.rows {
            let (Some(now), Some(then)) = (self.ahead(row), committed(section, &row.name)) else {
                continue;
            };
            let floor = then * (1.0 - f64::from(TOLERANCE_PERCENT) / 100.0);
            if now.median() < floor {
                behind += 1;
                println!(
                    "behind: {}: ahead by {:.2}×, committed {then:.2}×",
                    row.name,
                    now.median()
                );
            }
        }
        Ok(behind)
    }
}

fn results() -> PathBuf {
    PathBuf::from(crate::FOLDER).join("RESULTS.md")
}

fn marks(group: &str) -> (String, String) {
    (format!("<!-- group: {group} -->"), format!("<!-- end of group: {group} -->"))
}

/// The text before a group's section, the section, and the text after it.
fn split<'a>(text: &'a str, group: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let (begin, end) = marks(group);
    let (before, rest) = text.split_once(&begin)?;
    let (section, after) = rest.split_once(&end)?;
    Some((before, section, after.strip_prefix('\n').unwrap_or(after)))
}

fn cell(figures: Option<&Figures>, digits: usize, emphasis: &str, unit: &str) -> String {
    let Some(figures) = figures else {
        return "–".to_owned();
    };
    let (median, min, max) = (figures.median(), figures.min(), figures.max());
    format!("{emphasis}{median:.digits$}{unit}{emphasis} ({min:.digits$}–{max:.digits$})")
}

/// The ratio in the last cell of the row of this name.
fn committed(section: &str, row: &str) -> Option<f64> {
    let line = section.lines().find(|line| line.starts_with(&format!("| {row} |")))?;
    let cell = line.trim_end_matches([' ', '|']).rsplit('|').next()?;
    let number = cell.trim().trim_start_matches("**").split('×').next()?;
    number.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group() -> Group {
        Group {
            name: "some",
            title: "Some",
            notes: String::new(),
            shape: Shape::Columns,
            columns: vec!["Becket".into(), "slow".into(), "slower".into()],
            floors: 0,
            rows: vec![Row {
                name: "call".into(),
                better: Better::Less,
                digits: 1,
                goal: Some(Goal::Figure(3.0)),
                figures: [2.0, 6.0, 8.0].map(|f| Some(Figures::new(vec![f]))).into(),
            }],
        }
    }

    #[test]
    fn a_ratio_is_against_the_best_peer_and_is_read_back_from_the_table() {
        let group = group();
        assert_eq!(group.ahead(&group.rows[0]).unwrap().median(), 3.0);
        assert_eq!(committed(&group.table(), "call"), Some(3.0));
        assert_eq!(committed(&group.table(), "cal"), None);
    }

    #[test]
    fn a_rate_is_better_when_it_is_larger() {
        let mut group = group();
        group.rows[0].better = Better::More;
        assert_eq!(group.ahead(&group.rows[0]).unwrap().median(), 0.25);
    }

    #[test]
    fn the_best_peer_stands_by_itself_and_the_goal_says_whether_it_is_met() {
        let mut group = group();
        group.shape = Shape::Peers;
        let line = "| call | 2.0 (2.0–2.0) | ≤ 3, met | slow 6.0 (6.0–6.0) | slower 8.0 | \
                    **3.00×** (3.00–3.00) |";
        assert_eq!(group.table().lines().last(), Some(line));
        assert_eq!(committed(&group.table(), "call"), Some(3.0));

        group.rows[0].goal = Some(Goal::Figure(1.5));
        assert!(group.table().contains("≤ 1.5, **missed**"));
        group.rows[0].figures[0] = None;
        assert!(group.table().contains("| call | – | ≤ 1.5 | slow"));
    }

    #[test]
    fn a_floor_is_no_peer_but_may_be_what_the_goal_is_measured_by() {
        let mut group = group();
        group.shape = Shape::Peers;
        group.floors = 1;
        group.rows[0].goal = Some(Goal::Times(0.5, "slower"));
        let line = "| call | 2.0 (2.0–2.0) | ≤ 0.5 × slower, met | slow 6.0 (6.0–6.0) |  | \
                    slower 8.0 | **3.00×** (3.00–3.00) |";
        assert_eq!(group.table().lines().last(), Some(line));

        group.rows[0].goal = Some(Goal::Times(0.2, "slower"));
        assert!(group.table().contains("≤ 0.2 × slower, **missed**"));
    }

    #[test]
    fn a_section_is_found_between_its_marks() {
        let text = "a\n<!-- group: x -->\nb\n<!-- end of group: x -->\nc\n";
        assert_eq!(split(text, "x"), Some(("a\n", "\nb\n", "c\n")));
        assert_eq!(split(text, "y"), None);
    }
}
