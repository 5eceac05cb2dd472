// SPDX-License-Identifier: BSD-3-Clause
//! Reports as one self-contained page.
//!
//! The page is readable without scripts; its short script copies commands, highlights a column and
//! unfolds the target of a link. A policy in the page's head allows only that script, and no
//! loading of resources. Colours follow the reader's light or dark setting; each colour has a
//! symbol beside it, and each drawing has a description in words. The page is also well-formed XML:
//! a test finds text that is not escaped.
//!
//! | file | holds |
//! |---|---|
//! | `head` | verdict, figures and gates |
//! | `failures` | failures |
//! | `timeline` | the last events of a failure, drawn |
//! | `rules` | rules by family, and as a list |
//! | `matrix` | adapter × rule, mutant × rule |
//! | `plots` | drawings of what was tried |
//! | `profiles` | the profiles, and verdicts of their runs |
//! | `svg` | drawings |
//! | `page.css`, `page.js` | style and script |

mod failures;
mod head;
mod matrix;
mod plots;
mod profiles;
mod rules;
mod svg;
mod timeline;

use maud::{Markup, PreEscaped, html as markup};

use super::view::{self, Tone, face};
use super::words::{plural, shown};
use super::{Report, RunReport};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// SHA-256 of the script, in base64: the policy of the page names it.
const SCRIPT_HASH: &str = "Ra7aKVCYDmqz3b3WFo16c4wudxwapMfFi/Avu6X5bOg=";

/// The logo: its path, and an icon for the tab.
const MARK: &str = "M8 15V9a4 4 0 1 0-4-4";
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' \
viewBox='0 0 16 16'%3E%3Cpath d='M8 15V9a4 4 0 1 0-4-4' fill='none' stroke='%232c7a6b' \
stroke-width='2.4' stroke-linecap='round'/%3E%3C/svg%3E";

/// The report as a page. The same report gives the same bytes.
#[must_use]
pub fn html(report: &Report) -> String {
    html_sheet(std::slice::from_ref(report))
}

