// SPDX-License-Identifier: BSD-3-Clause
//! One run: a pair of adapters, two sessions, the network between them, sources, targets and the
//! sink.
//!
//! ```text
//!        Task::Offer      Task::Ingress     Task::ClientSends   Task::Up
//!   plans ────────► ingress ─────────► client ═══════════► pipe ═══════► server ──► target
//!   sink  ◄──────── egress  ◄───────── client ◄═══════════ pipe ◄═══════ server ◄──┘ Task::Answer
//!        Task::Egress     Task::Accept      Task::Down          Task::ServerSends
//! ```
//!
//! A run is a sequence of small tasks. The [choices](crate::choice) pick one of those that have
//! something to do; when there is none, time passes until there is. Every event is recorded in the
//! [trace](crate::trace).
//!
//! | file | holds |
//! |---|---|
//! | `ancillary` | session calls besides those for flows |
//! | `arena` | memory that is reused from run to run |
//! | `flow` | the state of one flow, on all sides |
//! | `elements` | bytes that wait |
//! | `kept` | what is kept after every flow is over |
//! | `client_side` | the client's side: the boundary between adapters and session |
//! | `server_side` | the server's side, and the target |
//! | `pipe` | one direction of the network |
//! | `fault` | faults of flows, adapters, sink and time |
//! | `probe` | bytes compared at every boundary |
//! | `planted` | parts of the lab that are made wrong on purpose |
//! | `number` | the numbers of flows, as adapters see them |
//! | `port` | where the output of adapters goes: to the session, and to the sink |
//!
//! # Invariants
//!
//! 1. A task is only picked when it has something to do, so that a run makes progress; an adapter
//!    that requests polls for ever is stopped by `steps_max`.
//! 2. Adapters see nothing of each other, and nothing of the world except their [`Context`].

mod ancillary;
mod arena;
mod client_side;
mod elements;
mod fault;
mod flow;
mod kept;
mod number;
mod pipe;
pub(crate) mod planted;
mod port;
mod probe;
mod server_side;

use std::time::Instant;

use becket_wire::{Limits, Session, StreamId};
use strum::VariantArray;

use self::ancillary::Ancillary;
pub use self::arena::Arena;
use self::elements::Pool;
pub use self::fault::Factory;
use self::fault::{Lasting, Slot};
use self::flow::{Expected, Flow};
use self::number::Numbers;
use self::pipe::Pipe;
use self::planted::Planted;
use self::port::Port;
use crate::choice::{Choices, Random};
use crate::contract::{
    Adapter, Calls, Capability, Chunk, Context, Done, EgressAdapter, FlowEvent, FlowId,
    IngressAdapter, Outlet, Secret, Tick,
};
use crate::fault::Injector;
use crate::link::Hazard;
use crate::pattern::{self, Direction};
use crate::replay::Case;
use crate::trace::{Call, EventKind, Stage, Trace};

/// Bytes that a call may move.
const BUDGET_BYTES: usize = 64 << 10;
/// Steps of a run, per event that it may have.
const STEPS_AN_EVENT: u64 = 16;
/// The flow number of events that concern the whole run.
const RUN: FlowId = FlowId::new(0);

/// A step of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray)]
enum Task {
    /// A source opens a flow, or offers what is due.
    Offer,
    /// The ingress adapter is polled.
    Ingress,
    /// The client's session writes frames to the network.
    ClientSends,
    /// Bytes reach the server.
    Up,
    /// The target responds.
    Answer,
    /// The server's session writes frames to the network.
    ServerSends,
    /// Bytes reach the client.
    Down,
    /// The egress adapter is offered what arrived.
    Accept,
    /// The egress adapter is polled.
    Egress,
    /// A session makes a call besides those for flows.
    Ancillary,
}

impl Task {
    /// Number of tasks. A task's number is its index among them.
    const ALL: usize = Self::VARIANTS.len();
}

/// The numbers of the tasks of a set, ascending.
#[derive(Clone, Copy)]
struct Enabled {
    numbers: [u8; Task::ALL],
    count: u8,
}

