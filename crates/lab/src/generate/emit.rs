// SPDX-License-Identifier: BSD-3-Clause
//! The text of a generated module: constants, types, the lifecycle as a table, the plan, the
//! backend, and the expected values of its tests.
//!
//! The text depends only on the profile and on the lab. The expected values are those of the
//! [interpreted](super::interpreted) backend under the same [drive](super::drive).

use std::fmt::{self, Write as _};

use super::drive::{Log, drive, lives, planned};
use super::error::GenerateError;
use super::interpreted::Interpreted;
use super::plan::{self, Lengths};
use super::profile::{Order, Profile, Room};
use super::vocabulary as words;
use crate::contract::{Capability, Class, FlowEvent, FlowState, Lifecycle, Transition};
use crate::replay::words::Word;
use crate::source::{End, FlowPlan};
use crate::trace::FaultKind;

/// The version of the form of generated modules. It increases when their content changes.
pub const SCHEMA: &str = "becket-lab-generated/1";
/// The generator and its version, in each module.
pub const GENERATOR: &str = concat!("becket-lab ", env!("CARGO_PKG_VERSION"));

const VOCABULARY: &str = include_str!("vocabulary.rs");
const DRIVE: &str = include_str!("drive.rs");
/// Replaces the types in the lab's own module.
const WORDS_OF_THE_LAB: &str = "\
pub use crate::generate::vocabulary::{
    Carries, Cause, Chunk, Class, End, Event, Flow, Host, Piece, Port, Refusal, State,
};

";
const BACKEND: &str = include_str!("template/backend.txt");
const TESTS: &str = include_str!("template/tests.txt");

/// Seeds of the drives in a module's tests.
const DRIVES: std::ops::Range<u64> = 1..9;
/// Seeds of the plans in a module's tests.
const PLANS: std::ops::Range<u64> = 0..40;

/// The type of a list of names.
const LIST: &str = "&[&str]";

/// A constant: its name, its type, its value as code and as text, and its description.
pub(crate) struct Constant {
    pub(crate) name: &'static str,
    kind: &'static str,
    code: String,
    pub(crate) value: String,
    what: &'static str,
}

fn text(name: &'static str, value: &str, what: &'static str) -> Constant {
    Constant { name, kind: "&str", code: format!("{value:?}"), value: value.into(), what }
}

fn number(name: &'static str, kind: &'static str, value: u64, what: &'static str) -> Constant {
    Constant { name, kind, code: value.to_string(), value: value.to_string(), what }
}

fn flag(name: &'static str, value: bool, what: &'static str) -> Constant {
    Constant { name, kind: "bool", code: value.to_string(), value: value.to_string(), what }
}

fn names(
    name: &'static str,
    value: impl Iterator<Item = &'static str> + Clone,
    what: &'static str,
) -> Constant {
    let lines = value.clone().map(|name| format!("    {name:?},\n"));
    let code = format!("&[\n{}]", lines.collect::<String>());
    let value = value.collect::<Vec<_>>().join(" ");
    Constant { name, kind: LIST, code, value, what }
}

