// SPDX-License-Identifier: BSD-3-Clause
//! How a replay is written and read: one JSON object.
//!
//! ```text
//! {
//!   "format": "becket-lab-replay",  "version": 1,  "written_by": …
//!   "adapter", "scenario", "profile"                names
//!   "limits", "config"                              of the adapters, of the run
//!   "flows": [{ "class", "opens_at", "chunks": [{ "at", "bytes" }], "end" }]
//!   "behaviour", "window_bytes", "carrier"
//!   "faults": { "version": 1, "kinds", "budget", "from", "until" }
//!   "recording": ["0*7 2 1", …]                     each answer, 0*7 is seven of them
//!   "expected": { "rule", "trace" }
//!   "check": …                                      SHA-256 of all that is above, as compact JSON
//! }
//! ```
//!
//! # Invariants
//!
//! 1. A written replay is read back unchanged. A text that looks like a secret is not written;
//!    values beyond the bounds of a run are written, and refused when they are read.
//! 2. A modified file is refused, by its syntax, a field or the check, unless the modification has
//!    no effect. To edit a file on purpose, remove the line `check`.
//! 3. Reading allocates at most a small multiple of the length of the file, and [`ANSWERS_MAX`]
//!    answers.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest as _, Sha256};

use super::words::{Answers, Hash, Named, Text, Whole, shown};
use super::{Case, Expected, Replay, ReplayError};
use crate::config::Config;
use crate::contract::{Class, FlowId, Limits, Tick};
use crate::fault::{FaultKinds, FaultPlan};
use crate::link::Link;
use crate::source::{End, FlowPlan, Planned};
use crate::target::Behaviour;
use crate::trace::FaultKind;

#[cfg(doc)]
use super::ANSWERS_MAX;

/// The value of `format`.
pub(super) const FORMAT: &str = "becket-lab-replay";
/// The version of the file.
pub const VERSION: u32 = 1;
/// Maximum size of a file, in bytes.
pub const FILE_BYTES_MAX: usize = 64 << 20;

/// The version of the section `faults`.
const FAULTS_VERSION: u64 = 1;
/// Maximum tick: some thirty years.
const TICKS_MAX: u64 = 1 << 40;
/// Maximum number of bytes.
const BYTES_MAX: u64 = 1 << 30;
/// Maximum length of a chunk, as in a configuration.
const CHUNK_BYTES_MAX: u64 = 256 << 10;
/// Maximum number of flows of an adapter.
const FLOWS_MAX: u64 = 1 << 16;
const U32_MAX: u64 = u32::MAX as u64;

type Ticks = Whole<0, TICKS_MAX>;
type Bytes = Whole<0, BYTES_MAX>;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: String,
    version: u32,
    written_by: Text,
    adapter: Text,
    scenario: Text,
    profile: Text,
    limits: LimitsPart,
    #[serde(serialize_with = "ConfigPart::serialize", deserialize_with = "read_config")]
    config: Config,
    flows: Vec<FlowPart>,
    behaviour: Named<Behaviour>,
    window_bytes: Bytes,
    #[serde(rename = "carrier")]
    link: Named<Link>,
    faults: FaultsPart,
    recording: Answers,
    expected: ExpectedPart,
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsPart {
    flows_max: Whole<1, FLOWS_MAX>,
    buffered_bytes_max: Bytes,
    flow_buffered_bytes_max: Bytes,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FlowPart {
    class: Named<Class>,
    opens_at: Ticks,
    chunks: Vec<ChunkPart>,
    end: Named<End>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChunkPart {
    at: Ticks,
    bytes: Whole<0, CHUNK_BYTES_MAX>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultsPart {
    version: Whole<FAULTS_VERSION, FAULTS_VERSION>,
    kinds: Vec<Named<FaultKind>>,
    budget: Whole<0, U32_MAX>,
    from: Ticks,
    until: Ticks,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectedPart {
    rule: Option<Text>,
    trace: Hash,
}

#[derive(Serialize, Deserialize)]
#[serde(remote = "Config", deny_unknown_fields)]
struct ConfigPart {
    #[serde(serialize_with = "write_text", deserialize_with = "read_text")]
    name: String,
    runtime_id: u64,
    max_flows: u32,
    max_buffered_bytes: u64,
    max_chunk_bytes: u64,
    max_events: u32,
    trace_enabled: bool,
    deterministic_seed: u64,
}

/// Also validates the configuration.
fn read_config<'de, D: Deserializer<'de>>(from: D) -> Result<Config, D::Error> {
    let config = ConfigPart::deserialize(from)?;
    config.validate().map_err(D::Error::custom)?;
    Ok(config)
}

fn write_text<S: Serializer>(text: &str, to: S) -> Result<S::Ok, S::Error> {
    Text::of(text).serialize(to)
}

fn read_text<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    Text::deserialize(from).map(|text| text.0)
}

impl Replay {
    /// The file.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut file = File::from(self);
        file.check = Some(file.sum());
        // Nothing in it can fail: keys are texts, and no number is a fraction.
        let mut text = serde_json::to_string_pretty(&file).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads a file.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, ReplayError> {
        if text.len() > FILE_BYTES_MAX {
            return Err(ReplayError::TooLong { bytes: text.len() });
        }
        check_header(text)?;
        let mut json = serde_json::Deserializer::from_str(text);
        let mut file: File = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let field = shown(&error.path().to_string()).to_owned();
            let error = error.into_inner();
            let (line, column) = (error.line(), error.column());
            ReplayError::Field { field, line, column, said: said(&error) }
        })?;
        let check = file.check.take();
        if check.is_some_and(|check| check != file.sum()) {
            return Err(ReplayError::Changed);
        }
        Ok(file.into())
    }
}

/// Checks that it is JSON, a replay, and of a supported version.
fn check_header(text: &str) -> Result<(), ReplayError> {
    #[derive(Deserialize)]
    struct Header {
        format: Option<serde_json::Value>,
        version: Option<serde_json::Value>,
    }
    let header: Header = match serde_json::from_str(text) {
        Ok(header) => header,
        Err(error) if error.is_eof() => return Err(ReplayError::Cut { line: error.line() }),
        // A list, or a number.
        Err(error) if error.is_data() => return Err(ReplayError::NotAReplay),
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            return Err(ReplayError::Syntax { line, column, said: said(&error) });
        }
    };
    if header.format.as_ref().and_then(|format| format.as_str()) != Some(FORMAT) {
        return Err(ReplayError::NotAReplay);
    }
    match header.version.as_ref().and_then(serde_json::Value::as_u64) {
        Some(found) if found == u64::from(VERSION) => Ok(()),
        found => Err(ReplayError::Version { found: found.unwrap_or(0) }),
    }
}

