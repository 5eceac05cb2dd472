// SPDX-License-Identifier: BSD-3-Clause
//! Channels of descriptors: `zref` by the suite that every backend passes, and its own properties;
//! the registry; attaching.

use std::any::Any;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

use becket_chan::Kind;
use becket_zcopy::{
    BACKENDS_MAX, Backend, BackendId, Block, Carrier, Class, Desc, Error, Failure, Limits, Link,
    Meta, NAME_BYTES_MAX, Pending, Pool, Region, RegisterError, ZChannel, register, resolve,
};
use futures_lite::future::block_on;
use parking_lot::Mutex;

fn desc(number: usize) -> Desc {
    Desc::local(std::ptr::without_provenance_mut(0x1000 + number), number + 1).unwrap()
}

becket_zcopy::conforms!(rendezvous, ZChannel::rendezvous(), Some(0));
becket_zcopy::conforms!(bounded_1, ZChannel::bounded(1), Some(1));
becket_zcopy::conforms!(bounded_5, ZChannel::bounded(5), Some(5));
becket_zcopy::conforms!(unlimited, ZChannel::unlimited(), None);

#[test]
fn a_conflated_channel_keeps_the_latest_and_counts_what_it_replaces() {
    let lost = Arc::new(Mutex::new(Vec::new()));
    let for_hook = lost.clone();
    let hook = Box::new(move |desc: Desc| for_hook.lock().push(desc));
    let channel = ZChannel::new(Kind::Conflated, None, Some(hook));
    channel.attach(BackendId::ZREF, &()).unwrap();
    for number in 0..3 {
        assert_eq!(channel.try_send(&mut desc(number)), Ok(()));
    }
    assert_eq!(channel.in_flight(), 1);
    assert_eq!(channel.try_recv(), Ok(desc(2)));
    assert_eq!(channel.try_recv(), Err(Failure::WouldBlock));
    assert_eq!(*lost.lock(), [desc(0), desc(1)]);
    let counters = channel.counters();
    assert_eq!((counters.sent, counters.received, counters.undelivered), (3, 1, 2));
}

#[test]
fn what_is_left_goes_to_the_hook_once_with_its_share() {
    let region = Region::heap(256, Meta::default()).unwrap();
    let pool = Pool::new(&region, &[Class { block_bytes: 64, blocks: 4 }]).unwrap();
    let lost = Arc::new(Mutex::new(Vec::new()));
    let for_hook = lost.clone();
    let hook = Box::new(move |desc: Desc| for_hook.lock().push(desc));
    let channel = ZChannel::new(Kind::Bounded, Some(4), Some(hook));
    channel.attach(BackendId::ZREF, &()).unwrap();
    for _ in 0..2 {
        let mut desc = pool.try_lease(8).unwrap().freeze().into_desc().unwrap();
        channel.try_send(&mut desc).unwrap();
    }
    drop(channel);
    let lost = std::mem::take(&mut *lost.lock());
    assert_eq!((lost.len(), pool.snapshot()[0].free), (2, 2));
    assert!(lost.iter().all(|desc| Block::claim(desc).is_ok()));
    assert_eq!(pool.snapshot()[0].free, 4);
}

