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

use super::view::{self, Tone, face};
use super::words::{escaped, plural};
use super::{Kills, Report};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");
/// SHA-256 of the script, in base64: the policy of the page names it.
const SCRIPT_HASH: &str = "Ra7aKVCYDmqz3b3WFo16c4wudxwapMfFi/Avu6X5bOg=";

/// The mark, here and in the tab.
const ICON: &str = "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' \
viewBox='0 0 16 16'%3E%3Cpath d='M8 15V9a4 4 0 1 0-4-4' fill='none' stroke='%232c7a6b' \
stroke-width='2.4' stroke-linecap='round'/%3E%3C/svg%3E";

/// The content of a page.
#[derive(Debug, Clone, Copy)]
pub struct Sheet<'a> {
    /// Reports, in display order. With more than one the page begins with a matrix of adapters and
    /// rules.
    pub reports: &'a [Report],
    /// The kill matrix. `None`: that of the report with the most mutants.
    pub kills: Option<&'a Kills>,
}

/// The report as a page. The same report gives the same bytes.
#[must_use]
pub fn html(report: &Report) -> String {
    html_sheet(&Sheet { reports: std::slice::from_ref(report), kills: None })
}

/// Several reports as one page, with the kill matrix if it is given.
#[must_use]
pub fn html_sheet(sheet: &Sheet<'_>) -> String {
    let Sheet { reports, kills } = *sheet;
    let most = reports.iter().max_by_key(|report| report.mutants.len()).map(Kills::of);
    let kills = kills.or(most.as_ref()).filter(|kills| !kills.rows.is_empty());
    let mut out = String::with_capacity(64 << 10);
    begin(&mut out, reports, kills.is_some());
    if reports.len() != 1 {
        head::overview(&mut out, reports);
        matrix::of_adapters(&mut out, reports);
    }
    for (at, report) in reports.iter().enumerate() {
        let part = Part { report, id: format!("r{at}"), is_alone: reports.len() == 1 };
        of_report(&mut out, &part);
    }
    if let Some(kills) = kills {
        matrix::of_mutants(&mut out, kills);
    }
    rules::catalogue(&mut out, reports);
    end(&mut out);
    out
}

/// One of the page's reports.
struct Part<'a> {
    report: &'a Report,
    /// Prefix of its anchors.
    id: String,
    is_alone: bool,
}

fn begin(out: &mut String, reports: &[Report], has_kills: bool) {
    let title = match reports {
        [report] => format!("{}: {}", view::name(report), report.verdict),
        reports => plural(reports.len() as u64, "adapter"),
    };
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{SCRIPT_HASH}'"
    );
    out.push_str(&format!(
        r##"<!DOCTYPE html>
<html lang="en" xmlns="http://www.w3.org/1999/xhtml">
<head>
<meta charset="utf-8"/>
<meta name="viewport" content="width=device-width, initial-scale=1"/>
<meta name="color-scheme" content="light dark"/>
<meta http-equiv="Content-Security-Policy" content="{policy}"/>
<title>{title} · Becket lab</title>
<link rel="icon" href="{ICON}"/>
<style>
{STYLE}</style>
</head>
<body>
<a class="skip" href="#main">To the verdict</a>
<header class="top">
<span class="brand"><svg viewBox="0 0 16 16" aria-hidden="true"><path d="M8 15V9a4 4 0 1 0-4-4"/></svg>Becket lab</span>
<nav aria-label="Sections">
"##,
        title = escaped(&title),
    ));
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
    for (_, id, name) in links.into_iter().filter(|(is_there, ..)| *is_there) {
        out.push_str(&format!("<a href=\"#{id}\">{name}</a>\n"));
    }
    out.push_str("</nav>\n</header>\n<main id=\"main\">\n");
}

fn of_report(out: &mut String, part: &Part<'_>) {
    if part.is_alone {
        head::verdict(out, part);
    } else {
        out.push_str(&format!("<details class=\"report\" id=\"{}\">\n<summary>\n", part.id));
        head::verdict(out, part);
        out.push_str("</summary>\n");
    }
    head::figures(out, part);
    head::gates(out, part);
    failures::failures(out, part);
    failures::expectations(out, part);
    rules::by_family(out, part);
    plots::plots(out, part);
    head::agreements(out, part);
    profiles::profiles(out, part);
    if !part.is_alone {
        out.push_str("</details>\n");
    }
}

fn end(out: &mut String) {
    out.push_str(
        "</main>\n<footer>\n<p>Every number here follows from the seeds: the same check gives the \
         same page, to the last byte.</p>\n</footer>\n<script>\n",
    );
    out.push_str(SCRIPT);
    out.push_str("</script>\n</body>\n</html>\n");
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
fn mark(verdict: &str) -> String {
    let face = face(verdict);
    let (class, symbol) = (class(face.tone), face.symbol);
    format!(
        "<span class=\"mark {class}\" title=\"{verdict}\"><span aria-hidden=\"true\">{symbol}</span>\
         <span class=\"hidden\">{verdict}</span></span>"
    )
}

/// A command, and a button that copies it.
fn command(out: &mut String, command: &str) {
    out.push_str(&format!(
        "<div class=\"command\"><pre tabindex=\"0\">{}</pre><button type=\"button\">copy</button></div>\n",
        escaped(command)
    ));
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
        // What stands between the tags is hashed, with the line feed behind the first.
        let hash = Sha256::digest(format!("\n{SCRIPT}"));
        assert_eq!(base64(&hash), SCRIPT_HASH);
    }

    #[test]
    fn a_gate_has_a_name_for_people() {
        assert_eq!(words_of("local_adapter_trace_hygiene"), "Trace hygiene");
        assert_eq!(words_of(""), "");
    }
}
