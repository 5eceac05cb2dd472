// SPDX-License-Identifier: BSD-3-Clause
//! Whose turn it is: the I/O thread's time is divided among the processes at the other ends.
//!
//! ```text
//!   account   clock         waiting turns
//!   4711      8.20 ms       ■ ■ ■ ■ ■ ■        the process of many busy connections
//!   4712      8.25 ms       ■
//!   4713      (idle)                           its next turn is the first
//!                 └ floor: 8.20 ms
//! ```
//!
//! Fair queueing (Demers, Keshav and Shenker 1989) with measured times: each account has a clock
//! that its turns advance by what they took, and the account whose clock is the earliest has the
//! next turn. The floor advances by what each account, this one and the waiting ones, was entitled
//! to of that time.
//! An account that was idle starts from the floor less a [head start](HEAD_START), unless its clock
//! is later than that: it has saved up nothing, and it is served before those that have used their
//! share. So many connections of one process have the share of one connection, and a process that
//! needs little waits for one turn of another at most.
//!
//! # Invariants
//!
//! 1. `waiting` holds each account that has waiting turns once, under its clock.
//! 2. No account waits for ever: the clock of one that waits stands still, while the floor, from
//!    which new ones start, advances with each turn.
//! 3. The accounts without waiting turns are forgotten when nothing waits, and, above [`KEPT`] of
//!    them, when the floor is past their clocks.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::time::Duration;

/// The process for which the I/O thread works in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Account(u32);

/// How far ahead of the floor, in nanoseconds, an account that was idle starts.
const HEAD_START: u64 = 100_000;
/// The number of accounts without waiting turns above which those behind the floor are forgotten.
const KEPT: usize = 64;

/// The turns that wait, by account.
#[derive(Debug)]
pub(super) struct Turns<T> {
    accounts: HashMap<Account, Used<T>>,
    /// The accounts with waiting turns, the earliest clock first.
    waiting: BinaryHeap<Reverse<(u64, Account)>>,
    /// In nanoseconds, as the clocks.
    floor: u64,
    /// The account whose turn it is.
    served: Option<Account>,
}

#[derive(Debug)]
struct Used<T> {
    clock: u64,
    turns: VecDeque<T>,
}

impl Account {
    /// This process: for work that no peer has caused, such as accepting connections.
    pub const OWN: Self = Self(u32::MAX);

    /// The account of a peer's process, by its id. The processes that this PID namespace does not
    /// have share one, of the id 0: they cannot be distinguished, and with an account for each
    /// connection, a process would gain time by opening more of them.
    #[must_use]
    pub fn of_process(pid: u32) -> Self {
        Self(pid)
    }
}

