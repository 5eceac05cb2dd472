// SPDX-License-Identifier: BSD-3-Clause
//! What a run has to show: rules say what may not happen, this says what has to.

use crate::contract::{ErrorClass, FlowState};
use crate::target::Behaviour;
use crate::trace::{Call, FaultKind, Place, Trace, What};

/// What has to be seen in the trace of a run without faults that take flows away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Demand {
    /// Each flow ends in this state.
    AllEnd(FlowState),
    /// At least one flow ends in this state.
    OneEnds(FlowState),
    /// A source is turned away, and goes on, and each flow ends in order.
    Stalls,
    /// While the sink takes nothing of one flow each other ends in order, and then it does. If what comes
    /// to the sink is what its source gives, that is turned away meanwhile.
    OthersEnd,
    /// A direction is half-closed, and each flow ends in order.
    HalfCloses,
    /// A chunk is refused as malformed, and its flow fails.
    RefusesMalformed,
    /// A flow is refused as one too many, and each other ends in order.
    RefusesTooMany,
    /// Nothing but what rules say.
    Rules,
}

/// Whether a run showed it.
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
    /// As reports have it.
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

    /// Whether the run of so many flows at most, with this target, showed it.
    #[must_use]
    pub fn is_shown(self, trace: &Trace, flows: u32, behaviour: Behaviour) -> Shown {
        let has = |wanted: What| trace.events().iter().any(|event| event.what == wanted);
        let mut states = vec![FlowState::New; flows as usize];
        for event in trace.events() {
            let at = (event.flow.number() as usize).wrapping_sub(1);
            if let (What::Moved { state }, Some(last)) = (event.what, states.get_mut(at)) {
                *last = state;
            }
        }
        let all = |state| states.iter().all(|last| *last == state);
        let is_met = match self {
            Self::AllEnd(state) => all(state),
            Self::OneEnds(state) => states.contains(&state),
            Self::Stalls if !has(What::Stalled) && all(FlowState::Closed) => {
                return Shown::NoOccasion;
            }
            Self::Stalls => has(What::Stalled) && has(What::Resumed) && all(FlowState::Closed),
            Self::OthersEnd if all(FlowState::Closed) => {
                return others_end(trace, flows, behaviour);
            }
            Self::OthersEnd => false,
            Self::HalfCloses => {
                let (place, call) = (Place::Ingress, Call::HalfClose);
                has(What::Called { place, call, refused: None }) && all(FlowState::Closed)
            }
            Self::RefusesTooMany => {
                let refused = Some(ErrorClass::TooManyFlows);
                let is_refusal = |what| matches!(what, What::Called { call: Call::Open, refused: why, .. } if why == refused);
                let refusals = trace.events().iter().filter(|event| is_refusal(event.what)).count();
                let failed = states.iter().filter(|last| **last == FlowState::Failed).count();
                // A flow that is not there is new for ever.
                let mut others = states.iter().filter(|last| **last != FlowState::Failed);
                let are_in_order =
                    others.all(|last| matches!(last, FlowState::Closed | FlowState::New));
                refusals > 0 && refusals == failed && are_in_order
            }
            Self::Rules => true,
            Self::RefusesMalformed => {
                let (place, class) = (Place::Ingress, ErrorClass::Malformed);
                has(What::OfferRefused { place, class }) && all(FlowState::Failed)
            }
        };
        if is_met { Shown::Yes } else { Shown::Otherwise }
    }
}

