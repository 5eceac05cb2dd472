// SPDX-License-Identifier: BSD-3-Clause
//! A worker's share of the processors: threads that compute for no call yield to everything else.
//!
//! The scheduler gives each thread that wants a processor the same share of it. A worker has a claim to that while it
//! has a call or a stream in hand: a call is not, once its deadline has passed or its caller has left. A thread that
//! goes on without a claim is put into the scheduler's idle class, where it has what no other thread wants.
//!
//! ```text
//!   call  ├────────────────── deadline ┤
//!   thread ▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▒▒▒▒▒▒▒▒▒▒▒▒▒ sleeps ┤
//!                                       │ patience │ idle class       │ normal again, if this process may
//! ```
//!
//! # Invariants
//!
//! 1. A thread is lowered only if it has not slept, and its worker has had no claim, for all of [`Rules::patience`], and
//!    if it ran for half of that: one that only waits for a processor takes none from others.
//! 2. A thread of the worker that sleeps keeps its class: those that serve the session answer pings as before.
//! 3. A worker that sleeps is looked at as rarely as its session is pinged, and one with a claim by two loads a second.
//!
//! A thread has not slept from one look to the next if it ran or waited for a processor all the time, which the kernel
//! counts in `schedstat`; so it does not matter how busy the machine is. The kernel adds a wait only when it ends, and in
//! the idle class one can last for longer than the time between two looks. So a thread that is runnable at both looks has
//! not slept either, if it never gave its processor up in between. Where the kernel counts none of that, no thread is
//! lowered.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use becket_sandbox::scheduling::{Class, may_raise, set_class};

/// From one look to the next, while a thread goes on without a claim.
const LOOK: Duration = Duration::from_millis(250);
/// The same while there is a claim.
const LOOK_CLAIMED: Duration = Duration::from_secs(1);
/// The same while all threads sleep in between.
const LOOK_ASLEEP: Duration = Duration::from_secs(5);
/// Of the time between two looks, in percent: a thread that ran or waited for so much has not slept.
const AWAKE_PERCENT: u32 = 90;
/// Threads that are looked at.
const THREADS_MAX: usize = 1024;

/// When a thread is lowered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    /// How long it has to go on without a claim.
    patience: Duration,
    /// For so long after a notification there is a claim, as its end is not known; `None`: for ever.
    notification: Option<Duration>,
    /// It can be raised again.
    may_raise: bool,
}

impl Rules {
    /// For a plugin whose calls may take so long; 0: for ever. What this process cannot take back, it does later.
    pub(crate) fn new(deadline_ms: u64) -> Self {
        let may_raise = may_raise();
        let patience = Duration::from_secs(if may_raise { 1 } else { 10 });
        let notification = Some(Duration::from_millis(deadline_ms)).filter(|time| !time.is_zero());
        Self { patience, notification, may_raise }
    }
}

/// What a worker has been given so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Given {
    /// Calls and streams that it has in hand.
    pub(crate) in_hand: u32,
    /// Calls, streams and requests of the host's own.
    pub(crate) begun: u64,
    /// Notifications.
    pub(crate) notified: u64,
}

/// What has changed at a look.
#[derive(Debug, Default, PartialEq, Eq)]
struct Changes {
    lower: Vec<i32>,
    raise: Vec<i32>,
}

/// The threads of one worker, as the last look found them.
pub(crate) struct Share {
    pid: u32,
    rules: Rules,
    looked: Instant,
    given: Given,
    /// Since when there was no claim.
    unclaimed_since: Option<Instant>,
    /// When the last notification was seen.
    notified: Option<Instant>,
    threads: HashMap<i32, Thread>,
    next: Duration,
}

struct Thread {
    seen: Seen,
    /// Since when it has not slept, and how long it had run before.
    awake_since: Option<(Instant, u64)>,
    is_lowered: bool,
}

/// What the kernel counts of a thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    /// Nanoseconds that it ran.
    ran_ns: u64,
    /// Nanoseconds that it waited for a processor, in waits that have ended.
    waited_ns: u64,
    /// How often it gave its processor up.
    gave_up: u64,
    /// It runs, or waits for a processor.
    is_runnable: bool,
}