#[test]
fn a_send_that_had_happened_when_it_was_dropped_is_counted() {
    let channel = ZChannel::rendezvous();
    let mut sent = desc(1);
    {
        let mut sends = pin!(channel.send(&mut sent));
        assert!(sends.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(channel.try_recv(), Ok(desc(1)));
    }
    let counters = channel.counters();
    assert_eq!((counters.sent, counters.received, counters.undelivered), (1, 1, 0));
}

#[test]
fn a_receive_that_was_handed_one_and_dropped_gives_it_back() {
    let channel = ZChannel::bounded(2);
    {
        let mut receives = pin!(channel.recv());
        assert!(receives.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(channel.try_send(&mut desc(1)), Ok(()));
        assert_eq!(channel.try_send(&mut desc(2)), Ok(()));
    }
    assert_eq!(channel.try_recv(), Ok(desc(1)));
    assert_eq!(channel.try_recv(), Ok(desc(2)));
    let counters = channel.counters();
    assert_eq!((counters.sent, counters.received), (2, 2));
}

#[test]
fn an_operation_that_was_polled_goes_on_and_is_not_begun_again() {
    let channel = ZChannel::rendezvous();
    let context = &mut Context::from_waker(Waker::noop());
    let (mut sent, mut other) = (desc(1), desc(2));
    {
        let mut sends = pin!(channel.send(&mut sent));
        assert!(sends.as_mut().poll(context).is_pending());
        assert_eq!(channel.try_recv(), Ok(desc(1)));
        assert_eq!(sends.as_mut().poll(context), Poll::Ready(Ok(())));
        // It is over: it answers once.
        assert!(sends.poll(context).is_pending());
    }
    let mut receives = pin!(channel.recv());
    assert!(receives.as_mut().poll(context).is_pending());
    assert_eq!(channel.try_send(&mut other), Ok(()));
    assert_eq!(block_on(receives.as_mut()), Ok(desc(2)));
    assert!(receives.poll(context).is_pending());
    let counters = channel.counters();
    assert_eq!((counters.sent, counters.received, counters.undelivered), (2, 2, 0));
}

#[test]
fn a_region_waits_for_what_a_channel_holds() {
    let region = Region::heap(64, Meta::default()).unwrap();
    let channel = ZChannel::bounded(2);
    channel.try_send(&mut region.desc(0, 8).unwrap()).unwrap();
    channel.try_send(&mut region.desc(8, 8).unwrap()).unwrap();
    assert_eq!(region.pins(), 2);
    thread::scope(|scope| {
        let gone = scope.spawn(|| region.deregister().wait());
        while region.pin(0, 1).is_ok() {
            thread::yield_now();
        }
        let leaving = Failure::Refused(Error::Leaving { region_id: region.id() });
        let mut late = region.desc(0, 8).unwrap();
        assert_eq!(channel.try_send(&mut late), Err(leaving));
        assert_eq!(channel.try_recv().unwrap().offset, 0);
        assert_eq!(region.pins(), 1);
        drop(channel);
        assert_eq!(gone.join().unwrap(), Ok(()));
    });
}

#[test]
fn a_full_channel_and_a_failed_send_leave_no_pin() {
    let region = Region::heap(64, Meta::default()).unwrap();
    let channel = ZChannel::bounded(1);
    let mut sent = region.desc(0, 8).unwrap();
    channel.try_send(&mut sent).unwrap();
    let mut kept = region.desc(8, 8).unwrap();
    assert_eq!(channel.try_send(&mut kept), Err(Failure::WouldBlock));
    assert_eq!(region.pins(), 1);
    channel.close();
    assert_eq!(channel.try_send(&mut kept), Err(Failure::Closed));
    assert_eq!(region.pins(), 1);
}

/// Counts its calls, and supports no operation.
#[derive(Default, Clone)]
struct Idle(Arc<Calls>);

#[derive(Default)]
struct Calls {
    attached: AtomicUsize,
    detached: AtomicUsize,
    closed: AtomicUsize,
}

impl Backend for Idle {
    fn attach(&self, _: &Arc<dyn Carrier>, options: &dyn Any) -> Result<Box<dyn Link>, Failure> {
        match options.downcast_ref::<i32>() {
            Some(code) if *code != 0 => Err(Failure::Other { code: *code }),
            _ => {
                self.0.attached.fetch_add(1, Ordering::SeqCst);
                Ok(Box::new(self.clone()))
            }
        }
    }
}

impl Link for Idle {
    fn try_send(&self, _: Desc) -> Result<(), Failure> {
        Err(Failure::Unsupported)
    }

    fn try_recv(&self) -> Result<Desc, Failure> {
        Err(Failure::Unsupported)
    }

    fn send<'a>(&'a self, _: Desc, _: Limits<'a>) -> Pending<'a, ()> {
        Box::pin(std::future::ready(Err(Failure::Unsupported)))
    }

    fn recv<'a>(&'a self, _: Limits<'a>) -> Pending<'a, Desc> {
        Box::pin(std::future::ready(Err(Failure::Unsupported)))
    }

    fn in_flight(&self) -> usize {
        0
    }

    fn close(&self) {
        self.0.closed.fetch_add(1, Ordering::SeqCst);
    }

    fn detach(&self) {
        self.0.detached.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_backend_attaches_once_and_detaches_once() {
    let idle = Idle::default();
    let id = register("attaches once", idle.clone(), 3).unwrap();
    assert_eq!(id.registered().unwrap().caps(), 3);
    let channel = ZChannel::new(Kind::Bounded, Some(1), None);
    assert_eq!(channel.try_send(&mut desc(1)), Err(Failure::Unsupported));
    assert_eq!(channel.attach(id, &-13), Err(Failure::Other { code: -13 }));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert_eq!(channel.attach(id, &0), Ok(())));
        }
    });
    assert_eq!(idle.0.attached.load(Ordering::SeqCst), 1);
    assert_eq!(channel.recv().wait(), Err(Failure::Unsupported));
    let mut kept = desc(1);
    assert_eq!(channel.send(&mut kept).wait(), Err(Failure::Unsupported));
    assert_eq!(kept, desc(1));
    // A second backend: it moves the descriptors from here on.
    channel.attach(BackendId::ZREF, &()).unwrap();
    assert_eq!(channel.try_send(&mut kept), Ok(()));
    assert_eq!(idle.0.detached.load(Ordering::SeqCst), 0);
    assert_eq!(channel.detach().unwrap_err().in_flight, 1);
    channel.close();
    assert_eq!(channel.detach(), Ok(()));
    assert_eq!(channel.attach(id, &0), Err(Failure::Closed), "not twice");
    drop(channel);
    assert_eq!(idle.0.detached.load(Ordering::SeqCst), 1);
    assert!(idle.0.closed.load(Ordering::SeqCst) >= 1);
}

