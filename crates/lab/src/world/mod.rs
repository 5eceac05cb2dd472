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
//! | `flow` | what is known of one flow, on all sides |
//! | `near` | the client's side: the boundary between adapters and session |
//! | `far` | the server's side, and the target |
//! | `pipe` | the network, one way |
//! | `fault` | what is done to flows, adapters, sink and time |
//! | `sink` | what the egress adapter gives, checked |
//!
//! # Invariants
//!
//! 1. A task is only taken when there is something to do, so that a run that goes on makes progress;
//!    an adapter that asks to be polled again and again is stopped by `steps_max`.
//! 2. Adapters see nothing of one another, and nothing of the world but their [`Context`].

mod far;
mod fault;
mod flow;
mod near;
mod pipe;
mod sink;

use std::collections::VecDeque;
use std::time::Instant;

use becket_wire::{Limits, Role, Session};

pub use self::fault::Factory;
use self::fault::{Lasting, Slot};
use self::flow::{Expected, Flow};
use self::pipe::Pipe;
use crate::carrier::{Carrier, Hazard};
use crate::choice::{Choices, Random};
use crate::config::Config;
use crate::contract::{
    Adapter, AdapterError, Calls, Cause, Chunk, Context, Descriptor, EgressAdapter, FlowEvent,
    FlowId, IngressAdapter, Outlet, Tick,
};
use crate::fault::{FaultPlan, Strikes};
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
}

const TASKS: [Task; 9] = [
    Task::Offer,
    Task::Ingress,
    Task::ClientSends,
    Task::Up,
    Task::Answer,
    Task::ServerSends,
    Task::Down,
    Task::Accept,
    Task::Egress,
];

/// Runs one setup. What happened is in the trace.
pub fn run(
    setup: &Setup<'_>,
    (ingress, egress): (&mut dyn IngressAdapter, &mut dyn EgressAdapter),
    choices: &mut Choices,
    trace: &mut Trace,
) {
    let parts = Parts::new(setup, choices, trace);
    let mut world =
        World { ingress: Slot::Lent(ingress), egress: Slot::Lent(egress), factory: None, parts };
    world.run();
}

/// Runs one setup with adapters from a factory, which makes another when one crashes. Without a
/// factory none does.
pub fn run_with(setup: &Setup<'_>, factory: Factory<'_>, choices: &mut Choices, trace: &mut Trace) {
    let parts = Parts::new(setup, choices, trace);
    let (ingress, egress) = factory();
    let factory = Some(factory);
    let mut world =
        World { ingress: Slot::Made(ingress), egress: Slot::Made(egress), factory, parts };
    world.run();
}

struct World<'a> {
    ingress: Slot<'a, dyn IngressAdapter + 'a>,
    egress: Slot<'a, dyn EgressAdapter + 'a>,
    factory: Option<Factory<'a>>,
    parts: Parts<'a>,
}

