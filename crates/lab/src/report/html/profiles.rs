// SPDX-License-Identifier: BSD-3-Clause
//! The profiles: what each seed drew, and the verdicts of its runs.

use maud::{Markup, html};

use super::{Part, region, symbols, table};
use crate::report::words::{bytes, plural};

/// Number of profiles that are listed.
const PROFILES_MAX: usize = 400;

pub(super) fn profiles(part: &Part<'_>) -> Markup {
    let Part { report, id, .. } = part;
    let rows = html! {
        @for profile in report.profiles.iter().take(PROFILES_MAX) {
            tr {
                th.n scope="row" { (profile.seed) }
                td { (profile.link) }
                td { (profile.faults) }
                td { (profile.scheduler) }
                td.n { (profile.max_flows) }
                td.n { (bytes(profile.max_chunk_bytes)) }
                td.n { (bytes(profile.max_buffered_bytes)) }
                td.n { (bytes(profile.flow_bytes_max)) }
                td.n { (bytes(profile.window_bytes)) }
                td.verdicts { (symbols(&profile.runs)) }
            }
        }
    };
    let heads = [
        "#Seed",
        "Link",
        "Faults",
        "Scheduler",
        "#Flows",
        "#Chunk",
        "#Buffer",
        "#Room of a flow",
        "#Window",
        "Runs",
    ];
    let more = report.profiles.len().saturating_sub(PROFILES_MAX) as u64;
    let table = html! {
        (table(&heads, &rows))
        @if more > 0 { p.note { "And " (plural(more, "more profile")) "." } }
    };
    html! {
        details id={ (id) "-profiles" } {
            summary {
                h2 {
                    "Profiles "
                    small {
                        (plural(report.profiles.len() as u64, "profile")) ": what each seed drew"
                    }
                }
            }
            (region("card wide", "Profiles", &table))
        }
    }
}
