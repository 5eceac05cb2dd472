// SPDX-License-Identifier: BSD-3-Clause
//! All rules. An id is never given to another rule.

use super::{Family, Level, Rule, Subject};
use crate::contract::Capability;

macro_rules! catalogue {
    ($($name:ident = $id:literal, $level:ident, $family:ident, $of:ident $(, $needs:ident)?;
       $sentence:literal;)*) => {
        /// A rule's place in the catalogue.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub(super) enum Id {
            $($name,)*
        }

        /// All rules, by family.
        pub static CATALOGUE: &[Rule] = &[$(Rule {
            id: $id,
            level: Level::$level,
            family: Family::$family,
            of: Subject::$of,
            needs: needs!($($needs)?),
            sentence: $sentence,
        },)*];
    };
}

macro_rules! needs {
    () => {
        None
    };
    ($needs:ident) => {
        Some(Capability::$needs)
    };
}

catalogue! {
    ByteAsGiven = "INT-01", Must, Integrity, Adapter;
    "Each byte that an adapter puts out is the one that it was given at this offset.";
    Numbered = "INT-02", Must, Integrity, Adapter;
    "An adapter numbers the chunks that it puts out from 1 in each flow, without a gap.";
    InPlace = "INT-03", Must, Integrity, Adapter;
    "A chunk that an adapter puts out begins where the one before it ended.";
    NoMore = "INT-04", Must, Integrity, Adapter;
    "An adapter puts out no more bytes of a flow than it took.";
    NoLess = "INT-05", Must, Integrity, Adapter;
    "When an adapter says that a direction ended, it has put out all that it took of it.";
    WholeRequest = "INT-06", Must, Integrity, Adapter;
    "When a flow ends in order, its target has had the whole request.";
    WholeAnswer = "INT-07", Must, Integrity, Adapter;
    "When a flow ends in order, its sink has had the whole answer.";
    AtTarget = "INT-08", Must, Integrity, Adapter;
    "Each byte that reaches the target is the one that the source sent at this offset.";
    NotEmpty = "INT-09", Should, Integrity, Adapter;
    "A chunk without bytes is put out only to say that a direction ended.";
    Network = "INT-10", Must, Integrity, Runtime;
    "The network brings what was put into it: never more, and all of it before a flow ends in order.";
    Besides = "INT-11", Must, Integrity, Runtime;
    "Whatever a session says besides the bytes of flows arrives at the other one, once, as it was said.";

    Opens = "LIF-01", Must, Lifecycle, Adapter;
    "An adapter opens a flow while it has fewer than its manifest says that it carries.";
    Arrows = "LIF-02", Must, Lifecycle, Adapter;
    "The states of a flow follow one another as the drawing of its life has arrows.";
    NothingWhenOver = "LIF-03", Must, Lifecycle, Adapter;
    "An adapter puts out nothing of a flow that is over, and says nothing of it.";
    NothingBehindEnd = "LIF-04", Must, Lifecycle, Adapter;
    "An adapter puts out nothing behind the end of a direction.";
    EndOnce = "LIF-05", Must, Lifecycle, Adapter;
    "An adapter says once that a direction ended, and once that a flow is over.";
    EndGiven = "LIF-06", Must, Lifecycle, Adapter;
    "An adapter reports a direction as ended in order only after the offering side has ended it.";
    RefusesBehindEnd = "LIF-07", Must, Lifecycle, Adapter;
    "An adapter refuses what is offered behind the end of a direction.";
    CloseTaken = "LIF-08", Must, Lifecycle, Adapter;
    "An adapter does not refuse to close a flow, nor to reset one that is over.";
    EndsInOrder = "LIF-09", Must, Lifecycle, Adapter;
    "A flow that is not reset ends in order.";

    Room = "BPR-01", Must, Backpressure, Adapter;
    "An adapter puts out no more bytes than there is room for.";
    NoMoreThanOffered = "BPR-02", Must, Backpressure, Adapter;
    "An adapter takes no more of an offer than there is.";
    AsksAgain = "BPR-03", Must, Backpressure, Adapter, FlowBackpressure;
    "An adapter that turned a source away asks for more within 64 ticks once it holds nothing.";
    Between = "BPR-04", Must, Backpressure, Adapter, FlowBackpressure;
    "No more lies between a source and its sink than the adapters and the windows have room for.";
    TakesSome = "BPR-05", Should, Backpressure, Adapter;
    "An adapter that holds nothing takes something of what it is offered.";
    Window = "BPR-06", Must, Backpressure, Runtime;
    "No more of a flow is under way than its window, neither to its target nor to its sink.";
    GoesOn = "BPR-07", Must, Backpressure, Adapter, FlowBackpressure;
    "An adapter whose sink takes of a flow again puts out what it holds of it within 64 ticks.";

    OwnFlows = "ISO-01", Must, Isolation, Adapter;
    "An adapter puts out and says something only of flows that it has opened.";
    OthersEnd = "ISO-02", Must, Isolation, Adapter;
    "When one flow was broken off, the others end as they would have.";
    OthersGoOn = "ISO-03", Must, Isolation, Adapter;
    "While one flow is stalled, the others go on.";
    AsAlone = "ISO-04", Must, Isolation, Adapter;
    "A flow among others carries, says and ends as it does alone, but for the time that it takes.";
    OwnStream = "ISO-05", Must, Isolation, Runtime;
    "Each flow has a stream of its own.";

    TargetFails = "ERR-01", Must, Errors, Adapter;
    "A flow whose target answers by an error ends as failed.";
    TargetResets = "ERR-02", Must, Errors, Adapter;
    "A flow that its target breaks off ends as reset.";
    SourceResets = "ERR-03", Must, Errors, Adapter;
    "A flow that its source breaks off ends as reset.";
    NotByItself = "ERR-04", Must, Errors, Adapter;
    "An adapter breaks off no flow that was not broken off at it.";
    SameCause = "ERR-05", Must, Errors, Adapter;
    "After a failure or reset of a flow, an adapter reports the same cause at the other end.";
    NotInOrder = "ERR-06", Must, Errors, Adapter;
    "A flow that was broken off does not end in order at the other end.";
    TakesValid = "ERR-07", Must, Errors, Adapter;
    "An adapter does not refuse bytes that are the next ones of a flow that is open.";
    RefusesMalformed = "ERR-08", Must, Errors, Adapter;
    "An adapter refuses bytes that are not the next ones, as malformed.";

    Ends = "LIV-01", Must, Liveness, Adapter;
    "Each flow comes to an end.";
    SinkKnows = "LIV-02", Must, Liveness, Adapter;
    "The sink of each flow learns that it is over.";
    FewEvents = "LIV-03", Must, Liveness, Adapter;
    "A run ends within as many events as it may have.";
    Rests = "LIV-04", Must, Liveness, Adapter;
    "An adapter that has nothing to do does not ask to be polled again and again.";
    EndComesOut = "LIV-05", Must, Liveness, Adapter;
    "The end of a direction comes out behind its bytes.";
    BreakComesOut = "LIV-06", Must, Liveness, Adapter;
    "That a flow was broken off is said at the other end.";
    EndsWhenCleared = "LIV-07", Must, Liveness, Adapter;
    "After the last fault each flow ends within the time that a run without faults has.";

    Survives = "ROB-01", Must, Robustness, Adapter;
    "A flow ends as it would have when the injected faults took nothing of it away.";
    Reports = "ROB-02", Must, Robustness, Adapter;
    "What a fault took away or changed is reported: no flow ends in order without it.";
    GivenUp = "ROB-03", Must, Robustness, Adapter;
    "A flow that was given up is over for both adapters.";
    AfterCrash = "ROB-04", Must, Robustness, Adapter;
    "When an adapter was thrown away and made anew, flows that open then end as they would have.";
    SessionHolds = "ROB-05", Must, Robustness, Runtime;
    "The session ends by an error only when the network broke what it carried.";

    Again = "DET-01", Must, Determinism, Adapter;
    "The same seed gives the same trace.";
    FreshProcess = "DET-02", Must, Determinism, Adapter;
    "The same seed gives the same trace in another process.";

    Summary = "HYG-01", Must, Hygiene, Adapter, TraceSafeAdapterSummary;
    "The summary of an adapter has neither payload nor secrets in it.";
    Error = "HYG-02", Must, Hygiene, Adapter;
    "The errors of an adapter have neither payload nor secrets in them.";
    Debug = "HYG-03", Must, Hygiene, Adapter;
    "What is shown of an adapter for debugging has neither payload nor secrets in it.";
    Report = "HYG-04", Must, Hygiene, Runtime;
    "What the lab writes has neither payload nor secrets in it.";
    NoMark = "HYG-05", Must, Hygiene, Adapter;
    "No text of an adapter has the mark of a secret in it, such as a name that says so.";

    HalfCloseUnclaimed = "CAP-01", Must, Honesty, Adapter;
    "An adapter that does not claim flow_half_close refuses it as unsupported.";
    ResetUnclaimed = "CAP-02", Must, Honesty, Adapter;
    "An adapter that does not claim flow_reset refuses it as unsupported.";
    HalfCloses = "CAP-03", Must, Honesty, Adapter, FlowHalfClose;
    "An adapter that claims flow_half_close does not refuse it to a flow that is open.";
    Resets = "CAP-04", Must, Honesty, Adapter, FlowReset;
    "An adapter that claims flow_reset does not refuse it to a flow that is open.";
    UrgentFirst = "CAP-05", Should, Honesty, Adapter, FlowPriority;
    "An adapter that claims flow_priority puts out interactive bytes before bulk.";
    Ways = "CAP-06", Must, Honesty, Adapter;
    "An adapter claims the way in which it is used: adapter_ingress, or adapter_egress.";
    SameManifest = "CAP-07", Must, Honesty, Adapter;
    "A manifest is the same whenever it is asked for.";

    ToldWithin = "RES-01", Must, Resources, Adapter;
    "An adapter says of itself that it holds no more bytes than its manifest allows.";
    FlowWithin = "RES-02", Must, Resources, Adapter;
    "An adapter holds no more bytes of one flow than its manifest allows.";
    AllWithin = "RES-03", Must, Resources, Adapter;
    "An adapter holds no more bytes of all flows than its manifest allows.";
    ReportedAll = "RES-04", Should, Resources, Adapter;
    "An adapter says that it holds no less than what it took and has not put out.";
    FlowsWithin = "RES-05", Must, Resources, Adapter;
    "An adapter opens no more flows at once than its manifest allows.";
    NothingLeft = "RES-06", Must, Resources, Adapter;
    "When every flow is over, an adapter holds nothing.";
    NothingAwaited = "RES-07", Must, Resources, Adapter;
    "When every flow is over, an adapter waits for no later time.";
    SessionsIdle = "RES-08", Must, Resources, Runtime;
    "When every flow is over, both sessions are idle, and all their credit and memory is back.";
}

