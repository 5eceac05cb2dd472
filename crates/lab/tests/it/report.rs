// SPDX-License-Identifier: BSD-3-Clause
//! Reports in all their forms: a green and a red report are compared with the files in
//! `tests/it/reports`; each form is well formed, the same for the same check, and shows a hostile
//! name only as text. `SNAPSHOTS=overwrite cargo test -p becket-lab --test it report` updates the
//! files.

use crate::sample::{green, red};
use becket_lab::adapters::HEALTHY;
use becket_lab::check::{self, Mode, Options};
use becket_lab::mutant;
use becket_lab::report::{
    MutantReport, Report, Timing, Tone, Unended, compare, html, html_sheet, json, junit, markdown,
    plain, text,
};
use becket_lab::rules::Verdict;
use roxmltree::{Document, Node, ParsingOptions};
use snapbox::{assert_data_eq, file};

use crate::schema;

fn checked(name: &str, make: check::Make<'_>) -> Report {
    check::run(&Options { profiles: Some(2), ..Options::quick(name, make) })
}

/// Real checks: of a healthy pair, and of a mutant.
fn real() -> [Report; 2] {
    let mutant = mutant::of_name("drops_final_chunk").unwrap();
    [checked("memory", &HEALTHY[0].make), checked(mutant.name, &mutant.make)]
}

