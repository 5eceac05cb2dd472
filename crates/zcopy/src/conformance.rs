// SPDX-License-Identifier: BSD-3-Clause
//! The suite that any backend passes (feature `conformance`).
//!
//! It is meant for tests: each function panics when the backend breaks a rule. Create a
//! [`Subject`], and call [`all`], or one function per test, so that the report names the rule.
//!
//! ```
//! use becket_zcopy::{ZChannel, conformance};
//!
//! conformance::all(&conformance::Subject::new(&|| ZChannel::bounded(2), Some(2)));
//! ```

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test suite: it reports a violation by panicking"
)]

use std::ptr;
use std::thread;
use std::time::Duration;

use becket_chan::Token;

use crate::backend::wait;
use crate::channel::ZChannel;
use crate::desc::Desc;
use crate::error::Error;
use crate::failure::Failure;
use crate::pool::{Block, Class, Pool};
use crate::region::{Meta, Region};

/// A module of tests, one per rule, for channels that an expression creates and that accept a given
/// number of descriptors without a receiver. Miri skips them: it reports timers that outlive a
/// test.
///
/// ```
/// becket_zcopy::conforms!(bounded_2, becket_zcopy::ZChannel::bounded(2), Some(2));
/// ```
#[macro_export]
macro_rules! conforms {
    ($name:ident, $make:expr, $capacity:expr) => {
        $crate::conforms! { $name, $make, $capacity;
            refuses_no_bytes
            keeps_order_and_gives_each_once
            stays_the_producers_on_failure
            times_out
            cancels_before_anything_else
            cancels_while_it_waits
            gives_up_when_dropped
            closes_and_drains
            wakes_all_when_closed
            detaches_only_when_it_may
            releases_what_is_not_received
            is_exact_among_threads
        }
    };
    ($name:ident, $make:expr, $capacity:expr; $($rule:ident)*) => {
        mod $name {
            #[allow(unused_imports, reason = "the expression that creates the channels may need them")]
            use super::*;

            $(
                #[test]
                #[cfg_attr(miri, ignore = "a timer's thread outlives the test")]
                fn $rule() {
                    let make = || $make;
                    $crate::conformance::$rule(&$crate::conformance::Subject::new(&make, $capacity));
                }
            )*
        }
    };
}

/// What is tested.
#[derive(Clone, Copy)]
pub struct Subject<'a> {
    make: &'a (dyn Fn() -> ZChannel + Sync),
    capacity: Option<usize>,
}

/// Every rule.
pub fn all(subject: &Subject<'_>) {
    refuses_no_bytes(subject);
    keeps_order_and_gives_each_once(subject);
    stays_the_producers_on_failure(subject);
    times_out(subject);
    cancels_before_anything_else(subject);
    cancels_while_it_waits(subject);
    gives_up_when_dropped(subject);
    closes_and_drains(subject);
    wakes_all_when_closed(subject);
    detaches_only_when_it_may(subject);
    releases_what_is_not_received(subject);
    is_exact_among_threads(subject);
}

impl<'a> Subject<'a> {
    /// A backend, tested on channels that `make` creates, each of which accepts `capacity`
    /// descriptors without a receiver; `None`: any number. Not for conflated channels, which
    /// discard values.
    #[must_use]
    pub fn new(make: &'a (dyn Fn() -> ZChannel + Sync), capacity: Option<usize>) -> Self {
        Self { make, capacity }
    }

    /// A channel that holds as many descriptors as it accepts, at most eight, and their number.
    fn filled(&self) -> (ZChannel, usize) {
        let channel = (self.make)();
        let count = self.capacity.unwrap_or(8).min(8);
        for number in 0..count {
            channel.try_send(&mut desc(number)).expect("there is room");
        }
        (channel, count)
    }

    /// A channel that accepts no more descriptors; `None` if it always does.
    fn full(&self) -> Option<(ZChannel, usize)> {
        let channel = (self.make)();
        for number in 0..self.capacity? {
            channel.try_send(&mut desc(number)).expect("there is room");
        }
        Some((channel, self.capacity?))
    }
}

fn desc(number: usize) -> Desc {
    let addr = ptr::without_provenance_mut(0x1_0000 + number);
    Desc::local(addr, number % 100 + 1).expect("bytes")
}