/// The rule with this id, in any case of its letters.
#[must_use]
pub fn rule(id: &str) -> Option<&'static Rule> {
    CATALOGUE.iter().find(|rule| rule.id.eq_ignore_ascii_case(id))
}

/// The rules with these ids, one bit each, as in [`RuleSets`](super::RuleSets).
pub(crate) fn bits<'a>(ids: impl IntoIterator<Item = &'a str>) -> u128 {
    ids.into_iter().fold(0, |mask, id| {
        let at = CATALOGUE.iter().position(|rule| rule.id == id);
        mask | at.map_or(0, |at| 1 << at)
    })
}

/// The ids of rules, in the order of the catalogue.
pub(crate) fn ids(mask: u128) -> Vec<&'static str> {
    let rules = CATALOGUE.iter().enumerate().filter(|(at, _)| mask >> at & 1 != 0);
    rules.map(|(_, rule)| rule.id).collect()
}

/// The rules in `mask` that judge adapters.
pub(crate) fn of_adapters(mask: u128) -> u128 {
    let judged = CATALOGUE.iter().enumerate().filter(|(_, rule)| rule.of == Subject::Adapter);
    judged.fold(0, |judged, (at, _)| judged | 1 << at) & mask
}

impl Id {
    /// Its bit in a mask.
    pub(super) const fn bit(self) -> u128 {
        1 << self as u8
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique_ordered_and_fit_a_mask() {
        assert!(CATALOGUE.len() <= 128);
        let ids: BTreeSet<_> = CATALOGUE.iter().map(|rule| rule.id).collect();
        assert_eq!(ids.len(), CATALOGUE.len());
        assert!(CATALOGUE.is_sorted_by_key(|rule| rule.family));
        for pair in CATALOGUE.windows(2) {
            let number = |rule: &Rule| rule.id.split('-').nth(1).unwrap().parse::<u32>().unwrap();
            let expected = match pair[0].family == pair[1].family {
                true => number(&pair[0]) + 1,
                false => 1,
            };
            assert_eq!(number(&pair[1]), expected, "{}", pair[1].id);
        }
        assert_eq!(rule("int-01").unwrap().sentence, CATALOGUE[0].sentence);
        assert_eq!(rule("INT-99"), None);
    }

    #[test]
    fn a_rule_is_one_sentence_and_families_keep_their_mark() {
        for rule in CATALOGUE {
            assert!(rule.sentence.ends_with('.') && rule.sentence.matches('.').count() == 1);
            assert!(rule.sentence.len() <= 110, "{}", rule.id);
            let mark = match rule.family {
                Family::Integrity => "INT",
                Family::Lifecycle => "LIF",
                Family::Backpressure => "BPR",
                Family::Isolation => "ISO",
                Family::Errors => "ERR",
                Family::Liveness => "LIV",
                Family::Robustness => "ROB",
                Family::Determinism => "DET",
                Family::Hygiene => "HYG",
                Family::Honesty => "CAP",
                Family::Resources => "RES",
            };
            assert_eq!(rule.id.split('-').next(), Some(mark));
        }
    }
}
