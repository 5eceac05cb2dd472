// SPDX-License-Identifier: BSD-3-Clause
//! Two threads for the turns of all accounts: one for those that need little, one for the others.
//!
//! ```text
//!   push ──► first lane ──pop──► the I/O thread, which also waits for events
//!               │ an account that has used much, while another one waits
//!               ▼
//!   push ──► second lane ──────► a thread that does nothing else
//! ```
//!
//! A thread that is always busy has no claim to a CPU that others want: on a loaded machine it waits
//! for several milliseconds each time that its part is used up, and what comes in then waits with
//! it. A thread that sleeps most of the time gets a CPU as soon as it wakes. So the work for peers
//! that keep a thread busy is not done by the one that the others depend on. One peer alone stays
//! in the first lane, however busy it is: a second thread would cost it a wake for each event.
//!
//! # Invariants
//!
//! 1. An account changes to the second lane with all its waiting turns, while none of its turns is
//!    served; it changes back while it has none in the second lane.
//! 2. So the turns of one account are served one after the other, in their order.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::turns::{Account, Turns};

/// The time over which the use of an account is averaged.
const AVERAGED: Duration = Duration::from_millis(20);
/// An account that has used a quarter of that time changes to the second lane,
const BUSY: Duration = Duration::from_millis(5);
/// and back when it has used a tenth.
const QUIET: Duration = Duration::from_millis(2);
/// The number of accounts above which quiet ones are forgotten.
const KEPT: usize = 64;

#[derive(Debug)]
pub(super) struct Lanes<T> {
    lanes: Mutex<Both<T>>,
    /// The second lane has a turn.
    second: Condvar,
}

#[derive(Debug)]
struct Both<T> {
    first: Turns<T>,
    second: Turns<T>,
    uses: HashMap<Account, Use>,
}

/// What an account has used lately.
#[derive(Debug, Clone, Copy)]
struct Use {
    time: Duration,
    at: Instant,
    is_in_second: bool,
}

impl<T> Lanes<T> {
    pub(super) fn new() -> Self {
        let (first, second, uses) = (Turns::new(), Turns::new(), HashMap::new());
        Self { lanes: Mutex::new(Both { first, second, uses }), second: Condvar::new() }
    }

    /// Adds a turn to the lane of its account.
    pub(super) fn push(&self, account: Account, turn: T) {
        let mut lanes = self.lanes.lock();
        if lanes.is_in_second(account) {
            lanes.second.push(account, turn);
            self.second.notify_one();
        } else {
            lanes.first.push(account, turn);
        }
    }

    /// Whether the first lane has no turn.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.lock().first.is_empty()
    }

    /// How many turns of an account wait in the first lane.
    #[cfg(test)]
    pub(super) fn waiting(&self, account: Account) -> usize {
        self.lanes.lock().first.waiting_of(account)
    }

    /// The next turn of the first lane. [`took`](Self::took) has to follow.
    pub(super) fn pop(&self) -> Option<(Account, T)> {
        self.lanes.lock().first.pop()
    }

    /// The turn of the first lane has taken this time.
    pub(super) fn took(&self, account: Account, time: Duration, now: Instant) {
        let mut lanes = self.lanes.lock();
        lanes.first.took(account, time);
        lanes.charge(account, time, now);
    }

    /// Which account of the first lane has used much while another one waits. It should [change](Self::change) to the
    /// second lane.
    pub(super) fn busiest(&self) -> Option<Account> {
        let Both { first, uses, .. } = &*self.lanes.lock();
        let _another = first.waiting().nth(1)?;
        let used = |account| uses.get(&account).map_or(Duration::ZERO, |one| one.time);
        first
            .waiting()
            .max_by_key(|account| used(*account))
            .filter(|account| used(*account) >= BUSY)
    }

    /// Changes an account to the second lane. No turn of it is being served.
    pub(super) fn change(&self, account: Account) {
        let Both { first, second, uses } = &mut *self.lanes.lock();
        let Some(used) = uses.get_mut(&account) else { return };
        used.is_in_second = true;
        for turn in first.remove(account) {
            second.push(account, turn);
        }
        self.second.notify_one();
    }

    /// Serves the second lane for ever.
    pub(super) fn serve_second(&self, serve: impl Fn(T)) {
        let mut lanes = self.lanes.lock();
        loop {
            let Some((account, turn)) = lanes.second.pop() else {
                self.second.wait(&mut lanes);
                continue;
            };
            drop(lanes);
            let begin = Instant::now();
            serve(turn);
            let now = Instant::now();
            let time = now.saturating_duration_since(begin);
            lanes = self.lanes.lock();
            lanes.second.took(account, time);
            lanes.charge(account, time, now);
        }
    }
}