impl Seen {
    /// Whether it has not slept in the `time` since `before`.
    fn is_awake_since(self, before: Self, time: Duration) -> bool {
        let never_slept = before.is_runnable && self.is_runnable && self.gave_up == before.gave_up;
        let ran = self.ran_ns.saturating_sub(before.ran_ns);
        let awake_ns = ran.saturating_add(self.waited_ns.saturating_sub(before.waited_ns));
        never_slept || Duration::from_nanos(awake_ns) >= time * AWAKE_PERCENT / 100
    }
}

impl Share {
    pub(crate) fn new(pid: u32, rules: Rules, now: Instant) -> Self {
        Self {
            pid,
            rules,
            looked: now,
            given: Given::default(),
            unclaimed_since: None,
            notified: None,
            threads: HashMap::new(),
            next: LOOK_CLAIMED,
        }
    }

    /// How long until the next look.
    pub(crate) fn next(&self) -> Duration {
        self.next
    }

    /// Looks at the threads, and gives them the class that they are to have. How many are lowered then.
    pub(crate) fn look(&mut self, given: Given, now: Instant) -> u32 {
        let is_claimed = self.claim(given, now);
        if is_claimed && self.lowered() == 0 {
            self.threads.clear();
            self.next = LOOK_CLAIMED;
            return 0;
        }
        let Changes { lower, raise } = self.changes(now, threads_of(self.pid));
        // A thread may have ended meanwhile. Its number is not another's so soon: all others come before.
        for (threads, class) in [(lower, Class::Idle), (raise, Class::Normal)] {
            for number in threads {
                if set_class(number, class).is_ok()
                    && let Some(thread) = self.threads.get_mut(&number)
                {
                    thread.is_lowered = class == Class::Idle;
                }
            }
        }
        self.lowered()
    }

    fn lowered(&self) -> u32 {
        self.threads.values().filter(|thread| thread.is_lowered).count() as u32
    }

    /// Whether there is a claim, or was since the last look.
    fn claim(&mut self, given: Given, now: Instant) -> bool {
        let before = std::mem::replace(&mut self.given, given);
        if given.notified != before.notified {
            self.notified = Some(now);
        }
        let is_notified = self.notified.is_some_and(|at| {
            let passed = now.saturating_duration_since(at);
            self.rules.notification.is_none_or(|claim| passed < claim)
        });
        let is_claimed = given.in_hand > 0 || given.begun != before.begun || is_notified;
        self.unclaimed_since = if is_claimed { None } else { self.unclaimed_since.or(Some(now)) };
        is_claimed
    }

    /// `threads` are the numbers of the worker's.
    fn changes(&mut self, now: Instant, threads: impl IntoIterator<Item = (i32, Seen)>) -> Changes {
        let looked = std::mem::replace(&mut self.looked, now);
        let time = now.saturating_duration_since(looked);
        let patience = self.rules.patience;
        let is_over = |since: Instant| now.saturating_duration_since(since) >= patience;
        let is_unclaimed = self.unclaimed_since.is_some_and(is_over);
        let mut changes = Changes::default();
        // What was not looked at before may be awake.
        let mut is_awake = self.threads.is_empty();
        let mut looked_at = HashMap::new();
        for (number, seen) in threads {
            let mut thread = Thread { seen, awake_since: None, is_lowered: false };
            if let Some(before) = self.threads.get(&number) {
                thread.is_lowered = before.is_lowered;
                if seen.is_awake_since(before.seen, time) {
                    let since = before.awake_since.unwrap_or((looked, before.seen.ran_ns));
                    thread.awake_since = Some(since);
                    is_awake = true;
                }
                let goes_on = thread.awake_since.is_some_and(|(since, ran_before_ns)| {
                    let ran = Duration::from_nanos(seen.ran_ns.saturating_sub(ran_before_ns));
                    is_over(since) && ran >= patience / 2
                });
                if is_unclaimed && goes_on && !thread.is_lowered {
                    changes.lower.push(number);
                }
                if thread.is_lowered && thread.awake_since.is_none() && self.rules.may_raise {
                    changes.raise.push(number);
                }
            }
            looked_at.insert(number, thread);
        }
        self.threads = looked_at;
        self.next = if is_awake { LOOK } else { LOOK_ASLEEP };
        changes
    }
}

