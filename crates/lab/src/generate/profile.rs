// SPDX-License-Identifier: BSD-3-Clause
//! Profiles: the files from which backends are generated.
//!
//! ```toml
#![doc = include_str!("../../profiles/steady.toml")]
//! ```
//!
//! Every key except `schema` is required. An unknown key is an error, and so is a value out of its
//! bounds.
//!
//! | key | what it is | from | to |
//! |---|---|---|---|
//! | `name` | small letters, digits, `_`, begins with a letter; no mark of a secret | 1 | 40 characters |
//! | `limits.runtime_id` | the number of the runtime | 1 | 2⁶³ − 1 |
//! | `limits.max_flows` | flows at once | 1 | 64 |
//! | `limits.max_buffered_bytes` | bytes that an adapter holds, and that a session may have in flight | 1 | 8 MiB |
//! | `limits.max_chunk_bytes` | bytes of a chunk, no more than `max_buffered_bytes` | 1 | 256 KiB |
//! | `limits.max_events` | events of a run | 1 | 2¹⁸ |
//! | `limits.trace_enabled` | events are kept | | |
//! | `limits.deterministic_seed` | the seed of everything | 0 | 2⁶³ − 1 |
//! | `source.model`, `source.flows` | the source; its flows, no more than `max_flows` | 1 | 64 |
//! | `target.behaviour` | the behaviour of the target | | |
//! | `carrier.kind`, `carrier.window_bytes` | the link; bytes of a flow in flight | 1 | 8 MiB |
//! | `run.scheduler` | `random`, `round_robin` or `pct` | | |
//! | `run.faults`, `run.fault_budget` | kinds of faults, and their maximum number in total | 0 | 64 |
//! | `policies.flow_bytes_max` | room of a flow, no more than `max_buffered_bytes` | 1 | 256 KiB |
//! | `policies.out_bytes_max` | bytes of a chunk that is put out, no more than `max_chunk_bytes` | 1 | 256 KiB |
//! | `policies.budget_bytes_max` | bytes that a call moves | 1 | 1 MiB |
//! | `policies.order`, `policies.room` | which flow goes first; when a refused source is notified of room | | |
//! | `policies.half_close`, `policies.reset` | whether it is claimed, and works | | |

use std::fmt::Write as _;

use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use strum::{IntoStaticStr, VariantArray};

use super::error::ProfileError;
use crate::choice::Scheduler;
use crate::config::Config;
use crate::contract::{Capabilities, Capability, Limits, Tick};
use crate::fault::{FaultKinds, FaultPlan};
use crate::link::Link;
use crate::replay::words::{Named, Whole, Word, words};
use crate::source::Source;
use crate::target::Behaviour;
use crate::trace::FaultKind;

/// The version of the form of profiles.
pub const SCHEMA: &str = "becket-lab-profile/1";

/// Maximum length of a name, in characters.
const NAME_CHARS_MAX: usize = 40;
/// The last tick at which faults are injected.
const FAULTS_MS: u64 = 30;
/// Maximum size of a profile, in bytes.
pub const PROFILE_BYTES_MAX: usize = 64 << 10;

/// Which flow goes first in a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Order {
    /// Interactive flows before normal ones before bulk, in turn within a class.
    Urgent,
    /// In turn, starting after the flow that was last.
    Turns,
    /// By their numbers.
    Numbers,
}

/// When a source whose offer was refused is notified of room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Room {
    /// As soon as there is any.
    Any,
    /// When half of the flow's room is free.
    Half,
    /// When the flow holds nothing.
    Empty,
}

/// How a backend behaves where the contract leaves it free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policies {
    /// Bytes that it holds of one flow.
    pub flow_bytes_max: u64,
    /// Bytes of a chunk that it puts out.
    pub out_bytes_max: u64,
    /// Bytes that it moves in one call.
    pub budget_bytes_max: u64,
    /// Which flow goes first.
    pub order: Order,
    /// When a source whose offer was refused is notified of room.
    pub room: Room,
    /// It claims `flow_half_close`.
    pub half_close: bool,
    /// It claims `flow_reset`.
    pub reset: bool,
}

/// The profile of a generated backend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// The limits. Their name is the profile's.
    pub config: Config,
    /// The source.
    pub source: Source,
    /// Number of flows.
    pub flows: u32,
    /// The behaviour of the target.
    pub behaviour: Behaviour,
    /// The link between the sessions.
    pub link: Link,
    /// Bytes of each flow that may be in flight.
    pub window_bytes: u64,
    /// The scheduler.
    pub scheduler: Scheduler,
    /// The faults.
    pub faults: FaultKinds,
    /// Maximum number of faults in total.
    pub fault_budget: u32,
    /// The policies of the backend.
    pub policies: Policies,
}