fn number(desc: &Desc) -> usize {
    desc.addr.addr() - 0x1_0000
}

/// A descriptor of no bytes is refused, and so is one without an address and a region.
pub fn refuses_no_bytes(subject: &Subject<'_>) {
    let channel = (subject.make)();
    for wrong in [Desc { len: 0, ..desc(1) }, Desc { addr: ptr::null_mut(), ..desc(1) }] {
        let mut sent = wrong;
        let refused = Err(Failure::Refused(Error::Empty));
        assert_eq!(channel.try_send(&mut sent), refused);
        assert_eq!(channel.send(&mut sent).wait(), refused);
        assert_eq!(wait(channel.send(&mut sent)), refused);
        assert_eq!(sent, wrong);
    }
    assert_eq!(channel.counters().failed_sends.other, 6);
    assert_eq!(channel.in_flight(), 0);
}

/// Every accepted descriptor is received once, in order, unchanged.
pub fn keeps_order_and_gives_each_once(subject: &Subject<'_>) {
    let (channel, count) = subject.filled();
    assert_eq!(channel.in_flight(), count);
    for at in 0..count {
        let received = match at % 3 {
            0 => channel.try_recv(),
            1 => channel.recv().wait(),
            _ => wait(channel.recv()),
        };
        assert_eq!(received, Ok(desc(at)));
    }
    assert_eq!(channel.try_recv(), Err(Failure::WouldBlock));
    let counters = channel.counters();
    let bytes = (0..count).map(|number| desc(number).len as u64).sum::<u64>();
    assert_eq!((counters.sent, counters.received), (count as u64, count as u64));
    assert_eq!((counters.bytes_sent, counters.bytes_received), (bytes, bytes));
    assert_eq!((channel.in_flight(), counters.failed_receives.would_block), (0, 1));
}

/// A failed send leaves its descriptor unchanged; a successful one poisons it in a debug build.
pub fn stays_the_producers_on_failure(subject: &Subject<'_>) {
    let Some((channel, count)) = subject.full() else {
        return;
    };
    let mut kept = desc(count);
    assert_eq!(channel.try_send(&mut kept), Err(Failure::WouldBlock));
    assert_eq!(kept, desc(count));
    assert_eq!(channel.counters().failed_sends.would_block, 1);
    thread::scope(|scope| {
        let sends = scope.spawn(|| channel.send(&mut kept).wait());
        for at in 0..=count {
            assert_eq!(channel.recv().wait(), Ok(desc(at)));
        }
        assert_eq!(sends.join().unwrap(), Ok(()));
    });
    assert_eq!(kept.is_poison(), cfg!(debug_assertions));
}

/// A wait with a deadline ends by it.
pub fn times_out(subject: &Subject<'_>) {
    let short = Duration::from_millis(1);
    let channel = (subject.make)();
    assert_eq!(channel.recv().timeout(short).wait(), Err(Failure::TimedOut));
    assert_eq!(wait(channel.recv().timeout(short)), Err(Failure::TimedOut));
    assert_eq!(channel.counters().failed_receives.timed_out, 2);
    let Some((channel, count)) = subject.full() else {
        return;
    };
    let mut kept = desc(count);
    assert_eq!(channel.send(&mut kept).timeout(short).wait(), Err(Failure::TimedOut));
    assert_eq!(wait(channel.send(&mut kept).timeout(short)), Err(Failure::TimedOut));
    assert_eq!((kept, channel.counters().failed_sends.timed_out), (desc(count), 2));
    assert_eq!(channel.in_flight(), count);
}

/// A cancelled token takes precedence over a channel that is ready, and over a closed one.
pub fn cancels_before_anything_else(subject: &Subject<'_>) {
    let (channel, count) = subject.filled();
    let token = Token::new();
    token.cancel();
    let mut kept = desc(count);
    for _ in 0..2 {
        let cancelled = Err(Failure::Cancelled);
        assert_eq!(channel.recv().cancel_on(&token).wait(), Err(Failure::Cancelled));
        assert_eq!(wait(channel.recv().cancel_on(&token)), Err(Failure::Cancelled));
        assert_eq!(channel.send(&mut kept).cancel_on(&token).wait(), cancelled);
        assert_eq!(wait(channel.send(&mut kept).cancel_on(&token)), cancelled);
        channel.close();
    }
    let counters = channel.counters();
    assert_eq!((kept, channel.in_flight()), (desc(count), count));
    assert_eq!((counters.cancelled, counters.aborted_close), (8, 0));
    assert_eq!(counters.failed_sends.cancelled + counters.failed_receives.cancelled, 8);
}

