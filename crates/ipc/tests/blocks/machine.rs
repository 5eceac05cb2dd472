// SPDX-License-Identifier: BSD-3-Clause
//! A server and a peer that lend each other blocks, release them, close and disconnect, in any order,
//! against a model.
//!
//! ```text
//!            close, by either side                 the last block is released
//!   open ───────────────────────────► lingering ─────────────────────────────► over
//!    │                                    │   the peer disconnects, or forges a release  ▲
//!    └────────────────────────────────────┴────────────────────────────────────────────┘
//! ```
//!
//! In each state exactly the blocks that the peer holds are not free, until it is over; and what the
//! server's program holds can be read in every state.

use becket_ipc::Element;
use becket_ipc::blocks::lingering;
use becket_wire::codes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::lingering::{BLOCKS, REGION, Scene};
use crate::memory::{all_free, or_long, until};
use crate::raw::{Links, Seen, in_memory, shared_memory, unix_stream};

#[derive(Debug, Clone)]
enum Step {
    /// The server lends a block to the peer.
    Lend,
    /// The peer releases one of those.
    Release(usize),
    /// The peer lends a block to the server's program.
    Hold,
    /// The program drops one of those.
    Drop(usize),
    PeerCloses,
    ServerEnds,
    Disconnect,
    /// A release of a block that was not lent.
    Forge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    Lingering,
    Over,
}

/// The server and the peer, and what the model has of them.
struct Machine {
    scene: Scene,
    phase: Phase,
    /// The offsets of the peer's blocks that the program holds.
    held: Vec<(u64, Element)>,
    is_server_there: bool,
    has_disconnected: bool,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Lend),
        6 => any::<usize>().prop_map(Step::Release),
        6 => Just(Step::Hold),
        6 => any::<usize>().prop_map(Step::Drop),
        2 => Just(Step::PeerCloses),
        2 => Just(Step::ServerEnds),
        1 => Just(Step::Disconnect),
        1 => Just(Step::Forge),
    ];
    proptest::collection::vec(step, 1..32)
}

impl Machine {
    fn new(links: Links) -> Self {
        let (phase, held) = (Phase::Open, Vec::new());
        let scene = Scene::new(links);
        Self { scene, phase, held, is_server_there: true, has_disconnected: false }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Lend if self.phase == Phase::Open && self.scene.free() > 0 => {
                self.scene.hold_one();
            }
            Step::Release(at) if self.phase != Phase::Over && !self.scene.held.is_empty() => {
                let block = self.scene.held.remove(at % self.scene.held.len());
                self.scene.raw.release(block);
            }
            Step::Hold if self.phase == Phase::Open => {
                let is_free = |offset: &u64| self.held.iter().all(|(held, _)| held != offset);
                if let Some(offset) = (0..4096).step_by(64).find(is_free) {
                    let element = self.scene.lend(offset);
                    self.held.push((offset, element));
                }
            }
            Step::Drop(at) if !self.held.is_empty() => {
                let (offset, element) = self.held.remove(at % self.held.len());
                drop(element);
                if self.phase != Phase::Over {
                    let (region, generation) = REGION;
                    let release = Seen::Release(region, generation, offset);
                    self.scene.raw.until(|seen| *seen == release);
                }
            }
            Step::PeerCloses if self.phase == Phase::Open => {
                self.scene.raw.session.close(codes::DONE, "");
                self.scene.raw.turn();
                let sessions = || self.scene.world.server().sessions().len();
                until("the server has seen the end", || sessions() == 1);
                self.phase = Phase::Lingering;
            }
            Step::ServerEnds if self.is_server_there => {
                drop(self.scene.world.take_server());
                self.is_server_there = false;
                if self.phase == Phase::Open {
                    self.scene.raw.until(|seen| matches!(seen, Seen::Closed(..)));
                    self.phase = Phase::Lingering;
                }
            }
            Step::Disconnect => {
                self.scene.raw.disconnect();
                self.has_disconnected = true;
                self.end();
            }
            Step::Forge if self.phase != Phase::Over => {
                let (region, generation) = self.scene.region;
                self.scene.raw.release((region, generation, 1));
                self.end();
            }
            _ => {}
        }
        if self.phase == Phase::Lingering && self.scene.held.is_empty() && self.held.is_empty() {
            self.end();
        }
        self.is_as_modelled();
    }

    fn end(&mut self) {
        self.phase = Phase::Over;
        self.scene.held.clear();
    }

    fn is_as_modelled(&mut self) {
        let free = BLOCKS as usize - self.scene.held.len();
        until("the blocks that the peer does not hold are free", || self.scene.free() == free);
        let count = usize::from(self.phase == Phase::Lingering);
        until("it lingers, or not", || lingering().now == count);
        assert!(self.held.iter().all(|(_, element)| element.as_slice() == [0; 64]));
        if self.phase == Phase::Over && !self.has_disconnected {
            self.scene.raw.until(|seen| *seen == Seen::Gone);
            self.has_disconnected = true;
        }
    }
}

fn run(links: Links) {
    let config = Config { cases: or_long(48, 2000), ..Config::default() };
    let config = Config { failure_persistence: None, ..config };
    let result = TestRunner::new(config).run(&steps(), |steps| {
        let mut machine = Machine::new(links);
        steps.into_iter().for_each(|step| machine.step(step));
        machine.step(Step::Disconnect);
        machine.held.clear();
        all_free(&machine.scene.pool);
        Ok(())
    });
    result.unwrap();
}

#[test]
fn blocks_are_kept_in_any_order_in_memory() {
    run(in_memory);
}

#[test]
fn blocks_are_kept_in_any_order_over_a_socket() {
    run(unix_stream);
}

#[test]
fn blocks_are_kept_in_any_order_over_shared_memory() {
    run(shared_memory);
}