/// The constants of a profile, in their order in a module. Derived ones come last, so that the
/// first difference is the cause.
pub(crate) fn constants(profile: &Profile) -> Vec<Constant> {
    let Profile { config, policies, .. } = profile;
    let capabilities: Vec<_> = profile.capabilities().iter().map(Capability::name).collect();
    let faults: Vec<_> = profile.faults.iter().map(FaultKind::name).collect();
    let order = Word::word(policies.order);
    let room = Word::word(policies.room);
    vec![
        text("GENERATOR", GENERATOR, "What generated this module."),
        text("SCHEMA", SCHEMA, "The form of this module."),
        text("NAME", &config.name, "The name of the profile."),
        number("RUNTIME_ID", "u64", config.runtime_id, "The number of the runtime."),
        number("MAX_FLOWS", "u32", config.max_flows.into(), "Flows that may be open at once."),
        number(
            "MAX_BUFFERED_BYTES",
            "u64",
            config.max_buffered_bytes,
            "Bytes that the backend holds, of all flows.",
        ),
        number("MAX_CHUNK_BYTES", "u64", config.max_chunk_bytes, "Bytes of a chunk."),
        number("MAX_EVENTS", "u32", config.max_events.into(), "Events of a run."),
        flag("TRACE_ENABLED", config.trace_enabled, "Whether events are kept."),
        number(
            "DETERMINISTIC_SEED",
            "u64",
            config.deterministic_seed,
            "The seed of runs, unless it is said otherwise.",
        ),
        text("SOURCE", profile.source.name(), "What sources give."),
        number("FLOWS", "u32", profile.flows.into(), "To how many flows."),
        text("TARGET", profile.behaviour.name(), "How flows are answered."),
        text("CARRIER", profile.link.name(), "How sessions are carried."),
        number("WINDOW_BYTES", "u64", profile.window_bytes, "Bytes of a flow under way."),
        text("SCHEDULER", profile.scheduler.name(), "How the next task of a run is picked."),
        names("FAULTS", faults.into_iter(), "What strikes in a run."),
        number("FAULT_BUDGET", "u32", profile.fault_budget.into(), "How often, in all."),
        number("FLOW_BYTES_MAX", "u64", policies.flow_bytes_max, "Bytes held of one flow."),
        number("OUT_BYTES_MAX", "u64", policies.out_bytes_max, "Bytes of a chunk that is put out."),
        number("BUDGET_BYTES_MAX", "u64", policies.budget_bytes_max, "Bytes that a call moves."),
        text("ORDER", order, "Which flow goes first."),
        text("ROOM", room, "When a source whose offer was refused is notified of room."),
        flag("HALF_CLOSE", policies.half_close, "Whether a flow can end one way."),
        flag("RESET", policies.reset, "Whether a flow can be broken off."),
        names("CAPABILITIES", capabilities.into_iter(), "What is claimed besides the way."),
        text("PROFILE_SHA256", &profile.sha256(), "The SHA-256 of the profile."),
    ]
}

/// Where a module is compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// By itself: types and drive are copied into it.
    Alone,
    /// In the lab, whose types and drive it uses.
    InLab,
}

/// The module of a profile, which compiles by itself.
///
/// # Errors
///
/// [`GenerateError`]: constants cannot express the plans of the source.
pub fn module(profile: &Profile) -> Result<String, GenerateError> {
    written(profile, Form::Alone)
}

/// The lab's own module of a profile: as [`module`], with the types and the drive of the lab.
///
/// # Errors
///
/// As [`module`].
pub fn module_in_lab(profile: &Profile) -> Result<String, GenerateError> {
    written(profile, Form::InLab)
}

fn written(profile: &Profile, form: Form) -> Result<String, GenerateError> {
    let plan = plan::of(profile)?;
    let constants = constants(profile);
    let mut out = String::new();
    // Writing to a `String` cannot fail.
    let _written = write_module(&mut out, profile, (&plan, &constants), form);
    Ok(out)
}

fn write_module(
    out: &mut String,
    profile: &Profile,
    (plan, constants): (&[Lengths], &[Constant]),
    form: Form,
) -> fmt::Result {
    let name = &profile.config.name;
    let (uses, head) = match form {
        Form::Alone => ("with the standard library alone", "#![forbid(unsafe_code)]\n\n"),
        Form::InLab => ("with the words of the lab", WORDS_OF_THE_LAB),
    };
    write!(
        out,
        "// SPDX-License-Identifier: BSD-3-Clause\n\
         // Generated by {GENERATOR}, form {SCHEMA}, from the profile {name}\n\
         // with the SHA-256 {}.\n\
         // Not to be changed by hand: `becket lab generate` writes it anew.\n\
         //! The backend of the profile `{name}`: its limits, its plan, the life of a flow and its\n\
         //! policies as constants, {uses}.\n\n\
         {head}// Constants.\n",
        profile.sha256(),
    )?;
    for Constant { name, kind, code, what, .. } in constants {
        let skip = if *kind == LIST { "#[rustfmt::skip]\n" } else { "" };
        write!(out, "\n/// {what}\n{skip}pub const {name}: {kind} = {code};\n")?;
    }
    writeln!(out, "\n/// All of them, by name.\n#[must_use]")?;
    writeln!(out, "pub fn constants() -> Vec<(&'static str, String)> {{\n    vec![")?;
    for Constant { name, kind, .. } in constants {
        let value = if *kind == LIST { "join(\" \")" } else { "to_string()" };
        writeln!(out, "        (\"{name}\", {name}.{value}),")?;
    }
    writeln!(out, "    ]\n}}")?;
    if form == Form::Alone {
        write!(out, "\n{}\n", body(VOCABULARY))?;
    }
    write_lifecycle(out)?;
    write_plan(out, plan)?;
    write!(out, "\n{}\n", backend(profile))?;
    write_tests(out, profile, constants, form)
}

