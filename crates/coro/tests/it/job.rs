// SPDX-License-Identifier: BSD-3-Clause
//! Jobs: their states, their waits, how far a failure goes.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use becket_chan::{RecvError, Token, rendezvous, unlimited};
use becket_coro::job::{Body, ChildError, Job, JobState};
use becket_coro::{Clock, Runtime, VirtualClock, now, yield_now};
use futures_lite::future::block_on;
use parking_lot::Mutex;

fn child(parent: &Job) -> Body {
    Job::builder().parent(parent).begin()
}

#[test]
fn a_job_goes_through_the_states_of_the_table() {
    let body = Job::begin();
    let job = body.job().clone();
    assert_eq!(job.state(), JobState::Active);
    body.complete();
    assert_eq!((job.state(), job.is_cancelled()), (JobState::Completed, false));
    assert!(!job.cancel("too late") && job.reason().is_none());
    assert_eq!(job.state(), JobState::Completed);

    let body = Job::begin();
    let job = body.job().clone();
    assert!(job.cancel("first") && !job.cancel("second"));
    assert_eq!((job.state(), job.is_cancelled()), (JobState::Cancelling, true));
    body.complete();
    assert_eq!(job.state(), JobState::Cancelled);
    assert_eq!(&*job.reason().unwrap(), "first");

    let body = Job::begin();
    let (job, inner) = (body.job().clone(), child(body.job()));
    body.fail("broken");
    assert_eq!((job.state(), job.is_cancelled()), (JobState::Cancelling, true));
    assert_eq!(inner.job().state(), JobState::Cancelling, "with its parent");
    inner.complete();
    assert_eq!(job.state(), JobState::Failed);
    assert!(job.failure().unwrap().to_string().ends_with("failed: broken"));
}

#[test]
fn a_parent_waits_for_its_children() {
    let body = Job::begin();
    let job = body.job().clone();
    let (one, two) = (child(&job), child(&job));
    let below = child(one.job());
    body.complete();
    one.complete();
    assert_eq!((job.state(), job.children_len()), (JobState::Active, 2));
    let waits = std::thread::spawn({
        let job = job.clone();
        move || job.join()
    });
    let task = std::thread::spawn({
        let job = job.clone();
        move || block_on(async { job.ended().await })
    });
    let coroutine = becket_coro::spawn({
        let job = job.clone();
        move || job.join()
    });
    two.complete();
    assert_eq!((job.state(), job.children_len()), (JobState::Active, 1));
    below.complete();
    assert_eq!(waits.join().unwrap(), JobState::Completed);
    assert_eq!(coroutine.join().unwrap(), JobState::Completed);
    assert!(task.join().unwrap() && job.children().is_empty());
}

#[test]
fn a_body_that_is_dropped_cancels_its_job() {
    let body = Job::begin();
    let (job, inner) = (body.job().clone(), child(body.job()));
    drop(body);
    assert!(inner.job().is_cancelled());
    drop(inner);
    assert_eq!(job.state(), JobState::Cancelled);
    assert_eq!(&*job.reason().unwrap(), "its body was dropped");
}

#[test]
fn a_failure_goes_up_to_the_next_supervisor() {
    let root = Job::begin();
    let keeper = Job::builder().parent(root.job()).supervisor().begin();
    let (top, aside) = (child(keeper.job()), child(keeper.job()));
    let middle = child(top.job());
    let sibling = child(top.job());
    child(middle.job()).fail("at the bottom");
    for job in [&middle, &top, &sibling] {
        assert_eq!(job.job().state(), JobState::Cancelling);
    }
    for job in [&keeper, &root, &aside] {
        assert_eq!(job.job().state(), JobState::Active);
    }
    assert_eq!(keeper.job().failures_later(), 1);
    let (top_job, sibling_job) = (top.job().clone(), sibling.job().clone());
    drop((middle, top, sibling));
    assert_eq!(top_job.state(), JobState::Failed);
    assert_eq!(sibling_job.state(), JobState::Cancelled);
    assert!(sibling_job.reason().unwrap().ends_with("failed: at the bottom"));
}

#[test]
fn a_reason_goes_down_and_stays_known() {
    let root = Job::begin();
    let leaf = child(root.job());
    root.job().cancel("closing time");
    assert_eq!(&*leaf.job().reason().unwrap(), "closing time");
    let job = leaf.job().clone();
    leaf.complete();
    drop(root);
    assert_eq!(&*job.reason().unwrap(), "closing time");

    let token = Token::new();
    let under = Job::builder().token(&token).begin();
    token.cancel();
    assert_eq!(&*under.job().reason().unwrap(), "its token was cancelled");
}

