// SPDX-License-Identifier: BSD-3-Clause
//! A trace, line by line.
//!
//! ```text
//!    12      0 ms  flow 1  ingress is offered 128 bytes at 0, chunk 1, the last
//!    13      0 ms  flow 1  ingress took 100 bytes
//! ```
//!
//! Numbers and names; what a flow carried is not in a trace.

use crate::pattern::Direction;
use crate::trace::{Call, Event, Place, Said, Trace, What};

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

const fn place(place: Place) -> &'static str {
    match place {
        Place::Ingress => "ingress",
        Place::Egress => "egress",
        Place::Network => "network",
    }
}

const fn last(is_final: bool) -> &'static str {
    if is_final { ", the last" } else { "" }
}

fn count(bytes: u64) -> String {
    if bytes == 1 { "1 byte".into() } else { format!("{bytes} bytes") }
}

/// What happened, without the flow to which it happened.
pub(crate) fn what(what: &What) -> String {
    match *what {
        What::Called { place: at, call, refused } => {
            let call = match call {
                Call::Open => "open",
                Call::HalfClose => "half-close",
                Call::Reset => "reset",
                Call::Close => "close",
            };
            let refused = refused.map(|class| format!(", and refused: {}", class.name()));
            format!("{} was told to {call}{}", place(at), refused.unwrap_or_default())
        }
        What::Offered { place: at, sequence, offset, bytes, is_final } => {
            let (at, bytes, last) = (place(at), count(bytes), last(is_final));
            format!("{at} is offered {bytes} at {offset}, chunk {sequence}{last}")
        }
        What::Took { place: at, bytes } => format!("{} took {}", place(at), count(bytes)),
        What::OfferRefused { place: at, class } => {
            format!("{} refused the offer: {}", place(at), class.name())
        }
        What::Out { place: at, sequence, offset, bytes, is_final } => {
            let (at, bytes, last) = (place(at), count(bytes), last(is_final));
            format!("{at} put out {bytes} at {offset}, chunk {sequence}{last}")
        }
        What::OutBeyondRoom { place: at, bytes, room } => {
            format!("{} put out {}, with room for {room}: not taken", place(at), count(bytes))
        }
        What::OutOnNoFlow { place: at, bytes, state } => {
            let (at, bytes, state) = (place(at), count(bytes), state.name());
            format!("{at} put out {bytes} on a flow that is {state}: not taken")
        }
        What::OtherByte { place: at, offset } => {
            format!("{}: the byte at {offset} is another than it has to be", place(at))
        }
        What::Changed { part, offset } => {
            format!("{} changed the byte at {offset}", part.name())
        }
        What::OutOfPlace { place: at, sequence, offset } => {
            let at = place(at);
            format!("{at}: out of place, for chunk {sequence} at {offset} was next")
        }
        What::Said { place: at, said } => {
            let said = match said {
                Said::HalfClosed => "nothing more comes",
                Said::Reset => "it was reset",
                Said::Failed => "it failed",
                Said::Closed => "it is closed",
            };
            format!("{} says: {said}", place(at))
        }
        What::Holds { place: at, bytes } => format!("{} holds {}", place(at), count(bytes)),
        What::Stream { stream } => format!("has stream {stream}"),
        What::StreamOver { is_reset: false, code } => format!("its stream ended, code {code}"),
        What::StreamOver { is_reset: true, code } => format!("its stream was reset, code {code}"),
        What::Crossed { direction, bytes } => {
            let to = match direction {
                Direction::Request => "the target",
                Direction::Response => "the client",
            };
            format!("{} reached {to}", count(bytes))
        }
        What::Answered { is_final: true, .. } => "the target ended its answer".into(),
        What::Answered { bytes, .. } => format!("the target sent {}", count(bytes)),
        What::SessionError { is_client, code } => {
            let side = side(is_client);
            format!("the session ended by an error on the {side}'s side, code {code}")
        }
        What::Moved { state } => format!("is {}", state.name()),
        What::Illegal { place: at, state, event } => {
            let (at, event, state) = (place(at), event.name(), state.name());
            format!("{at}: {event} cannot happen to a flow that is {state}")
        }
        What::Stalled => "the source stands still".into(),
        What::Resumed => "the source goes on".into(),
        What::Fault(kind) => format!("fault: {}", kind.name()),
        What::Unblocked => "the sink takes of it again".into(),
        What::Calm => "no more faults from here on".into(),
        What::Stuck { state } => format!("is {}, and nothing moves any more", state.name()),
        What::OutOfSteps => "was broken off: too many steps".into(),
        What::Left { place: at, bytes } => {
            format!("{} still holds {}, and all flows are over", place(at), count(bytes))
        }
        What::Waits { place: at } => {
            format!("{} waits for a later time, and all flows are over", place(at))
        }
        What::SessionKeeps { is_client, kept, amount } => {
            let (side, kept) = (side(is_client), kept.name());
            format!("the {side}'s session keeps {amount} {kept}, and all flows are over")
        }
        What::SessionCall { is_client, call, is_right: true } => {
            format!("the {}'s session: {}", side(is_client), call.name())
        }
        What::SessionCall { is_client, call, is_right: false } => {
            format!("the {}'s session: what came of {} is wrong", side(is_client), call.name())
        }
        What::Finished => "is over".into(),
    }
}

const fn side(is_client: bool) -> &'static str {
    if is_client { "client" } else { "server" }
}