impl<T> Turns<T> {
    pub(super) fn new() -> Self {
        Self { accounts: HashMap::new(), waiting: BinaryHeap::new(), floor: 0, served: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether a turn of the account waits, or is served.
    pub(super) fn has(&self, account: Account) -> bool {
        self.served == Some(account)
            || self.accounts.get(&account).is_some_and(|used| !used.turns.is_empty())
    }

    /// Adds a turn behind the other ones of its account.
    pub(super) fn push(&mut self, account: Account, turn: T) {
        let start = self.floor.saturating_sub(HEAD_START);
        let new = || Used { clock: start, turns: VecDeque::new() };
        let used = self.accounts.entry(account).or_insert_with(new);
        if used.turns.is_empty() && self.served != Some(account) {
            used.clock = used.clock.max(start);
            self.waiting.push(Reverse((used.clock, account)));
        }
        used.turns.push_back(turn);
    }

    /// Takes the next turn. [`took`](Self::took) has to follow before the next one.
    pub(super) fn pop(&mut self) -> Option<(Account, T)> {
        let Reverse((_, account)) = self.waiting.pop()?;
        let turn = self.accounts.get_mut(&account)?.turns.pop_front()?;
        self.served = Some(account);
        Some((account, turn))
    }

    /// The accounts with waiting turns.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Account> {
        self.waiting.iter().map(|Reverse((_, account))| *account)
    }

    /// How many turns of an account wait.
    #[cfg(test)]
    pub(super) fn waiting_of(&self, account: Account) -> usize {
        self.accounts.get(&account).map_or(0, |used| used.turns.len())
    }

    /// Takes all turns of an account. None of them is being served.
    pub(super) fn remove(&mut self, account: Account) -> VecDeque<T> {
        self.waiting.retain(|Reverse((_, one))| *one != account);
        self.accounts.remove(&account).map(|used| used.turns).unwrap_or_default()
    }

    /// Charges the account for the turn that it has had.
    pub(super) fn took(&mut self, account: Account, time: Duration) {
        self.served = None;
        let Some(used) = self.accounts.get_mut(&account) else { return };
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        used.clock = used.clock.saturating_add(time);
        let others = self.waiting.len() as u64;
        if !used.turns.is_empty() {
            self.waiting.push(Reverse((used.clock, account)));
        }
        if self.waiting.is_empty() {
            self.accounts.clear();
            self.floor = 0;
            return;
        }
        self.floor = self.floor.saturating_add(time / (others + 1));
        if self.accounts.len() - self.waiting.len() > KEPT {
            let start = self.floor.saturating_sub(HEAD_START);
            self.accounts.retain(|_, used| !used.turns.is_empty() || used.clock > start);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn busy(turns: &mut Turns<u32>, account: Account, count: u32) {
        (0..count).for_each(|turn| turns.push(account, turn));
    }

    /// Serves one turn, which takes `time`.
    fn serve(turns: &mut Turns<u32>, time: impl FnOnce(Account) -> Duration) -> (Account, u32) {
        let (account, turn) = turns.pop().unwrap();
        turns.took(account, time(account));
        (account, turn)
    }

    #[test]
    fn an_account_with_many_turns_has_the_time_of_one() {
        let [many, one] = [1, 2].map(Account::of_process);
        let mut turns = Turns::new();
        busy(&mut turns, many, 1000);
        busy(&mut turns, one, 1);
        let mut times = HashMap::<_, Duration>::new();
        for round in 0..300 {
            let cost = |account| if account == one { 3 * MILLISECOND } else { MILLISECOND };
            let (account, _) = serve(&mut turns, cost);
            *times.entry(account).or_default() += cost(account);
            if account == one {
                turns.push(one, round);
            }
        }
        assert!(times[&one].abs_diff(times[&many]) <= 3 * MILLISECOND, "{times:?}");
    }

    #[test]
    fn an_idle_account_is_next_and_has_saved_up_nothing() {
        let [one, other, idle] = [1, 2, 3].map(Account::of_process);
        let mut turns = Turns::new();
        busy(&mut turns, one, 100);
        busy(&mut turns, other, 100);
        (0..50).for_each(|_| _ = serve(&mut turns, |_| MILLISECOND));
        busy(&mut turns, idle, 100);
        assert_eq!(serve(&mut turns, |_| MILLISECOND), (idle, 0));
        let next: Vec<_> = (0..30).map(|_| serve(&mut turns, |_| MILLISECOND).0).collect();
        for account in [one, other, idle] {
            let count = next.iter().filter(|next| **next == account).count();
            assert!((9..=11).contains(&count), "{next:?}");
        }
    }

    #[test]
    fn an_account_that_pauses_is_charged_for_what_it_has_used() {
        let [greedy, steady] = [1, 2].map(Account::of_process);
        let mut turns = Turns::new();
        busy(&mut turns, greedy, 1);
        busy(&mut turns, steady, 20);
        assert_eq!(serve(&mut turns, |_| 10 * MILLISECOND).0, greedy);
        busy(&mut turns, greedy, 1);
        let before: Vec<_> = (0..10).map(|_| serve(&mut turns, |_| MILLISECOND).0).collect();
        assert_eq!(before, [steady; 10]);
    }

    #[test]
    fn turns_of_an_account_keep_their_order_and_idle_accounts_are_forgotten() {
        let mut turns = Turns::new();
        busy(&mut turns, Account::OWN, 3);
        let order: Vec<_> = (0..3).map(|_| serve(&mut turns, |_| MILLISECOND).1).collect();
        assert_eq!(order, [0, 1, 2]);
        for pid in 1..10_000 {
            busy(&mut turns, Account::of_process(pid), 1);
            serve(&mut turns, |_| MILLISECOND);
        }
        assert!(turns.is_empty() && turns.accounts.len() <= 2 * KEPT, "{}", turns.accounts.len());
    }
}
