// SPDX-License-Identifier: BSD-3-Clause
//! Generated modules in the lab.
//!
//! A generated module does not depend on the lab: it has its own vocabulary. [`plug!`](crate::plug)
//! translates it, and turns a module into what parity compares.

use super::face;
use crate::adapters::Pair;
use crate::contract::{Capabilities, FlowEvent, FlowId, FlowState, Limits, Tick};
use crate::generate::drive::{Log, drive};
use crate::generate::vocabulary::{Carries, Class, End, Event, Piece, State};
use crate::source::{self, FlowPlan};

/// A generated module without its backend.
#[derive(Debug, Clone)]
pub struct Described {
    /// Its constants, by name.
    pub constants: Vec<(&'static str, String)>,
    /// Its claims, without the direction.
    pub capabilities: &'static [&'static str],
    /// How much it carries.
    pub limits: Limits,
    /// Its lifecycle.
    pub next: fn(State, Event) -> Option<State>,
    /// Maximum length of a chunk, in bytes.
    pub max_chunk_bytes: u64,
    /// The plan of its sources.
    pub plan: Vec<Planned>,
}

/// The plan of the source of one flow, for any seed.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The number of the flow.
    pub number: u32,
    /// Its priority class.
    pub class: Class,
    /// When it opens, in milliseconds.
    pub opens_at: u64,
    /// How it ends.
    pub end: End,
    /// Its chunks.
    pub pieces: Vec<Piece>,
}

/// A generated module in the lab.
pub struct Generated {
    pub(super) said: Described,
    make: Box<dyn Fn() -> Pair + Send + Sync>,
    drive: Box<dyn Fn(u64) -> Log + Send + Sync>,
}

impl Generated {
    /// A module with this backend. [`plug!`](crate::plug) calls it.
    #[must_use]
    pub fn new<B: Carries + 'static>(said: Described, make: fn() -> B) -> Self {
        let Described { limits, capabilities, max_chunk_bytes, .. } = said;
        // An unknown name is a difference between constants; then nothing is claimed.
        let claims = Capabilities::parse(capabilities.iter().copied()).unwrap_or_default();
        Self {
            make: Box::new(move || face::pair("generated", claims, limits, make)),
            drive: Box::new(move |seed| {
                drive(&mut make(), seed, limits.flows_max, max_chunk_bytes)
            }),
            said,
        }
    }

    /// Two instances of its backend, as a pair of adapters.
    #[must_use]
    pub fn pair(&self) -> Pair {
        (self.make)()
    }

    /// The log of a drive.
    pub(super) fn drive(&self, seed: u64) -> Log {
        (self.drive)(seed)
    }

    /// The plans of its sources for a seed.
    #[must_use]
    pub fn plan(&self, seed: u64) -> Vec<FlowPlan> {
        let chunk = |piece: &Piece| source::Planned {
            at: Tick(piece.at),
            bytes: if piece.span == 0 { 0 } else { piece.bytes(seed) },
        };
        let flow = |flow: &Planned| FlowPlan {
            flow: FlowId::new(flow.number),
            class: flow.class.into(),
            opens_at: Tick(flow.opens_at),
            chunks: flow.pieces.iter().map(chunk).collect(),
            end: flow.end.into(),
        };
        self.said.plan.iter().map(flow).collect()
    }

    /// The state that an event leads to.
    #[must_use]
    pub fn next(&self, state: FlowState, event: FlowEvent) -> Option<FlowState> {
        (self.said.next)(state.into(), event.into()).map(Into::into)
    }
}

/// Converts a value to the enum of the same name in another vocabulary.
#[doc(hidden)]
#[macro_export]
macro_rules! same_word {
    ($value:expr, $from:ident to $to:ident, $kind:ident: $($name:ident)+) => {
        match $value { $($from::$kind::$name => $to::$kind::$name,)+ }
    };
}