/// The code below the header of a file, from the marker on.
fn body(template: &str) -> &str {
    let begins = template.find("\n// ").map_or(0, |at| at + 1);
    let marker = template.get(begins..).unwrap_or_default();
    // The first line of a plain comment is the licence, at the very beginning.
    marker.trim_end()
}

fn next(state: FlowState, event: FlowEvent) -> Option<FlowState> {
    match Lifecycle::at(state).apply(event) {
        Ok(Transition::Moved(next)) => Some(next),
        Ok(Transition::Nothing) => Some(state),
        Err(_) => None,
    }
}

fn write_lifecycle(out: &mut String) -> fmt::Result {
    write!(
        out,
        "\n// Lifecycle.\n\n\
         /// The state that an event leads to, a row for each state; its own: nothing happens; none:\n\
         /// it cannot be.\n\
         #[rustfmt::skip]\n\
         pub const LIFECYCLE: [[Option<State>; 7]; 8] = {{\n    \
             use State::{{Closed, Draining, Failed, HalfClosed, Open, Opening, Reset}};\n    [\n"
    )?;
    for state in words::State::ALL {
        let cells = words::Event::ALL.map(|event| match next(state.into(), event.into()) {
            Some(next) => format!("Some({next:?})"),
            None => "None".into(),
        });
        writeln!(out, "        [{}],", cells.join(", "))?;
    }
    write!(
        out,
        "    ]\n}};\n\n\
         /// What an event leads to. None: it cannot happen in this state.\n\
         #[must_use]\n\
         #[allow(clippy::indexing_slicing, reason = \"there is a row and a column for each\")]\n\
         pub const fn next(state: State, event: Event) -> Option<State> {{\n    \
             LIFECYCLE[state as usize][event as usize]\n}}\n"
    )
}

fn write_plan(out: &mut String, plan: &[Lengths]) -> fmt::Result {
    write!(
        out,
        "\n// Plan.\n\n\
         /// A flow of the plan.\n\
         const fn flow(\n    number: u32,\n    class: Class,\n    opens_at: u64,\n    end: End,\n    \
             pieces: &'static [Piece],\n) -> Flow {{\n    \
             Flow {{ number, class, opens_at, end, pieces }}\n}}\n\n\
         /// A chunk of the plan.\n\
         const fn piece(at: u64, base: u64, span: u64, salt: u64, bytes_max: u64) -> Piece {{\n    \
             Piece {{ at, base, span, salt, bytes_max }}\n}}\n\n\
         /// What the sources give.\n\
         #[rustfmt::skip]\n\
         pub const PLAN: &[Flow] = &[\n"
    )?;
    for (FlowPlan { flow, class, opens_at, chunks, end }, lengths) in plan {
        let head = format!("flow({flow}, Class::{class:?}, {}, End::{end:?}, &[", opens_at.0);
        writeln!(out, "    {head}")?;
        for (chunk, length) in chunks.iter().zip(lengths) {
            let plan::Length { base, span, salt, bytes_max } = length;
            writeln!(out, "        piece({}, {base}, {span}, {salt}, {bytes_max}),", chunk.at.0)?;
        }
        writeln!(out, "    ]),")?;
    }
    writeln!(out, "];")
}

/// The backend, with the policies of the profile filled in.
fn backend(profile: &Profile) -> String {
    let policies = &profile.policies;
    let room = match policies.room {
        Room::Any => "slot.held < RING_BYTES",
        Room::Half => "slot.held <= RING_BYTES / 2",
        Room::Empty => "slot.held == 0",
    };
    let order = match policies.order {
        Order::Urgent => include_str!("template/urgent.txt"),
        Order::Turns => include_str!("template/turns.txt"),
        Order::Numbers => include_str!("template/numbers.txt"),
    };
    let half_close = match policies.half_close {
        true => include_str!("template/half_close.txt"),
        false => include_str!("template/no_half_close.txt"),
    };
    let reset = match policies.reset {
        true => include_str!("template/reset.txt"),
        false => include_str!("template/no_reset.txt"),
    };
    // Only one order depends on the class of a flow.
    let is_urgent = policies.order == Order::Urgent;
    let (opened, kept) = if is_urgent { ("class", "class, ") } else { ("_", "") };
    let lines =
        BACKEND.split_inclusive('\n').filter_map(|line| match line.strip_prefix("{CLASS}") {
            Some(line) => is_urgent.then_some(line),
            None => Some(line),
        });
    let text: String = lines.collect();
    let text = text.replace("{OPENED}", opened).replace("{KEPT}", kept);
    let text = text.replace("{ROOM}", room).replace("{ORDER}", order);
    text.replace("{HALF_CLOSE}\n", half_close).replace("{RESET}\n", reset).trim_end().to_owned()
}