/// The schedulers of profiles. PCT has the parameters that it has in checks.
const SCHEDULERS: [Scheduler; 3] =
    [Scheduler::Random, Scheduler::RoundRobin, Scheduler::Pct { changes: 3, steps: 256 }];

impl Word for Scheduler {
    const WHAT: &'static str = "scheduler";
    const ALL: &'static [Self] = &SCHEDULERS;
}

words! {
    Source: "model of a source";
    Order: "order of flows";
    Room: "rule of room";
}

/// The file.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default)]
    schema: Option<String>,
    name: String,
    limits: WrittenLimits,
    source: WrittenSource,
    target: WrittenTarget,
    carrier: WrittenCarrier,
    run: WrittenRun,
    policies: WrittenPolicies,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenLimits {
    runtime_id: Whole<1, { i64::MAX as u64 }>,
    max_flows: Whole<1, 64>,
    max_buffered_bytes: Whole<1, { 8 << 20 }>,
    max_chunk_bytes: Whole<1, { 256 << 10 }>,
    max_events: Whole<1, { 1 << 18 }>,
    trace_enabled: bool,
    deterministic_seed: Whole<0, { i64::MAX as u64 }>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenSource {
    model: Named<Source>,
    flows: Whole<1, 64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenTarget {
    behaviour: Named<Behaviour>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCarrier {
    kind: Named<Link>,
    window_bytes: Whole<1, { 8 << 20 }>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRun {
    scheduler: Named<Scheduler>,
    faults: Vec<Named<FaultKind>>,
    fault_budget: Whole<0, 64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenPolicies {
    flow_bytes_max: Whole<1, { 256 << 10 }>,
    out_bytes_max: Whole<1, { 256 << 10 }>,
    budget_bytes_max: Whole<1, { 1 << 20 }>,
    order: Named<Order>,
    room: Named<Room>,
    half_close: bool,
    reset: bool,
}

impl Profile {
    /// Reads a profile. `origin` is what errors call the file.
    ///
    /// # Errors
    ///
    /// The first error, with its line and what to write instead.
    pub fn from_toml(text: &str, origin: &str) -> Result<Self, ProfileError> {
        if text.len() > PROFILE_BYTES_MAX {
            let said = format!("a profile has {PROFILE_BYTES_MAX} bytes at most");
            return Err(ProfileError::new(origin, said));
        }
        let written: Written =
            toml::from_str(text).map_err(|error| ProfileError::from_toml(&error, text, origin))?;
        let faults = &written.run.faults;
        let mut kinds = FaultKinds::NONE;
        for Named(kind) in faults {
            if kinds.has(*kind) {
                let said = format!("the fault {} is named twice", kind.name());
                return Err(ProfileError::new(origin, said).at_key(text, "run", "faults"));
            }
            kinds = kinds.with(*kind);
        }
        let schema = written.schema.as_deref().unwrap_or(SCHEMA).to_owned();
        let profile = Self::of(written, kinds);
        if schema != SCHEMA {
            let error = ProfileError::new(origin, "another form of profiles than is known".into());
            let hint = format!("write schema = \"{SCHEMA}\", and what that form has");
            return Err(error.at_key(text, "", "schema").hinted(hint));
        }
        match profile.complaint() {
            None => Ok(profile),
            Some((table, key, said)) => {
                Err(ProfileError::new(origin, said).at_key(text, table, key))
            }
        }
    }

    fn of(written: Written, faults: FaultKinds) -> Self {
        let Written { name, limits, source, target, carrier, run, policies, .. } = written;
        let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Self {
            config: Config {
                name,
                runtime_id: limits.runtime_id.0,
                max_flows: small(limits.max_flows.0),
                max_buffered_bytes: limits.max_buffered_bytes.0,
                max_chunk_bytes: limits.max_chunk_bytes.0,
                max_events: small(limits.max_events.0),
                trace_enabled: limits.trace_enabled,
                deterministic_seed: limits.deterministic_seed.0,
            },
            source: source.model.0,
            flows: small(source.flows.0),
            behaviour: target.behaviour.0,
            link: carrier.kind.0,
            window_bytes: carrier.window_bytes.0,
            scheduler: run.scheduler.0,
            faults,
            fault_budget: small(run.fault_budget.0),
            policies: Policies {
                flow_bytes_max: policies.flow_bytes_max.0,
                out_bytes_max: policies.out_bytes_max.0,
                budget_bytes_max: policies.budget_bytes_max.0,
                order: policies.order.0,
                room: policies.room.0,
                half_close: policies.half_close,
                reset: policies.reset,
            },
        }
    }

    /// The first inconsistency: table, key and reason.
    fn complaint(&self) -> Option<(&'static str, &'static str, String)> {
        let Self { config, policies, .. } = self;
        let name = &config.name;
        let is_plain = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit();
        let begins = name.starts_with(|char: char| char.is_ascii_lowercase());
        if !begins || name.len() > NAME_CHARS_MAX || !name.chars().all(|c| is_plain(c) || c == '_')
        {
            let rule = "small letters, digits and _, begins with a letter, 40 characters at most";
            return Some(("", "name", format!("the name is not as names are: {rule}")));
        }
        if let Err(error) = config.validate() {
            let key = match &error {
                crate::config::ConfigError::ChunkBeyondBuffer { .. } => {
                    ("limits", "max_chunk_bytes")
                }
                _ => ("", "name"),
            };
            return Some((key.0, key.1, error.to_string()));
        }
        let bounds = [
            ("source", "flows", u64::from(self.flows), "max_flows", config.max_flows.into()),
            (
                "policies",
                "flow_bytes_max",
                policies.flow_bytes_max,
                "max_buffered_bytes",
                config.max_buffered_bytes,
            ),
            (
                "policies",
                "out_bytes_max",
                policies.out_bytes_max,
                "max_chunk_bytes",
                config.max_chunk_bytes,
            ),
        ];
        bounds.into_iter().find_map(|(table, key, value, beyond, max)| {
            let said = || format!("{key} is {value}, more than {beyond}, which is {max}");
            (value > max).then(|| (table, key, said()))
        })
    }

    /// The profile as a file, without comments: the same profile gives the same bytes.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let Self { config, policies, .. } = self;
        let mut text = String::new();
        // Writing to a `String` cannot fail.
        let _written = write!(
            text,
            "schema = \"{SCHEMA}\"\nname = \"{}\"\n\n[limits]\nruntime_id = {}\nmax_flows = {}\n\
             max_buffered_bytes = {}\nmax_chunk_bytes = {}\nmax_events = {}\ntrace_enabled = {}\n\
             deterministic_seed = {}\n\n[source]\nmodel = \"{}\"\nflows = {}\n\n[target]\n\
             behaviour = \"{}\"\n\n[carrier]\nkind = \"{}\"\nwindow_bytes = {}\n\n[run]\n\
             scheduler = \"{}\"\nfaults = [{}]\nfault_budget = {}\n\n[policies]\n\
             flow_bytes_max = {}\nout_bytes_max = {}\nbudget_bytes_max = {}\norder = \"{}\"\n\
             room = \"{}\"\nhalf_close = {}\nreset = {}\n",
            config.name,
            config.runtime_id,
            config.max_flows,
            config.max_buffered_bytes,
            config.max_chunk_bytes,
            config.max_events,
            config.trace_enabled,
            config.deterministic_seed,
            self.source.name(),
            self.flows,
            self.behaviour.name(),
            self.link.name(),
            self.window_bytes,
            self.scheduler.name(),
            quoted(self.faults.iter().map(FaultKind::name)),
            self.fault_budget,
            policies.flow_bytes_max,
            policies.out_bytes_max,
            policies.budget_bytes_max,
            policies.order.word(),
            policies.room.word(),
            policies.half_close,
            policies.reset,
        );
        text
    }

    /// The SHA-256 of [`to_toml`](Self::to_toml), in hexadecimal digits: comments and the order of
    /// keys make no difference.
    #[must_use]
    pub fn sha256(&self) -> String {
        sha256(&self.to_toml())
    }

    /// The limits of its backend.
    #[must_use]
    pub const fn limits(&self) -> Limits {
        Limits {
            flows_max: self.config.max_flows,
            buffered_bytes_max: self.config.max_buffered_bytes,
            flow_buffered_bytes_max: self.policies.flow_bytes_max,
        }
    }

    /// The capabilities that its backend claims, without the direction.
    #[must_use]
    pub fn capabilities(&self) -> Capabilities {
        let Policies { order, half_close, reset, .. } = self.policies;
        let claims = [
            (Capability::FlowPriority, order == Order::Urgent),
            (Capability::FlowHalfClose, half_close),
            (Capability::FlowReset, reset),
        ];
        let always = Capabilities::NONE
            .with(Capability::FlowBackpressure)
            .with(Capability::FlowLifecycle)
            .with(Capability::FlowMetadataOnly)
            .with(Capability::RuntimeStreamMapping)
            .with(Capability::TraceSafeAdapterSummary);
        let claimed = claims.into_iter().filter(|(_, is_claimed)| *is_claimed);
        claimed.fold(always, |all, (capability, _)| all.with(capability))
    }

    /// The faults.
    #[must_use]
    pub const fn fault_plan(&self) -> FaultPlan {
        match self.faults.is_empty() {
            true => FaultPlan::NONE,
            false => FaultPlan::new(self.faults, self.fault_budget, Tick(FAULTS_MS)),
        }
    }
}

/// The SHA-256 of a text, in hexadecimal digits.
pub(crate) fn sha256(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Names in quotes, with commas between them.
fn quoted<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}