/// A wait ends when its token is cancelled.
pub fn cancels_while_it_waits(subject: &Subject<'_>) {
    let channel = (subject.make)();
    let full = subject.full();
    let token = Token::new();
    thread::scope(|scope| {
        let receives = scope.spawn(|| channel.recv().cancel_on(&token).wait());
        let awaits = scope.spawn(|| wait(channel.recv().cancel_on(&token)));
        let sends = full.as_ref().map(|(channel, count)| {
            let (token, number) = (&token, *count);
            scope.spawn(move || {
                let mut kept = desc(number);
                let answer = channel.send(&mut kept).cancel_on(token).wait();
                (answer, kept == desc(number))
            })
        });
        token.cancel();
        assert_eq!(receives.join().unwrap(), Err(Failure::Cancelled));
        assert_eq!(awaits.join().unwrap(), Err(Failure::Cancelled));
        if let Some(sends) = sends {
            assert_eq!(sends.join().unwrap(), (Err(Failure::Cancelled), true));
        }
    });
    // The cancelled operations left no waiter behind: the next operation completes.
    thread::scope(|scope| {
        let receives = scope.spawn(|| channel.recv().wait());
        assert_eq!(channel.send(&mut desc(5)).wait(), Ok(()));
        assert_eq!(receives.join().unwrap(), Ok(desc(5)));
    });
}

/// An operation that is dropped while it waits has received nothing, and blocks no later operation.
pub fn gives_up_when_dropped(subject: &Subject<'_>) {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Waker};

    let context = &mut Context::from_waker(Waker::noop());
    let channel = (subject.make)();
    {
        let receives = pin!(channel.recv());
        assert!(receives.poll(context).is_pending());
    }
    thread::scope(|scope| {
        let receives = scope.spawn(|| channel.recv().wait());
        assert_eq!(channel.send(&mut desc(3)).wait(), Ok(()));
        assert_eq!(receives.join().unwrap(), Ok(desc(3)));
    });
    let Some((channel, count)) = subject.full() else {
        return;
    };
    let mut kept = desc(count);
    {
        let sends = pin!(channel.send(&mut kept));
        assert!(sends.poll(context).is_pending());
    }
    assert_eq!(kept, desc(count));
    for at in 0..count {
        assert_eq!(channel.try_recv(), Ok(desc(at)));
    }
    assert_eq!(channel.try_recv(), Err(Failure::WouldBlock));
    let counters = channel.counters();
    assert_eq!((counters.sent, counters.undelivered), (count as u64, 0));
}

/// A closed channel refuses sends, and is drained before it refuses receives.
pub fn closes_and_drains(subject: &Subject<'_>) {
    let (channel, count) = subject.filled();
    assert!(channel.close());
    assert!(!channel.close());
    let mut kept = desc(count);
    assert_eq!(channel.try_send(&mut kept), Err(Failure::Closed));
    assert_eq!(channel.send(&mut kept).wait(), Err(Failure::Closed));
    assert_eq!(wait(channel.send(&mut kept)), Err(Failure::Closed));
    assert_eq!(kept, desc(count));
    for at in 0..count {
        assert_eq!(channel.recv().wait(), Ok(desc(at)));
    }
    assert_eq!(channel.try_recv(), Err(Failure::Closed));
    assert_eq!(channel.recv().wait(), Err(Failure::Closed));
    assert_eq!(wait(channel.recv()), Err(Failure::Closed));
    let counters = channel.counters();
    assert_eq!((counters.failed_sends.closed, counters.failed_receives.closed), (3, 3));
    assert_eq!((counters.aborted_close, counters.undelivered), (0, 0));
}

