// SPDX-License-Identifier: BSD-3-Clause
//! Generated modules stand alone: rustc compiles them without a warning, their tests pass, formatters
//! leave them as they are, and their tests fail when any constant is wrong.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use becket_lab::generate::{
    EXAMPLES, Order, PLAIN, Profile, Room, STEADY, STEADY_TEXT, TIGHT, module, module_in_lab, unit,
};
use becket_lab::link::Link;
use becket_lab::source::Source;

use crate::long::or_long;

/// A folder of this test alone.
fn folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Compiles a file as a test, without a warning, and gives what its tests say: by name, passed or not.
fn tested(file: &Path) -> BTreeMap<String, bool> {
    tested_with(file, "-Dwarnings")
}

fn tested_with(file: &Path, lints: &str) -> BTreeMap<String, bool> {
    let program = file.with_extension("test");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--edition", "2024", "--test", lints, "-C", "debuginfo=0", "-o"]);
    let output = command.arg(&program).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let output = Command::new(&program).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let results = said.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ... "));
    results.map(|(name, result)| (name.to_owned(), result == "ok")).collect()
}

/// Of every policy each value, and sources of several kinds.
fn profiles() -> Vec<Profile> {
    let steady = STEADY.profile().unwrap();
    let orders = [Order::Urgent, Order::Turns, Order::Numbers];
    let rooms = [Room::Empty, Room::Any, Room::Half];
    let sources = [Source::SlowDrip, Source::Resetting, Source::LateWrite];
    let mut profiles = Vec::new();
    for (at, ((order, room), source)) in orders.into_iter().zip(rooms).zip(sources).enumerate() {
        let mut profile = Profile { source, ..steady.clone() };
        profile.config.name = format!("policy_{at}");
        profile.link = Link::Chunked;
        (profile.policies.order, profile.policies.room) = (order, room);
        (profile.policies.half_close, profile.policies.reset) = (at != 1, at != 2);
        profiles.push(profile);
    }
    // The least and the most that keys allow.
    let mut least = steady.clone();
    least.config.name = "least".into();
    (least.config.max_flows, least.flows) = (1, 1);
    (least.config.max_chunk_bytes, least.config.max_buffered_bytes) = (1, 1);
    let policies = &mut least.policies;
    (policies.flow_bytes_max, policies.out_bytes_max, policies.budget_bytes_max) = (1, 1, 1);
    profiles.push(least);
    let mut most = steady;
    most.config.name = "most".into();
    (most.config.max_flows, most.flows, most.source) = (64, 64, Source::SmallBurst);
    (most.config.max_chunk_bytes, most.config.max_buffered_bytes) = (256 << 10, 8 << 20);
    (most.policies.flow_bytes_max, most.policies.out_bytes_max) = (256 << 10, 256 << 10);
    profiles.push(most);
    profiles
}

#[test]
fn modules_stand_alone_and_their_tests_pass() {
    let folder = folder("alone");
    let examples = EXAMPLES.iter().map(|example| example.profile().unwrap());
    let mut text = String::new();
    let profiles: Vec<_> = examples.chain(profiles()).collect();
    for profile in &profiles {
        let name = &profile.config.name;
        let module = module(profile).unwrap();
        fs::write(folder.join(format!("{name}.rs")), &module).unwrap();
        text.push_str(&format!("pub mod {name};\n"));
    }
    let file = folder.join("all.rs");
    fs::write(&file, text).unwrap();
    let results = tested(&file);
    assert_eq!(results.len(), 4 * profiles.len());
    let failed: Vec<_> = results.iter().filter(|(_, is_ok)| !**is_ok).collect();
    assert!(failed.is_empty(), "{failed:?}");
}

