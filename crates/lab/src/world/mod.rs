// SPDX-License-Identifier: BSD-3-Clause
//! One run: a pair of adapters, two sessions, the network between them, and everything around.
//!
//! ```text
//!        Task::Offer      Task::Ingress     Task::ClientSends   Task::Up
//!   plans ────────► ingress ─────────► client ═══════════► pipe ═══════► server ──► target
//!   sink  ◄──────── egress  ◄───────── client ◄═══════════ pipe ◄═══════ server ◄──┘ Task::Answer
//!        Task::Egress     Task::Accept      Task::Down          Task::ServerSends
//! ```
//!
//! A run is a sequence of small tasks. Of those for which there is something to do the
//! [choices](crate::choice) take one; when there is none, time passes until there is. Everything that
//! happens is written into the [trace](crate::trace).
//!
//! | file | holds |
//! |---|---|
//! | `ancillary` | what sessions do besides carrying flows |
//! | `arena` | memory that runs share, one after another |
//! | `flow` | what is known of one flow, on all sides |
//! | `elements` | bytes that wait |
//! | `kept` | what is left when every flow is over |
//! | `near` | the client's side: the boundary between adapters and session |
//! | `far` | the server's side, and the target |
//! | `pipe` | the network, one way |
//! | `fault` | what is done to flows, adapters, sink and time |
//! | `probe` | bytes compared at every boundary |
//! | `planted` | parts of the lab that are wrong on purpose |
//! | `number` | the numbers of flows, as adapters see them |
//! | `sink` | what the egress adapter gives, checked |
//!
//! # Invariants
//!
//! 1. A task is only taken when there is something to do, so that a run that goes on makes progress;
//!    an adapter that asks to be polled again and again is stopped by `steps_max`.
//! 2. Adapters see nothing of one another, and nothing of the world but their [`Context`].

mod ancillary;
mod arena;
mod elements;
mod far;
mod fault;
mod flow;
mod kept;
mod near;
mod number;
mod pipe;
pub(crate) mod planted;
mod probe;
mod sink;

use std::time::Instant;

use becket_wire::{Limits, Session, StreamId};

use self::ancillary::Ancillary;
pub use self::arena::Arena;
use self::elements::Pool;
pub use self::fault::Factory;
use self::fault::{Lasting, Slot};
use self::flow::{Expected, Flow};
use self::number::Numbers;
use self::pipe::Pipe;
use self::planted::Planted;
use crate::carrier::{Carrier, Hazard};
use crate::choice::{Choices, Random};
use crate::config::Config;
use crate::contract::{
    Adapter, AdapterError, Calls, Capability, Chunk, Context, EgressAdapter, FlowEvent, FlowId,
    Hidden, IngressAdapter, Outlet, Tick,
};
use crate::fault::{FaultPlan, Strikes};
use crate::pattern::{self, Direction};
use crate::source::FlowPlan;
use crate::target::Behaviour;
use crate::trace::{Call, Place, Trace, What};

/// A call may move so many bytes.
const BUDGET_BYTES: usize = 64 << 10;
/// Steps for each event that a run may have.
const STEPS_AN_EVENT: u64 = 16;
/// The flow number of what happens to the run.
const RUN: FlowId = FlowId::new(0);

/// What a run is made of, but for the adapters.
#[derive(Debug)]
pub struct Setup<'a> {
    /// Its limits.
    pub config: &'a Config,
    /// What the sources do.
    pub plans: Vec<FlowPlan>,
    /// What the target does.
    pub behaviour: Behaviour,
    /// Bytes of each flow that may be under way to the sink, and to the target.
    pub window_bytes: u64,
    /// How what the sessions say is carried between them.
    pub carrier: Carrier,
    /// What is done to everybody meanwhile.
    pub faults: FaultPlan,
}

/// Something that can be done next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Task {
    /// A source opens a flow, or offers what is due.
    Offer,
    /// The ingress adapter is polled.
    Ingress,
    /// The client's session puts frames into the network.
    ClientSends,
    /// Bytes reach the server.
    Up,
    /// The target answers.
    Answer,
    /// The server's session puts frames into the network.
    ServerSends,
    /// Bytes reach the client.
    Down,
    /// The egress adapter is offered what came.
    Accept,
    /// The egress adapter is polled.
    Egress,
    /// A session does something besides carrying flows.
    Ancillary,
}

impl Task {
    /// How many there are.
    const ALL: usize = 10;

    /// That of this number, which is its place in this list.
    #[inline]
    const fn from_number(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Offer,
            1 => Self::Ingress,
            2 => Self::ClientSends,
            3 => Self::Up,
            4 => Self::Answer,
            5 => Self::ServerSends,
            6 => Self::Down,
            7 => Self::Accept,
            8 => Self::Egress,
            9 => Self::Ancillary,
            _ => return None,
        })
    }
}

