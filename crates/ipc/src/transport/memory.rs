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
//! 2. A side that `armed` its wake is called once, by the first event: frames, room, or the end.
//!    Both fields are guarded by the direction's lock, so no wake is lost.
//! 3. No callback is called and no sink runs under a lock.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use becket_wire::{Decoder, Frame, Full, HEAD_BYTES, Head, Outlet};
use parking_lot::Mutex;

use super::counters::LinkCounters;
use super::error::LinkError;
use super::limits::LinkLimits;
use super::link::{Ancillary, Link, OnReady, Watch};
use super::peer::Peer;

/// Two connected links, which hold up to `frames_max` frames and `bytes_max` bytes (including
/// heads) in each direction.
#[must_use]
pub fn pair(frames_max: usize, bytes_max: usize) -> (MemoryLink, MemoryLink) {
    let there = Arc::new(Mutex::new(Direction::default()));
    let back = Arc::new(Mutex::new(Direction::default()));
    let link = |incoming: &Arc<Mutex<Direction>>, outgoing: &Arc<Mutex<Direction>>| MemoryLink {
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
    incoming: Arc<Mutex<Direction>>,
    outgoing: Arc<Mutex<Direction>>,
    /// Frames taken over from the incoming direction, read up to `taken_at`.
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
struct Direction {
    arrived: Vec<u8>,
    descriptors: VecDeque<(u64, Vec<OwnedFd>)>,
    frames: usize,
    bytes: usize,
    /// Its sender or its receiver is gone.
    closed: bool,
    receiver: Waiter,
    sender: Waiter,
}

impl Direction {
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
        let mut direction = self.outgoing.lock();
        if direction.closed {
            self.counters.bytes_discarded += bytes as u64;
            self.put_descriptors.clear();
            return Ok(());
        }
        if !direction.has_room(bytes, self.frames_max, self.bytes_max) {
            self.refused_bytes = Some(bytes);
            return Err(Full);
        }
        direction.frames += 1;
        direction.bytes += bytes;
        direction.arrived.extend_from_slice(&head.encode());
        direction.arrived.extend_from_slice(body);
        if !self.put_descriptors.is_empty() {
            let descriptors = std::mem::take(&mut self.put_descriptors);
            self.counters.descriptors_out += descriptors.len() as u64;
            direction.descriptors.push_back((self.counters.frames_out, descriptors));
        }
        drop(direction);
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
        sink: &mut dyn FnMut(Frame<'_>, Ancillary<'_>),
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
            let mut ancillary = match self.descriptors.front() {
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
            let came = ancillary.as_ref().map_or(0, Vec::len) as u64;
            sink(frame, ancillary.as_mut().map_or_else(Ancillary::nothing, Ancillary::of));
            self.counters.descriptors_in += came;
            self.counters.descriptors_closed += ancillary.map_or(0, |left| left.len()) as u64;
        }
        if frames > 0 {
            let wake = {
                let mut direction = self.incoming.lock();
                direction.frames -= frames;
                direction.bytes -= bytes;
                direction.sender.fire()
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
            let mut direction = self.incoming.lock();
            if direction.frames > 0 || direction.closed {
                return true;
            }
            direction.receiver.armed = true;
        }
        if let Some(bytes) = self.refused_bytes {
            let mut direction = self.outgoing.lock();
            if direction.has_room(bytes, self.frames_max, self.bytes_max) {
                return true;
            }
            direction.sender.armed = true;
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
                let mut direction = self.outgoing.lock();
                direction.closed = true;
                direction.receiver.fire()
            },
            {
                let mut direction = self.incoming.lock();
                direction.closed = true;
                direction.sender.fire()
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
        let mut direction = self.incoming.lock();
        std::mem::swap(&mut direction.arrived, &mut self.taken);
        self.descriptors.append(&mut direction.descriptors);
    }

    fn incoming_is_over(&self) -> bool {
        let direction = self.incoming.lock();
        direction.closed && direction.frames == 0
    }
}

impl Drop for MemoryLink {
    fn drop(&mut self) {
        self.close();
    }
}