/// The tasks of each set. A set is a bit mask, with the first task in the lowest bit.
static ENABLED: [Enabled; 1 << Task::ALL] = {
    let mut all = [Enabled { numbers: [0; Task::ALL], count: 0 }; 1 << Task::ALL];
    let mut rest = all.as_mut_slice();
    let mut set = 0_usize;
    while let Some((enabled, behind)) = rest.split_first_mut() {
        *enabled = Enabled::of(set);
        set += 1;
        rest = behind;
    }
    all
};

impl Enabled {
    const fn of(set: usize) -> Self {
        let (mut numbers, mut count, mut number) = ([0; Task::ALL], 0, 0);
        while number < Task::ALL as u8 {
            if set >> number & 1 == 1
                && let Some((place, _)) = numbers.split_at_mut(count as usize).1.split_first_mut()
            {
                *place = number;
                count += 1;
            }
            number += 1;
        }
        Self { numbers, count }
    }

    #[inline]
    fn numbers(&self) -> &[u8] {
        self.numbers.get(..usize::from(self.count)).unwrap_or_default()
    }
}

/// Runs one case, reusing the memory of this thread's earlier runs. The events are in the trace.
pub fn run(
    case: &Case,
    adapters: (&mut dyn IngressAdapter, &mut dyn EgressAdapter),
    choices: &mut Choices,
    trace: &mut Trace,
) {
    arena::shared(|arena| arena.run(case, adapters, choices, trace));
}

/// Runs one case with adapters from a factory, which creates another one after a crash. Without a
/// factory there are no crashes.
pub fn run_with(case: &Case, factory: Factory<'_>, choices: &mut Choices, trace: &mut Trace) {
    arena::shared(|arena| arena.run_with(case, factory, choices, trace));
}

struct World<'a> {
    ingress: Slot<'a, dyn IngressAdapter + 'a>,
    egress: Slot<'a, dyn EgressAdapter + 'a>,
    factory: Option<Factory<'a>>,
    /// Requests of the adapter that is being called.
    calls: &'a mut Calls,
    parts: Parts<'a>,
}

/// Everything except the adapters.
struct Parts<'a> {
    case: &'a Case,
    choices: &'a mut Choices,
    trace: &'a mut Trace,
    now: Tick,
    flows: &'a mut [Flow],
    numbers: Numbers,
    client: &'a mut Session,
    server: &'a mut Session,
    up: &'a mut Pipe,
    down: &'a mut Pipe,
    /// Adapters that requested a poll, ingress first.
    wants_poll: [bool; 2],
    random: [Random; 2],
    held: [u64; 2],
    /// It was recorded that they wait for a later time although all flows are over.
    said_waits: [bool; 2],
    /// Flows whose source may have something to offer.
    to_offer: &'a mut Vec<FlowId>,
    /// Flows with input that the egress adapter has not taken.
    to_accept: &'a mut Vec<FlowId>,
    /// Flows whose target may have something to send.
    to_answer: &'a mut Vec<FlowId>,
    /// Flows that have ended, and whose end is not handled yet.
    ended: &'a mut Vec<FlowId>,
    by_stream: &'a mut [Vec<FlowId>; 2],
    pool: &'a mut Pool,
    offered: &'a mut Vec<u8>,
    client_has: bool,
    server_has: bool,
    /// A session ended by an error.
    is_broken: bool,
    injector: Injector,
    lasting: Lasting,
    /// The origin of the sessions' time.
    origin: Instant,
    /// The secret by which adapters authenticate themselves, from the configuration.
    identity: Secret,
    /// When every flow must have ended after the faults were cleared.
    ends_by: Option<Tick>,
    /// Session calls besides those for flows, if the target is busy.
    ancillary: Option<Box<Ancillary>>,
}