/// The threads of a process.
fn threads_of(pid: u32) -> Vec<(i32, Seen)> {
    let folder = format!("/proc/{pid}/task");
    let entries = fs::read_dir(&folder).into_iter().flatten().flatten().take(THREADS_MAX);
    let thread = |entry: fs::DirEntry| {
        let number = entry.file_name().to_str()?.parse().ok()?;
        let read = |name| fs::read_to_string(entry.path().join(name)).ok();
        Some((number, seen(&read("schedstat")?, &read("status")?)?))
    };
    entries.filter_map(thread).collect()
}

/// From the first two fields of the one, and two lines of the other.
fn seen(schedstat: &str, status: &str) -> Option<Seen> {
    let mut fields = schedstat.split_ascii_whitespace().map(|field| field.parse::<u64>().ok());
    let line = |name| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    Some(Seen {
        ran_ns: fields.next()??,
        waited_ns: fields.next()??,
        gave_up: line("voluntary_ctxt_switches:")?.parse().ok()?,
        is_runnable: line("State:")?.starts_with('R'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_secs(60);
    const RULES: Rules = Rules { patience: SECOND, notification: Some(MINUTE), may_raise: true };
    const BUSY: i32 = 11;
    const SESSION: i32 = 12;

    /// Looks every 250 ms: a thread that has not slept, or has, and another that sleeps.
    struct Looks {
        share: Share,
        now: Instant,
        busy: Seen,
        /// Of the time that it is awake, in percent: it runs.
        runs: u64,
    }

    impl Looks {
        fn new(rules: Rules) -> Self {
            let now = Instant::now();
            let mut looks = Self {
                share: Share::new(1, rules, now),
                now,
                busy: Seen { ran_ns: 0, waited_ns: 0, gave_up: 0, is_runnable: true },
                runs: 100,
            };
            // What it is first seen with.
            looks.look(Given::default(), true);
            looks
        }

        /// What is lowered and raised at the next look, as if that succeeded.
        fn look(&mut self, given: Given, is_busy: bool) -> (bool, bool) {
            self.now += LOOK;
            let awake_ns = if is_busy { LOOK.as_nanos() as u64 } else { 1000 };
            self.busy.ran_ns += awake_ns * self.runs / 100;
            self.busy.waited_ns += awake_ns * (100 - self.runs) / 100;
            self.busy.gave_up += u64::from(!is_busy);
            self.busy.is_runnable = is_busy;
            let session = Seen { ran_ns: 400, waited_ns: 100, gave_up: 7, is_runnable: false };
            let threads = [(BUSY, self.busy), (SESSION, session)];
            self.share.claim(given, self.now);
            let Changes { lower, raise } = self.share.changes(self.now, threads);
            assert!(!lower.contains(&SESSION) && !raise.contains(&SESSION));
            let thread = self.share.threads.get_mut(&BUSY).unwrap();
            let changed = (lower.contains(&BUSY), raise.contains(&BUSY));
            thread.is_lowered = (thread.is_lowered || changed.0) && !changed.1;
            changed
        }

        /// After how many looks of a busy thread it is lowered; at most so many.
        fn lowered_after(&mut self, given: impl Fn(u64) -> Given, most: u64) -> Option<u64> {
            (1..=most).find(|look| self.look(given(*look), true).0)
        }
    }

    #[test]
    fn a_thread_that_goes_on_without_a_call_is_lowered_once_and_raised_when_it_has_slept() {
        let mut looks = Looks::new(RULES);
        let none = Given::default();
        assert_eq!(looks.lowered_after(|_| none, 100), Some(4), "after a second");
        assert_eq!(looks.lowered_after(|_| none, 100), None, "it is");
        assert_eq!(looks.look(none, false), (false, true));
        assert_eq!(looks.look(none, false), (false, false), "it is");
        assert!(looks.lowered_after(|_| none, 100).is_some(), "again");
    }

    #[test]
    fn a_call_in_hand_is_a_claim_and_so_is_one_between_two_looks() {
        let mut looks = Looks::new(RULES);
        let in_hand = Given { in_hand: 1, begun: 1, notified: 0 };
        assert_eq!(looks.lowered_after(|_| in_hand, 1000), None);
        // Begun and answered, or late, between two looks.
        assert_eq!(
            looks.lowered_after(|look| Given { begun: look, ..Given::default() }, 1000),
            None
        );
        let over = Given { begun: 1000, ..Given::default() };
        assert_eq!(looks.lowered_after(|_| over, 1000), Some(5), "a second after the last one");
    }

    #[test]
    fn a_notification_is_a_claim_for_as_long_as_a_call_may_take() {
        let mut looks = Looks::new(RULES);
        let notified = Given { notified: 1, ..Given::default() };
        let looks_for = |time: Duration| (time.as_millis() / LOOK.as_millis()) as u64;
        let lowered = looks.lowered_after(|_| notified, 1000).unwrap();
        assert_eq!(lowered, looks_for(MINUTE + SECOND) + 1);
        let mut looks = Looks::new(Rules { notification: None, ..RULES });
        assert_eq!(looks.lowered_after(|_| notified, 10_000), None);
    }

    #[test]
    fn one_that_sleeps_between_is_not_lowered_and_nothing_is_raised_that_cannot_be() {
        let mut looks = Looks::new(Rules { may_raise: false, ..RULES });
        let none = Given::default();
        for look in 0..100 {
            assert_eq!(looks.look(none, look % 4 != 0), (false, false), "{look}");
        }
        assert!(looks.lowered_after(|_| none, 100).is_some());
        assert_eq!(looks.look(none, false), (false, false));
    }

    #[test]
    fn one_that_waits_for_a_processor_is_lowered_when_it_has_had_one_for_long() {
        let mut looks = Looks::new(RULES);
        looks.runs = 5;
        let none = Given::default();
        let lowered = looks.lowered_after(|_| none, 1000);
        assert_eq!(lowered, Some(40), "after 10 s, of which it ran for half a second");
        let mut starved = Looks::new(RULES);
        starved.runs = 0;
        assert_eq!(starved.lowered_after(|_| none, 1000), None);
    }

    #[test]
    fn a_worker_is_looked_at_often_only_while_a_thread_goes_on_without_a_claim() {
        let mut looks = Looks::new(RULES);
        looks.look(Given::default(), true);
        assert_eq!(looks.share.next(), LOOK);
        looks.look(Given::default(), false);
        assert_eq!(looks.share.next(), LOOK_ASLEEP);
        let in_hand = Given { in_hand: 1, ..Given::default() };
        assert_eq!(looks.share.look(in_hand, looks.now), 0);
        assert_eq!(looks.share.next(), LOOK_CLAIMED);
        assert!(looks.share.threads.is_empty(), "none was looked at");
        looks.look(Given::default(), false);
        assert_eq!(looks.share.next(), LOOK, "it is not known yet whether one goes on");
    }

    #[test]
    fn a_wait_that_lasts_from_look_to_look_is_no_sleep() {
        let before = Seen { ran_ns: 100, waited_ns: 100, gave_up: 3, is_runnable: true };
        assert!(before.is_awake_since(before, SECOND), "the kernel adds the wait when it ends");
        let slept = Seen { gave_up: 4, ..before };
        assert!(!slept.is_awake_since(before, SECOND), "for a moment");
        let asleep = Seen { is_runnable: false, ..before };
        assert!(!before.is_awake_since(asleep, SECOND), "it was woken in between");
        assert!(!asleep.is_awake_since(asleep, SECOND));
        let briefly = Seen { ran_ns: 900_000_000, waited_ns: 50_000_000, ..slept };
        assert!(briefly.is_awake_since(before, SECOND), "95 of 100");
    }

    #[test]
    fn what_the_kernel_counts_is_read_from_two_files() {
        let status = "Name:\tplugin\nState:\tR (running)\nvoluntary_ctxt_switches:\t12\n\
                      nonvoluntary_ctxt_switches:\t34\n";
        let read = Seen { ran_ns: 700, waited_ns: 42, gave_up: 12, is_runnable: true };
        assert_eq!(seen("700 42 3\n", status), Some(read));
        for (schedstat, status) in [("", status), ("7", status), ("x y z", status), ("7 4 3", "")] {
            assert_eq!(seen(schedstat, status), None, "{schedstat:?}, {status:?}");
        }
        assert!(threads_of(std::process::id()).iter().any(|(_, seen)| seen.ran_ns > 0));
    }
}
