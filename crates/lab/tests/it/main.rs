// SPDX-License-Identifier: BSD-3-Clause
//! The tests that need no process of their own, in one program.
//!
//! | module | tests |
//! |---|---|
//! | `bridges` | bridges: over healthy things they pass; over broken ones they name the rule |
//! | `broken_things` | broken things behind a bridge: found by the rule about their defect |
//! | `links` | the link: fragmentation, delay and reordering are invisible to adapters |
//! | `channels` | each kind of channel of `becket-chan` passes; channels that lose values fail |
//! | `check` | checks: healthy pairs pass every gate, the named mutants fail; reports depend on neither threads nor time |
//! | `check_output` | progress, files of failed runs, known failures, hashes of a fresh process |
//! | `compare` | two reports compared |
//! | `engineer` | each failure of a mutant is recorded, shrunk, written, read and replayed |
//! | `exec` | adapters in child processes: healthy, crashing, hanging, flooding |
//! | `exhaustive` | all orders of small runs |
//! | `faults` | faults: survived, reported, without a hang or a wrong byte |
//! | `foreign` | adapters of other projects behind bridges |
//! | `generated` | generated modules: warnings, formatters, wrong constants |
//! | `healthy` | healthy adapters in whole runs |
//! | `hygiene` | payload in traces, errors, logs and reports, in every encoding |
//! | `kill` | the kill matrix: which rule kills which mutant |
//! | `mutants` | each mutant deviates where it is described, and nowhere else |
//! | `negotiation` | capabilities: negotiated, tried if not claimed, judged |
//! | `orders` | the scenario that is run in every order |
//! | `planted` | a planted bug, from the check that finds it to the mended adapter |
//! | `plugin` | plugins as adapters |
//! | `profiles` | profiles in files: bounds of keys, errors with line and hint |
//! | `replay` | replay files: round trip, damage |
//! | `replayed` | replays as Rust tests |
//! | `report` | all forms of reports, compared with `reports/` |
//! | `rules` | each rule fails on a healthy trace with one event changed |
//! | `rules_healthy` | healthy adapters violate no rule |
//! | `rules_page` | the book's page of rules is generated from the catalogue |
//! | `seeds` | healthy pairs in all scenarios, seed by seed |
//! | `selftest` | the lab's self-test passes |
//! | `session_calls` | each public function of the session is called by a scenario |
//! | `shrink` | planted failures, shrunk to what they need |
//! | `transports` | channels over a transport of one's own: healthy ones pass, defects are found |
//! | `variety` | the gate against collapse |
//! | `verdicts` | verdicts and exit codes |

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod bridged;
mod bridges;
mod broken_things;
mod channels;
mod check;
mod check_output;
mod compare;
mod engineer;
mod exec;
mod exhaustive;
mod faults;
mod foreign;
mod fresh_process;
mod generated;
mod healthy;
mod hygiene;
mod kill;
mod links;
mod long;
mod mutants;
mod negotiation;
mod orders;
mod planted;
mod plugin;
mod profiles;
mod replay;
mod replayed;
mod report;
mod rules;
mod rules_healthy;
mod rules_page;
mod sample;
mod schema;
mod seeds;
mod selftest;
mod session_calls;
mod shrink;
mod transports;
mod variety;
mod verdicts;
