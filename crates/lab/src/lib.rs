// SPDX-License-Identifier: BSD-3-Clause
//! A laboratory for adapters: an adapter proves itself here before it sees traffic.
//!
//! ```text
//!   seeded source ─► ingress adapter ─► boundary ─► session ═══ virtual network ═══ session ─► target
//!                                          │                                                     │
//!   checked sink  ◄─ egress adapter  ◄─────┘◄══════════════════════════════════════════════ response
//!                                     every step ─► trace ─► rules ─► verdict
//! ```
//!
//! Both sessions are those of [`becket_wire`], which run in production; bytes really cross the
//! network between them, cut, delayed and broken as the seed says. Nothing here opens a socket,
//! reads a clock or draws from the system's randomness: one seed decides everything, and the same
//! seed gives the same trace to the last event.
//!
//! | module | holds |
//! |---|---|
//! | [`contract`] | what an adapter is: the traits, its manifest, the life of a flow |
//! | [`config`] | the limits of a run |
//! | [`pattern`] | the bytes that flows carry |
//! | [`choice`] | every decision of a run, drawn from a seed or from a recording |
//! | [`trace`] | what happened, without a byte of payload |
//! | [`carrier`], [`fault`] | how bytes get from one session to the other, and what goes wrong |
//! | [`source`], [`target`] | what flows are given, and how they are answered |
//! | [`world`] | one run |
//! | [`rules`] | what an adapter must do, and whether it did |
//! | [`hygiene`] | whether a text tells what it may not |
//! | [`scenario`], [`check`] | what adapters are put through, and all of it together |
//! | [`gate`], [`adversary`] | what a check asks of all runs; whether they are suspiciously alike |
//! | [`report`] | what a check ends with, for programs and people |
//! | [`shrink`] | a failure, made small |
//! | [`replay`] | a run in a file: repeated, shown, compared, turned into a test |
//! | [`adapters`] | adapters that the lab brings along |
//! | [`bridge`] | what people already have, as adapters |
//! | [`generate`], [`parity`] | adapters as code, made of a profile; whether they do the same |
//! | [`selftest`] | the lab examined by itself: what it finds, and that it never cries wolf |
//! | [`saboteur`] | faulty ones, each wrong in one behaviour, by which the lab is examined |

#![forbid(unsafe_code)]

pub mod adapters;
pub mod adversary;
pub mod bridge;
pub mod carrier;
pub mod check;
pub mod choice;
pub mod config;
pub mod contract;
pub mod fault;
pub mod gate;
pub mod generate;
pub mod hygiene;
pub mod parity;
pub mod pattern;
pub mod replay;
pub mod report;
pub mod rules;
pub mod saboteur;
pub mod scenario;
pub mod selftest;
pub mod shrink;
pub mod source;
pub mod target;
pub mod trace;
pub mod world;
