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
    pub goal: Option<f64>,
    /// One for each of the group's columns; `None`: it has no such thing.
    pub figures: Vec<Option<Figures>>,
}

impl Row {
    /// How many times better the first column is than the best of the others.
    pub(crate) fn ahead(&self) -> Option<Figures> {
        let ours = self.ours()?;
        let (_, best) = *self.peers().first()?;
        Some(match self.better {
            Better::Less => best.over(ours),
            Better::More => ours.over(best),
        })
    }

    fn ours(&self) -> Option<&Figures> {
        self.figures.first()?.as_ref()
    }

    /// The others with the numbers of their columns, the best first.
    fn peers(&self) -> Vec<(usize, &Figures)> {
        let columns = self.figures.iter().enumerate().skip(1);
        let mut peers: Vec<_> =
            columns.filter_map(|(column, figures)| Some((column, figures.as_ref()?))).collect();
        peers.sort_by(|(_, a), (_, b)| match self.better {
            Better::Less => a.median().total_cmp(&b.median()),
            Better::More => b.median().total_cmp(&a.median()),
        });
        peers
    }

    /// The goal, and whether our median reaches it.
    fn judged(&self) -> String {
        let Some(goal) = self.goal else {
            return "–".to_owned();
        };
        let (sign, met) = match self.better {
            Better::Less => ("≤", self.ours().map(|figures| figures.median() <= goal)),
            Better::More => ("≥", self.ours().map(|figures| figures.median() >= goal)),
        };
        let verdict = match met {
            Some(true) => ", met",
            Some(false) => ", **missed**",
            None => "",
        };
        format!("{sign} {goal}{verdict}")
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
    /// The sides, ours first.
    pub columns: Vec<String>,
    /// How the table shows them.
    pub shape: Shape,
    /// The operations.
    pub rows: Vec<Row>,
}

impl Group {
    /// The table, in Markdown.
    pub(crate) fn table(&self) -> String {
        match self.shape {
            Shape::Columns => self.table_of_columns(),
            Shape::Peers => self.table_of_peers(),
        }
    }

    fn table_of_peers(&self) -> String {
        let ours = self.columns.first().map_or("", String::as_str);
        let mut text = format!(
            "| operation | {ours} | goal | best peer | the other peers | ahead by |\n\
             |---|---:|---:|---:|---|---:|\n"
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
            let mut peers = row.peers().into_iter();
            let best = peers.next().map_or_else(|| "–".to_owned(), |best| named(best, true));
            let others: Vec<_> = peers.map(|peer| named(peer, false)).collect();
            let _ = writeln!(
                text,
                "| {} | {} | {} | {best} | {} | {} |",
                row.name,
                cell(row.ours(), row.digits, "", ""),
                row.judged(),
                others.join(", "),
                cell(row.ahead().as_ref(), 2, "**", "×"),
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
            let _ = writeln!(text, " {} |", cell(row.ahead().as_ref(), 2, "**", "×"));
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
            let (Some(now), Some(then)) = (row.ahead(), committed(section, &row.name)) else {
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
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("RESULTS.md")
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
            rows: vec![Row {
                name: "call".into(),
                better: Better::Less,
                digits: 1,
                goal: Some(3.0),
                figures: [2.0, 6.0, 8.0].map(|f| Some(Figures::new(vec![f]))).into(),
            }],
        }
    }

    #[test]
    fn a_ratio_is_against_the_best_peer_and_is_read_back_from_the_table() {
        let group = group();
        assert_eq!(group.rows[0].ahead().unwrap().median(), 3.0);
        assert_eq!(committed(&group.table(), "call"), Some(3.0));
        assert_eq!(committed(&group.table(), "cal"), None);
    }

    #[test]
    fn a_rate_is_better_when_it_is_larger() {
        let mut group = group();
        group.rows[0].better = Better::More;
        assert_eq!(group.rows[0].ahead().unwrap().median(), 0.25);
    }

    #[test]
    fn the_best_peer_stands_by_itself_and_the_goal_says_whether_it_is_met() {
        let mut group = group();
        group.shape = Shape::Peers;
        let line = "| call | 2.0 (2.0–2.0) | ≤ 3, met | slow 6.0 (6.0–6.0) | slower 8.0 | \
                    **3.00×** (3.00–3.00) |";
        assert_eq!(group.table().lines().last(), Some(line));
        assert_eq!(committed(&group.table(), "call"), Some(3.0));

        group.rows[0].goal = Some(1.5);
        assert!(group.table().contains("≤ 1.5, **missed**"));
        group.rows[0].figures[0] = None;
        assert!(group.table().contains("| call | – | ≤ 1.5 | slow"));
    }

    #[test]
    fn a_section_is_found_between_its_marks() {
        let text = "a\n<!-- group: x -->\nb\n<!-- end of group: x -->\nc\n";
        assert_eq!(split(text, "x"), Some(("a\n", "\nb\n", "c\n")));
        assert_eq!(split(text, "y"), None);
    }
}