impl<T> Both<T> {
    fn is_in_second(&mut self, account: Account) -> bool {
        let Some(used) = self.uses.get_mut(&account).filter(|used| used.is_in_second) else {
            return false;
        };
        if used.until(Instant::now()) < QUIET && !self.second.has(account) {
            used.is_in_second = false;
        }
        used.is_in_second
    }

    fn charge(&mut self, account: Account, time: Duration, now: Instant) {
        let new = || Use { time: Duration::ZERO, at: now, is_in_second: false };
        let used = self.uses.entry(account).or_insert_with(new);
        used.time = used.until(now) + time;
        used.at = now;
        if self.uses.len() > KEPT {
            let second = &self.second;
            self.uses.retain(|account, used| used.until(now) >= QUIET || second.has(*account));
        }
    }
}

impl Use {
    /// What is left of it now.
    fn until(&self, now: Instant) -> Duration {
        let since = now.saturating_duration_since(self.at);
        self.time.mul_f64((AVERAGED.saturating_sub(since)).as_secs_f64() / AVERAGED.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;

    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn serve(lanes: &Lanes<u32>, time: Duration, now: Instant) -> (Account, u32) {
        let (account, turn) = lanes.pop().unwrap();
        lanes.took(account, time, now);
        (account, turn)
    }

    #[test]
    fn an_account_that_keeps_the_thread_busy_changes_when_another_one_waits() {
        let [busy, light] = [1, 2].map(Account::of_process);
        let (lanes, now) = (Lanes::new(), Instant::now());
        (0..10).for_each(|turn| lanes.push(busy, turn));
        (0..6).for_each(|turn| assert_eq!(serve(&lanes, MILLISECOND, now), (busy, turn)));
        assert_eq!(lanes.busiest(), None, "it is alone");
        lanes.push(light, 0);
        assert_eq!(lanes.busiest(), Some(busy));
        lanes.change(busy);
        assert_eq!(serve(&lanes, MILLISECOND, now), (light, 0));
        lanes.push(busy, 10);
        assert!(lanes.is_empty(), "its later turns follow it");
        // The thread lives as long as the test.
        let (served, order) = std::sync::mpsc::channel();
        let lanes = Arc::new(lanes);
        let second = lanes.clone();
        std::thread::spawn(move || second.serve_second(|turn| served.send(turn).unwrap()));
        assert_eq!(order.iter().take(5).collect::<Vec<_>>(), [6, 7, 8, 9, 10]);
        lanes.push(busy, 11);
        // On a slow machine it is quiet by now, and has changed back.
        let later = lanes.pop().map_or_else(|| order.recv().unwrap(), |(_, turn)| turn);
        assert_eq!(later, 11);
    }

    #[test]
    fn an_account_changes_back_when_it_is_quiet_and_has_no_turn_left() {
        let [busy, light] = [1, 2].map(Account::of_process);
        let lanes = Lanes::new();
        // So long ago that all is forgotten by now.
        let begin = Instant::now() - AVERAGED;
        lanes.push(busy, 0);
        assert_eq!(serve(&lanes, 6 * MILLISECOND, begin), (busy, 0));
        lanes.push(busy, 1);
        lanes.push(light, 0);
        lanes.change(lanes.busiest().unwrap());
        lanes.push(busy, 2);
        assert_eq!(serve(&lanes, MILLISECOND, begin), (light, 0));
        assert!(lanes.is_empty(), "its turn in the second lane comes first");
        let mut state = lanes.lanes.lock();
        for turn in [1, 2] {
            assert_eq!(state.second.pop(), Some((busy, turn)));
            state.second.took(busy, Duration::ZERO);
        }
        drop(state);
        lanes.push(busy, 3);
        assert_eq!(serve(&lanes, MILLISECOND, Instant::now()), (busy, 3));
    }

    #[test]
    fn what_an_account_has_used_is_forgotten_with_time_and_quiet_ones_make_room() {
        let (lanes, now) = (Lanes::new(), Instant::now());
        for pid in 0..10_000 {
            lanes.push(Account::of_process(pid), pid);
            serve(&lanes, MILLISECOND, now + pid * MILLISECOND);
        }
        let state = lanes.lanes.lock();
        assert!(state.uses.len() <= KEPT, "{}", state.uses.len());
        let used = Use { time: 8 * MILLISECOND, at: now, is_in_second: false };
        assert_eq!(used.until(now + AVERAGED / 2), 4 * MILLISECOND);
        assert_eq!(used.until(now + 2 * AVERAGED), Duration::ZERO);
    }
}
