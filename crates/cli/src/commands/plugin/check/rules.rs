// SPDX-License-Identifier: BSD-3-Clause
//! The rules. An id is never given to another rule.

use super::{Outcome, Trial, calls, faults, flows, life};

/// How binding a rule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::commands) enum Level {
    /// A plugin that violates it does not conform.
    Must,
    /// There may be a reason.
    Should,
}

impl Level {
    pub(in crate::commands) const fn name(self) -> &'static str {
        match self {
            Self::Must => "MUST",
            Self::Should => "SHOULD",
        }
    }
}

/// An obligation of a plugin to its host.
#[derive(Debug)]
pub(in crate::commands) struct Rule {
    pub(in crate::commands) id: &'static str,
    pub(in crate::commands) level: Level,
    pub(in crate::commands) sentence: &'static str,
    /// Tries it.
    pub(super) check: fn(&Trial<'_>) -> Outcome,
}

macro_rules! rules {
    ($($id:literal, $level:ident, $check:path; $sentence:literal;)*) => {
        /// All rules, in the order in which they are tried.
        pub(super) static RULES: &[Rule] = &[$(Rule {
            id: $id,
            level: Level::$level,
            sentence: $sentence,
            check: $check,
        },)*];
    };
}

/// The rule without which no other can be tried.
pub(super) const LOADS: &str = "PLG-01";
/// The second.
pub(super) const STARTS: &str = "PLG-02";
/// The rule that is violated when the process ends. It is not tried by itself.
pub(super) const ENDS_NO_PROCESS: &str = "PLG-27";

rules! {
    "PLG-01", Must, life::loads;
    "It loads: its file, its info and its functions are those of a version that hosts know.";
    "PLG-02", Must, life::starts;
    "Its attach and its init answer Ok.";
    "PLG-03", Must, life::describes_truly;
    "Each entry that it describes resolves.";
    "PLG-04", Should, life::describes;
    "It describes its entries.";
    "PLG-05", Must, life::loads_again;
    "It loads again behind an unload, and says the same of itself.";
    "PLG-06", Must, life::reloads;
    "It reloads, and goes on.";
    "PLG-07", Must, life::takes_any_config;
    "With a configuration that it does not know it starts, or refuses to.";
    "PLG-08", Should, life::refuses_unknown_entry;
    "It refuses an entry that it does not have.";
    "PLG-09", Must, calls::answers_in_time;
    "Each call is answered or refused before its deadline.";
    "PLG-10", Should, calls::known_statuses;
    "The statuses that it gives are those of the ABI.";
    "PLG-11", Must, calls::no_panic;
    "Called with nothing, or with a few bytes, no entry panics.";
    "PLG-12", Must, calls::holds_no_thread;
    "It does not keep the thread that calls it.";
    "PLG-13", Must, calls::streams_end;
    "Each stream ends, at the latest when the host has closed its side.";
    "PLG-14", Must, calls::takes_messages;
    "A bidirectional stream takes a message.";
    "PLG-15", Must, calls::stops_when_full;
    "After Backpressure it sends no more frames until the stream is writable again.";
    "PLG-16", Must, calls::whole_answers;
    "What it hands to the host is what it says: pointers, lengths, leases.";
    "PLG-17", Must, calls::own_ids;
    "It answers only calls that it was given.";
    "PLG-18", Must, calls::answers_once;
    "It answers each call once, and sends nothing behind the end of a stream.";
    "PLG-19", Must, faults::callers_leave;
    "When callers leave, at any point, nothing of their calls is left behind.";
    "PLG-20", Should, faults::quiet_when_cancelled;
    "A call whose deadline has passed is not answered.";
    "PLG-21", Must, faults::host_refuses;
    "When the host refuses memory, state, timers and metrics, calls are answered or refused still.";
    "PLG-22", Must, faults::any_payload;
    "A payload of any length and any bytes is answered or refused.";
    "PLG-23", Should, faults::asks_within_bounds;
    "It asks the host for no more than a few leases, timers and metrics.";
    "PLG-24", Must, faults::gives_back;
    "What a call took of the host is given back when it ends.";
    "PLG-25", Must, faults::unloads_when_busy;
    "Unloaded with calls in flight it ends, and so do they.";
    "PLG-26", Must, faults::silent_after_end;
    "Behind its shutdown nothing of it calls the host.";
    "PLG-27", Must, life::ends_no_process;
    "It never ends the process that it is in.";
    "PLG-28", Must, flows::longer_than_queues;
    "What a bidirectional entry gives back of a flow that is longer than every queue is whole, in order.";
}

/// Rules that call each entry a hundred times, wait to see that nothing happens, or take resources
/// away from the plugin.
const LONG: [&str; 10] = [
    "PLG-07", "PLG-15", "PLG-20", "PLG-21", "PLG-22", "PLG-23", "PLG-24", "PLG-25", "PLG-26",
    "PLG-28",
];

/// The rules that take no longer than a few calls.
pub(super) fn quick() -> Vec<&'static Rule> {
    RULES.iter().filter(|rule| !LONG.contains(&rule.id)).collect()
}

/// The rules of these ids, and those of every check: the plugin loads, starts and ends no process.
/// The last has no trial of its own, so asking for it alone tries every rule.
pub(super) fn only(asked: &[String]) -> Vec<&'static Rule> {
    let is_asked = |id: &str| asked.iter().any(|asked| asked.eq_ignore_ascii_case(id));
    let is_always = |id| [LOADS, STARTS, ENDS_NO_PROCESS].contains(&id);
    let all = is_asked(ENDS_NO_PROCESS);
    RULES.iter().filter(|rule| all || is_always(rule.id) || is_asked(rule.id)).collect()
}

/// Waits for a future of the host: its deadlines end every wait.
pub(super) fn wait<T>(future: impl Future<Output = T>) -> T {
    futures_lite::future::block_on(future)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_count_and_sentences_are_one() {
        for (at, rule) in (1..).zip(RULES) {
            assert_eq!(rule.id, format!("PLG-{at:02}"));
            assert!(rule.sentence.ends_with('.') && rule.sentence.matches('.').count() == 1);
        }
        for id in LONG.into_iter().chain([LOADS, STARTS, ENDS_NO_PROCESS]) {
            assert!(RULES.iter().any(|rule| rule.id == id));
        }
    }

    #[test]
    fn a_rule_is_tried_with_those_that_load_the_plugin() {
        let ids =
            |asked: &str| only(&[asked.to_owned()]).iter().map(|rule| rule.id).collect::<Vec<_>>();
        assert_eq!(ids("plg-13"), ["PLG-01", "PLG-02", "PLG-13", "PLG-27"]);
        assert_eq!(ids("PLG-01"), ["PLG-01", "PLG-02", "PLG-27"]);
        assert_eq!(ids("PLG-27").len(), RULES.len());
    }

    /// A rule that finds no broken plugin may be impossible to violate. The step `lab` of `cargo
    /// xtask test` verifies that each plugin of the zoo is found by its rule.
    #[test]
    fn each_rule_has_a_plugin_in_the_zoo_that_breaks_it() {
        let zoo = include_str!("../../../../../../examples/zoo/zoo.toml");
        let broken: Vec<_> = zoo.lines().filter_map(|line| line.strip_prefix("rule = ")).collect();
        for rule in RULES {
            assert!(broken.contains(&format!("{:?}", rule.id).as_str()), "{}", rule.id);
        }
        for id in broken {
            assert!(RULES.iter().any(|rule| format!("{:?}", rule.id) == id), "{id}");
        }
    }
}
