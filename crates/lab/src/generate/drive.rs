// SPDX-License-Identifier: BSD-3-Clause
//! Drives a backend with valid and invalid calls of every kind, drawn from a seed, and logs all
//! effects.
//!
//! The generator drives the interpreted backend and writes the hashes of the logs into each module.
//! The code below the marker is copied into the tests of the module, which compare their own
//! hashes.

use super::vocabulary::{Carries, Cause, Chunk, Class, End, Event, Host, Port, Refusal, State};

// Drive.

/// Calls of one drive.
const CALLS: u32 = 700;

/// SplitMix64.
struct Draw(u64);

impl Draw {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// The byte at an offset of a flow.
fn byte(flow: u32, offset: u64) -> u8 {
    (offset.wrapping_mul(167) ^ (offset >> 8) ^ u64::from(flow).wrapping_mul(59)) as u8
}

/// A logged effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Number of the call.
    pub(crate) call: u32,
    pub(crate) what: &'static str,
    pub(crate) flow: u32,
    pub(crate) value: u64,
}

/// All effects, in order.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) seen: Vec<Seen>,
    call: u32,
}

impl Log {
    fn say(&mut self, what: &'static str, flow: u32, value: u64) {
        self.seen.push(Seen { call: self.call, what, flow, value });
    }

    /// The hash of all effects.
    pub(crate) fn hash(&self) -> String {
        let (mut one, mut other) = (0x9e37_79b9_7f4a_7c15_u64, 0x6a09_e667_f3bc_c909_u64);
        for seen in &self.seen {
            let name = seen.what.bytes().fold(0_u64, |name, byte| name << 5 ^ u64::from(byte));
            let head = u64::from(seen.call) << 32 | u64::from(seen.flow);
            for word in [head, mix(name), seen.value] {
                one = mix(one ^ word);
                other = mix(other.rotate_left(23) ^ word).wrapping_mul(0xd6e8_feb8_6659_fd93);
            }
        }
        format!("{one:016x}{other:016x}")
    }
}

/// What was offered of a flow, and what was put out.
#[derive(Debug, Clone, Copy, Default)]
struct Given {
    offset: u64,
    put: u64,
    chunks: u64,
}

/// The context of one call.
struct World<'a> {
    log: &'a mut Log,
    budget: usize,
}

impl Host for World<'_> {
    fn budget_bytes(&self) -> usize {
        self.budget
    }

    fn wants_poll(&mut self) {
        self.log.say("wants a poll", 0, 0);
    }

    fn has_room(&mut self, flow: u32) {
        self.log.say("has room", flow, 0);
    }
}

/// Receives output, as far as there is room.
struct Outlet<'a> {
    given: &'a mut [Given],
    said: Vec<(&'static str, u32, u64)>,
    room: usize,
    left: usize,
    refuses: bool,
}

impl Port for Outlet<'_> {
    fn room(&self, _flow: u32) -> usize {
        self.room.min(self.left)
    }

    fn data(&mut self, chunk: &Chunk, bytes: &[u8]) -> bool {
        let flow = chunk.flow;
        let room = self.room(flow);
        if bytes.len() > room || bytes.len() as u64 != chunk.bytes || self.refuses {
            self.said.push(("put out what was refused", flow, chunk.bytes));
            self.refuses = false;
            return false;
        }
        self.left -= bytes.len();
        self.said.push(("put out bytes", flow, chunk.bytes));
        self.said.push(("numbered them", flow, chunk.sequence));
        if chunk.is_final {
            self.said.push(("put out the end with them", flow, 0));
        }
        if let Some(given) = self.given.get_mut(flow as usize) {
            let expected = |at: usize| byte(flow, given.put + at as u64);
            let wrong = bytes.iter().enumerate().position(|(at, found)| *found != expected(at));
            if chunk.offset != given.put {
                self.said.push(("put them out of place", flow, chunk.offset));
            }
            if let Some(wrong) = wrong {
                self.said.push(("put out another byte", flow, wrong as u64));
            }
            given.put += chunk.bytes;
        }
        true
    }

    fn half_closed(&mut self, flow: u32) {
        self.said.push(("put out the end", flow, 0));
    }

    fn reset(&mut self, flow: u32, cause: Cause) {
        self.said.push(("put out a reset", flow, u64::from(cause == Cause::Error)));
    }
}

/// A refusal, as it is logged.
fn refused(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::Unsupported(_) => "refused: unsupported",
        Refusal::TooManyFlows => "refused: too many flows",
        Refusal::UnknownFlow => "refused: unknown flow",
        Refusal::FlowInUse => "refused: flow in use",
        Refusal::Closed => "refused: closed",
        Refusal::Malformed => "refused: malformed",
    }
}

/// Logs the plan of a flow: number, class, when it opens, how it ends, and the tick and length of
/// each chunk.
pub(crate) fn planned(
    log: &mut Log,
    (flow, class, opens_at, end): (u32, Class, u64, End),
    chunks: impl Iterator<Item = (u64, u64)>,
) {
    log.say("is of class", flow, class as u64);
    log.say("opens at", flow, opens_at);
    log.say("ends as", flow, end as u64);
    for (at, bytes) in chunks {
        log.say("gives a chunk at", flow, at);
        log.say("gives bytes", flow, bytes);
    }
}