#[test]
fn a_unit_is_whole_and_as_formatters_want_it() {
    let folder = folder("unit");
    let profile = TIGHT.profile().unwrap();
    for (place, text) in unit(&profile).unwrap() {
        let file = folder.join(place);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let root = folder.join("src/lib.rs");
    assert!(tested(&root).values().all(|is_ok| *is_ok));
    // What it was generated of is in it.
    let written = fs::read_to_string(folder.join("profile.toml")).unwrap();
    assert_eq!(Profile::from_toml(&written, "profile.toml").unwrap(), profile);
    for profile in profiles() {
        fs::write(folder.join("src/other.rs"), module(&profile).unwrap()).unwrap();
        for file in ["src/lib.rs", "src/other.rs"] {
            let mut rustfmt = Command::new("rustfmt");
            let output = rustfmt.args(["--edition", "2024", "--check", file]).current_dir(&folder);
            let output = output.output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        }
    }
}

#[test]
fn the_same_profile_gives_the_same_bytes_whatever_its_comments() {
    assert_eq!(module_in_lab(&STEADY.profile().unwrap()).unwrap(), STEADY_TEXT);
    for example in EXAMPLES {
        let text = example.toml.replace(" = ", "  =  ");
        let text = format!("# Another comment.\n{text}\n# And one more.\n");
        let profile = Profile::from_toml(&text, "with comments").unwrap();
        let expected = module_in_lab(&example.profile().unwrap()).unwrap();
        assert_eq!(module_in_lab(&profile).unwrap(), expected, "{}", example.name);
        let again = Profile::from_toml(&profile.to_toml(), "again").unwrap();
        assert_eq!((again.to_toml(), again.sha256()), (profile.to_toml(), profile.sha256()));
    }
}

/// A module with something wrong in it.
struct Mutation {
    what: String,
    text: String,
}

/// The value of a constant, wrong.
fn wrong(kind: &str, value: &str) -> String {
    match (kind, value) {
        ("bool", "true") => "false".into(),
        ("bool", _) => "true".into(),
        ("&str", value) => value.replacen('"', "\"x", 1),
        (_, "0") => "1".into(),
        (_, number) => (number.parse::<u64>().unwrap() - 1).to_string(),
    }
}

/// One for each constant, each row of the lifecycle, each number and word of the first flows.
fn mutations(text: &str) -> Vec<Mutation> {
    let mut mutations = Vec::new();
    let lines: Vec<_> = text.lines().collect();
    let mut mutate = |at: usize, what: String, line: String| {
        let mut lines = lines.clone();
        lines[at] = &line;
        mutations.push(Mutation { what, text: lines.join("\n") });
    };
    let ends = lines.iter().position(|line| line.starts_with("mod tests")).unwrap();
    let mut plan_rows = 0;
    for (at, line) in lines.iter().enumerate().take(ends) {
        if let Some((name, kind, value)) = line.strip_prefix("pub const ").and_then(|rest| {
            let (name, rest) = rest.split_once(": ")?;
            let (kind, value) = rest.strip_suffix(';')?.split_once(" = ")?;
            Some((name, kind, value))
        }) {
            let value = wrong(kind, value);
            mutate(at, name.into(), format!("pub const {name}: {kind} = {value};"));
        } else if line.starts_with("    \"") && lines[at - 1].contains("&[&str] = &[") {
            // The first of a list of names.
            mutate(at, lines[at - 1].into(), line.replacen('"', "\"x", 1));
        } else if let Some(cells) = line.strip_prefix("        [") {
            let cells: Vec<_> = cells.trim_end_matches("],").split(", ").collect();
            // Of each row one; all of them are tried where it takes no compiler.
            let cell = at % cells.len();
            let mut wrong = cells.clone();
            wrong[cell] = if cells[cell] == "None" { "Some(Open)" } else { "None" };
            mutate(
                at,
                format!("cell {cell} of {line}"),
                format!("        [{}],", wrong.join(", ")),
            );
        } else if line.starts_with("        piece(") || line.starts_with("    flow(") {
            plan_rows += 1;
            if plan_rows > 2 {
                continue;
            }
            let (head, rest) = line.split_once('(').unwrap();
            let fields: Vec<_> = rest.split(", ").collect();
            for field in 0..fields.len() {
                let old = fields[field].trim_end_matches("),");
                let new = match old {
                    "Class::Bulk" => "Class::Normal".into(),
                    "Class::Interactive" | "Class::Normal" => "Class::Bulk".into(),
                    "End::Final" => "End::Reset".into(),
                    "End::Reset" | "End::HalfClose" => "End::Final".into(),
                    "&[" => continue,
                    // What a chunk may be at most matters when it is less.
                    number if head.trim() == "piece" && field == 4 => wrong("u64", number),
                    number => (number.parse::<u64>().unwrap() + 1).to_string(),
                };
                let mut fields: Vec<String> = fields.iter().map(|field| (*field).into()).collect();
                // A chunk that the seed does not change has a longest besides its base, and a salt
                // that adds nothing.
                let is_idle = head.trim() == "piece" && fields[2] == "1" && [1, 3].contains(&field);
                if is_idle {
                    continue;
                }
                fields[field] = fields[field].replacen(old, &new, 1);
                let line = format!("{head}({}", fields.join(", "));
                mutate(at, format!("field {field} of {line}"), line);
            }
        }
    }
    mutations
}

/// Whatever is wrong in a constant, a test of the module fails: all mutations of a module are compiled
/// at once, each in a module of its own.
#[test]
fn a_wrong_constant_fails_the_tests_of_its_module() {
    let text = module(&PLAIN.profile().unwrap()).unwrap();
    let mut mutations = mutations(&text);
    let names: Vec<_> = mutations.iter().map(|mutation| mutation.what.as_str()).collect();
    for constant in ["NAME", "MAX_FLOWS", "FLOW_BYTES_MAX", "RESET", "PROFILE_SHA256", "ROOM"] {
        assert!(names.contains(&constant), "{constant}");
    }
    assert!(mutations.len() > 40, "{}", mutations.len());
    // The compiler takes most of the time.
    let mut at = 0;
    mutations.retain(|_| {
        at += 1;
        at % or_long(3, 1) == 0
    });
    let folder = folder("mutations");
    let mut root = String::from("pub mod healthy;\n");
    fs::write(folder.join("healthy.rs"), &text).unwrap();
    for (at, mutation) in mutations.iter().enumerate() {
        fs::write(folder.join(format!("m{at}.rs")), &mutation.text).unwrap();
        root.push_str(&format!("pub mod m{at};\n"));
    }
    let file = folder.join("all.rs");
    fs::write(&file, root).unwrap();
    // A state to which nothing leads any more is one that is not used.
    let results = tested_with(&file, "-Awarnings");
    assert_eq!(results.len(), 4 * (mutations.len() + 1));
    let of_module = |name: &str| {
        let prefix = format!("{name}::");
        let tests = results.iter().filter(move |(test, _)| test.starts_with(&prefix));
        tests.filter(|(_, is_ok)| !**is_ok).count()
    };
    assert_eq!(of_module("healthy"), 0);
    let survived: Vec<_> = (0..mutations.len())
        .filter(|at| of_module(&format!("m{at}")) == 0)
        .map(|at| mutations[at].what.as_str())
        .collect();
    assert!(survived.is_empty(), "{survived:#?}");
}
