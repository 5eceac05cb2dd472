// SPDX-License-Identifier: BSD-3-Clause
//! Bytes arrive as they are, in order, once.

use super::catalogue::Id;
use super::flow::{Faults, Flow, Pass, Put, Side};
use super::tally::{Fact, Value};
use crate::contract::FlowState;
use crate::pattern::Direction;
use crate::trace::{Place, Said, What};

#[inline]
pub(super) fn out(pass: &mut Pass<'_>, side: &Side, put: &Put) {
    let mark = pass.mark;
    let fact = |what, found, expected: Value| {
        Fact::new(what, Value::Is(found), expected).by(put.place).at(put.offset)
    };
    pass.tally.check(Id::Numbered, mark, put.sequence == side.chunks + 1, || {
        fact("the number of a chunk", put.sequence, Value::Is(side.chunks + 1))
    });
    pass.tally.check(Id::InPlace, mark, put.offset == side.out, || {
        fact("the offset of a chunk", put.offset, Value::Is(side.out))
    });
    if put.bytes > 0 {
        pass.tally.holds(Id::ByteAsGiven);
        let out = side.out.saturating_add(put.bytes);
        pass.tally.check(Id::NoMore, mark, out <= side.taken, || {
            let expected = Value::AtMost(side.taken);
            fact("what was put out of what was taken", out, expected)
        });
    }
    pass.tally.check(Id::NotEmpty, mark, put.bytes > 0 || put.is_final, || {
        fact("the length of a chunk that is not final", 0, Value::AtLeast(1))
    });
}

/// A byte that was put out, or came to the target, is another.
pub(super) fn other_byte(pass: &mut Pass<'_>, flow: &Flow, what: &What) {
    let What::OtherByte { place, offset } = *what else { return };
    if pass.is_network_broken(flow) || flow.is_crashed() {
        return;
    }
    let expected = Value::Named("that of its flow at this offset");
    let fact = Fact::new("a byte", Value::Named("another"), expected).at(offset);
    match place {
        Place::Network => pass.tally.breaks(Id::AtTarget, pass.mark, fact),
        // It was another already when it came back from the target.
        Place::Egress if flow.is_other_at_target && pass.run.is_echo => {}
        place => pass.tally.breaks(Id::ByteAsGiven, pass.mark, fact.by(place)),
    }
}

#[inline]
pub(super) fn said(pass: &mut Pass<'_>, side: &Side, place: Place, said: Said) {
    if matches!(said, Said::HalfClosed | Said::Closed) {
        pass.tally.check(Id::NoLess, pass.mark, side.out >= side.taken, || {
            let (found, expected) = (Value::Is(side.out), Value::Is(side.taken));
            Fact::new("what was put out before the end", found, expected).by(place).at(side.out)
        });
    }
}

#[inline]
pub(super) fn crossed(pass: &mut Pass<'_>, flow: &Flow, direction: Direction) {
    if pass.is_network_broken(flow) {
        return;
    }
    let [ingress, _] = &flow.sides;
    let put_in = match direction {
        Direction::Request => ingress.out,
        Direction::Response => flow.answered,
    };
    let came = flow.crossed.get(direction as usize).copied().unwrap_or(0);
    pass.tally.check(Id::Network, pass.mark, came <= put_in, || {
        Fact::new("what crossed the network", Value::Is(came), Value::AtMost(put_in))
    });
}

pub(super) fn ends(pass: &mut Pass<'_>, flow: &Flow, state: FlowState) {
    if state != FlowState::Closed || pass.is_network_broken(flow) || flow.is_crashed() {
        return;
    }
    let ([ingress, egress], [up, down]) = (&flow.sides, flow.crossed);
    // A source that was cut short had no more than was taken.
    let request = match pass.faults(flow).has_any(Faults::HALF_CLOSE) {
        true => ingress.taken,
        false => flow.planned,
    };
    let answer = if pass.run.is_echo { request } else { flow.answered };
    let mark = pass.mark;
    pass.tally.check(Id::WholeRequest, mark, up == request, || {
        Fact::new("what the target has had", Value::Is(up), Value::Is(request)).at(up)
    });
    pass.tally.check(Id::WholeAnswer, mark, egress.out == answer, || {
        let (found, expected) = (Value::Is(egress.out), Value::Is(answer));
        Fact::new("what the sink has had", found, expected).at(egress.out)
    });
    let (came, put_in) = (up + down, ingress.out + flow.answered);
    pass.tally.check(Id::Network, mark, came == put_in, || {
        let (found, expected) = (Value::Is(came), Value::Is(put_in));
        Fact::new("what crossed the network, both ways", found, expected)
    });
}