/// Closing wakes all waiting operations, on either side.
pub fn wakes_all_when_closed(subject: &Subject<'_>) {
    let empty = (subject.make)();
    thread::scope(|scope| {
        let waits: Vec<_> = (0..3).map(|_| scope.spawn(|| empty.recv().wait())).collect();
        empty.close();
        for waits in waits {
            assert_eq!(waits.join().unwrap(), Err(Failure::Closed));
        }
    });
    let Some((full, count)) = subject.full() else {
        return;
    };
    thread::scope(|scope| {
        let waits: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    let mut kept = desc(count);
                    (full.send(&mut kept).wait(), kept == desc(count))
                })
            })
            .collect();
        full.close();
        for waits in waits {
            assert_eq!(waits.join().unwrap(), (Err(Failure::Closed), true));
        }
    });
    assert_eq!(full.in_flight(), count);
}

/// A channel can be detached only when it is closed or nothing is in flight.
pub fn detaches_only_when_it_may(subject: &Subject<'_>) {
    let idle = (subject.make)();
    assert_eq!(idle.detach(), Ok(()));
    assert_eq!(idle.try_recv(), Err(Failure::Unsupported));
    let (channel, count) = subject.filled();
    if count > 0 {
        assert_eq!(channel.detach().unwrap_err().in_flight, count);
        assert_eq!(channel.try_recv(), Ok(desc(0)));
        channel.close();
    }
    assert_eq!(channel.detach(), Ok(()));
    assert_eq!(channel.detach(), Ok(()));
    let counters = channel.counters();
    assert_eq!((channel.in_flight(), counters.undelivered), (0, count.saturating_sub(1) as u64));
    assert_eq!((counters.sent, counters.received), (count as u64, count.min(1) as u64));
    assert_eq!(counters.failed_receives.closed, 0, "detaching is no receive");
}

/// Dropping the channel releases the references that its remaining descriptors carry.
pub fn releases_what_is_not_received(subject: &Subject<'_>) {
    let region = Region::heap(64 * 8, Meta::default()).unwrap();
    let pool = Pool::new(&region, &[Class { block_bytes: 64, blocks: 8 }]).unwrap();
    let share = || pool.try_lease(8).unwrap().freeze().into_desc().unwrap();
    let free = || pool.snapshot()[0].free;
    let channel = (subject.make)();
    let count = subject.capacity.unwrap_or(4).min(4);
    for _ in 0..count {
        assert_eq!(channel.try_send(&mut share()), Ok(()));
    }
    assert_eq!(free(), 8 - count);
    if count > 0 {
        drop(Block::claim(&channel.try_recv().unwrap()).unwrap());
    }
    channel.close();
    let mut late = share();
    assert_eq!(channel.try_send(&mut late), Err(Failure::Closed));
    drop(Block::claim(&late).expect("it is still the producer's"));
    drop(channel);
    assert_eq!(free(), 8);
}

/// Concurrent producers and consumers: each descriptor arrives once, each consumer gets those of
/// one producer in order, and the counters match.
pub fn is_exact_among_threads(subject: &Subject<'_>) {
    let (producers, consumers, each) = if cfg!(miri) { (2, 2, 10) } else { (3, 2, 500) };
    let channel = (subject.make)();
    let mut received = thread::scope(|scope| {
        let receivers: Vec<_> = (0..consumers)
            .map(|_| {
                scope.spawn(|| {
                    let mut got = Vec::new();
                    while let Ok(desc) = channel.recv().wait() {
                        got.push(number(&desc));
                    }
                    for producer in 0..producers {
                        let of_one = got.iter().filter(|number| *number / each == producer);
                        assert!(of_one.is_sorted(), "out of order");
                    }
                    got
                })
            })
            .collect();
        let senders: Vec<_> = (0..producers)
            .map(|producer| {
                let channel = &channel;
                scope.spawn(move || {
                    for at in 0..each {
                        let sent = channel.send(&mut desc(producer * each + at)).wait();
                        assert_eq!(sent, Ok(()));
                    }
                })
            })
            .collect();
        for sender in senders {
            sender.join().unwrap();
        }
        channel.close();
        receivers.into_iter().flat_map(|receiver| receiver.join().unwrap()).collect::<Vec<_>>()
    });
    received.sort_unstable();
    assert!(received.iter().copied().eq(0..producers * each), "not each once");
    let counters = channel.counters();
    let all = (producers * each) as u64;
    assert_eq!((counters.sent, counters.received, counters.undelivered), (all, all, 0));
    assert_eq!(counters.bytes_sent, counters.bytes_received);
    assert_eq!(channel.in_flight(), 0);
}