/// Whether the others ended in order while the sink took nothing of one flow, and the source of that one
/// was turned away, if the target gives back what comes.
fn others_end(trace: &Trace, flows: u32, behaviour: Behaviour) -> Shown {
    let events = trace.events();
    let blocked = What::Fault(FaultKind::BlockedConsumer);
    let at = |what| events.iter().position(|event| event.what == what);
    let Some((from, flow)) = at(blocked).and_then(|at| Some((at, events.get(at)?.flow))) else {
        return Shown::NoOccasion;
    };
    let (until, _) = events.split_at(at(What::Unblocked).unwrap_or(from));
    let closed = What::Moved { state: FlowState::Closed };
    let ended = until.iter().filter(|event| event.flow != flow && event.what == closed).count();
    let (mut is_stalled, mut has_given_all) = (false, false);
    for event in until.iter().filter(|event| event.flow == flow) {
        match event.what {
            What::Stalled => is_stalled = true,
            What::Resumed => is_stalled = false,
            What::Offered { place: Place::Ingress, is_final: true, .. } => has_given_all = true,
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

/// Whether a fault struck that may end flows otherwise than they would have.
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
        What::Fault(kind) => Some(kind),
        _ => None,
    });
    faults.any(disturbs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::{FlowId, Tick};

    fn trace(events: &[(u32, What)]) -> Trace {
        let mut trace = Trace::new(100);
        for (flow, what) in events {
            trace.push(Tick(0), FlowId::new(*flow), *what);
        }
        trace
    }

    #[test]
    fn each_flow_has_to_show_it() {
        let moved = |flow, state| (flow, What::Moved { state });
        let (closed, failed) = (FlowState::Closed, FlowState::Failed);
        let both = trace(&[moved(1, closed), moved(2, closed)]);
        let one = trace(&[moved(1, closed), moved(2, failed)]);
        assert_eq!(Demand::AllEnd(closed).is_shown(&both, 2, Behaviour::Echo), Shown::Yes);
        assert_eq!(Demand::AllEnd(closed).is_shown(&both, 3, Behaviour::Echo), Shown::Otherwise);
        assert_eq!(Demand::AllEnd(closed).is_shown(&one, 2, Behaviour::Echo), Shown::Otherwise);
        assert_eq!(Demand::OneEnds(failed).is_shown(&one, 2, Behaviour::Echo), Shown::Yes);
        assert_eq!(Demand::Stalls.is_shown(&both, 2, Behaviour::Echo), Shown::NoOccasion);
        assert_eq!(Demand::Stalls.is_shown(&one, 2, Behaviour::Echo), Shown::Otherwise);
        let (place, call) = (Place::Egress, Call::Open);
        let why = |refused| (2, What::Called { place, call, refused: Some(refused) });
        let too_many = why(ErrorClass::TooManyFlows);
        let full =
            |events: &[_]| Demand::RefusesTooMany.is_shown(&trace(events), 3, Behaviour::Echo);
        assert_eq!(full(&[moved(1, closed), too_many, moved(2, failed)]), Shown::Yes);
        assert_eq!(full(&[moved(1, failed), too_many, moved(2, failed)]), Shown::Otherwise);
        assert_eq!(full(&[moved(1, closed), moved(2, closed)]), Shown::Otherwise);
        let otherwise = [moved(1, closed), why(ErrorClass::Closed), moved(2, failed)];
        assert_eq!(full(&otherwise), Shown::Otherwise);
        let stalled = [(1, What::Stalled), moved(1, closed)];
        assert_eq!(Demand::Stalls.is_shown(&trace(&stalled), 1, Behaviour::Echo), Shown::Otherwise);
    }

    #[test]
    fn who_is_blocked_waits_and_the_others_do_not() {
        let (place, is_final) = (Place::Ingress, true);
        let closed = |flow| (flow, What::Moved { state: FlowState::Closed });
        let last = What::Offered { place, sequence: 1, offset: 0, bytes: 1, is_final };
        let fault = (1, What::Fault(FaultKind::BlockedConsumer));
        let (stalled, resumed) = ((1, What::Stalled), (1, What::Resumed));
        let unblocked = (1, What::Unblocked);
        let shown =
            |events: &[_], behaviour| Demand::OthersEnd.is_shown(&trace(events), 2, behaviour);
        let echo = |events: &[_]| shown(events, Behaviour::Echo);
        let whole = [fault, stalled, closed(2), unblocked, resumed, closed(1)];
        assert_eq!(echo(&whole), Shown::Yes);
        assert_eq!(echo(&whole[1..]), Shown::NoOccasion);
        assert_eq!(echo(&whole[..5]), Shown::Otherwise);
        // The other ends behind it, or the source goes on, or has given all that it had.
        assert_eq!(echo(&[fault, stalled, unblocked, closed(2), closed(1)]), Shown::Otherwise);
        let goes_on = [fault, stalled, resumed, closed(2), unblocked, closed(1)];
        assert_eq!(echo(&goes_on), Shown::Otherwise);
        assert_eq!(shown(&goes_on, Behaviour::LargeObject), Shown::Yes);
        let gave_all = [fault, (1, last), closed(2), unblocked, closed(1)];
        assert_eq!(echo(&gave_all), Shown::NoOccasion);
    }

    #[test]
    fn some_faults_disturb() {
        assert!(is_disturbed(&trace(&[(1, What::Fault(FaultKind::Cancel))])));
        assert!(!is_disturbed(&trace(&[(0, What::Fault(FaultKind::Delay))])));
    }
}
