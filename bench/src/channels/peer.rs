// SPDX-License-Identifier: BSD-3-Clause
//! The participants: the columns of the tables.

use std::time::Instant;

use super::stage::Stage;
use crate::error::BenchError;
use crate::harness::{Figures, Side, measure};
use crate::report::{Better, Goal, Row};

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

/// A peer and its way to do a row's work.
pub(crate) struct Contestant {
    pub(crate) peer: Peer,
    pub(crate) side: Side<'static>,
}

impl Contestant {
    /// A contestant whose whole work is timed.
    pub(crate) fn timed(
        peer: Peer,
        mut operations: impl FnMut(u64) -> Result<(), BenchError> + 'static,
    ) -> Self {
        let side = move |n| {
            let begin = Instant::now();
            operations(n)?;
            Ok(begin.elapsed())
        };
        Self { peer, side: Box::new(side) }
    }
}

/// Which of the harness's plans a row is measured with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// One thread, which stays awake.
    Alone,
    /// Several threads.
    Threads,
    /// One operation is much work, and for some peers very much.
    Long,
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
        let plan = match self.pace {
            Pace::Alone => stage.plan,
            Pace::Threads => stage.plan.with_threads(),
            Pace::Long => stage.plan.with_long_operations(),
        };
        let (peers, mut sides): (Vec<_>, Vec<_>) = (self.sides)(stage)?
            .into_iter()
            .map(|contestant| (contestant.peer, contestant.side))
            .unzip();
        let measured = measure(plan, self.parts, &mut sides)?;
        let mut figures: Vec<Option<Figures>> = vec![None; Peer::NAMES.len()];
        for (peer, taken) in peers.into_iter().zip(measured) {
            if let Some(column) = figures.get_mut(peer as usize) {
                *column = Some(taken);
            }
        }
        let (name, goal) = (self.name.to_owned(), self.goal.map(Goal::Figure));
        Ok(Row { name, better: Better::Less, digits: 1, goal, figures })
    }
}