/// A lifecycle: a row for each state, a character for each event. `.` is not allowed, `=` has no
/// effect, a letter is the next state.
pub(crate) fn lives(next: impl Fn(State, Event) -> Option<State>) -> [String; 8] {
    let cell = |state: State, event| match next(state, event) {
        None => '.',
        Some(other) if other == state => '=',
        Some(State::New) => 'n',
        Some(State::Opening) => 'o',
        Some(State::Open) => 'p',
        Some(State::HalfClosed) => 'h',
        Some(State::Draining) => 'd',
        Some(State::Closed) => 'c',
        Some(State::Reset) => 'r',
        Some(State::Failed) => 'f',
    };
    State::ALL.map(|state| Event::ALL.map(|event| cell(state, event)).iter().collect())
}

/// Drives a backend that carries `flows` flows, with chunks of at most `bytes_max` bytes.
pub(crate) fn drive<B: Carries>(backend: &mut B, seed: u64, flows: u32, bytes_max: u64) -> Log {
    let (mut log, mut draw) = (Log::default(), Draw(seed));
    // Two flows more than allowed, so that some are refused.
    let mut given = vec![Given::default(); flows as usize + 3];
    for call in 1..=CALLS {
        log.call = call;
        let flow = 1 + draw.below(u64::from(flows) + 2) as u32;
        let budget = if draw.below(4) == 0 { draw.below(512) as usize } else { 64 << 10 };
        // In every second hundred of calls polls are rare, so that everything fills.
        let is_thirsty = call / 100 % 2 == 1;
        let which = draw.below(if is_thirsty { 34 } else { 48 });
        let place = given.get_mut(flow as usize);
        let Some(flow_given) = place else { continue };
        match which {
            0..=3 => {
                let class = match draw.below(3) {
                    0 => Class::Interactive,
                    1 => Class::Normal,
                    _ => Class::Bulk,
                };
                let opened = backend.open(flow, class);
                log.say("opens", flow, class as u64);
                match opened {
                    Ok(()) => *flow_given = Given::default(),
                    Err(refusal) => log.say(refused(refusal), flow, 0),
                }
            }
            4..=29 => {
                let most = if draw.below(3) == 0 { bytes_max } else { bytes_max.min(96) };
                let bytes = 1 + draw.below(most.min(16 << 10));
                let budget = match draw.below(6) {
                    // One byte too few, and just enough.
                    0 => bytes as usize - 1,
                    1 => bytes as usize,
                    _ => budget,
                };
                let gap = u64::from(draw.below(40) == 0);
                let longer = u64::from(draw.below(40) == 0);
                let is_final = draw.below(12) == 0;
                let offset = flow_given.offset + gap;
                let sequence = flow_given.chunks + 1;
                let content: Vec<u8> = (0..bytes).map(|at| byte(flow, offset + at)).collect();
                let chunk = Chunk { flow, sequence, offset, bytes: bytes + longer, is_final };
                log.say("offers", flow, chunk.bytes);
                let mut world = World { log: &mut log, budget };
                match backend.offer(&mut world, &chunk, &content) {
                    Ok(taken) => {
                        log.say("took", flow, taken as u64);
                        flow_given.offset += taken as u64;
                        flow_given.chunks += u64::from(taken as u64 == bytes);
                    }
                    Err(refusal) => log.say(refused(refusal), flow, 0),
                }
            }
            30 => {
                log.say("half-closes", flow, 0);
                let mut world = World { log: &mut log, budget };
                if let Err(refusal) = backend.half_close(&mut world, flow) {
                    log.say(refused(refusal), flow, 0);
                }
            }
            31 => {
                let cause = if draw.below(2) == 0 { Cause::Reset } else { Cause::Error };
                log.say("resets", flow, u64::from(cause == Cause::Error));
                let mut world = World { log: &mut log, budget };
                if let Err(refusal) = backend.reset(&mut world, flow, cause) {
                    log.say(refused(refusal), flow, 0);
                }
            }
            32 => {
                log.say("closes", flow, 0);
                backend.close(&mut World { log: &mut log, budget }, flow);
            }
            _ => {
                let room = match draw.below(3) {
                    0 => draw.below(64) as usize,
                    1 => draw.below(4096) as usize,
                    _ => 64 << 10,
                };
                let left = room + draw.below(8192) as usize;
                let refuses = draw.below(32) == 0;
                let said = Vec::new();
                let mut outlet = Outlet { given: &mut given, said, room, left, refuses };
                let mut world = World { log: &mut log, budget };
                backend.poll(&mut world, &mut outlet);
                for (what, flow, value) in outlet.said {
                    log.say(what, flow, value);
                }
            }
        }
        log.say("holds bytes", 0, backend.buffered_bytes());
        log.say("knows flows", 0, backend.flows() as u64);
    }
    log
}
