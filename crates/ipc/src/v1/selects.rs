// SPDX-License-Identifier: BSD-3-Clause
//! The selects of one client.
//!
//! ```text
//!   SELECT_SEND, SELECT_RECV        SELECT_REGISTER          a clause completes, or the timeout passes
//!        ──────────────▶ Building ──────────────▶ Waiting ──────────────▶ Decided
//!                           │                        │     SELECT_NOTIFY     │
//!                     SELECT_CANCEL            SELECT_CANCEL           SELECT_CLAIM
//!                           ▼                        ▼                       ▼
//!                          gone              gone, or Decided              gone
//! ```
//!
//! At most one operation of a select happens. A received value is the client's when the client has
//! read the answer to its claim.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use becket_chan::Token;
use becket_wire::v1::{Body, Errno};

use super::operation::{Clause, Outcome, Taken};

/// The maximum number of clauses of one select: the bits of a mask.
const CLAUSES_MAX: usize = 32;

#[derive(Debug)]
pub(super) struct Selects {
    table: BTreeMap<u32, Select>,
    selects_max: usize,
}

#[derive(Debug)]
enum Select {
    Building(Vec<Clause>),
    Waiting {
        /// The slot of its operation, once it waits.
        slot: Option<u32>,
        token: Token,
    },
    Decided(Outcome),
}

impl Selects {
    pub(super) const fn new(selects_max: usize) -> Self {
        Self { table: BTreeMap::new(), selects_max }
    }

    /// Adds a clause; returns its index.
    pub(super) fn add(&mut self, select: u32, clause: Clause) -> Result<u32, Errno> {
        let has_room = self.table.len() < self.selects_max;
        let found = match self.table.entry(select) {
            Entry::Occupied(found) => found.into_mut(),
            Entry::Vacant(place) if has_room => place.insert(Select::Building(Vec::new())),
            Entry::Vacant(_) => return Err(Errno::NOSPC),
        };
        let Select::Building(clauses) = found else { return Err(Errno::ALREADY) };
        if clauses.len() >= CLAUSES_MAX {
            return Err(Errno::NOSPC);
        }
        clauses.push(clause);
        Ok(clauses.len() as u32 - 1)
    }

    /// Takes the clauses of a select that begins to wait, and returns the token that ends the wait.
    pub(super) fn register(&mut self, select: u32) -> Result<(Vec<Clause>, Token), Errno> {
        let found = self.table.get_mut(&select).ok_or(Errno::NOENT)?;
        let Select::Building(clauses) = found else { return Err(Errno::ALREADY) };
        let clauses = std::mem::take(clauses);
        let token = Token::new();
        *found = Select::Waiting { slot: None, token: token.clone() };
        Ok((clauses, token))
    }

    /// Records the slot of its operation.
    pub(super) fn waits_in(&mut self, select: u32, number: u32) {
        if let Some(Select::Waiting { slot, .. }) = self.table.get_mut(&select) {
            *slot = Some(number);
        }
    }

    /// Records the outcome; returns the notification for the client.
    pub(super) fn decided(&mut self, select: u32, outcome: Outcome) -> Body<'static> {
        let mask = outcome.clause.as_ref().map_or(0, |(index, _)| 1_u32.unbounded_shl(*index));
        let result = outcome.number();
        self.table.insert(select, Select::Decided(outcome));
        Body::Decided { select, mask, result }
    }

    /// Takes the outcome, and removes the select.
    pub(super) fn claim(&mut self, select: u32) -> Result<Outcome, Errno> {
        match self.table.remove(&select) {
            Some(Select::Decided(outcome)) => Ok(outcome),
            Some(undecided) => {
                self.table.insert(select, undecided);
                Err(Errno::AGAIN)
            }
            None => Err(Errno::NOENT),
        }
    }

    /// Cancels a select. One that does not wait yet is removed; of one that waits, returns the slot
    /// and the token to cancel.
    pub(super) fn cancel(&mut self, select: u32) -> Result<Option<(u32, Token)>, Errno> {
        match self.table.get(&select).ok_or(Errno::NOENT)? {
            Select::Waiting { slot: Some(slot), token } => Ok(Some((*slot, token.clone()))),
            Select::Decided(_) => Err(Errno::ALREADY),
            Select::Building(_) | Select::Waiting { slot: None, .. } => {
                self.table.remove(&select);
                Ok(None)
            }
        }
    }

    /// Removes a select that was cancelled before a clause completed.
    pub(super) fn remove(&mut self, select: u32) {
        self.table.remove(&select);
    }

    /// The client is gone: takes the values that it has not claimed.
    pub(super) fn take_unclaimed(&mut self) -> impl Iterator<Item = Taken> + use<> {
        std::mem::take(&mut self.table).into_values().filter_map(|select| match select {
            Select::Decided(Outcome { result: Ok(value), .. }) => value,
            _ => None,
        })
    }
}

impl Outcome {
    /// The clause's index, or the error's negative number.
    pub(super) fn number(&self) -> i32 {
        match (&self.result, &self.clause) {
            (Ok(_), Some((index, _))) => i32::try_from(*index).unwrap_or(i32::MAX),
            (Ok(_), None) => 0,
            (Err(errno), _) => errno.result(),
        }
    }
}
