// SPDX-License-Identifier: BSD-3-Clause
//! What a run has to show: rules say what may not happen, this says what has to.

use crate::contract::{ErrorClass, FlowId, FlowState};
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
    /// A direction is half-closed, and each flow ends in order.
    HalfCloses,
    /// A chunk is refused as malformed, and its flow fails.
    RefusesMalformed,
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
            Self::HalfCloses => "a direction is half-closed, and each flow ends in order",
            Self::RefusesMalformed => "a malformed chunk is refused as such, and its flow fails",
        }
    }

    /// Whether the run of so many flows showed it.
    #[must_use]
    pub fn is_shown(self, trace: &Trace, flows: u32) -> Shown {
        let has = |wanted: What| trace.events().iter().any(|event| event.what == wanted);
        let ends = |number: u32, state| {
            let mut of_flow = trace.of_flow(FlowId::new(number));
            of_flow.any(|event| event.what == What::Moved { state })
        };
        let all = |state| (1..=flows).all(|number| ends(number, state));
        let is_met = match self {
            Self::AllEnd(state) => all(state),
            Self::OneEnds(state) => (1..=flows).any(|number| ends(number, state)),
            Self::Stalls if !has(What::Stalled) && all(FlowState::Closed) => {
                return Shown::NoOccasion;
            }
            Self::Stalls => has(What::Stalled) && has(What::Resumed) && all(FlowState::Closed),
            Self::HalfCloses => {
                let (place, call) = (Place::Ingress, Call::HalfClose);
                has(What::Called { place, call, refused: None }) && all(FlowState::Closed)
            }
            Self::RefusesMalformed => {
                let (place, class) = (Place::Ingress, ErrorClass::Malformed);
                has(What::OfferRefused { place, class }) && all(FlowState::Failed)
            }
        };
        if is_met { Shown::Yes } else { Shown::Otherwise }
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
    use crate::contract::Tick;

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
        assert_eq!(Demand::AllEnd(closed).is_shown(&both, 2), Shown::Yes);
        assert_eq!(Demand::AllEnd(closed).is_shown(&both, 3), Shown::Otherwise);
        assert_eq!(Demand::AllEnd(closed).is_shown(&one, 2), Shown::Otherwise);
        assert_eq!(Demand::OneEnds(failed).is_shown(&one, 2), Shown::Yes);
        assert_eq!(Demand::Stalls.is_shown(&both, 2), Shown::NoOccasion);
        assert_eq!(Demand::Stalls.is_shown(&one, 2), Shown::Otherwise);
        let stalled = [(1, What::Stalled), moved(1, closed)];
        assert_eq!(Demand::Stalls.is_shown(&trace(&stalled), 1), Shown::Otherwise);
    }

    #[test]
    fn some_faults_disturb() {
        assert!(is_disturbed(&trace(&[(1, What::Fault(FaultKind::Cancel))])));
        assert!(!is_disturbed(&trace(&[(0, What::Fault(FaultKind::Delay))])));
    }
}