/// A parser's message without the position, which the error has in its own fields.
fn said(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let end = text.rfind(" at line ").unwrap_or(text.len());
    shown(text.get(..end).unwrap_or_default()).to_owned()
}

impl File {
    /// The SHA-256 of everything but the check.
    fn sum(&self) -> String {
        let bytes = serde_json::to_vec(self).unwrap_or_default();
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl From<&Replay> for File {
    fn from(replay: &Replay) -> Self {
        let Replay { limits, case, expected, .. } = replay;
        let flow = |plan: &FlowPlan| FlowPart {
            class: Named(plan.class),
            opens_at: Whole(plan.opens_at.0),
            chunks: plan
                .chunks
                .iter()
                .map(|chunk| ChunkPart { at: Whole(chunk.at.0), bytes: Whole(chunk.bytes) })
                .collect(),
            end: Named(plan.end),
        };
        Self {
            format: FORMAT.into(),
            version: VERSION,
            written_by: Text(concat!("becket-lab ", env!("CARGO_PKG_VERSION")).into()),
            adapter: Text::of(&replay.adapter),
            scenario: Text::of(&replay.scenario),
            profile: Text::of(&replay.profile),
            limits: LimitsPart {
                flows_max: Whole(limits.flows_max.into()),
                buffered_bytes_max: Whole(limits.buffered_bytes_max),
                flow_buffered_bytes_max: Whole(limits.flow_buffered_bytes_max),
            },
            config: case.config.clone(),
            flows: case.plans.iter().map(flow).collect(),
            behaviour: Named(case.behaviour),
            window_bytes: Whole(case.window_bytes),
            link: Named(case.link),
            faults: FaultsPart {
                version: Whole(FAULTS_VERSION),
                kinds: case.faults.kinds.iter().map(Named).collect(),
                budget: Whole(case.faults.budget.into()),
                from: Whole(case.faults.from.0),
                until: Whole(case.faults.until.0),
            },
            recording: Answers(replay.recording.clone()),
            expected: ExpectedPart {
                rule: expected.rule.as_deref().map(Text::of),
                trace: Hash(expected.trace),
            },
            check: None,
        }
    }
}

impl From<File> for Replay {
    fn from(file: File) -> Self {
        let plan = |(number, flow): (u32, FlowPart)| FlowPlan {
            flow: FlowId::new(number),
            class: flow.class.0,
            opens_at: Tick(flow.opens_at.0),
            chunks: flow
                .chunks
                .iter()
                .map(|chunk| Planned { at: Tick(chunk.at.0), bytes: chunk.bytes.0 })
                .collect(),
            end: flow.end.0,
        };
        let kinds = file.faults.kinds.iter();
        let faults = FaultPlan {
            kinds: kinds.fold(FaultKinds::NONE, |kinds, kind| kinds.with(kind.0)),
            // The bound of the field is that of `u32`.
            budget: u32::try_from(file.faults.budget.0).unwrap_or(u32::MAX),
            from: Tick(file.faults.from.0),
            until: Tick(file.faults.until.0),
        };
        let limits = Limits {
            flows_max: u32::try_from(file.limits.flows_max.0).unwrap_or(u32::MAX),
            buffered_bytes_max: file.limits.buffered_bytes_max.0,
            flow_buffered_bytes_max: file.limits.flow_buffered_bytes_max.0,
        };
        let case = Case {
            config: file.config,
            plans: (1..).zip(file.flows).map(plan).collect(),
            behaviour: file.behaviour.0,
            window_bytes: file.window_bytes.0,
            link: file.link.0,
            faults,
        };
        let rule = file.expected.rule.map(|rule| rule.0);
        Self {
            adapter: file.adapter.0,
            limits,
            scenario: file.scenario.0,
            profile: file.profile.0,
            case,
            recording: file.recording.0,
            expected: Expected { rule, trace: file.expected.trace.0 },
        }
    }
}