#[test]
fn one_attached_to_a_closed_channel_is_closed() {
    let channel = ZChannel::new(Kind::Bounded, Some(1), None);
    channel.close();
    assert_eq!(channel.try_recv(), Err(Failure::Closed));
    channel.attach(BackendId::ZREF, &()).unwrap();
    assert_eq!(channel.try_send(&mut desc(1)), Err(Failure::Closed));
    assert_eq!(channel.recv().wait(), Err(Failure::Closed));
}

#[test]
fn names_are_registered_once_and_up_to_the_bound() {
    assert_eq!(resolve("zref"), Some(BackendId::ZREF));
    assert_eq!(resolve("unregistered"), None);
    assert_eq!(register("", Idle::default(), 0), Err(RegisterError::Name { bytes: 0 }));
    let long = "x".repeat(NAME_BYTES_MAX + 1);
    let error = RegisterError::Name { bytes: NAME_BYTES_MAX + 1 };
    assert_eq!(register(&long, Idle::default(), 0), Err(error));
    let ids: Vec<_> = thread::scope(|scope| {
        let same: Vec<_> = (0..4)
            .map(|caps| scope.spawn(move || register("the same", Idle::default(), caps).unwrap()))
            .collect();
        same.into_iter().map(|same| same.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|id| *id == ids[0]));
    assert_eq!(resolve("the same"), Some(ids[0]));
    assert!(BackendId::new(1_000_000).registered().is_none());
    let channel = ZChannel::new(Kind::Bounded, Some(1), None);
    let unknown = channel.attach(BackendId::new(1_000_000), &());
    assert_eq!(unknown, Err(Failure::Unsupported));
}

/// In a process of its own: the registry is full afterwards.
#[test]
#[cfg(not(miri))]
fn the_table_is_bounded() {
    const CHILD: &str = "BECKET_TEST_FULL_REGISTRY";
    if std::env::var_os(CHILD).is_none() {
        let test = std::env::current_exe().unwrap();
        let arguments = ["--exact", "channel::the_table_is_bounded"];
        let child = std::process::Command::new(test).args(arguments).env(CHILD, "1").output();
        let child = child.unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
        return;
    }
    for number in becket_zcopy::backends()..BACKENDS_MAX {
        register(format!("backend {number}"), Idle::default(), 0).unwrap();
    }
    assert_eq!(register("one more", Idle::default(), 0), Err(RegisterError::Full));
    assert_eq!(resolve("backend 1000").map(BackendId::get), Some(1000));
    assert_eq!(register("backend 1000", Idle::default(), 0).unwrap().get(), 1000);
}
