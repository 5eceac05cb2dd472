// SPDX-License-Identifier: BSD-3-Clause
//! The participants: the columns of the tables.

use super::stage::Stage;
use crate::error::BenchError;
use crate::harness::{Contestant, Pace, contest};
use crate::report::{Goal, Row};

macro_rules! peers {
    ($($peer:ident: $name:literal),+ $(,)?) => {
        /// A side.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Peer {
            $(#[doc = $name] $peer),+
        }

        impl Peer {
            /// All, in the order of the columns; ours first.
            pub(crate) const NAMES: &[&str] = &[$($name),+];

            /// What it is called in tables and errors.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$peer => $name),+
                }
            }
        }
    };
}

peers! {
    Becket: "Becket",
    AsyncChannel: "async-channel",
    Crossbeam: "crossbeam",
    ArrayQueue: "crossbeam `ArrayQueue`",
    Crossfire: "crossfire",
    EventListener: "event-listener",
    Fibre: "fibre",
    Flume: "flume",
    Kanal: "kanal",
    Mutex: "parking_lot `Mutex`",
    Rapidfire: "rapidfire",
    Rtrb: "rtrb",
    Std: "std",
    Tachyonix: "tachyonix",
    Tokio: "tokio",
    TokioNotify: "tokio `Notify`",
    TokioUtil: "tokio-util",
    TokioWatch: "tokio `watch`",
}

/// A row and its participants.
pub(crate) struct Case {
    /// The row's name.
    pub(crate) name: &'static str,
    /// The goal for Becket.
    pub(crate) goal: Option<f64>,
    /// How it is measured.
    pub(crate) pace: Pace,
    /// In how many equal parts one operation is counted.
    pub(crate) parts: u64,
    /// Makes the sides.
    pub(crate) sides: fn(&Stage) -> Result<Vec<Contestant>, BenchError>,
}

impl Case {
    /// Measures it.
    pub(crate) fn run(&self, stage: &Stage) -> Result<Row, BenchError> {
        let taken = contest(stage.plan.at(self.pace), self.parts, (self.sides)(stage)?)?;
        Ok(Row::of(Peer::NAMES, self.name, self.goal.map(Goal::Figure), taken))
    }
}