#[test]
fn the_first_code_goes_down_and_stays() {
    let root = Job::begin();
    let (top, aside) = (child(root.job()), child(root.job()));
    let leaf = child(top.job());
    assert_eq!(top.job().code(), 0);
    assert!(top.job().cancel_with_code(-5, "enough"));
    assert!(!top.job().cancel_with_code(-6, "too late"));
    assert_eq!((leaf.job().code(), root.job().code()), (-5, 0));
    assert_eq!(&*leaf.job().reason().unwrap(), "enough");
    // A cancellation does not hide a failure that is reported with a code.
    top.job().fail_with_code(-7);
    assert_eq!((top.job().code(), root.job().code(), aside.job().code()), (-5, -7, -7));
    let (leaf_job, top_job, root_job) = (leaf.job().clone(), top.job().clone(), root.job().clone());
    leaf.complete();
    top.complete();
    aside.complete();
    root.complete();
    assert_eq!((leaf_job.state(), leaf_job.code()), (JobState::Cancelled, -5));
    assert_eq!((top_job.state(), top_job.code()), (JobState::Failed, -5));
    assert_eq!((root_job.state(), root_job.code()), (JobState::Failed, -7));
    assert!(root_job.failure().unwrap().to_string().ends_with("failed with code -7"));
    root_job.fail_with_code(-8);
    assert_eq!(root_job.code(), -7, "it has ended");
}

#[test]
fn a_job_that_has_ended_accepts_no_child() {
    let body = Job::begin();
    let job = body.job().clone();
    body.complete();
    let late = child(&job);
    assert_eq!(late.job().state(), JobState::Cancelling);
    assert_eq!(&*late.job().reason().unwrap(), "its parent has ended");
    let ran = Arc::new(AtomicUsize::new(0));
    let held = Arc::clone(&ran);
    let spawned = job.spawn(move || held.fetch_add(1, Ordering::Relaxed));
    assert!(matches!(spawned.join(), Err(ChildError::Cancelled { .. })));
    assert_eq!((ran.load(Ordering::Relaxed), Arc::strong_count(&ran)), (0, 1));
}

#[test]
fn coroutines_are_children_and_their_failures_fail_the_job() {
    let body = Job::begin();
    let job = body.job().clone();
    let (_tx, rx) = rendezvous::<u8>();
    let (begun, has_begun) = unlimited();
    let (token, said) = (job.token().clone(), begun.clone());
    let waits = job.spawn(move || {
        said.try_send(()).unwrap();
        rx.recv().cancel_on(&token).wait()
    });
    has_begun.recv().wait().unwrap();
    job.launch().name("breaks").spawn(|| panic!("in a child"));
    body.complete();
    assert_eq!(job.join(), JobState::Failed);
    assert_eq!(waits.join().unwrap(), Err(RecvError::Cancelled));
    let failure = job.failure().unwrap();
    assert_eq!((failure.name(), failure.panic_message()), (Some("breaks"), Some("in a child")));
}

#[test]
fn a_join_gives_up_by_the_runtimes_clock() {
    let clock = Clock::Virtual(VirtualClock::automatic());
    let runtime = Runtime::builder().workers(1).clock(clock).build().unwrap();
    let ended = runtime.spawn(|| {
        let body = Job::begin();
        let start = now();
        let at = start + Duration::from_secs(3600);
        assert_eq!(body.job().join_deadline(at), None);
        assert_eq!(now(), at);
        let late = body.job().spawn(move || becket_coro::sleep_until(at + Duration::from_secs(5)));
        let late = late.join_deadline(at + Duration::from_secs(1)).unwrap_err();
        late.join().unwrap();
        let job = body.job().clone();
        body.complete();
        job.join_deadline(at)
    });
    assert_eq!(ended.join().unwrap(), Some(JobState::Completed));
}

#[test]
fn a_hundred_thousand_levels_cost_no_stack() {
    let root = Job::begin();
    let mut bodies = vec![root];
    for level in 0..100_000 {
        let next = child(bodies[level].job());
        bodies.push(next);
    }
    let (root, leaf) = (bodies[0].job().clone(), bodies[100_000].job().clone());
    for body in bodies.drain(..100_000) {
        body.complete();
    }
    assert_eq!(root.state(), JobState::Active);
    root.cancel("all of it");
    assert_eq!(&*leaf.reason().unwrap(), "all of it");
    drop(bodies);
    assert_eq!((leaf.state(), root.state()), (JobState::Cancelled, JobState::Cancelled));
}