impl World<'_> {
    fn run(&mut self) {
        let steps_max = u64::from(self.parts.case.config.max_events) * STEPS_AN_EVENT;
        let mut steps = 0;
        self.parts.wake_due();
        while steps < steps_max && !self.parts.trace.is_cut() {
            steps += 1;
            if !self.parts.injector.is_cleared() {
                self.inject();
            }
            match self.parts.choose() {
                Some(task) => self.take(task),
                None if self.pass_time() => {}
                None if self.clears() => {}
                None => break,
            }
        }
        if steps >= steps_max {
            self.parts.say(RUN, EventKind::OutOfSteps);
        }
        if self.parts.flows.iter().all(Flow::is_settled) {
            self.say_what_is_left();
            if steps < steps_max {
                self.parts.say_what_sessions_keep();
            }
        }
        self.parts.finish();
    }

    // Inlined: it has one caller, the loop over all steps.
    #[inline(always)]
    fn take(&mut self, task: Task) {
        match task {
            Task::Offer => self.offer(),
            Task::Ingress => self.poll(Stage::Ingress),
            Task::Egress => self.poll(Stage::Egress),
            Task::Accept => self.accept(),
            Task::ClientSends => {
                self.parts.client_has = false;
                // A refused frame is sent when the pipe reports room.
                self.parts.client.transmit(self.parts.up);
            }
            Task::ServerSends => {
                self.parts.server_has = false;
                // A refused frame is sent when the pipe reports room.
                self.parts.server.transmit(self.parts.down);
            }
            Task::Up => {
                self.parts.deliver(true);
                if self.parts.is_broken {
                    self.see_to_ended();
                }
            }
            Task::Down => {
                self.parts.deliver(false);
                self.see_to_ended();
            }
            Task::Answer => self.parts.answer(),
            Task::Ancillary => self.parts.ancillary_step(),
        }
    }

    fn poll(&mut self, place: Stage) {
        let at = place as usize;
        let Some(wants) = self.parts.wants_poll.get_mut(at) else { return };
        *wants = false;
        if !self.parts.injector.is_cleared() {
            self.narrow();
        }
        let Self { ingress, egress, calls, parts, .. } = self;
        match place {
            Stage::Ingress => parts.call(place, (&mut **ingress, calls), |adapter, cx, parts| {
                adapter.poll(cx, &mut Outlet::new(&mut Port::<true> { parts }));
            }),
            _ => parts.call(place, (&mut **egress, calls), |adapter, cx, parts| {
                adapter.poll(cx, &mut Outlet::new(&mut Port::<false> { parts }));
            }),
        }
        self.widen(place);
        self.see_to_ended();
    }

    /// Calls an adapter about a flow; true: it did not refuse.
    fn ask(&mut self, place: Stage, call: Call, flow: FlowId) -> bool {
        if self.parts.has_lost(place, flow) {
            return false;
        }
        let Self { ingress, egress, calls, parts, .. } = self;
        let asked = (call, flow);
        let result = match place {
            Stage::Ingress => {
                parts.call(place, (&mut **ingress, calls), |it, cx, of| do_call(it, cx, of, asked))
            }
            _ => parts.call(place, (&mut **egress, calls), |it, cx, of| do_call(it, cx, of, asked)),
        };
        let refused = result.err().map(|error| error.class());
        self.parts.say(flow, EventKind::Called { place, call, refused });
        refused.is_none()
    }

    /// Handles the ends of flows on all sides.
    #[inline]
    fn see_to_ended(&mut self) {
        if !self.parts.ended.is_empty() {
            self.end_everywhere();
        }
        if self.parts.numbers.are_shared() {
            self.parts.pass_numbers_on();
        }
        self.parts.may_unblock();
    }

    #[inline(never)]
    fn end_everywhere(&mut self) {
        while let Some((flow, step)) = self.parts.next_ending() {
            match step {
                flow::Ending::CloseBoth => {
                    self.ask(Stage::Ingress, Call::Close, flow);
                    self.ask(Stage::Egress, Call::Close, flow);
                    self.parts.apply(Stage::Network, flow, FlowEvent::Close);
                }
                flow::Ending::TellSink => {
                    self.ask(Stage::Ingress, Call::Close, flow);
                    if !self.ask(Stage::Egress, Call::Reset, flow) {
                        self.ask(Stage::Egress, Call::Close, flow);
                        let claimed = self.egress.manifest().capabilities;
                        let claims = claimed.has(Capability::FlowReset);
                        if let Some(known) = self.parts.flow(flow).filter(|_| !claims) {
                            // The adapter never claimed reset: the runtime notifies its sink.
                            known.sink_knows = true;
                        }
                    }
                }
            }
        }
    }

    /// Lets time pass until something is due. False: nothing ever is.
    #[cold]
    #[inline(never)]
    fn pass_time(&mut self) -> bool {
        let adapters = [self.ingress.deadline(), self.egress.deadline()];
        if self.parts.flows.iter().all(Flow::is_settled) {
            self.say_who_waits(adapters);
        }
        let next = adapters.into_iter().flatten().chain(self.parts.next_due());
        let next = next.chain(self.parts.fault_due()).min();
        let ends_by = self.parts.ends_by;
        let next = next.filter(|next| ends_by.is_none_or(|end| *next <= end));
        let Some(next) = next else { return false };
        let parts = &mut self.parts;
        parts.now = next.max(parts.now.after(1)).after(parts.jump());
        for (deadline, wants) in adapters.into_iter().zip(&mut parts.wants_poll) {
            *wants |= deadline.is_some_and(|deadline| deadline <= parts.now);
        }
        parts.wake_due();
        parts.refill();
        parts.see_to_deadlines();
        self.see_to_ended();
        true
    }
}

