// SPDX-License-Identifier: BSD-3-Clause
//! The number of connections, and of refusals by cause.

use std::sync::Arc;

use parking_lot::Mutex;

/// A listener's connections and refusals.
#[derive(Debug)]
pub struct Admissions {
    state: Mutex<AdmissionState>,
    connections_max: usize,
}

#[derive(Debug, Default)]
struct AdmissionState {
    connected: usize,
    admitted: u64,
    refusals: Refusals,
}

/// Connections that were closed before a byte was read, by cause. The counts never decrease.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusals {
    /// The maximum number of connections was reached.
    pub full: u64,
    /// Neither the peer's user nor its group may connect.
    pub forbidden: u64,
    /// The kernel did not report the peer's credentials.
    pub unknown: u64,
    /// The process had no file descriptor left.
    pub no_descriptor: u64,
}

impl Refusals {
    /// The sum.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.full + self.forbidden + self.unknown + self.no_descriptor
    }
}

impl Admissions {
    pub(super) fn new(connections_max: usize) -> Arc<Self> {
        Arc::new(Self { state: Mutex::default(), connections_max })
    }

    /// The number of open connections.
    #[must_use]
    pub fn connected(&self) -> usize {
        self.state.lock().connected
    }

    /// The maximum number of connections at a time.
    #[must_use]
    pub fn connections_max(&self) -> usize {
        self.connections_max
    }

    /// The number of connections admitted so far.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.state.lock().admitted
    }

    /// The refused connections.
    #[must_use]
    pub fn refusals(&self) -> Refusals {
        self.state.lock().refusals
    }

    pub(super) fn admitted(&self) {
        self.state.lock().admitted += 1;
    }

    pub(super) fn refuse(&self, cause: impl FnOnce(&mut Refusals) -> &mut u64) {
        *cause(&mut self.state.lock().refusals) += 1;
    }
}

/// A permit for one of the connections that may be open at a time. Dropping it releases it.
#[derive(Debug)]
pub(crate) struct Permit {
    admissions: Arc<Admissions>,
}

impl Permit {
    pub(super) fn take(admissions: &Arc<Admissions>) -> Option<Self> {
        let mut state = admissions.state.lock();
        if state.connected >= admissions.connections_max {
            return None;
        }
        state.connected += 1;
        Some(Self { admissions: Arc::clone(admissions) })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.admissions.state.lock().connected -= 1;
    }
}