#[test]
fn deferred_values_are_computed_once_for_all_waiters() {
    let made = Arc::new(AtomicUsize::new(0));
    let body = Job::begin();
    let count = Arc::clone(&made);
    let lazy = body.job().defer_lazy(move || {
        count.fetch_add(1, Ordering::Relaxed);
        yield_now();
        String::from("made")
    });
    let never = body.job().defer_lazy(|| -> u8 { panic!("it is never waited for") });
    assert!(lazy.job().is_none() && !lazy.is_finished());
    assert_eq!(body.job().children_len(), 0);
    let (thread, task, coroutine) = (lazy.clone(), lazy.clone(), lazy.clone());
    let thread = std::thread::spawn(move || thread.wait().unwrap());
    let task = std::thread::spawn(move || block_on(async { task.await.unwrap() }));
    let coroutine = becket_coro::spawn(move || coroutine.wait().unwrap());
    assert_eq!(lazy.wait().unwrap(), "made");
    assert_eq!(thread.join().unwrap(), "made");
    assert_eq!(task.join().unwrap(), "made");
    assert_eq!(coroutine.join().unwrap(), "made");
    assert_eq!(made.load(Ordering::Relaxed), 1);
    drop(never);
    // Values that cannot be copied are taken.
    struct Single(u8);
    assert_eq!(body.job().defer(|| Single(3)).wait().unwrap().0, 3);
    let job = body.job().clone();
    body.complete();
    assert_eq!(job.join(), JobState::Completed);
}

#[test]
fn a_deferred_value_that_fails_fails_all_waiters() {
    let body = Job::builder().supervisor().begin();
    let job = body.job();
    let bad = job.launch().name("sum").defer_try(|| "x".parse::<u32>());
    let (one, two) = (bad.clone(), bad);
    for waits in [one, two] {
        let error = waits.wait().unwrap_err();
        assert_eq!(error.failure().unwrap().name(), Some("sum"));
    }
    let panics = job.defer(|| -> u32 { panic!("oh") });
    assert_eq!(panics.wait().unwrap_err().failure().unwrap().panic_message(), Some("oh"));
    let off = job.defer_lazy(|| 1);
    let other = off.clone();
    assert!(off.cancel("not needed") && off.is_finished() && !off.cancel("again"));
    match other.wait() {
        Err(ChildError::Cancelled { reason, .. }) => assert_eq!(&*reason, "not needed"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_copy_that_panics_leaves_the_value_for_the_others() {
    #[derive(Debug)]
    struct Shy(Arc<AtomicUsize>);
    impl Clone for Shy {
        fn clone(&self) -> Self {
            assert!(self.0.fetch_add(1, Ordering::Relaxed) > 0, "not the first time");
            Self(Arc::clone(&self.0))
        }
    }
    let copies = Arc::new(AtomicUsize::new(0));
    let held = Arc::clone(&copies);
    let value = becket_coro::defer(move || Shy(held));
    let (one, two) = (value.clone(), value);
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| one.wait())).is_err());
    two.wait().unwrap();
    assert_eq!(copies.load(Ordering::Relaxed), 2);
}

/// A waiter of a token is woken before the tokens below are cancelled. A failure caused by that
/// counts as a cancellation.
#[test]
fn an_error_that_is_faster_than_the_cancellation_it_comes_of_is_none() {
    struct FailsWhenWoken(Mutex<Option<Body>>);
    impl Wake for FailsWhenWoken {
        fn wake(self: Arc<Self>) {
            let body = self.0.lock().take().unwrap();
            assert!(!body.job().is_cancelled(), "it has not come down yet");
            body.fail("the wait was cancelled");
        }
    }
    let root = Job::begin();
    let leaf = child(root.job());
    let job = leaf.job().clone();
    let waker = Waker::from(Arc::new(FailsWhenWoken(Mutex::new(Some(leaf)))));
    let mut waits = Box::pin(root.job().token().cancelled());
    assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    root.job().cancel("by hand");
    assert_eq!((job.state(), job.failures_later()), (JobState::Cancelled, 1));
    assert_eq!(&*job.reason().unwrap(), "by hand");
    drop(waits);
    root.complete();
}