/// Everything but the adapters.
struct Parts<'a> {
    setup: &'a Setup<'a>,
    choices: &'a mut Choices,
    trace: &'a mut Trace,
    now: Tick,
    flows: Vec<Flow>,
    client: Session,
    server: Session,
    up: Pipe,
    down: Pipe,
    calls: [Calls; 2],
    random: [Random; 2],
    held: [u64; 2],
    /// Flows whose source may have something to offer.
    to_offer: VecDeque<FlowId>,
    /// Flows for which something came that the egress adapter has not taken.
    to_accept: VecDeque<FlowId>,
    /// Flows whose target may have something to send.
    to_answer: VecDeque<FlowId>,
    client_has: bool,
    server_has: bool,
    /// A session ended by an error.
    is_broken: bool,
    strikes: Strikes,
    lasting: Lasting,
    /// Where the sessions count from.
    origin: Instant,
    /// Faults are over: by then every flow has to be.
    ends_by: Option<Tick>,
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
        }
        self.parts.finish();
    }

    fn say_what_is_left(&mut self) {
        let held = [self.ingress.buffered_bytes(), self.egress.buffered_bytes()];
        for (place, bytes) in [Place::Ingress, Place::Egress].into_iter().zip(held) {
            if bytes > 0 {
                self.parts.say(RUN, What::Left { place, bytes });
            }
        }
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
                self.parts.client.transmit(&mut self.parts.up);
            }
            Task::ServerSends => {
                self.parts.server_has = false;
                // What was refused goes when the pipe has room again, which it says.
                self.parts.server.transmit(&mut self.parts.down);
            }
            Task::Up => {
                self.parts.deliver_up();
                if self.parts.is_broken {
                    self.see_to_ended();
                }
            }
            Task::Down => self.deliver_down(),
            Task::Answer => self.parts.answer(),
        }
    }

    fn poll(&mut self, place: Place) {
        let at = place as usize;
        let Some(calls) = self.parts.calls.get_mut(at) else { return };
        calls.wants_poll = false;
        if !self.parts.strikes.is_calm() {
            self.narrow();
        }
        let Self { ingress, egress, parts, .. } = self;
        match place {
            Place::Ingress => parts.call(place, &mut **ingress, |adapter, cx, parts| {
                adapter.poll(cx, &mut Outlet::new(&mut near::Boundary(parts)));
            }),
            _ => parts.call(place, &mut **egress, |adapter, cx, parts| {
                adapter.poll(cx, &mut Outlet::new(&mut sink::Sink(parts)));
            }),
        }
        self.widen(place);
        self.see_to_ended();
    }

    /// Has an adapter do something with a flow; true: it did.
    fn ask(&mut self, place: Place, call: Call, flow: FlowId) -> bool {
        let descriptor = Descriptor::of(self.parts.class(flow));
        let cause = self.parts.cause(flow);
        if self.parts.has_lost(place, flow) {
            return false;
        }
        let Self { ingress, egress, parts, .. } = self;
        let asked = (call, flow, &descriptor, cause);
        let result = match place {
            Place::Ingress => parts.call(place, &mut **ingress, |it, cx, _| do_call(it, cx, asked)),
            _ => parts.call(place, &mut **egress, |it, cx, _| do_call(it, cx, asked)),
        };
        let refused = result.err().map(|error| error.class());
        self.parts.say(flow, What::Called { place, call, refused });
        refused.is_none()
    }

    /// What ended meanwhile is ended everywhere.
    fn see_to_ended(&mut self) {
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
                    }
                }
            }
        }
    }

    /// Time passes until something is due. False: nothing ever is.
    fn pass_time(&mut self) -> bool {
        let adapters = [self.ingress.deadline(), self.egress.deadline()];
        let next = adapters.into_iter().flatten().chain(self.parts.next_due());
        let next = next.chain(self.parts.fault_due()).min();
        let ends_by = self.parts.ends_by;
        let next = next.filter(|next| ends_by.is_none_or(|end| *next <= end));
        let Some(next) = next else { return false };
        let parts = &mut self.parts;
        parts.now = next.max(parts.now.after(1)).after(parts.jump());
        for (deadline, calls) in adapters.into_iter().zip(&mut parts.calls) {
            calls.wants_poll |= deadline.is_some_and(|deadline| deadline <= parts.now);
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
    (call, flow, descriptor, cause): (Call, FlowId, &Descriptor, Cause),
) -> Result<(), AdapterError> {
    match call {
        Call::Open => adapter.open(cx, flow, descriptor),
        Call::HalfClose => adapter.half_close(cx, flow),
        Call::Reset => adapter.reset(cx, flow, cause),
        Call::Close => adapter.close(cx, flow),
    }
}

impl<'a> Parts<'a> {
    fn new(setup: &'a Setup<'a>, choices: &'a mut Choices, trace: &'a mut Trace) -> Self {
        let seed = setup.config.deterministic_seed;
        let random = Random::new(seed);
        let origin = Instant::now();
        let limits = limits(setup);
        let flows: Vec<_> = setup.plans.iter().map(|plan| Flow::new(seed, plan)).collect();
        Self {
            now: Tick(0),
            client: Session::new(Role::Client, limits.clone(), origin),
            server: Session::new(Role::Server, limits.clone(), origin),
            up: Pipe::of(setup, limits.frame_body_bytes_max),
            down: Pipe::of(setup, limits.frame_body_bytes_max),
            calls: Default::default(),
            random: [random.fork(1), random.fork(2)],
            held: [0; 2],
            to_offer: VecDeque::new(),
            to_accept: VecDeque::new(),
            to_answer: VecDeque::new(),
            client_has: true,
            server_has: false,
            is_broken: false,
            strikes: Strikes::new(setup.faults),
            lasting: Lasting::default(),
            origin,
            ends_by: None,
            flows,
            setup,
            choices,
            trace,
        }
    }

    /// Calls an adapter, and sees to what it said meanwhile.
    fn call<A: Adapter + ?Sized, R>(
        &mut self,
        place: Place,
        adapter: &mut A,
        act: impl FnOnce(&mut A, &mut Context<'_>, &mut Self) -> R,
    ) -> R {
        let at = place as usize;
        let mut calls = self.calls.get_mut(at).map(std::mem::take).unwrap_or_default();
        let mut random = self.random.get(at).cloned().unwrap_or_else(|| Random::new(0));
        let mut cx = Context::new(self.now, &mut random, BUDGET_BYTES, &mut calls);
        let result = act(adapter, &mut cx, self);
        for flow in calls.with_room.drain(..) {
            self.has_room(place, flow);
        }
        if let Some(kept) = self.calls.get_mut(at) {
            // What came of the call may have been another reason for a poll.
            calls.wants_poll |= kept.wants_poll;
            *kept = calls;
        }
        if let Some(kept) = self.random.get_mut(at) {
            *kept = random;
        }
        let held = adapter.buffered_bytes();
        if let Some(before) = self.held.get_mut(at).filter(|before| **before < held) {
            *before = held;
            self.trace.push(self.now, RUN, What::Holds { place, bytes: held });
        }
        result
    }

    /// One of the tasks for which there is something to do.
    fn choose(&mut self) -> Option<Task> {
        let mut can = [0; TASKS.len()];
        let mut count = 0;
        for (number, task) in (0..).zip(TASKS) {
            if self.can(task)
                && let Some(place) = can.get_mut(count)
            {
                *place = number;
                count += 1;
            }
        }
        let can = can.get(..count).filter(|can| !can.is_empty())?;
        let chosen = can.get(self.choices.schedule(can)).copied()?;
        TASKS.get(usize::from(chosen)).copied()
    }

    fn can(&self, task: Task) -> bool {
        let [ingress, egress] = &self.calls;
        match task {
            Task::Offer => self.client.is_ready() && !self.to_offer.is_empty(),
            Task::Ingress => ingress.wants_poll,
            Task::ClientSends => self.client_has,
            Task::Up => self.up.is_due(self.now) && !self.is_broken,
            Task::Answer => !self.to_answer.is_empty(),
            Task::ServerSends => self.server_has,
            Task::Down => self.down.is_due(self.now) && !self.is_broken,
            Task::Accept => !self.to_accept.is_empty(),
            Task::Egress => egress.wants_poll,
        }
    }

    /// One of the flows in a line, the first if nothing is chosen.
    fn pick(choices: &mut Choices, line: &mut VecDeque<FlowId>) -> Option<FlowId> {
        let number = |at| line.get(at).map_or(0, |flow| flow.number());
        let chosen = choices.next_flow(line.len(), number);
        line.remove(chosen)
    }

    fn flow(&mut self, flow: FlowId) -> Option<&mut Flow> {
        self.flows.get_mut((flow.number() as usize).checked_sub(1)?)
    }

    /// One way of the network, and what may become of what is on it.
    fn way(&mut self, is_up: bool) -> (&mut Pipe, Hazard<'_>) {
        let (now, strikes) = (self.now, &mut self.strikes);
        let (choices, trace) = (&mut *self.choices, &mut *self.trace);
        let pipe = if is_up { &mut self.up } else { &mut self.down };
        (pipe, Hazard { now, strikes, choices, trace })
    }

    /// The adapter that knew this flow crashed.
    fn has_lost(&mut self, place: Place, flow: FlowId) -> bool {
        self.flow(flow).is_some_and(|flow| flow.lost.get(place as usize) == Some(&true))
    }

    fn say(&mut self, flow: FlowId, what: What) {
        self.trace.push(self.now, flow, what);
    }

    /// Bytes were put out where they are taken: whether they are the next.
    fn put_out(&mut self, place: Place, chunk: &Chunk, bytes: &[u8]) {
        let Chunk { flow: id, sequence, offset, is_final, .. } = *chunk;
        let is_echo = self.setup.behaviour.is_echo();
        let count = bytes.len() as u64;
        let Some(flow) = self.flow(id) else { return };
        let (pattern, expected) = match place {
            Place::Ingress => (flow.request, &mut flow.entered),
            _ if is_echo => (flow.request, &mut flow.sunk),
            _ => (flow.response, &mut flow.sunk),
        };
        let next = *expected;
        expected.sequence += 1;
        expected.offset += count;
        let other = pattern.mismatch(next.offset, bytes);
        self.say(id, What::Out { place, sequence, offset, bytes: count, is_final });
        if (sequence, offset) != (next.sequence, next.offset) {
            let Expected { sequence, offset, .. } = next;
            self.say(id, What::OutOfPlace { place, sequence, offset });
        }
        if let Some(offset) = other {
            self.say(id, What::OtherByte { place, offset });
        }
    }

    /// Something happens to a flow, by somebody.
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
    fn finish(&mut self) {
        for at in 0..self.flows.len() {
            let Some(flow) = self.flows.get(at).filter(|flow| !flow.is_settled()) else { continue };
            let (id, state) = (flow.id, flow.life.state());
            self.say(id, What::Stuck { state });
        }
        self.say(RUN, What::Finished);
    }
}

/// The limits of both sessions: those of the run. Who looks often whether the other side is there
/// sees soon what is wrong.
fn limits(setup: &Setup<'_>) -> Limits {
    let config = setup.config;
    let element_bytes_max = u32::try_from(config.max_chunk_bytes).unwrap_or(u32::MAX);
    Limits {
        element_bytes_max,
        session_credit_bytes: config.max_buffered_bytes,
        streams_max: config.max_flows,
        keep_alive_ms: 1000,
        silence_ms: 1000,
        ..Limits::default()
    }
}