type Form = (&'static str, fn(&Report) -> String);

/// All of them.
const FORMS: [Form; 5] = [
    ("json", |report| json(report).unwrap()),
    ("junit", |report| junit(std::slice::from_ref(report))),
    ("markdown", markdown),
    ("html", html),
    ("text", |report| text(report, &plain)),
];

/// A page as XML: what was not escaped does not pass.
fn page(text: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(text, options).unwrap()
}

/// What a page shows, a line a piece of text.
fn outline(text: &str) -> String {
    let document = page(text);
    let is_shown = |node: &Node<'_, '_>| {
        let inside = ["script", "style"];
        node.is_text() && !node.ancestors().any(|it| inside.contains(&it.tag_name().name()))
    };
    let texts = document.descendants().filter(is_shown).filter_map(|node| node.text());
    let lines: Vec<_> = texts.map(str::trim).filter(|text| !text.is_empty()).collect();
    lines.join("\n") + "\n"
}

#[test]
fn json_says_what_is_kept() {
    assert_data_eq!(json(&green()).unwrap(), file!["reports/green.json"]);
    assert_data_eq!(json(&red()).unwrap(), file!["reports/red.json"]);
}

#[test]
fn junit_says_what_is_kept() {
    assert_data_eq!(junit(&[green()]), file!["reports/green.xml": Text]);
    assert_data_eq!(junit(&[red()]), file!["reports/red.xml": Text]);
}

#[test]
fn markdown_says_what_is_kept() {
    assert_data_eq!(markdown(&green()), file!["reports/green.md"]);
    assert_data_eq!(markdown(&red()), file!["reports/red.md"]);
}

#[test]
fn pages_say_what_is_kept() {
    assert_data_eq!(outline(&html(&green())), file!["reports/green.html.txt"]);
    assert_data_eq!(outline(&html(&red())), file!["reports/red.html.txt"]);
}

#[test]
fn the_text_form_equals_the_kept_one() {
    assert_data_eq!(text(&green(), &plain), file!["reports/green.txt"]);
    // What is painted stands between the tone's name and an end.
    let paint = |tone: Tone, text: &str| format!("<{tone:?}>{text}</>");
    assert_data_eq!(text(&red(), &paint), file!["reports/red.txt"]);
}

/// `BECKET_LAB_PAGES=DIR` keeps pages of a full check, a failed one and several, to be looked at.
#[test]
fn pages_are_kept_where_they_are_wanted() {
    let Some(dir) = std::env::var_os("BECKET_LAB_PAGES") else { return };
    let dir = std::path::Path::new(&dir);
    let keep = |name, text: &str| std::fs::write(dir.join(name), text).unwrap();
    let make = &HEALTHY[0].make;
    let mutant = mutant::of_name("drops_final_chunk").unwrap();
    let artefacts: &(dyn Fn(&check::Artefact<'_>) + Sync) = &|_| {};
    let options = Options::quick(mutant.name, &mutant.make);
    let failed = check::run(&Options { artefacts: Some(artefacts), ..options });
    keep("failed.html", &html(&failed));
    keep("failed.md", &markdown(&failed));
    let full = check::run(&Options { mode: Mode::Full, jobs: 2, ..Options::quick("memory", make) });
    keep("full.html", &html(&full));
    let healthy = HEALTHY.iter().map(|pair| checked(pair.name, &pair.make));
    let reports: Vec<_> = healthy.chain([failed, full]).collect();
    keep("all.html", &html_sheet(&reports));
}

#[test]
fn each_form_of_a_check_is_well_formed_and_the_same_again() {
    let (once, again) = (real(), real());
    for (one, other) in once.iter().zip(&again) {
        for (name, form) in FORMS {
            assert!(form(one) == form(other), "{name} of {}", one.adapter);
        }
        junit_is_valid(&junit(std::slice::from_ref(one)));
        page_is_whole(&html(one));
        schema::holds(&serde_json::from_str(&json(one).unwrap()).unwrap());
    }
    junit_is_valid(&junit(&once));
    junit_is_valid(&junit(&[]));
    page_is_whole(&html_sheet(&once));
    page_is_whole(&html_sheet(&[]));
}

/// What the schema of Jenkins asks for: elements in their places, attributes that it knows, and sums
/// that are those of the cases.
fn junit_is_valid(text: &str) {
    let document = Document::parse(text).unwrap();
    let root = document.root_element();
    assert_eq!(root.tag_name().name(), "testsuites");
    attributes(root, &["name", "time", "tests", "failures", "errors", "skipped"]);
    let mut all = [0; 4];
    for suite in root.children().filter(Node::is_element) {
        assert_eq!(suite.tag_name().name(), "testsuite");
        let known = ["name", "tests", "failures", "errors", "time", "skipped", "id", "timestamp"];
        attributes(suite, &known);
        let counts = suite_is_valid(suite);
        for (sum, count) in all.iter_mut().zip(counts) {
            *sum += count;
        }
    }
    assert_eq!(["tests", "failures", "errors", "skipped"].map(|name| number(root, name)), all);
}

fn suite_is_valid(suite: Node<'_, '_>) -> [usize; 4] {
    let (mut tests, mut failures, mut errors, mut skipped) = (0, 0, 0, 0);
    let mut is_first = true;
    for node in suite.children().filter(Node::is_element) {
        if node.tag_name().name() == "properties" {
            assert!(is_first, "properties come first");
            node.children()
                .filter(Node::is_element)
                .for_each(|it| attributes(it, &["name", "value"]));
        } else {
            assert_eq!(node.tag_name().name(), "testcase");
            attributes(node, &["name", "classname", "time", "assertions", "status"]);
            assert!(!node.attribute("name").unwrap().is_empty());
            tests += 1;
            let said: Vec<_> = node.children().filter(Node::is_element).collect();
            assert!(said.len() <= 1);
            for said in said {
                match said.tag_name().name() {
                    "failure" => failures += 1,
                    "error" => errors += 1,
                    "skipped" => skipped += 1,
                    name => assert_eq!(name, "system-out"),
                }
                attributes(said, &["type", "message"]);
            }
        }
        is_first = false;
    }
    let said = ["tests", "failures", "errors", "skipped"].map(|name| number(suite, name));
    assert_eq!(said, [tests, failures, errors, skipped]);
    said
}

fn number(node: Node<'_, '_>, attribute: &str) -> usize {
    node.attribute(attribute).unwrap().parse().unwrap()
}

fn attributes(node: Node<'_, '_>, known: &[&str]) {
    for attribute in node.attributes() {
        assert!(known.contains(&attribute.name()), "{attribute:?} of {:?}", node.tag_name());
    }
}

/// It loads nothing, has one script, each anchor that a link names, no anchor twice, and names for
/// what is drawn.
fn page_is_whole(text: &str) {
    let document = page(text);
    let all = || document.descendants().filter(Node::is_element);
    let of = |name: &'static str| all().filter(move |node| node.tag_name().name() == name);
    let ids: Vec<_> = all().filter_map(|node| node.attribute("id")).collect();
    let unique: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(ids.len(), unique.len(), "an id twice");
    assert_eq!(of("script").count(), 1);
    assert_eq!(of("h1").count(), 1, "a page has one heading of the first level");
    for node in all() {
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(!name.starts_with("on") && name != "src", "{attribute:?}");
            if name != "href" {
                continue;
            }
            match value.strip_prefix('#') {
                Some(id) => assert!(unique.contains(&id), "{id} is nowhere"),
                None => assert!(value.starts_with("data:image/svg+xml,"), "{value}"),
            }
        }
    }
    assert!(!text.contains("@import") && !text.contains("url("));
    let policy = of("meta").find_map(|node| {
        let equiv = node.attribute("http-equiv")?;
        (equiv == "Content-Security-Policy").then(|| node.attribute("content").unwrap())
    });
    let policy = policy.unwrap();
    assert!(policy.starts_with("default-src 'none'; ") && policy.contains("script-src 'sha256-"));
    for drawing in of("svg") {
        let is_named = drawing.attribute("aria-label").is_some_and(|name| !name.is_empty());
        assert!(is_named || drawing.attribute("aria-hidden") == Some("true"));
    }
    for table in of("table") {
        assert!(table.descendants().any(|node| node.tag_name().name() == "th"));
    }
}

/// Tags, quotes, control characters, marks that turn text around, and what Markdown makes of names.
const HOSTILE: &str = "<script>alert(1)</script>\"'&\u{0}\u{1b}[31m\n## ok\u{202e}`|**@all**``]]>";

fn hostile() -> Report {
    let mut report = red();
    report.adapter = HOSTILE.into();
    report.command = format!("becket check plugin {HOSTILE}");
    for failure in &mut report.failures {
        failure.command.clone_from(&report.command);
    }
    report.gates[0].reason = Some(HOSTILE.into());
    report.agreements[0].error = Some(HOSTILE.into());
    report.expectations[0].reason = HOSTILE.into();
    report.profiles[0].runs[0].findings[0].said = HOSTILE.into();
    report.failures[0].said = HOSTILE.into();
    report.failures[0].replay = Some(HOSTILE.into());
    for event in &mut report.failures[0].last_events {
        event.said = HOSTILE.into();
    }
    report
}

#[test]
fn a_hostile_name_is_text_in_each_form() {
    let report = hostile();
    let kill = MutantReport { name: HOSTILE, result: "survived", rules: Vec::new() };
    let mutants = std::iter::repeat_n(kill, 1 + report.mutants.len()).collect();
    let sheet = html_sheet(&[report.clone(), Report { mutants, ..red() }]);
    for text in [html(&report), sheet] {
        page_is_whole(&text);
        assert!(text.contains("&lt;script&gt;alert(1)"));
    }
    junit_is_valid(&junit(std::slice::from_ref(&report)));
    for (name, form) in FORMS {
        let text = form(&report);
        let bad = |c: char| c.is_control() && c != '\n' || c == '\u{202e}';
        assert!(!text.contains(bad) || name == "json", "{name}");
        assert!(name != "json" || !text.contains(char::is_control) || text.lines().count() > 1);
        // A line of its own would be a heading.
        assert!(!text.lines().any(|line| line.starts_with("## ok")), "{name}");
    }
    let text = markdown(&report);
    for line in text.lines().filter(|line| line.contains("<script>")) {
        // In a code span, or in a block of code.
        let before = line.split("<script>").next().unwrap();
        let is_code = before.contains("``` ") || before.contains("```") || before.contains('`');
        let is_block = before.starts_with("becket check plugin ")
            || before.starts_with("becket lab replay ")
            || before.contains(" ms  ");
        assert!(is_code || is_block, "{line}");
    }
    assert!(!text.contains("**Cause:** <script>"));
}

#[test]
fn secrets_are_hidden_in_each_form() {
    let make = &HEALTHY[0].make;
    for name in ["my-password-71af", "/run/Token=71af/x.so", "password71af:secret_trace_leak"] {
        let report = checked(name, make);
        for (form_name, form) in FORMS {
            let text = form(&report);
            assert!(!text.contains("71af") && text.contains("(hidden)"), "{name} {form_name}");
        }
    }
    // The lab's own names are not secrets, whatever they contain.
    let report = checked("mutant:secret_trace_leak", make);
    assert!(report.command.ends_with("secret_trace_leak"));
}

/// A check that did not finish has a report in each form, which says so and is no pass.
#[test]
fn a_check_that_did_not_end_says_so_in_each_form() {
    let why = || Unended {
        cause: "the plugin ended it: <signal 6>, SIGABRT".into(),
        replays: vec!["kept/INT-01 1.replay".into()],
    };
    let unended = |is_failed| Report::unended("my-adapter", (Mode::Full, 7), is_failed, why());
    for (is_failed, verdict, exit_code) in [(true, "fail", 1), (false, "inconclusive", 3)] {
        let report = unended(is_failed);
        assert_eq!((report.verdict, report.exit_code), (verdict, exit_code));
        for (name, form) in FORMS {
            let text = form(&report);
            // What is skipped has one line in JUnit.
            let is_named = text.contains("kept/INT-01 1.replay") || !is_failed && name == "junit";
            assert!(
                is_named && text.contains("SIGABRT") && !text.contains("none of 0 runs"),
                "{name}: {text}"
            );
        }
        junit_is_valid(&junit(std::slice::from_ref(&report)));
        page_is_whole(&html(&report));
        schema::holds(&serde_json::from_str(&json(&report).unwrap()).unwrap());
    }
    let failed = junit(&[unended(true)]);
    assert_eq!(failed.matches("<failure ").count(), 1, "{failed}");
    assert!(failed.contains("--full --start-seed 7\nKept: becket lab replay "), "{failed}");
    let reports = [green(), unended(true)].map(|report| json(&report).unwrap());
    assert!(compare(&reports[0], &reports[1]).unwrap().exit_code == 1);
    let hidden = Unended { cause: "password=71af".into(), replays: vec!["token/71af".into()] };
    let hidden = Report::unended("x", (Mode::Quick, 1), true, hidden);
    for (name, form) in FORMS {
        let text = form(&hidden);
        assert!(!text.contains("71af") && text.contains("(hidden)"), "{name}: {text}");
    }
}

#[test]
fn the_time_is_there_if_it_was_asked_for() {
    let mut report = green();
    let without = FORMS.map(|(_, form)| form(&report));
    report.timing = Some(Timing { elapsed_ms: 61_234 });
    let shown = [r#""elapsed_ms": 61234"#, r#" time="61.234""#, "61.2 s", "61.2 s", "61.2 s"];
    for ((form, without), shown) in FORMS.iter().zip(without).zip(shown) {
        assert!(!without.contains(shown) && form.1(&report).contains(shown), "{}", form.0);
    }
    junit_is_valid(&junit(std::slice::from_ref(&report)));
    schema::holds(&serde_json::from_str(&json(&report).unwrap()).unwrap());
}

#[test]
fn a_command_repeats_the_scenario_in_its_mode() {
    let mut report = green();
    report.command = "becket check plugin x.so".into();
    let repeated = |scenario| report.repeat(7, scenario);
    assert_eq!(
        repeated("single_flow_echo"),
        "becket check plugin x.so --start-seed 7 --profiles 1"
    );
    assert!(repeated("half_close").ends_with(" --profiles 1 --full"));
}

/// A run that violates two rules is shown once: its events and commands are listed with the first
/// one.
#[test]
fn no_form_for_people_tells_a_run_twice() {
    let mut report = red();
    let seen = "a saying of the first";
    // What was shrunk has events of its own.
    report.failures.retain(|failure| failure.small.is_none());
    for failure in &mut report.failures {
        failure.last_events.iter_mut().for_each(|event| event.said = seen.into());
    }
    let alone = |mut report: Report| {
        report.failures.iter_mut().for_each(|failure| failure.shown_with = None);
        report
    };
    let events = report.failures[0].last_events.len();
    // In a page each event is in its table, and beside it in the drawing.
    for (name, times, form) in [
        ("junit", 1, (|report| junit(std::slice::from_ref(report))) as fn(&Report) -> String),
        ("markdown", 1, markdown),
        ("html", 2, html),
        ("text", 1, |report| text(report, &plain)),
    ] {
        let count = |report: &Report| form(report).matches(seen).count();
        assert_eq!(count(&report), times * events, "{name}");
        assert_eq!(count(&alone(report.clone())), 2 * times * events, "{name}");
        assert!(form(&report).contains("INT-07"), "{name}");
    }
}

/// What is shown of a rule is one run: where, why, and its events, also if others were expected.
#[test]
fn the_cause_that_is_shown_is_of_the_run_whose_events_are() {
    let mut report = red();
    // The first of two was expected, and so it is not reported.
    report.profiles[0].runs[0].verdict = "known-fail";
    report.profiles[0].runs[0].findings.iter_mut().for_each(|it| it.is_known = true);
    report.profiles[1].runs[0].findings[0].said = "the unexpected one".into();
    (report.failures[0].seed, report.failures[0].said) = (8, "the unexpected one".into());
    for (name, form) in FORMS.into_iter().filter(|(name, _)| !["json", "junit"].contains(name)) {
        let text = form(&report);
        let at = |said: &str| text.find(said).unwrap_or_else(|| panic!("{name}: {said}"));
        assert!(at("the unexpected one") < at("egress is offered 65 bytes"), "{name}");
    }
    let shown = text(&report, &plain);
    let failure = shown.split("\n\n").find(|part| part.starts_with("✗ INT-05")).unwrap();
    assert!(failure.contains("where:  single_flow_echo, seed 8,"), "{failure}");
}

#[test]
fn what_was_expected_in_each_run_is_no_failure() {
    let mut report = red();
    // Beside what was expected something else is wrong with the run.
    let unknown = report.profiles[0].runs[0].findings[0].clone();
    let run = &mut report.profiles[2].runs[0];
    run.verdict = "fail";
    run.findings.push(unknown);
    let shown = text(&report, &plain);
    assert!(shown.contains("◇ ISO-03 ") && shown.contains("✗ INT-05 "), "{shown}");
    report.profiles[2].runs[0].findings[0].is_known = false;
    assert!(text(&report, &plain).contains("✗ ISO-03 "));
}

/// Whatever else a run ended with, a rule that it violates is reported.
#[test]
fn a_violated_rule_is_reported_for_a_run_of_any_verdict() {
    for verdict in Verdict::ALL {
        let mut report = red();
        report.profiles[1].runs[1].verdict = verdict.name();
        for (name, form) in FORMS {
            let text = form(&report);
            let is_listed = name == "junit" || text.contains("RES-04");
            assert!(is_listed, "{name} of a run that is {}", verdict.name());
        }
        assert!(text(&report, &plain).contains("≈ RES-04"), "{}", verdict.name());
    }
}

#[test]
fn a_page_has_room_for_numbers_of_any_size() {
    let mut report = green();
    for (run, number) in report.profiles[0].runs.iter_mut().zip([0, u64::MAX]) {
        let size = run.size.as_mut().unwrap();
        (size.events, size.ticks) = (number, number);
    }
    report.rules[0].exercised = u64::MAX / 200;
    page_is_whole(&html(&report));
}
