// SPDX-License-Identifier: BSD-3-Clause
//! What a run must show: rules forbid events, a demand requires them.

use crate::contract::{ErrorClass, FlowState};
use crate::target::Behaviour;
use crate::trace::{Call, EventKind, FaultKind, Stage, Trace};

/// What the trace of a run must show, unless faults took flows away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Demand {
    /// Each flow ends in this state.
    AllEnd(FlowState),
    /// At least one flow ends in this state.
    OneEnds(FlowState),
    /// An offer of a source is refused, the source continues, and each flow ends in order.
    Stalls,
    /// While the sink takes nothing of one flow each other one ends in order, and then that one
    /// does. If the target is an echo, offers of its source are refused meanwhile.
    OthersEnd,
    /// A direction is half-closed, and each flow ends in order.
    HalfCloses,
    /// A chunk is refused as malformed, and its flow fails.
    RefusesMalformed,
    /// A flow is refused as one too many, and each other one ends in order.
    RefusesTooMany,
    /// Nothing besides the rules.
    Rules,
}

/// Whether a run met its demand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// It did.
    Yes,
    /// It did something else.
    Otherwise,
    /// There was no occasion.
    NoOccasion,
}

impl Demand {
    /// The demand as a sentence.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::AllEnd(FlowState::Failed) => "each flow ends as failed",
            Self::AllEnd(FlowState::Reset) => "each flow ends as reset",
            Self::AllEnd(_) => "each flow ends in order",
            Self::OneEnds(_) => "a flow ends as reset",
            Self::Stalls => "a source is turned away, and each flow ends in order",
            Self::OthersEnd => "while a flow is blocked each other ends in order, and then it does",
            Self::HalfCloses => "a direction is half-closed, and each flow ends in order",
            Self::RefusesTooMany => "a flow too many is refused as such, and others end in order",
            Self::Rules => "rules are kept",
            Self::RefusesMalformed => "a malformed chunk is refused as such, and its flow fails",
        }
    }

    /// What did not happen, if there was no occasion.
    #[must_use]
    pub const fn occasion(self) -> &'static str {
        match self {
            Self::OthersEnd => "no flow was blocked that had more than there is room for",
            _ => "no source was turned away",
        }
    }

    /// Whether the run of at most `flows` flows, with this target, met the demand.
    #[must_use]
    pub fn is_shown(self, trace: &Trace, flows: u32, behaviour: Behaviour) -> Shown {
        let has = |wanted: EventKind| trace.events().iter().any(|event| event.what == wanted);
        let mut states = vec![FlowState::New; flows as usize];
        for event in trace.events() {
            let at = (event.flow.number() as usize).wrapping_sub(1);
            if let (EventKind::Moved { state }, Some(last)) = (event.what, states.get_mut(at)) {
                *last = state;
            }
        }
        let all = |state| states.iter().all(|last| *last == state);
        let is_met = match self {
            Self::AllEnd(state) => all(state),
            Self::OneEnds(state) => states.contains(&state),
            Self::Stalls if !has(EventKind::Stalled) && all(FlowState::Closed) => {
                return Shown::NoOccasion;
            }
            Self::Stalls => {
                has(EventKind::Stalled) && has(EventKind::Resumed) && all(FlowState::Closed)
            }
            Self::OthersEnd if all(FlowState::Closed) => {
                return others_end(trace, flows, behaviour);
            }
            Self::OthersEnd => false,
            Self::HalfCloses => {
                let (place, call) = (Stage::Ingress, Call::HalfClose);
                has(EventKind::Called { place, call, refused: None }) && all(FlowState::Closed)
            }
            Self::RefusesTooMany => {
                let refused = Some(ErrorClass::TooManyFlows);
                let is_refusal = |what| matches!(what, EventKind::Called { call: Call::Open, refused: why, .. } if why == refused);
                let refusals = trace.events().iter().filter(|event| is_refusal(event.what)).count();
                let failed = states.iter().filter(|last| **last == FlowState::Failed).count();
                // A flow that does not exist stays new.
                let mut others = states.iter().filter(|last| **last != FlowState::Failed);
                let are_in_order =
                    others.all(|last| matches!(last, FlowState::Closed | FlowState::New));
                refusals > 0 && refusals == failed && are_in_order
            }
            Self::Rules => true,
            Self::RefusesMalformed => {
                let (place, class) = (Stage::Ingress, ErrorClass::Malformed);
                has(EventKind::OfferRefused { place, class }) && all(FlowState::Failed)
            }
        };
        if is_met { Shown::Yes } else { Shown::Otherwise }
    }
}

/// Whether the others ended in order while the sink took nothing of one flow, and, with an echo,
/// offers of its source were refused.
fn others_end(trace: &Trace, flows: u32, behaviour: Behaviour) -> Shown {
    let events = trace.events();
    let blocked = EventKind::Fault(FaultKind::BlockedConsumer);
    let at = |what| events.iter().position(|event| event.what == what);
    let Some((from, flow)) = at(blocked).and_then(|at| Some((at, events.get(at)?.flow))) else {
        return Shown::NoOccasion;
    };
    let (until, _) = events.split_at(at(EventKind::Unblocked).unwrap_or(from));
    let closed = EventKind::Moved { state: FlowState::Closed };
    let ended = until.iter().filter(|event| event.flow != flow && event.what == closed).count();
    let (mut is_stalled, mut has_given_all) = (false, false);
    for event in until.iter().filter(|event| event.flow == flow) {
        match event.what {
            EventKind::Stalled => is_stalled = true,
            EventKind::Resumed => is_stalled = false,
            EventKind::Offered { place: Stage::Ingress, is_final: true, .. } => {
                has_given_all = true
            }
            _ => {}
        }
    }
    match () {
        () if ended + 1 < flows as usize => Shown::Otherwise,
        () if is_stalled || !behaviour.is_echo() => Shown::Yes,
        () if has_given_all => Shown::NoOccasion,
        () => Shown::Otherwise,
    }
}

