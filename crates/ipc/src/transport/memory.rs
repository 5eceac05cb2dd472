// SPDX-License-Identifier: BSD-3-Clause
//! A pair of links in this process: for tests, for the lab, and for a server in the same program.
//!
//! ```text
//!    one side                         one of these in each direction           other side
//!    put ──► append ──► ┌ arrived ───────────────────────────┐ ── swap ──► ┌ taken ─────────┐
//!                       │ head body head body head body …    │             │ head body …    │ ──► sink
//!                       └ frames, bytes: both buffers' sum ──┘ ◄─ room ─── └────────────────┘
//! ```
//!
//! # Invariants
//!
//! 1. `frames` and `bytes` of a direction count both buffers. They never exceed the limits that the
//!    pair was created with; any single frame fits into an empty direction.
//! 2. A side that `armed` its wake is called once, by the first event: frames, room, or the end. Both
//!    fields are guarded by the direction's lock, so no wake is lost.
//! 3. No callback is called and no sink runs under a lock.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use becket_wire::{Decoder, Frame, Full, HEAD_BYTES, Head, Outlet};
use parking_lot::Mutex;

use super::counters::LinkCounters;
use super::error::LinkError;
use super::limits::LinkLimits;
use super::link::{Beside, Link, OnReady, Watch};
use super::peer::Peer;

/// Two connected links, which hold up to `frames_max` frames and `bytes_max` bytes (including heads)
/// in each direction.
#[must_use]
pub fn pair(frames_max: usize, bytes_max: usize) -> (MemoryLink, MemoryLink) {
    let there = Arc::new(Mutex::new(Lane::default()));
    let back = Arc::new(Mutex::new(Lane::default()));
    let link = |incoming: &Arc<Mutex<Lane>>, outgoing: &Arc<Mutex<Lane>>| MemoryLink {
        incoming: Arc::clone(incoming),
        outgoing: Arc::clone(outgoing),
        taken: Vec::new(),
        taken_at: 0,
        descriptors: VecDeque::new(),
        put_descriptors: Vec::new(),
        frames_max: frames_max.max(1),
        bytes_max: bytes_max.max(HEAD_BYTES),
        refused_bytes: None,
        unflushed: false,
        failed: None,
        peer: Peer::own(),
        counters: LinkCounters::default(),
    };
    (link(&back, &there), link(&there, &back))
}

/// Frames that were put are whole and within the limits.
const WHOLE: Decoder = Decoder::new(u32::MAX);

/// One side of a pair; see the module's documentation.
pub struct MemoryLink {
    incoming: Arc<Mutex<Lane>>,
    outgoing: Arc<Mutex<Lane>>,
    /// Frames taken over from the incoming lane, read up to `taken_at`.
    taken: Vec<u8>,
    taken_at: usize,
    /// With the number of the frame that they belong to.
    descriptors: VecDeque<(u64, Vec<OwnedFd>)>,
    put_descriptors: Vec<OwnedFd>,
    frames_max: usize,
    bytes_max: usize,
    /// The size of the frame that was refused last, until a frame was accepted.
    refused_bytes: Option<usize>,
    unflushed: bool,
    failed: Option<LinkError>,
    peer: Peer,
    counters: LinkCounters,
}

/// The frames in flight to one side.
#[derive(Default)]
struct Lane {
    arrived: Vec<u8>,
    descriptors: VecDeque<(u64, Vec<OwnedFd>)>,
    frames: usize,
    bytes: usize,
    /// Its sender or its receiver is gone.
    closed: bool,
    receiver: Waiter,
    sender: Waiter,
}

impl Lane {
    /// A closed direction always has room: what is put is discarded.
    fn has_room(&self, bytes: usize, frames_max: usize, bytes_max: usize) -> bool {
        self.closed || (self.frames < frames_max && self.bytes + bytes <= bytes_max)
    }
}

#[derive(Default)]
struct Waiter {
    armed: bool,
    wake: Option<OnReady>,
}

impl Waiter {
    /// Takes the callback of an armed side. It is called after the lock is released.
    fn fire(&mut self) -> Option<OnReady> {
        std::mem::take(&mut self.armed).then(|| self.wake.clone()).flatten()
    }
}

fn call(wake: Option<OnReady>) {
    if let Some(wake) = wake {
        wake();
    }
}

impl Outlet for MemoryLink {
    fn put(&mut self, head: &Head, body: &[u8]) -> Result<(), Full> {
        if head.length as usize != body.len() || body.len() > self.body_bytes_max() {
            let bytes_max = self.body_bytes_max();
            self.failed.get_or_insert(LinkError::OwnFrame { bytes: body.len(), bytes_max });
            return Err(Full);
        }
        let bytes = HEAD_BYTES + body.len();
        let mut lane = self.outgoing.lock();
        if lane.closed {
            self.counters.bytes_discarded += bytes as u64;
            self.put_descriptors.clear();
            return Ok(());
        }
        if !lane.has_room(bytes, self.frames_max, self.bytes_max) {
            self.refused_bytes = Some(bytes);
            return Err(Full);
        }
        lane.frames += 1;
        lane.bytes += bytes;
        lane.arrived.extend_from_slice(&head.encode());
        lane.arrived.extend_from_slice(body);
        if !self.put_descriptors.is_empty() {
            let descriptors = std::mem::take(&mut self.put_descriptors);
            self.counters.descriptors_out += descriptors.len() as u64;
            lane.descriptors.push_back((self.counters.frames_out, descriptors));
        }
        drop(lane);
        self.refused_bytes = None;
        self.unflushed = true;
        self.counters.frames_out += 1;
        self.counters.bytes_out += bytes as u64;
        Ok(())
    }
}

