// SPDX-License-Identifier: BSD-3-Clause
//! The table of regions against a model: any order of registering, pinning, launching, landing,
//! losing, revoking and leaving.

use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use becket_zcopy::{Desc, Error, InFlight, Meta, Pinned, Region};
use proptest::prelude::*;

use crate::common;

const BYTES: usize = 32;
/// All regions share the same bytes: access to them is not what is tested.
static MEMORY: [AtomicU64; BYTES / 8] = [const { AtomicU64::new(0) }; BYTES / 8];

#[derive(Debug, Clone)]
enum Step {
    Register,
    Clone(usize),
    Drop(usize),
    Deregister(usize),
    Revoke(usize),
    Pin(usize),
    Unpin(usize),
    Launch(usize),
    Land(usize),
    Lose(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..16_usize;
    prop_oneof![
        2 => Just(Step::Register),
        1 => at().prop_map(Step::Clone),
        2 => at().prop_map(Step::Drop),
        1 => at().prop_map(Step::Deregister),
        1 => at().prop_map(Step::Revoke),
        3 => at().prop_map(Step::Pin),
        3 => at().prop_map(Step::Unpin),
        3 => at().prop_map(Step::Launch),
        2 => at().prop_map(Step::Land),
        2 => at().prop_map(Step::Lose),
    ]
}

/// The expected state of a region.
struct Model {
    id: u64,
    /// Handles of a deregistered region are kept too: they refuse, and hold nothing.
    handles: Vec<Region>,
    leaving: bool,
    revoked: bool,
    pinned: Vec<Pinned>,
    in_flight: Vec<InFlight>,
    released: Arc<AtomicUsize>,
}

impl Model {
    fn new() -> Self {
        let released = Arc::new(AtomicUsize::new(0));
        let counts = released.clone();
        let at = NonNull::from(&MEMORY).cast();
        // SAFETY: a static, and atomics may be written through a shared pointer.
        let region = unsafe {
            Region::foreign(at, BYTES, Meta::default(), move || {
                counts.fetch_add(1, Ordering::SeqCst);
            })
        };
        let handles = vec![region.unwrap()];
        let (id, pinned, in_flight) = (handles[0].id(), Vec::new(), Vec::new());
        Self { id, handles, leaving: false, revoked: false, pinned, in_flight, released }
    }

    fn is_gone(&self) -> bool {
        self.leaving && self.pinned.is_empty() && self.in_flight.is_empty()
    }

    /// The error that a new pin must return.
    fn refuses(&self) -> Option<Error> {
        let region_id = self.id;
        if self.is_gone() {
            Some(Error::Stale { region_id })
        } else if self.leaving {
            Some(Error::Leaving { region_id })
        } else if self.revoked {
            Some(Error::Revoked { region_id })
        } else {
            None
        }
    }

    fn check(&self) {
        assert_eq!(self.released.load(Ordering::SeqCst), usize::from(self.is_gone()));
        if let Some(handle) = self.handles.first() {
            assert_eq!(handle.pins(), self.pinned.len() + self.in_flight.len());
        }
        let desc = Desc::in_region(self.id, 0, BYTES).unwrap();
        assert_eq!(Pinned::of(&desc).err(), self.refuses());
    }

    fn run(&mut self, step: &Step) {
        let desc = Desc::in_region(self.id, 8, 8).unwrap();
        match step {
            Step::Register => {}
            Step::Clone(_) => self.handles.extend(self.handles.first().cloned()),
            Step::Drop(_) => {
                let had = self.handles.pop().is_some();
                self.leaving |= had && self.handles.is_empty();
            }
            Step::Deregister(_) => {
                if let Some(handle) = self.handles.first() {
                    let set = becket_chan::Token::new();
                    set.cancel();
                    let _requested = handle.deregister().cancel_on(&set).wait();
                    self.leaving = true;
                }
            }
            Step::Revoke(_) => {
                if let Some(handle) = self.handles.first() {
                    handle.revoke();
                    self.revoked = true;
                }
            }
            Step::Pin(_) => match (Pinned::of(&desc), self.refuses()) {
                (Ok(pinned), None) => self.pinned.push(pinned),
                (pinned, refuses) => assert_eq!(pinned.err(), refuses),
            },
            Step::Unpin(_) => drop(self.pinned.pop()),
            Step::Launch(_) => match (InFlight::launch(desc), self.refuses()) {
                (Ok(sent), None) => self.in_flight.push(sent),
                (sent, refuses) => assert_eq!(sent.err(), refuses),
            },
            Step::Land(_) => {
                if let Some(sent) = self.in_flight.pop() {
                    assert_eq!(sent.land(), desc);
                }
            }
            Step::Lose(_) => drop(self.in_flight.pop()),
        }
    }
}

fn run(steps: Vec<Step>) {
    let mut regions = vec![Model::new()];
    for step in steps {
        let at = match step {
            Step::Register => {
                let new = Model::new();
                assert!(regions.iter().all(|region| region.id != new.id), "a number twice");
                regions.push(new);
                continue;
            }
            Step::Clone(at)
            | Step::Drop(at)
            | Step::Deregister(at)
            | Step::Revoke(at)
            | Step::Pin(at)
            | Step::Unpin(at)
            | Step::Launch(at)
            | Step::Land(at)
            | Step::Lose(at) => at % regions.len(),
        };
        regions[at].run(&step);
        regions.iter().for_each(Model::check);
    }
    for mut region in regions {
        let released = region.released.clone();
        region.handles.clear();
        region.in_flight.clear();
        region.pinned.clear();
        assert_eq!(released.load(Ordering::SeqCst), 1);
    }
}

proptest! {
    #![proptest_config(common::cases())]

    #[test]
    fn the_table_is_as_its_model(steps in prop::collection::vec(step(), 0..80)) {
        run(steps);
    }
}
