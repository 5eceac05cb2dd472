// SPDX-License-Identifier: BSD-3-Clause
//! The profiles: what each seed drew, and the verdicts of its runs.

use super::{Part, class};
use crate::report::view::face;
use crate::report::words::{bytes, plural};

/// Number of profiles that are listed.
const PROFILES_MAX: usize = 400;

pub(super) fn profiles(out: &mut String, part: &Part<'_>) {
    let Part { report, id, .. } = part;
    let all = plural(report.profiles.len() as u64, "profile");
    out.push_str(&format!(
        "<details id=\"{id}-profiles\"><summary><h2>Profiles <small>{all}: what each seed drew</small>\
         </h2></summary>\n<div class=\"card wide\" tabindex=\"0\" role=\"region\" \
         aria-label=\"Profiles\">\n<table class=\"list\"><thead><tr><th class=\"n\">Seed</th>\
         <th>Link</th><th>Faults</th><th>Scheduler</th><th class=\"n\">Flows</th>\
         <th class=\"n\">Chunk</th><th class=\"n\">Buffer</th><th class=\"n\">Room of a flow</th>\
         <th class=\"n\">Window</th><th>Runs</th></tr></thead><tbody>\n"
    ));
    for profile in report.profiles.iter().take(PROFILES_MAX) {
        let runs: String = profile
            .runs
            .iter()
            .map(|run| {
                let face = face(run.verdict);
                let (class, symbol) = (class(face.tone), face.symbol);
                let title = format!("{}: {}", run.scenario, run.verdict);
                format!("<i class=\"{class}\" title=\"{title}\">{symbol}</i>")
            })
            .collect();
        out.push_str(&format!(
            "<tr><th class=\"n\" scope=\"row\">{}</th><td>{}</td><td>{}</td><td>{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"verdicts\">{runs}</td></tr>\n",
            profile.seed,
            profile.link,
            profile.faults,
            profile.scheduler,
            profile.max_flows,
            bytes(profile.max_chunk_bytes),
            bytes(profile.max_buffered_bytes),
            bytes(profile.flow_bytes_max),
            bytes(profile.window_bytes),
        ));
    }
    out.push_str("</tbody></table>\n");
    if report.profiles.len() > PROFILES_MAX {
        let more = plural((report.profiles.len() - PROFILES_MAX) as u64, "more profile");
        out.push_str(&format!("<p class=\"note\">And {more}.</p>\n"));
    }
    out.push_str("</div>\n</details>\n");
}
