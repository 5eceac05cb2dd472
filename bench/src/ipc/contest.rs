// SPDX-License-Identifier: BSD-3-Clause
//! One side of a row: this process's end of a transport, and the process at the other end.

use std::time::Duration;

use super::child::{Child, GATE};
use super::place::Place;
use super::watchdog::Watchdog;
use super::way::{Kind, Way};
use super::work::{Asked, Work};
use crate::channels::channel::sum_below;
use crate::error::{BenchError, check};
use crate::harness::{Contestant, undisturbed};

/// How often a disturbed block is done again.
const TRIES_MAX: usize = 5;

/// A way between two processes.
pub(crate) fn side<K: Kind>(place: Place, work: Work) -> Result<Contestant, BenchError>
where
    K::End: 'static,
{
    let mut pair = Pair::<K>::start(place, work)?;
    // Where two share a CPU, each takes it from the other: that is the row.
    let tries_max = if place == Place::Packed { 1 } else { TRIES_MAX };
    let side = move |n| undisturbed(tries_max, || pair.block(work, n));
    Ok(Contestant { column: K::COLUMN, side: Box::new(side) })
}

/// Two processes and the way between them.
pub(crate) struct Pair<K: Kind> {
    /// Goes first: its end tells the child that there is no more.
    pub(crate) way: K::End,
    pub(crate) child: Child,
}

impl<K: Kind> Pair<K> {
    /// Starts the other process and lets it join.
    pub(crate) fn start(place: Place, work: Work) -> Result<Self, BenchError> {
        let _watchdog = Watchdog::set(K::COLUMN, "the other process joins");
        let (invitation, host) = K::invite(work)?;
        let mut child = Child::start::<K>(place, work, invitation)?;
        let way = K::accept(host, work)?;
        child.joined()?;
        Ok(Self { way, child })
    }

    /// Has the other process serve so many messages; both are at their places then.
    pub(crate) fn meet(&mut self, n: u64) -> Result<(), BenchError> {
        self.child.order(n)?;
        self.way.put(GATE)?;
        self.way.flush()?;
        check(K::COLUMN, "the other process's first answer", GATE, self.way.take()?)
    }

    fn block(&mut self, work: Work, n: u64) -> Result<(Duration, bool), BenchError> {
        let _watchdog = Watchdog::set(K::COLUMN, "a block");
        let before = self.child.switches();
        self.meet(n)?;
        let asked = work.ask(K::COLUMN, &mut self.way, &self.child.other, n)?;
        let served = self.child.served()?;
        check(K::COLUMN, "the sum of what arrived", sum_below(n), served.sum)?;
        let taken = match asked {
            Asked::Took(taken) => taken,
            Asked::Since(begin_ns) => Duration::from_nanos(served.end_ns.saturating_sub(begin_ns)),
        };
        Ok((taken, self.child.switches() != before))
    }
}
