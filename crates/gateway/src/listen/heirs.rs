// SPDX-License-Identifier: BSD-3-Clause
//! Sockets on their way to the next process: [`Gateway::sockets`](crate::Gateway::sockets).
//!
//! # Invariants
//!
//! 1. What is here keeps no socket open: a listener that a drain has closed is closed.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};

use super::Acceptor;
use crate::TARGET;

/// The listeners of a gateway that accept, by name.
#[derive(Debug, Default)]
pub(crate) struct Heirs(Vec<(String, Weak<Acceptor>)>);

impl Heirs {
    pub(crate) fn add(&mut self, name: String, acceptor: &Arc<Acceptor>) {
        self.0.push((name, Arc::downgrade(acceptor)));
    }

    /// Each of them once more.
    pub(crate) fn duplicates(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        self.there().map(|(name, acceptor)| Ok((name.clone(), acceptor.duplicate()?))).collect()
    }

    /// Those of these names are another process's; no client finds the others any more.
    pub(crate) fn hand_over(&self, names: &[String]) {
        for (name, acceptor) in self.there() {
            match names.contains(name) {
                true => acceptor.hand_over(),
                false => acceptor.hide(),
            }
        }
    }

    /// No client finds them any more: files of sockets are removed.
    pub(crate) fn hide(&self) {
        self.there().for_each(|(_, acceptor)| acceptor.hide());
    }

    /// Files of sockets are this process's.
    pub(crate) fn claim(&self) {
        for (name, acceptor) in self.there() {
            if let Err(error) = acceptor.claim() {
                tracing::warn!(target: TARGET, name, %error, "the file of a socket cannot be taken over");
            }
        }
    }

    fn there(&self) -> impl Iterator<Item = (&String, Arc<Acceptor>)> {
        self.0.iter().filter_map(|(name, acceptor)| Some((name, acceptor.upgrade()?)))
    }
}