impl Link for MemoryLink {
    fn take(
        &mut self,
        frames_max: usize,
        sink: &mut dyn FnMut(Frame<'_>, Beside<'_>),
    ) -> Result<usize, LinkError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if self.taken_at == self.taken.len() {
            self.take_over();
        }
        let (mut frames, mut bytes) = (0, 0);
        while frames < frames_max {
            let rest = self.taken.get(self.taken_at..).unwrap_or_default();
            let Some((frame, frame_bytes)) = WHOLE.decode(rest)? else { break };
            let number = self.counters.frames_in;
            let mut beside = match self.descriptors.front() {
                Some((of, _)) if *of == number => {
                    self.descriptors.pop_front().map(|(_, descriptors)| descriptors)
                }
                _ => None,
            };
            self.taken_at += frame_bytes;
            self.counters.frames_in += 1;
            self.counters.bytes_in += frame_bytes as u64;
            frames += 1;
            bytes += frame_bytes;
            let came = beside.as_ref().map_or(0, Vec::len) as u64;
            sink(frame, beside.as_mut().map_or_else(Beside::nothing, Beside::of));
            self.counters.descriptors_in += came;
            self.counters.descriptors_closed += beside.map_or(0, |left| left.len()) as u64;
        }
        if frames > 0 {
            let wake = {
                let mut lane = self.incoming.lock();
                lane.frames -= frames;
                lane.bytes -= bytes;
                lane.sender.fire()
            };
            call(wake);
        } else if frames_max > 0 && self.incoming_is_over() {
            return Err(LinkError::Closed);
        }
        Ok(frames)
    }

    fn flush(&mut self) -> Result<bool, LinkError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        if std::mem::take(&mut self.unflushed) {
            let wake = self.outgoing.lock().receiver.fire();
            call(wake);
        }
        Ok(self.refused_bytes.is_none_or(|bytes| {
            self.outgoing.lock().has_room(bytes, self.frames_max, self.bytes_max)
        }))
    }

    fn put_descriptors(&mut self, descriptors: Vec<OwnedFd>) -> Result<(), LinkError> {
        let (count, count_max) = (descriptors.len(), LinkLimits::DESCRIPTORS_MAX);
        if count > count_max {
            return Err(LinkError::TooManyDescriptors { count, count_max });
        }
        self.put_descriptors = descriptors;
        Ok(())
    }

    fn watch(&self) -> Watch<'_> {
        Watch::nothing()
    }

    fn on_ready(&mut self, wake: OnReady) {
        self.incoming.lock().receiver.wake = Some(Arc::clone(&wake));
        self.outgoing.lock().sender.wake = Some(wake);
    }

    fn prepare_wait(&mut self) -> bool {
        if self.failed.is_some() || self.taken_at < self.taken.len() {
            return true;
        }
        {
            let mut lane = self.incoming.lock();
            if lane.frames > 0 || lane.closed {
                return true;
            }
            lane.receiver.armed = true;
        }
        if let Some(bytes) = self.refused_bytes {
            let mut lane = self.outgoing.lock();
            if lane.has_room(bytes, self.frames_max, self.bytes_max) {
                return true;
            }
            lane.sender.armed = true;
        }
        false
    }

    fn peer(&self) -> &Peer {
        &self.peer
    }

    fn name(&self) -> &'static str {
        "memory"
    }

    fn body_bytes_max(&self) -> usize {
        (self.bytes_max - HEAD_BYTES).min(u32::MAX as usize)
    }

    fn counters(&self) -> LinkCounters {
        self.counters
    }

    fn close(&mut self) {
        let wakes = [
            {
                let mut lane = self.outgoing.lock();
                lane.closed = true;
                lane.receiver.fire()
            },
            {
                let mut lane = self.incoming.lock();
                lane.closed = true;
                lane.sender.fire()
            },
        ];
        wakes.into_iter().for_each(call);
    }
}

impl MemoryLink {
    /// Takes over the frames that have arrived, by swapping buffers.
    fn take_over(&mut self) {
        self.taken.clear();
        self.taken_at = 0;
        let mut lane = self.incoming.lock();
        std::mem::swap(&mut lane.arrived, &mut self.taken);
        self.descriptors.append(&mut lane.descriptors);
    }

    fn incoming_is_over(&self) -> bool {
        let lane = self.incoming.lock();
        lane.closed && lane.frames == 0
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        self.close();
    }
}