/// The expected log of the plans of a seed.
pub(crate) fn plan_log(plans: &[FlowPlan]) -> Log {
    let mut log = Log::default();
    for FlowPlan { flow, class, opens_at, chunks, end } in plans {
        let head = (flow.number(), (*class).into(), opens_at.0, (*end).into());
        planned(&mut log, head, chunks.iter().map(|chunk| (chunk.at.0, chunk.bytes)));
    }
    log
}

/// The expected log of a drive.
pub(crate) fn drive_log(profile: &Profile, seed: u64) -> Log {
    let mut backend = Interpreted::new(profile);
    drive(&mut backend, seed, profile.config.max_flows, profile.config.max_chunk_bytes)
}

/// The expected lifecycle, in rows.
pub(crate) fn lives_rows() -> [String; 8] {
    lives(|state, event| next(state.into(), event.into()).map(Into::into))
}

fn write_tests(
    out: &mut String,
    profile: &Profile,
    constants: &[Constant],
    form: Form,
) -> fmt::Result {
    writeln!(out, "#[cfg(test)]\nmod tests {{\n    use super::*;")?;
    if form == Form::InLab {
        writeln!(out, "    use crate::generate::drive::{{Log, drive, lives, planned}};")?;
    }
    writeln!(out)?;
    writeln!(out, "    /// What the profile says.\n    #[rustfmt::skip]")?;
    writeln!(out, "    const CONSTANTS: &[(&str, &str)] = &[")?;
    for Constant { name, value, .. } in constants {
        writeln!(out, "        ({name:?}, {value:?}),")?;
    }
    writeln!(out, "    ];\n\n    /// The life of a flow, as the contract has it.")?;
    writeln!(out, "    #[rustfmt::skip]\n    const LIVES: [&str; 8] = [")?;
    for row in lives_rows() {
        writeln!(out, "        {row:?},")?;
    }
    let hashes = |out: &mut String, name, what, hashes: &mut dyn Iterator<Item = (u64, String)>| {
        writeln!(out, "    ];\n\n    /// {what}")?;
        writeln!(out, "    #[rustfmt::skip]\n    const {name}: &[(u64, &str)] = &[")?;
        for (seed, hash) in hashes {
            writeln!(out, "        ({seed}, {hash:?}),")?;
        }
        Ok::<_, fmt::Error>(())
    };
    let plans = PLANS.map(|seed| (seed, plan_log(&plan::of_seed(profile, seed)).hash()));
    hashes(out, "PLANS", "What the sources give, for each seed.", &mut { plans })?;
    let drives = DRIVES.map(|seed| (seed, drive_log(profile, seed).hash()));
    hashes(out, "DRIVES", "What the interpreted backend does, for each seed.", &mut { drives })?;
    writeln!(out, "    ];\n")?;
    indented(out, TESTS)?;
    if form == Form::Alone {
        writeln!(out)?;
        indented(out, body(DRIVE))?;
    }
    writeln!(out, "}}")
}

fn indented(out: &mut String, text: &str) -> fmt::Result {
    text.trim_end().lines().try_for_each(|line| match line {
        "" => writeln!(out),
        line => writeln!(out, "    {line}"),
    })
}

/// Converts between the enums of the contract and those of generated modules, whose variants have
/// the same names.
macro_rules! same {
    ($($one:path, $other:path: $($name:ident)+;)*) => {$(
        impl From<$one> for $other {
            fn from(one: $one) -> Self {
                match one { $(<$one>::$name => Self::$name,)+ }
            }
        }
        impl From<$other> for $one {
            fn from(other: $other) -> Self {
                match other { $(<$other>::$name => Self::$name,)+ }
            }
        }
    )*};
}

same! {
    words::State, FlowState: New Opening Open HalfClosed Draining Closed Reset Failed;
    words::Event, FlowEvent: Open Opened HalfClose Drain Close Reset Fail;
    words::Class, Class: Interactive Normal Bulk;
    words::Cause, crate::contract::Cause: Reset Error;
    words::End, End: Final HalfClose Reset LateWrite Malformed;
}