/// The numbers of the tasks that are in a set, ascending.
#[derive(Clone, Copy)]
struct Enabled {
    numbers: [u8; Task::ALL],
    count: u8,
}

/// Those of each set of tasks. A bit stands for each task, the lowest for the first.
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

/// Runs one setup, with the memory of this thread's runs before. What happened is in the trace.
pub fn run(
    setup: &Setup<'_>,
    adapters: (&mut dyn IngressAdapter, &mut dyn EgressAdapter),
    choices: &mut Choices,
    trace: &mut Trace,
) {
    arena::shared(|arena| arena.run(setup, adapters, choices, trace));
}

/// Runs one setup with adapters from a factory, which makes another when one crashes. Without a
/// factory none does.
pub fn run_with(setup: &Setup<'_>, factory: Factory<'_>, choices: &mut Choices, trace: &mut Trace) {
    arena::shared(|arena| arena.run_with(setup, factory, choices, trace));
}

struct World<'a> {
    ingress: Slot<'a, dyn IngressAdapter + 'a>,
    egress: Slot<'a, dyn EgressAdapter + 'a>,
    factory: Option<Factory<'a>>,
    /// What an adapter says while it is called.
    calls: &'a mut Calls,
    parts: Parts<'a>,
}

/// Everything but the adapters.
struct Parts<'a> {
    setup: &'a Setup<'a>,
    choices: &'a mut Choices,
    trace: &'a mut Trace,
    now: Tick,
    flows: &'a mut [Flow],
    numbers: Numbers,
    client: &'a mut Session,
    server: &'a mut Session,
    up: &'a mut Pipe,
    down: &'a mut Pipe,
    /// Adapters that want to be polled, ingress first.
    wants_poll: [bool; 2],
    random: [Random; 2],
    held: [u64; 2],
    /// It was said that they wait for a later time, though all flows are over.
    said_waits: [bool; 2],
    /// Flows whose source may have something to offer.
    to_offer: &'a mut Vec<FlowId>,
    /// Flows for which something came that the egress adapter has not taken.
    to_accept: &'a mut Vec<FlowId>,
    /// Flows whose target may have something to send.
    to_answer: &'a mut Vec<FlowId>,
    /// Flows that have ended, of which nobody has seen to it.
    ended: &'a mut Vec<FlowId>,
    by_stream: &'a mut [Vec<FlowId>; 2],
    pool: &'a mut Pool,
    offered: &'a mut Vec<u8>,
    client_has: bool,
    server_has: bool,
    /// A session ended by an error.
    is_broken: bool,
    strikes: Strikes,
    lasting: Lasting,
    /// Where the sessions count from.
    origin: Instant,
    /// What the configuration says that adapters prove who they are by.
    identity: Hidden,
    /// Faults are over: by then every flow has to be.
    ends_by: Option<Tick>,
    /// What the sessions do besides, if the target is busy.
    ancillary: Option<Box<Ancillary>>,
}

