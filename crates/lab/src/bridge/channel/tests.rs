// SPDX-License-Identifier: BSD-3-Clause
//! Cancel safety of each kind: operations are dropped at every point of a short flow, and at every
//! pair of points, and all bytes arrive, once and in order.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use becket_chan::{Builder, Overflow};

use super::latest::{Keeps, Latest};
use super::{held, spsc};
use crate::bridge::operations::Ends;
use crate::bridge::{Conduit, Failure};

const BYTES: &[u8] = b"0123456789ab";
/// More points than any of these flows has.
const POINTS_MAX: usize = 200;

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Reading or writing: whether it waits for a wake-up.
struct Side {
    flag: Arc<Flag>,
    waker: Waker,
    is_parked: bool,
}

impl Side {
    fn new() -> Self {
        let flag = Arc::<Flag>::default();
        Self { waker: Waker::from(Arc::clone(&flag)), flag, is_parked: false }
    }

    fn may_go_on(&mut self) -> bool {
        self.is_parked &= !self.flag.0.swap(false, Ordering::Relaxed);
        !self.is_parked
    }
}

/// Carries a short flow. Operations are cancelled at the points with these numbers. Returns the
/// number of points.
fn carry(conduit: &mut impl Conduit, gives_up_at: [usize; 2]) -> Result<usize, Failure> {
    let (mut read, mut write) = (Side::new(), Side::new());
    let (mut out, mut written, mut is_finished) = (Vec::new(), 0, false);
    for point in 0..POINTS_MAX {
        if gives_up_at.contains(&point) {
            give_up(conduit, &mut read, &mut write)?;
        }
        // Alternates, so that either side sometimes finds the other one waiting.
        let reads = point % 3 != 1;
        if reads && read.may_go_on() {
            let mut into = [0; 3];
            match conduit.poll_read(&mut Context::from_waker(&read.waker), &mut into) {
                Poll::Ready(count) => match count? {
                    0 => {
                        assert_eq!(out, BYTES);
                        return Ok(point);
                    }
                    count => out.extend_from_slice(&into[..count]),
                },
                Poll::Pending => read.is_parked = true,
            }
        }
        if !reads && !is_finished && write.may_go_on() {
            let cx = &mut Context::from_waker(&write.waker);
            let polled = match BYTES.get(written..).filter(|rest| !rest.is_empty()) {
                Some(rest) => conduit.poll_write(cx, &rest[..1]).map_ok(|count| written += count),
                None => conduit.poll_finish(cx).map_ok(|()| is_finished = true),
            };
            match polled {
                Poll::Ready(done) => done?,
                Poll::Pending => write.is_parked = true,
            }
        }
    }
    panic!("{gives_up_at:?}: after {POINTS_MAX} points there are {} bytes", out.len());
}

/// Cancels as a bridge does, whether a wake-up came or not.
fn give_up(conduit: &mut impl Conduit, read: &mut Side, write: &mut Side) -> Result<(), Failure> {
    match read.may_go_on() {
        true => conduit.drop_read(),
        false => conduit.cancel_read(&mut Context::from_waker(&read.waker))?,
    }
    let may_write = write.may_go_on();
    let cx = &mut Context::from_waker(&write.waker);
    match may_write {
        true => match conduit.drop_write(cx) {
            Poll::Ready(done) => done?,
            Poll::Pending => write.is_parked = true,
        },
        false => conduit.cancel_write(cx)?,
    }
    Ok(())
}

fn at_every_point<C: Conduit>(make: impl Fn() -> C) {
    let never = [usize::MAX; 2];
    let points = carry(&mut make(), never).unwrap() + 4;
    for first in 0..points {
        for second in first..points {
            let at = [first, second];
            carry(&mut make(), at).unwrap_or_else(|failure| panic!("{at:?}: {failure}"));
        }
    }
}

#[test]
fn an_operation_that_is_dropped_at_any_point_loses_nothing() {
    let builders: [held::MakeBuilder; 4] =
        [Builder::rendezvous, || Builder::bounded(4), || Builder::bounded(1), Builder::unlimited];
    for builder in builders {
        at_every_point(|| Ends::new(held::Held::new(builder()), 1));
    }
    at_every_point(|| Ends::new(spsc::Spsc::new(4), 1));
    at_every_point(|| Latest::new(Builder::conflated(), Keeps::Latest, 8));
    at_every_point(|| {
        Latest::new(Builder::bounded(4).overflow(Overflow::DropOldest), Keeps::Newest, 8)
    });
    at_every_point(|| {
        Latest::new(Builder::bounded(4).overflow(Overflow::DropLatest), Keeps::Oldest, 8)
    });
}