/// Makes a [`Generated`](crate::parity::Generated) of a generated module, named by its path.
///
/// ```
/// use becket_lab::generate::example::steady;
///
/// let generated = becket_lab::plug!(steady);
/// assert_eq!(generated.plan(1).len(), 4);
/// ```
#[macro_export]
macro_rules! plug {
    ($($module:ident)::+) => {{
        use $crate::generate::vocabulary as lab;
        use $($module)::+ as it;

        struct Plugged(it::Backend);
        struct World<'a, H>(&'a mut H);
        struct Out<'a, P>(&'a mut P);

        impl<H: lab::Host> it::Host for World<'_, H> {
            fn budget_bytes(&self) -> usize {
                self.0.budget_bytes()
            }
            fn wants_poll(&mut self) {
                self.0.wants_poll();
            }
            fn has_room(&mut self, flow: u32) {
                self.0.has_room(flow);
            }
        }

        impl<P: lab::Port> it::Port for Out<'_, P> {
            fn room(&self, flow: u32) -> usize {
                self.0.room(flow)
            }
            fn data(&mut self, chunk: &it::Chunk, put: &[u8]) -> bool {
                let it::Chunk { flow, sequence, offset, bytes, is_final } = *chunk;
                self.0.data(&lab::Chunk { flow, sequence, offset, bytes, is_final }, put)
            }
            fn half_closed(&mut self, flow: u32) {
                self.0.half_closed(flow);
            }
            fn reset(&mut self, flow: u32, cause: it::Cause) {
                self.0.reset(flow, $crate::same_word!(cause, it to lab, Cause: Reset Error));
            }
        }

        fn refused(refusal: it::Refusal) -> lab::Refusal {
            match refusal {
                it::Refusal::Unsupported(what) => lab::Refusal::Unsupported(what),
                it::Refusal::TooManyFlows => lab::Refusal::TooManyFlows,
                it::Refusal::UnknownFlow => lab::Refusal::UnknownFlow,
                it::Refusal::FlowInUse => lab::Refusal::FlowInUse,
                it::Refusal::Closed => lab::Refusal::Closed,
                it::Refusal::Malformed => lab::Refusal::Malformed,
            }
        }

        impl lab::Carries for Plugged {
            fn open(&mut self, flow: u32, class: lab::Class) -> Result<(), lab::Refusal> {
                let class = $crate::same_word!(class, lab to it, Class: Interactive Normal Bulk);
                it::Carries::open(&mut self.0, flow, class).map_err(refused)
            }
            fn offer<H: lab::Host>(
                &mut self,
                host: &mut H,
                chunk: &lab::Chunk,
                given: &[u8],
            ) -> Result<usize, lab::Refusal> {
                let lab::Chunk { flow, sequence, offset, bytes, is_final } = *chunk;
                let chunk = it::Chunk { flow, sequence, offset, bytes, is_final };
                it::Carries::offer(&mut self.0, &mut World(host), &chunk, given).map_err(refused)
            }
            fn half_close<H: lab::Host>(
                &mut self,
                host: &mut H,
                flow: u32,
            ) -> Result<(), lab::Refusal> {
                it::Carries::half_close(&mut self.0, &mut World(host), flow).map_err(refused)
            }
            fn reset<H: lab::Host>(
                &mut self,
                host: &mut H,
                flow: u32,
                cause: lab::Cause,
            ) -> Result<(), lab::Refusal> {
                let cause = $crate::same_word!(cause, lab to it, Cause: Reset Error);
                it::Carries::reset(&mut self.0, &mut World(host), flow, cause).map_err(refused)
            }
            fn close<H: lab::Host>(&mut self, host: &mut H, flow: u32) {
                it::Carries::close(&mut self.0, &mut World(host), flow);
            }
            fn poll<H: lab::Host, P: lab::Port>(&mut self, host: &mut H, port: &mut P) {
                it::Carries::poll(&mut self.0, &mut World(host), &mut Out(port));
            }
            fn buffered_bytes(&self) -> u64 {
                it::Carries::buffered_bytes(&self.0)
            }
            fn flows(&self) -> usize {
                it::Carries::flows(&self.0)
            }
        }

        fn next(state: lab::State, event: lab::Event) -> Option<lab::State> {
            let state = $crate::same_word!(state, lab to it, State:
                New Opening Open HalfClosed Draining Closed Reset Failed);
            let event = $crate::same_word!(event, lab to it, Event:
                Open Opened HalfClose Drain Close Reset Fail);
            let next = it::next(state, event)?;
            Some($crate::same_word!(next, it to lab, State:
                New Opening Open HalfClosed Draining Closed Reset Failed))
        }

        let piece = |piece: &it::Piece| {
            let it::Piece { at, base, span, salt, bytes_max } = *piece;
            lab::Piece { at, base, span, salt, bytes_max }
        };
        let flow = |flow: &it::Flow| $crate::parity::Planned {
            number: flow.number,
            class: $crate::same_word!(flow.class, it to lab, Class: Interactive Normal Bulk),
            opens_at: flow.opens_at,
            end: $crate::same_word!(flow.end, it to lab, End:
                Final HalfClose Reset LateWrite Malformed),
            pieces: flow.pieces.iter().map(piece).collect(),
        };
        let said = $crate::parity::Described {
            constants: it::constants(),
            capabilities: it::CAPABILITIES,
            limits: $crate::contract::Limits {
                flows_max: it::MAX_FLOWS,
                buffered_bytes_max: it::MAX_BUFFERED_BYTES,
                flow_buffered_bytes_max: it::FLOW_BYTES_MAX,
            },
            max_chunk_bytes: it::MAX_CHUNK_BYTES,
            next,
            plan: it::PLAN.iter().map(flow).collect(),
        };
        $crate::parity::Generated::new(said, || Plugged(it::Backend::new()))
    }};
}