fn do_call<A: Adapter + ?Sized>(
    adapter: &mut A,
    cx: &mut Context<'_>,
    parts: &mut Parts<'_>,
    (call, flow): (Call, FlowId),
) -> Done {
    let seen = parts.numbers.seen(flow);
    match call {
        Call::Open => adapter.open(cx, seen, &parts.descriptor(flow)),
        Call::HalfClose => adapter.half_close(cx, seen),
        Call::Reset => adapter.reset(cx, seen, parts.cause(flow)),
        Call::Close => adapter.close(cx, seen),
    }
}

impl<'a> Parts<'a> {
    fn new(
        arena: &'a mut Arena,
        case: &'a Case,
        choices: &'a mut Choices,
        trace: &'a mut Trace,
    ) -> (Self, &'a mut Calls) {
        let random = Random::new(case.config.deterministic_seed);
        let parts = Self {
            now: Tick(0),
            flows: &mut arena.flows,
            client: &mut arena.client,
            server: &mut arena.server,
            up: &mut arena.up,
            down: &mut arena.down,
            wants_poll: [false; 2],
            random: [random.fork(1), random.fork(2)],
            held: [0; 2],
            said_waits: [false; 2],
            to_offer: &mut arena.to_offer,
            to_accept: &mut arena.to_accept,
            to_answer: &mut arena.to_answer,
            ended: &mut arena.ended,
            by_stream: &mut arena.by_stream,
            pool: &mut arena.pool,
            offered: &mut arena.offered,
            client_has: true,
            server_has: false,
            is_broken: false,
            injector: Injector::new(case.faults),
            lasting: Lasting::default(),
            origin: arena.origin,
            identity: pattern::identity(case.config.deterministic_seed),
            ends_by: None,
            ancillary: case.behaviour.is_busy().then(|| Box::new(Ancillary::new())),
            numbers: Numbers::new(case.plans.len(), case.config.max_flows),
            case,
            choices,
            trace,
        };
        (parts, &mut arena.calls)
    }