impl World<'_> {
    fn run(&mut self) {
        let steps_max = u64::from(self.parts.setup.config.max_events) * STEPS_AN_EVENT;
        let mut steps = 0;
        self.parts.wake_due();
        while steps < steps_max && !self.parts.trace.is_cut() {
            steps += 1;
            if !self.parts.strikes.is_calm() {
                self.strike();
            }
            match self.parts.choose() {
                Some(task) => self.take(task),
                None if self.pass_time() => {}
                None if self.calms() => {}
                None => break,
            }
        }
        if steps >= steps_max {
            self.parts.say(RUN, What::OutOfSteps);
        }
        if self.parts.flows.iter().all(Flow::is_settled) {
            self.say_what_is_left();
            if steps < steps_max {
                self.parts.say_what_sessions_keep();
            }
        }
        self.parts.finish();
    }

    fn take(&mut self, task: Task) {
        match task {
            Task::Offer => self.offer(),
            Task::Ingress => self.poll(Place::Ingress),
            Task::Egress => self.poll(Place::Egress),
            Task::Accept => self.accept(),
            Task::ClientSends => {
                self.parts.client_has = false;
                // What was refused goes when the pipe has room again, which it says.
                self.parts.client.transmit(self.parts.up);
            }
            Task::ServerSends => {
                self.parts.server_has = false;
                // What was refused goes when the pipe has room again, which it says.
                self.parts.server.transmit(self.parts.down);
            }
            Task::Up => {
                self.parts.deliver_up();
                if self.parts.is_broken {
                    self.see_to_ended();
                }
            }
            Task::Down => self.deliver_down(),
            Task::Answer => self.parts.answer(),
            Task::Ancillary => self.parts.ancillary_step(),
        }
    }

    fn poll(&mut self, place: Place) {
        let at = place as usize;
        let Some(wants) = self.parts.wants_poll.get_mut(at) else { return };
        *wants = false;
        if !self.parts.strikes.is_calm() {
            self.narrow();
        }
        let Self { ingress, egress, calls, parts, .. } = self;
        match place {
            Place::Ingress => parts.call(place, (&mut **ingress, calls), |adapter, cx, parts| {
                adapter.poll(cx, &mut Outlet::new(&mut near::Boundary(parts)));
            }),
            _ => parts.call(place, (&mut **egress, calls), |adapter, cx, parts| {
                adapter.poll(cx, &mut Outlet::new(&mut sink::Sink(parts)));
            }),
        }
        self.widen(place);
        self.see_to_ended();
    }

    /// Has an adapter do something with a flow; true: it did.
    fn ask(&mut self, place: Place, call: Call, flow: FlowId) -> bool {
        if self.parts.has_lost(place, flow) {
            return false;
        }
        let Self { ingress, egress, calls, parts, .. } = self;
        let asked = (call, flow);
        let result = match place {
            Place::Ingress => {
                parts.call(place, (&mut **ingress, calls), |it, cx, of| do_call(it, cx, of, asked))
            }
            _ => parts.call(place, (&mut **egress, calls), |it, cx, of| do_call(it, cx, of, asked)),
        };
        let refused = result.err().map(|error| error.class());
        self.parts.say(flow, What::Called { place, call, refused });
        refused.is_none()
    }

    /// What ended meanwhile is ended everywhere.
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
                    self.ask(Place::Ingress, Call::Close, flow);
                    self.ask(Place::Egress, Call::Close, flow);
                    self.parts.happens(Place::Network, flow, FlowEvent::Close);
                }
                flow::Ending::TellSink => {
                    self.ask(Place::Ingress, Call::Close, flow);
                    if !self.ask(Place::Egress, Call::Reset, flow) {
                        self.ask(Place::Egress, Call::Close, flow);
                        let claimed = self.egress.manifest().capabilities;
                        let claims = claimed.has(Capability::FlowReset);
                        if let Some(known) = self.parts.flow(flow).filter(|_| !claims) {
                            // It never said that it could: its sink hears it from the runtime.
                            known.sink_knows = true;
                        }
                    }
                }
            }
        }
    }

    /// Time passes until something is due. False: nothing ever is.
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
) -> Result<(), AdapterError> {
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
        setup: &'a Setup<'a>,
        choices: &'a mut Choices,
        trace: &'a mut Trace,
    ) -> (Self, &'a mut Calls) {
        let random = Random::new(setup.config.deterministic_seed);
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
            strikes: Strikes::new(setup.faults),
            lasting: Lasting::default(),
            origin: arena.origin,
            identity: pattern::identity(setup.config.deterministic_seed),
            ends_by: None,
            ancillary: setup.behaviour.is_busy().then(|| Box::new(Ancillary::new())),
            numbers: Numbers::new(setup.plans.len(), setup.config.max_flows),
            setup,
            choices,
            trace,
        };
        (parts, &mut arena.calls)
    }

    /// Calls an adapter, and sees to what it said meanwhile.
    #[inline]
    fn call<A: Adapter + ?Sized, R>(
        &mut self,
        place: Place,
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

    /// What came of a call besides its result: what the adapter said, and how many bytes it holds.
    fn was_called(&mut self, place: Place, calls: &mut Calls, random: Random, held: u64) {
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
            self.trace.push(self.now, RUN, What::Holds { place, bytes: held });
        }
    }

    #[cold]
    #[inline(never)]
    fn have_room(&mut self, place: Place, calls: &mut Calls) {
        for seen in calls.with_room.drain(..) {
            self.has_room(place, self.numbers.whose(seen));
        }
    }

    /// One of the tasks for which there is something to do.
    fn choose(&mut self) -> Option<Task> {
        let [ingress, egress] = self.wants_poll;
        let is_up = !self.is_broken;
        // In the order of their numbers. All are looked at, so that nothing has to be foreseen.
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
        Task::from_number(chosen)
    }

    /// One of the flows in a line, the first if nothing is chosen.
    #[inline]
    fn pick(choices: &mut Choices, line: &mut Vec<FlowId>) -> Option<FlowId> {
        let number = |at: usize| line.get(at).map_or(0, |flow: &FlowId| flow.number());
        let chosen = choices.next_flow(line.len(), number);
        // Those behind it move up. No line is longer than flows may be open at once, and most are
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

    /// Something of a flow is over: if that was the last, it has ended, and somebody has to see to it.
    fn may_have_ended(&mut self, id: FlowId) {
        if self.known(id).is_some_and(|flow| flow.is_open && flow.ending().is_some()) {
            self.ended.push(id);
        }
    }

    /// A stream is this flow's, for the client or for the server. Streams with an index that was used
    /// before are told apart by whom they belong to says: nothing more is heard of the ones before.
    fn is_whose(&mut self, stream: StreamId, flow: FlowId, is_client: bool) {
        let [client, server] = &mut *self.by_stream;
        let (by_stream, at) = (if is_client { client } else { server }, stream.index() as usize);
        if at >= by_stream.len() {
            by_stream.resize(at + 1, RUN);
        }
        if let Some(place) = by_stream.get_mut(at) {
            *place = flow;
        }
    }

    /// One way of the network, and what may become of what is on it.
    fn way(&mut self, is_up: bool) -> (&mut Pipe, Hazard<'_>) {
        let (now, strikes) = (self.now, &mut self.strikes);
        let (choices, trace) = (&mut *self.choices, &mut *self.trace);
        let pipe = if is_up { &mut *self.up } else { &mut *self.down };
        (pipe, Hazard { now, strikes, choices, trace })
    }

    /// The adapter that knew this flow crashed.
    fn has_lost(&self, place: Place, flow: FlowId) -> bool {
        self.known(flow).is_some_and(|flow| flow.lost.get(place as usize) == Some(&true))
    }

    #[inline(always)]
    fn say(&mut self, flow: FlowId, what: What) {
        self.trace.push(self.now, flow, what);
    }

    /// Bytes were put out where they are taken: whether they are the next.
    fn put_out(&mut self, place: Place, id: FlowId, chunk: &Chunk, bytes: &[u8]) {
        let Chunk { sequence, offset, is_final, .. } = *chunk;
        let is_echo = self.setup.behaviour.is_echo();
        let count = bytes.len() as u64;
        let Some(flow) = self.flow(id) else { return };
        let (pattern, expected) = match place {
            Place::Ingress => (&mut flow.request, &mut flow.entered),
            _ if is_echo => (&mut flow.request, &mut flow.sunk),
            _ => (&mut flow.response, &mut flow.sunk),
        };
        let next = *expected;
        expected.sequence += 1;
        expected.offset += count;
        let is_off = planted::is(Planted::SinkComparison) && place == Place::Egress;
        let is_beside = planted::is(Planted::SinkOffset) && place == Place::Egress;
        let at = next.offset + u64::from(is_beside);
        let other = pattern.mismatch(at, bytes).filter(|_| !is_off);
        self.say(id, What::Out { place, sequence, offset, bytes: count, is_final });
        if (sequence, offset) != (next.sequence, next.offset) {
            let Expected { sequence, offset, .. } = next;
            self.say(id, What::OutOfPlace { place, sequence, offset });
        }
        if place == Place::Egress && self.probe_sink(id, bytes, other) {
            // It is the sink that is wrong.
            return;
        }
        if let Some(offset) = other {
            self.say(id, What::OtherByte { place, offset });
            if place == Place::Ingress {
                self.is_other(id, Direction::Request);
            }
        }
    }

    /// Something happens to a flow, by somebody.
    #[inline]
    fn happens(&mut self, place: Place, flow: FlowId, event: FlowEvent) {
        use crate::contract::Resolved;
        let Some(known) = self.flow(flow) else { return };
        match known.life.happens(event) {
            Ok(Resolved::Moved(state)) => self.say(flow, What::Moved { state }),
            Ok(Resolved::Nothing) => {}
            Err(error) => {
                let (state, event) = (error.state, error.event);
                self.say(flow, What::Illegal { place, state, event });
            }
        }
    }

    /// The end of the run: whoever is not over now never will be.
    #[cold]
    #[inline(never)]
    fn finish(&mut self) {
        for at in 0..self.flows.len() {
            let Some(flow) = self.flows.get(at).filter(|flow| !flow.is_settled()) else { continue };
            let (id, state) = (flow.id, flow.life.state());
            self.say(id, What::Stuck { state });
        }
        self.say(RUN, What::Finished);
    }
}

#[inline]
fn by_id(flows: &mut [Flow], flow: FlowId) -> Option<&mut Flow> {
    flows.get_mut((flow.number() as usize).checked_sub(1)?)
}

/// The limits of both sessions: those of the run. Who looks often whether the other side is there
/// sees soon what is wrong.
fn limits(setup: &Setup<'_>) -> Limits {
    let config = setup.config;
    let element_bytes_max = u32::try_from(config.max_chunk_bytes).unwrap_or(u32::MAX);
    Limits {
        element_bytes_max,
        session_credit_bytes: config.max_buffered_bytes,
        streams_max: config.max_flows
            + if setup.behaviour.is_busy() { ancillary::STREAMS } else { 0 },
        keep_alive_ms: 1000,
        silence_ms: 1000,
        ..Limits::default()
    }
}
