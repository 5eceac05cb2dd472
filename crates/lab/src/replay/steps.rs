// SPDX-License-Identifier: BSD-3-Clause
//! A trace, line by line.
//!
//! ```text
//!    12      0 ms  flow 1  ingress is offered 128 bytes at 0, chunk 1, the last
//!    13      0 ms  flow 1  ingress took 100 bytes
//! ```
//!
//! It has numbers and names only: a trace contains no payload.

use crate::pattern::Direction;
use crate::trace::{Call, Event, EventKind, OutletEvent, Stage, Trace};

/// One event, as one line without its end.
#[must_use]
pub fn step(number: usize, event: &Event) -> String {
    let tick = event.tick.0;
    format!("{number:>5} {tick:>6} ms  {}", said(event))
}

/// All events of a trace, a line each, numbered from 1.
pub fn steps(trace: &Trace) -> impl Iterator<Item = String> + '_ {
    trace.events().iter().enumerate().map(|(at, event)| step(at + 1, event))
}

/// An event without its number and tick.
pub(crate) fn said(event: &Event) -> String {
    let what = what(&event.what);
    match event.flow.number() {
        0 => format!("the run  {what}"),
        flow => format!("flow {flow:<3} {what}"),
    }
}

const fn place(place: Stage) -> &'static str {
    match place {
        Stage::Ingress => "ingress",
        Stage::Egress => "egress",
        Stage::Network => "network",
    }
}

const fn last(is_final: bool) -> &'static str {
    if is_final { ", the last" } else { "" }
}

fn count(bytes: u64) -> String {
    if bytes == 1 { "1 byte".into() } else { format!("{bytes} bytes") }
}

/// What happened, without the flow to which it happened.
pub(crate) fn what(what: &EventKind) -> String {
    match *what {
        EventKind::Called { place: at, call, refused } => {
            let call = match call {
                Call::Open => "open",
                Call::HalfClose => "half-close",
                Call::Reset => "reset",
                Call::Close => "close",
            };
            let refused = refused.map(|class| format!(", and refused: {}", class.name()));
            format!("{} was asked to {call}{}", place(at), refused.unwrap_or_default())
        }
        EventKind::Offered { place: at, sequence, offset, bytes, is_final } => {
            let (at, bytes, last) = (place(at), count(bytes), last(is_final));
            format!("{at} is offered {bytes} at {offset}, chunk {sequence}{last}")
        }
        EventKind::Took { place: at, bytes } => format!("{} took {}", place(at), count(bytes)),
        EventKind::OfferRefused { place: at, class } => {
            format!("{} refused the offer: {}", place(at), class.name())
        }
        EventKind::Out { place: at, sequence, offset, bytes, is_final } => {
            let (at, bytes, last) = (place(at), count(bytes), last(is_final));
            format!("{at} put out {bytes} at {offset}, chunk {sequence}{last}")
        }
        EventKind::OutBeyondRoom { place: at, bytes, room } => {
            format!("{} put out {}, with room for {room}: not taken", place(at), count(bytes))
        }
        EventKind::OutOnNoFlow { place: at, bytes, state } => {
            let (at, bytes, state) = (place(at), count(bytes), state.name());
            format!("{at} put out {bytes} on a flow that is {state}: not taken")
        }
        EventKind::OtherByte { place: at, offset } => {
            format!("{}: the byte at {offset} is another than it has to be", place(at))
        }
        EventKind::Changed { part, offset } => {
            format!("{} changed the byte at {offset}", part.name())
        }
        EventKind::OutOfPlace { place: at, sequence, offset } => {
            let at = place(at);
            format!("{at}: out of place, for chunk {sequence} at {offset} was next")
        }
        EventKind::Signalled { place: at, said } => {
            let said = match said {
                OutletEvent::HalfClosed => "nothing more comes",
                OutletEvent::Reset => "it was reset",
                OutletEvent::Failed => "it failed",
                OutletEvent::Closed => "it is closed",
            };
            format!("{} says: {said}", place(at))
        }
        EventKind::Holds { place: at, bytes } => format!("{} holds {}", place(at), count(bytes)),
        EventKind::Stream { stream } => format!("has stream {stream}"),
        EventKind::StreamOver { is_reset: false, code } => format!("its stream ended, code {code}"),
        EventKind::StreamOver { is_reset: true, code } => {
            format!("its stream was reset, code {code}")
        }
        EventKind::Crossed { direction, bytes } => {
            let to = match direction {
                Direction::Request => "the target",
                Direction::Response => "the client",
            };
            format!("{} reached {to}", count(bytes))
        }
        EventKind::Answered { is_final: true, .. } => "the target ended its answer".into(),
        EventKind::Answered { bytes, .. } => format!("the target sent {}", count(bytes)),
        EventKind::SessionError { is_client, code } => {
            let side = side(is_client);
            format!("the session ended by an error on the {side}'s side, code {code}")
        }
        EventKind::Moved { state } => format!("is {}", state.name()),
        EventKind::Illegal { place: at, state, event } => {
            let (at, event, state) = (place(at), event.name(), state.name());
            format!("{at}: {event} cannot happen to a flow that is {state}")
        }
        EventKind::Stalled => "the source stands still".into(),
        EventKind::Resumed => "the source goes on".into(),
        EventKind::Fault(kind) => format!("fault: {}", kind.name()),
        EventKind::Unblocked => "the sink takes of it again".into(),
        EventKind::FaultsCleared => "no more faults from here on".into(),
        EventKind::Stuck { state } => format!("is {}, and nothing moves any more", state.name()),
        EventKind::OutOfSteps => "was broken off: too many steps".into(),
        EventKind::Left { place: at, bytes } => {
            format!("{} still holds {}, and all flows are over", place(at), count(bytes))
        }
        EventKind::Waits { place: at } => {
            format!("{} waits for a later time, and all flows are over", place(at))
        }
        EventKind::SessionKeeps { is_client, kept, amount } => {
            let (side, kept) = (side(is_client), kept.name());
            format!("the {side}'s session keeps {amount} {kept}, and all flows are over")
        }
        EventKind::SessionCall { is_client, call, is_right: true } => {
            format!("the {}'s session: {}", side(is_client), call.name())
        }
        EventKind::SessionCall { is_client, call, is_right: false } => {
            format!("the {}'s session: what came of {} is wrong", side(is_client), call.name())
        }
        EventKind::Finished => "is over".into(),
    }
}

const fn side(is_client: bool) -> &'static str {
    if is_client { "client" } else { "server" }
}