/// Several reports as one page, in this order, with the kill matrix of the one with the most mutants.
/// With more than one the page begins with a matrix of adapters and rules.
#[must_use]
pub fn html_sheet(reports: &[Report]) -> String {
    let kills = reports.iter().map(|report| &report.mutants).max_by_key(|kills| kills.len());
    let kills = kills.filter(|kills| !kills.is_empty());
    let is_alone = reports.len() == 1;
    let parts = reports.iter().enumerate();
    let parts = parts.map(|(at, report)| Part { report, id: format!("r{at}"), is_alone });
    let page = markup! {
        (maud::DOCTYPE) "\n"
        html lang="en" xmlns="http://www.w3.org/1999/xhtml" {
            (begin(reports))
            body {
                a.skip href="#main" { "To the verdict" }
                header.top {
                    span.brand {
                        svg viewBox="0 0 16 16" aria-hidden="true" { path d=(MARK) {} }
                        "Becket lab"
                    }
                    (links(reports, kills.is_some()))
                }
                main #main {
                    @if !is_alone { (head::overview(reports)) (matrix::of_adapters(reports)) }
                    @for part in parts { (of_report(&part)) }
                    @if let Some(kills) = kills { (matrix::of_mutants(kills)) }
                    (rules::catalogue(reports))
                }
                footer {
                    p {
                        "Every number here follows from the seeds: the same check gives the same \
                         page, to the last byte."
                    }
                }
                script { "\n" (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string() + "\n"
}

/// One of the page's reports.
struct Part<'a> {
    report: &'a Report,
    /// Prefix of its anchors.
    id: String,
    is_alone: bool,
}

/// The head of the page. Empty elements are closed, as XML requires.
fn begin(reports: &[Report]) -> Markup {
    let title = match reports {
        [report] => format!("{}: {}", view::name(report), report.verdict),
        reports => plural(reports.len() as u64, "adapter"),
    };
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{SCRIPT_HASH}'"
    );
    let meta = format!(
        r#"<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<meta http-equiv="Content-Security-Policy" content="{policy}"/>
<link rel="icon" href="{ICON}"/>
"#
    );
    markup! {
        head {
            (PreEscaped(meta))
            title { (title) " · Becket lab" }
            style { "\n" (PreEscaped(STYLE)) }
        }
    }
}

fn links(reports: &[Report], has_kills: bool) -> Markup {
    let has_failures = reports.iter().any(|report| !view::groups(report).is_empty());
    let is_alone = reports.len() == 1;
    let links = [
        (!is_alone, "matrix", "Adapters and rules"),
        (is_alone, "r0-gates", "Gates"),
        (is_alone && has_failures, "r0-failures", "Failures"),
        (is_alone, "r0-rules", "Rules"),
        (is_alone, "r0-plots", "Plots"),
        (is_alone, "r0-profiles", "Profiles"),
        (has_kills, "kills", "Mutants"),
        (true, "catalogue", "Catalogue"),
    ];
    markup! {
        nav aria-label="Sections" {
            @for (_, id, name) in links.into_iter().filter(|(is_there, ..)| *is_there) {
                a href={ "#" (id) } { (name) } "\n"
            }
        }
    }
}

fn of_report(part: &Part<'_>) -> Markup {
    let verdict = head::verdict(part);
    let rest = markup! {
        (head::figures(part))
        (head::gates(part))
        (failures::failures(part))
        (failures::expectations(part))
        (rules::by_family(part))
        (plots::plots(part))
        (head::agreements(part))
        (profiles::profiles(part))
    };
    markup! {
        @if part.is_alone { (verdict) (rest) }
        @else { details.report id=(part.id) { summary { (verdict) } (rest) } }
    }
}

/// The style class of a tone.
const fn class(tone: Tone) -> &'static str {
    match tone {
        Tone::Good => "good",
        Tone::Warn => "warn",
        Tone::Bad => "bad",
        Tone::Head | Tone::Dim => "dim",
    }
}

/// A verdict as a round mark: a symbol, a colour, and a word for screen readers.
fn mark(verdict: &str) -> Markup {
    let face = face(verdict);
    markup! {
        span.mark.(class(face.tone)) title=(verdict) {
            span aria-hidden="true" { (face.symbol) }
            span.hidden { (verdict) }
        }
    }
}

/// A verdict as a small symbol with a tooltip.
fn symbol(of: &str, verdict: &str) -> Markup {
    let face = face(verdict);
    markup! { i.(class(face.tone)) title={ (of) ": " (verdict) } { (face.symbol) } }
}

/// The verdicts of a profile's runs.
fn symbols(runs: &[RunReport]) -> Markup {
    markup! { @for run in runs { (symbol(run.scenario, run.verdict)) } }
}

/// A command, and a button that copies it.
fn command(command: &str) -> Markup {
    markup! {
        div.command { pre tabindex="0" { (shown(command)) } button type="button" { "copy" } }
    }
}

/// A region that scrolls if it is wider than the page, and that the keyboard can reach.
fn region(class: &str, label: &str, content: &Markup) -> Markup {
    markup! { div class=(class) tabindex="0" role="region" aria-label=(label) { (content) } }
}

/// A table with these headings. A leading `#` marks a column of numbers.
fn table(heads: &[&str], rows: &Markup) -> Markup {
    let heads = heads.iter().map(|head| match head.strip_prefix('#') {
        Some(name) => (Some("n"), name),
        None => (None, *head),
    });
    markup! {
        table.list {
            thead { tr { @for (class, name) in heads { th class=[class] { (name) } } } }
            tbody { (rows) }
        }
    }
}

/// The meaning of symbols: each with its class and a word.
fn legend<'a>(symbols: impl IntoIterator<Item = (&'a str, &'a str, &'a str)>) -> Markup {
    markup! {
        ul.legend {
            @for (symbol, class, word) in symbols {
                li { i class=(class) aria-hidden="true" { (symbol) } (word) }
            }
        }
    }
}

/// A gate's name as words: `local_adapter_trace_hygiene` is `Trace hygiene`.
fn words_of(gate: &str) -> String {
    let words = gate.strip_prefix("local_adapter_").unwrap_or(gate).replace('_', " ");
    let mut chars = words.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).collect()
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn base64(bytes: &[u8]) -> String {
        const ALPHABET: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let digits = bytes.chunks(3).flat_map(|three| {
            let word =
                (0..3).fold(0, |word, at| word << 8 | u32::from(*three.get(at).unwrap_or(&0)));
            let digits = [18, 12, 6, 0].map(|shift| ALPHABET[(word >> shift & 63) as usize]);
            let filled = three.len() + 1;
            digits
                .into_iter()
                .enumerate()
                .map(move |(at, digit)| if at < filled { digit } else { b'=' })
        });
        digits.map(char::from).collect()
    }

    #[test]
    fn the_policy_names_the_script_that_the_page_has() {
        assert_eq!(base64(b"ma"), "bWE=");
        // The hash covers the text between the tags, with the line feed after the first tag.
        let hash = Sha256::digest(format!("\n{SCRIPT}"));
        assert_eq!(base64(&hash), SCRIPT_HASH);
    }

    #[test]
    fn a_gate_has_a_name_for_people() {
        assert_eq!(words_of("local_adapter_trace_hygiene"), "Trace hygiene");
        assert_eq!(words_of(""), "");
    }
}