/// Whether a fault was injected that may change how flows end.
#[must_use]
pub(crate) fn is_disturbed(trace: &Trace) -> bool {
    let disturbs = |kind: FaultKind| {
        kind.breaks_network()
            || matches!(
                kind,
                FaultKind::Reset | FaultKind::HalfClose | FaultKind::Cancel | FaultKind::Crash
            )
    };
    let mut faults = trace.events().iter().filter_map(|event| match event.what {
        EventKind::Fault(kind) => Some(kind),
        _ => None,
    });
    faults.any(disturbs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{FlowId, Tick};

    fn trace(events: &[(u32, EventKind)]) -> Trace {
        let mut trace = Trace::new(100);
        for (flow, what) in events {
            trace.push(Tick(0), FlowId::new(*flow), *what);
        }
        trace
    }

    #[test]
    fn each_flow_has_to_show_it() {
        let moved = |flow, state| (flow, EventKind::Moved { state });
        let (closed, failed) = (FlowState::Closed, FlowState::Failed);
        let both = trace(&[moved(1, closed), moved(2, closed)]);
        let one = trace(&[moved(1, closed), moved(2, failed)]);
        assert_eq!(Demand::AllEnd(closed).is_shown(&both, 2, Behaviour::Echo), Shown::Yes);
        assert_eq!(Demand::AllEnd(closed).is_shown(&both, 3, Behaviour::Echo), Shown::Otherwise);
        assert_eq!(Demand::AllEnd(closed).is_shown(&one, 2, Behaviour::Echo), Shown::Otherwise);
        assert_eq!(Demand::OneEnds(failed).is_shown(&one, 2, Behaviour::Echo), Shown::Yes);
        assert_eq!(Demand::Stalls.is_shown(&both, 2, Behaviour::Echo), Shown::NoOccasion);
        assert_eq!(Demand::Stalls.is_shown(&one, 2, Behaviour::Echo), Shown::Otherwise);
        let (place, call) = (Stage::Egress, Call::Open);
        let why = |refused| (2, EventKind::Called { place, call, refused: Some(refused) });
        let too_many = why(ErrorClass::TooManyFlows);
        let full =
            |events: &[_]| Demand::RefusesTooMany.is_shown(&trace(events), 3, Behaviour::Echo);
        assert_eq!(full(&[moved(1, closed), too_many, moved(2, failed)]), Shown::Yes);
        assert_eq!(full(&[moved(1, failed), too_many, moved(2, failed)]), Shown::Otherwise);
        assert_eq!(full(&[moved(1, closed), moved(2, closed)]), Shown::Otherwise);
        let otherwise = [moved(1, closed), why(ErrorClass::Closed), moved(2, failed)];
        assert_eq!(full(&otherwise), Shown::Otherwise);
        let stalled = [(1, EventKind::Stalled), moved(1, closed)];
        assert_eq!(Demand::Stalls.is_shown(&trace(&stalled), 1, Behaviour::Echo), Shown::Otherwise);
    }

    #[test]
    fn a_blocked_flow_waits_and_the_others_do_not() {
        let (place, is_final) = (Stage::Ingress, true);
        let closed = |flow| (flow, EventKind::Moved { state: FlowState::Closed });
        let last = EventKind::Offered { place, sequence: 1, offset: 0, bytes: 1, is_final };
        let fault = (1, EventKind::Fault(FaultKind::BlockedConsumer));
        let (stalled, resumed) = ((1, EventKind::Stalled), (1, EventKind::Resumed));
        let unblocked = (1, EventKind::Unblocked);
        let shown =
            |events: &[_], behaviour| Demand::OthersEnd.is_shown(&trace(events), 2, behaviour);
        let echo = |events: &[_]| shown(events, Behaviour::Echo);
        let whole = [fault, stalled, closed(2), unblocked, resumed, closed(1)];
        assert_eq!(echo(&whole), Shown::Yes);
        assert_eq!(echo(&whole[1..]), Shown::NoOccasion);
        assert_eq!(echo(&whole[..5]), Shown::Otherwise);
        // The other one ends after it, or the source continues, or has sent everything.
        assert_eq!(echo(&[fault, stalled, unblocked, closed(2), closed(1)]), Shown::Otherwise);
        let goes_on = [fault, stalled, resumed, closed(2), unblocked, closed(1)];
        assert_eq!(echo(&goes_on), Shown::Otherwise);
        assert_eq!(shown(&goes_on, Behaviour::LargeObject), Shown::Yes);
        let gave_all = [fault, (1, last), closed(2), unblocked, closed(1)];
        assert_eq!(echo(&gave_all), Shown::NoOccasion);
    }

    #[test]
    fn some_faults_disturb() {
        assert!(is_disturbed(&trace(&[(1, EventKind::Fault(FaultKind::Cancel))])));
        assert!(!is_disturbed(&trace(&[(0, EventKind::Fault(FaultKind::Delay))])));
    }
}