    /// Calls an adapter, and handles its requests.
    #[inline]
    fn call<A: Adapter + ?Sized, R>(
        &mut self,
        place: Stage,
        (adapter, calls): (&mut A, &mut Calls),
        act: impl FnOnce(&mut A, &mut Context<'_>, &mut Self) -> R,
    ) -> R {
        let at = place as usize;
        calls.wants_poll = false;
        let mut random = self.random.get(at).cloned().unwrap_or_else(|| Random::new(0));
        let mut cx = Context::new(self.now, &mut random, BUDGET_BYTES, calls);
        let result = act(adapter, &mut cx, self);
        self.was_called(place, calls, random, adapter.buffered_bytes());
        result
    }

    /// Handles the effects of a call besides its result: the requests of the adapter, and how many
    /// bytes it holds.
    fn was_called(&mut self, place: Stage, calls: &mut Calls, random: Random, held: u64) {
        let at = place as usize;
        if let Some(kept) = self.random.get_mut(at) {
            *kept = random;
        }
        if !calls.with_room.is_empty() {
            self.have_room(place, calls);
        }
        if let Some(wants) = self.wants_poll.get_mut(at) {
            *wants |= calls.wants_poll;
        }
        if let Some(before) = self.held.get_mut(at).filter(|before| **before < held) {
            *before = held;
            self.trace.push(self.now, RUN, EventKind::Holds { place, bytes: held });
        }
    }

    #[cold]
    #[inline(never)]
    fn have_room(&mut self, place: Stage, calls: &mut Calls) {
        for seen in calls.with_room.drain(..) {
            self.has_room(place, self.numbers.whose(seen));
        }
    }

    /// Picks a task that has something to do.
    fn choose(&mut self) -> Option<Task> {
        let [ingress, egress] = self.wants_poll;
        let is_up = !self.is_broken;
        // In the order of their numbers, and evaluated without branches.
        let can = [
            self.client.is_ready() & !self.to_offer.is_empty(),
            ingress,
            self.client_has,
            is_up & self.up.is_due(self.now),
            !self.to_answer.is_empty(),
            self.server_has,
            is_up & self.down.is_due(self.now),
            !self.to_accept.is_empty(),
            egress,
            is_up
                & self.ancillary.as_ref().is_some_and(|it| it.has_steps())
                & self.client.is_ready(),
        ];
        let set = (0..).zip(can).fold(0, |set, (at, can)| set | usize::from(can) << at);
        let enabled = ENABLED.get(set)?.numbers();
        let chosen = enabled.get(self.choices.schedule(enabled)).copied()?;
        Task::VARIANTS.get(usize::from(chosen)).copied()
    }

    /// Picks a flow of a wait queue; by default the first.
    #[inline]
    fn pick(choices: &mut Choices, line: &mut Vec<FlowId>) -> Option<FlowId> {
        let number = |at: usize| line.get(at).map_or(0, |flow: &FlowId| flow.number());
        let chosen = choices.next_flow(line.len(), number);
        // Those after it move up. No queue is longer than the number of open flows, and most are
        // very short.
        let mut picked = line.pop()?;
        for place in line.iter_mut().skip(chosen).rev() {
            std::mem::swap(place, &mut picked);
        }
        Some(picked)
    }

    #[inline]
    fn flow(&mut self, flow: FlowId) -> Option<&mut Flow> {
        by_id(self.flows, flow)
    }

    #[inline]
    fn known(&self, flow: FlowId) -> Option<&Flow> {
        self.flows.get((flow.number() as usize).checked_sub(1)?)
    }

    /// A part of a flow has ended: if it was the last one, the end of the flow must be handled.
    fn may_have_ended(&mut self, id: FlowId) {
        if self.known(id).is_some_and(|flow| flow.is_open && flow.ending().is_some()) {
            self.ended.push(id);
        }
    }

    /// Assigns a stream to this flow, for the client or for the server. When a stream index is used
    /// again, the new flow replaces the old one, of which no more events come.
    fn set_owner(&mut self, stream: StreamId, flow: FlowId, is_client: bool) {
        let [client, server] = &mut *self.by_stream;
        let (by_stream, at) = (if is_client { client } else { server }, stream.index() as usize);
        if at >= by_stream.len() {
            by_stream.resize(at + 1, RUN);
        }
        if let Some(place) = by_stream.get_mut(at) {
            *place = flow;
        }
    }

    /// One direction of the network, with the state that decides about its faults.
    fn way(&mut self, is_up: bool) -> (&mut Pipe, Hazard<'_>) {
        let (now, injector) = (self.now, &mut self.injector);
        let (choices, trace) = (&mut *self.choices, &mut *self.trace);
        let pipe = if is_up { &mut *self.up } else { &mut *self.down };
        (pipe, Hazard { now, injector, choices, trace })
    }

    /// Whether the adapter that knew this flow crashed.
    fn has_lost(&self, place: Stage, flow: FlowId) -> bool {
        self.known(flow).is_some_and(|flow| flow.lost.get(place as usize) == Some(&true))
    }

    #[inline(always)]
    fn say(&mut self, flow: FlowId, what: EventKind) {
        self.trace.push(self.now, flow, what);
    }

    /// Checks that output is the next of its flow.
    #[inline]
    fn put_out(&mut self, place: Stage, id: FlowId, chunk: &Chunk, bytes: &[u8]) {
        let Chunk { sequence, offset, is_final, .. } = *chunk;
        let is_echo = self.case.behaviour.is_echo();
        let count = bytes.len() as u64;
        let Some(flow) = self.flow(id) else { return };
        let (pattern, expected) = match place {
            Stage::Ingress => (&mut flow.request, &mut flow.entered),
            _ if is_echo => (&mut flow.request, &mut flow.sunk),
            _ => (&mut flow.response, &mut flow.sunk),
        };
        let next = *expected;
        expected.sequence += 1;
        expected.offset += count;
        let is_off = planted::is(Planted::SinkComparison) && place == Stage::Egress;
        let is_beside = planted::is(Planted::SinkOffset) && place == Stage::Egress;
        let at = next.offset + u64::from(is_beside);
        let other = pattern.mismatch(at, bytes).filter(|_| !is_off);
        self.say(id, EventKind::Out { place, sequence, offset, bytes: count, is_final });
        if (sequence, offset) != (next.sequence, next.offset) {
            let Expected { sequence, offset, .. } = next;
            self.say(id, EventKind::OutOfPlace { place, sequence, offset });
        }
        if place == Stage::Egress && self.probe_sink(id, bytes, other) {
            // The sink is wrong, not the adapter.
            return;
        }
        if let Some(offset) = other {
            self.say(id, EventKind::OtherByte { place, offset });
            if place == Stage::Ingress {
                self.is_other(id, Direction::Request);
            }
        }
    }

    /// Applies an event to a flow's lifecycle.
    #[inline]
    fn apply(&mut self, place: Stage, flow: FlowId, event: FlowEvent) {
        use crate::contract::Transition;
        let Some(known) = self.flow(flow) else { return };
        match known.life.apply(event) {
            Ok(Transition::Moved(state)) => self.say(flow, EventKind::Moved { state }),
            Ok(Transition::Nothing) => {}
            Err(error) => {
                let (state, event) = (error.state, error.event);
                self.say(flow, EventKind::Illegal { place, state, event });
            }
        }
    }

    /// The end of the run: records flows that have not ended.
    #[cold]
    #[inline(never)]
    fn finish(&mut self) {
        for at in 0..self.flows.len() {
            let Some(flow) = self.flows.get(at).filter(|flow| !flow.is_settled()) else { continue };
            let (id, state) = (flow.id, flow.life.state());
            self.say(id, EventKind::Stuck { state });
        }
        self.say(RUN, EventKind::Finished);
    }
}

#[inline]
fn by_id(flows: &mut [Flow], flow: FlowId) -> Option<&mut Flow> {
    flows.get_mut((flow.number() as usize).checked_sub(1)?)
}

/// The limits of both sessions: those of the run. Short ping intervals make errors visible early.
fn limits(case: &Case) -> Limits {
    let config = &case.config;
    let element_bytes_max = u32::try_from(config.max_chunk_bytes).unwrap_or(u32::MAX);
    Limits {
        element_bytes_max,
        session_credit_bytes: config.max_buffered_bytes,
        streams_max: config.max_flows
            + if case.behaviour.is_busy() { ancillary::STREAMS } else { 0 },
        keep_alive_ms: 1000,
        silence_ms: 1000,
        ..Limits::default()
    }
}
