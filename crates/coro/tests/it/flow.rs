// SPDX-License-Identifier: BSD-3-Clause
//! Flows: how values, ends and failures propagate, and that every queue is bounded.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use becket_chan::{Builder, Receiver, bounded, unlimited};
use becket_coro::flow::{self, FlowError};
use becket_coro::job::{Job, JobState};
use becket_coro::{
    Clock, Runtime, Scope, ScopeError, VirtualClock, scope, sleep, supervisor, yield_now,
};
use proptest::prelude::*;

/// Runs a test on a coroutine of a runtime with a virtual clock: a sleep there lasts until all the
/// others wait.
fn within<T: Send + 'static>(workers: usize, f: impl FnOnce() -> T + Send + 'static) -> T {
    let clock = Clock::Virtual(VirtualClock::automatic());
    let runtime = Runtime::builder().workers(workers).clock(clock).build().unwrap();
    let value = match runtime.spawn(f).join() {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    };
    assert!(runtime.handle().wait_idle(None), "nothing is left");
    value
}

const A_WHILE: Duration = Duration::from_secs(1);

fn numbers<'scope>(s: &'scope Scope<'scope, '_>, count: usize) -> Receiver<usize> {
    flow::produce(s, 2, move |out| (0..count).try_for_each(|n| out.send(n)).ok())
}

#[test]
fn a_producer_sends_on_any_kind_and_closes_at_its_end() {
    let data = vec![1, 2, 3];
    let builders = [Builder::rendezvous(), Builder::bounded(1), Builder::unlimited()];
    for builder in builders {
        let heard = scope(|s| {
            let rx = flow::produce(s, builder, |out| {
                for value in &data {
                    out.send(*value).unwrap();
                }
            });
            rx.iter().collect::<Vec<i32>>()
        });
        assert_eq!(heard.unwrap(), data);
    }
}

#[test]
fn a_producer_without_a_receiver_ends_without_a_failure() {
    let sent = scope(|s| {
        let (report, reported) = bounded(1);
        let rx = flow::produce(s, 0, move |out| {
            let sent = (0..).take_while(|n| out.send(*n).is_ok()).count();
            report.try_send(sent).unwrap();
        });
        assert_eq!(rx.iter().take(3).sum::<i32>(), 3);
        drop(rx);
        reported.recv().wait().unwrap()
    });
    assert_eq!(sent.unwrap(), 3);
}

#[test]
fn a_producer_that_fails_says_why() {
    let outcome = scope(|s| {
        let rx = flow::produce(s, 4, |out| {
            out.send(1).unwrap();
            "x".parse::<u8>().map(drop)
        });
        s.token().cancelled().wait();
        // The values sent before the failure are still in the channel.
        assert_eq!(rx.recv().wait(), Ok(1));
        assert!(rx.recv().wait().is_err());
        assert_eq!(&*rx.closed_reason().unwrap(), "the producer failed or was cancelled");
    });
    let error = outcome.unwrap_err();
    assert_eq!(error.failure().unwrap().name(), Some("produce"));
    assert_eq!(error.failure().unwrap().site().file(), file!());
    let outcome = supervisor(|s| {
        let rx = flow::produce(s, 4, |_: &flow::Output<'_, u8>| -> () { panic!("at once") });
        rx.recv().wait().is_err() && rx.closed_reason().is_some()
    });
    assert!(outcome.unwrap());
}

#[test]
fn every_value_of_a_fan_out_is_taken_once_by_as_many_as_asked_for() {
    within(1, || {
        let seen: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
        let (at_once, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        scope(|s| {
            let all = flow::fan_out(s, numbers(s, 100), 7, |n| {
                let now = at_once.fetch_add(1, Ordering::Relaxed) + 1;
                most.fetch_max(now, Ordering::Relaxed);
                sleep(A_WHILE);
                at_once.fetch_sub(1, Ordering::Relaxed);
                seen[n].fetch_add(1, Ordering::Relaxed);
            });
            all.join().unwrap();
        })
        .unwrap();
        assert!(seen.iter().all(|seen| seen.load(Ordering::Relaxed) == 1));
        assert_eq!(most.into_inner(), 7);
    });
}

#[test]
fn a_fan_out_that_fails_ends_as_a_whole() {
    within(1, || {
        let handled = AtomicUsize::new(0);
        let outcome = supervisor(|s| {
            let all = flow::fan_out(s, numbers(s, 1_000_000), 3, |n| {
                handled.fetch_add(1, Ordering::Relaxed);
                if n == 50 { Err("fifty") } else { Ok(()) }
            });
            all.join()
        });
        let Err(FlowError::Failed(failure)) = outcome.unwrap() else { panic!("it failed") };
        assert!(failure.to_string().ends_with("failed: fifty"), "{failure}");
        assert!(handled.into_inner() < 1000);
    });
}

#[test]
fn a_fan_in_has_all_values_each_source_in_order() {
    within(2, || {
        let all = scope(|s| {
            let sources = (0..5).map(|source| {
                flow::produce(s, 1, move |out| {
                    for n in 0..=source {
                        out.send((source, n)).unwrap();
                        yield_now();
                    }
                })
            });
            flow::fan_in(s, sources, 2).iter().collect::<Vec<_>>()
        })
        .unwrap();
        assert_eq!(all.len(), 15);
        for source in 0..5 {
            let own: Vec<_> = all.iter().filter(|(from, _)| *from == source).collect();
            assert!(own.iter().enumerate().all(|(n, value)| value.1 == n as i32));
        }
        let none = scope(|s| flow::fan_in(s, Vec::<Receiver<u8>>::new(), 1).iter().count());
        assert_eq!(none.unwrap(), 0);
    });
}

#[test]
fn a_fan_in_without_a_receiver_drops_its_sources() {
    within(1, || {
        scope(|s| {
            let all = flow::fan_in(s, [numbers(s, usize::MAX), numbers(s, usize::MAX)], 0);
            assert!(all.recv().wait().is_ok());
        })
        .unwrap();
    });
}

#[test]
fn stages_see_every_value_once() {
    within(2, || {
        let mut all = scope(|s| {
            flow::pipeline(s, numbers(s, 500))
                .capacity(3)
                .stage(4, |n| n * 2)
                .stage(2, |n| n + 1)
                .collect(500)
        })
        .unwrap()
        .unwrap();
        all.sort();
        assert!(all.into_iter().eq((0..500).map(|n| n * 2 + 1)));
    });
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn an_ordered_stage_keeps_the_order_whatever_its_workers_take(
        workers in 1..6_usize,
        capacity in 0..9_usize,
        times in proptest::collection::vec(0..1000_u64, 0..60),
    ) {
        within(1, move || {
            let got = scope(|s| {
                let source = flow::produce(s, 1, |out| {
                    times.iter().enumerate().try_for_each(|value| out.send(value)).ok()
                });
                flow::pipeline(s, source)
                    .capacity(capacity)
                    .ordered(workers, |(n, time)| {
                        sleep(Duration::from_millis(*time));
                        n
                    })
                    .collect(1000)
            });
            assert!(got.unwrap().unwrap().into_iter().eq(0..times.len()));
        });
    }
}

#[test]
fn a_pipeline_holds_no_more_than_it_was_given_room_for() {
    within(1, || {
        for ordered in [false, true] {
            let taken = AtomicUsize::new(0);
            scope(|s| {
                let source = flow::produce(s, 0, |out| {
                    (0..)
                        .try_for_each(|n: usize| {
                            out.send(n).inspect(|()| {
                                taken.fetch_add(1, Ordering::Relaxed);
                            })
                        })
                        .ok()
                });
                let stages = flow::pipeline(s, source).capacity(5);
                let stages =
                    if ordered { stages.ordered(3, |n| n) } else { stages.stage(3, |n| n) };
                let rx = stages.receiver();
                sleep(A_WHILE);
                let held = taken.load(Ordering::Relaxed);
                // Unordered: those in the channel, one per worker. Ordered: those in the channel,
                // one per credit, and one whose credit was returned when it was about to leave.
                assert!(held >= 5 && held <= if ordered { 5 + 5 + 1 } else { 5 + 3 }, "{held}");
                for more in 1..10 {
                    rx.recv().wait().unwrap();
                    sleep(A_WHILE);
                    assert_eq!(taken.load(Ordering::Relaxed), held + more);
                }
            })
            .unwrap();
        }
    });
}

#[test]
fn one_slow_value_holds_up_no_more_than_the_room_of_an_ordered_stage() {
    within(1, || {
        let begun = AtomicUsize::new(0);
        let (go, may_go) = unlimited();
        scope(|s| {
            let stages = flow::pipeline(s, numbers(s, 1000)).capacity(8).ordered(4, |n| {
                begun.fetch_add(1, Ordering::Relaxed);
                if n == 0 {
                    may_go.recv().cancel_on(s.token()).wait().unwrap();
                }
                n
            });
            let rx = stages.receiver();
            sleep(A_WHILE);
            assert_eq!(begun.load(Ordering::Relaxed), 8, "as many as the stage may hold");
            assert!(rx.try_recv().is_err());
            go.try_send(()).unwrap();
            assert!(rx.iter().eq(0..1000));
        })
        .unwrap();
    });
}

#[test]
fn a_stage_that_fails_ends_the_pipeline_and_fails_the_scope() {
    within(2, || {
        for panics in [false, true] {
            let outcome = scope(|s| {
                let stages = flow::pipeline(s, numbers(s, usize::MAX)).ordered(2, |n| n);
                let collected = stages
                    .try_stage(2, move |n| match n {
                        40 if panics => panic!("forty"),
                        40 => Err("forty"),
                        n => Ok(n),
                    })
                    .stage(1, |n| n)
                    .fold(0, |count, _| count + 1);
                assert!(matches!(collected, Err(FlowError::Failed(_))), "{collected:?}");
            });
            let error = outcome.unwrap_err();
            let failure = error.failure().unwrap();
            assert!(failure.to_string().ends_with("forty"), "{failure}");
            assert_eq!((failure.name(), failure.is_panic()), (Some("stage"), panics));
        }
    });
}

#[test]
fn under_a_supervisor_a_pipeline_fails_alone() {
    within(1, || {
        let outcome = supervisor(|s| {
            let bad = flow::pipeline(s, numbers(s, 10)).try_stage(1, |_| Err::<(), _>("no"));
            let good = flow::pipeline(s, numbers(s, 10)).stage(1, |n| n);
            (bad.collect(10).is_err(), good.collect(10).unwrap().len())
        });
        assert_eq!(outcome.unwrap(), (true, 10));
    });
}

#[test]
fn cancelling_ends_a_flow_that_waits() {
    within(1, || {
        let (tx, rx) = bounded::<u8>(1);
        let outcome = Scope::builder().timeout(A_WHILE).run(|s| {
            let (ordered, silent) = (rx.clone(), flow::fan_in(s, [rx.clone()], 1));
            let out = flow::fan_out(s, silent, 2, drop);
            let collected = flow::pipeline(s, ordered).ordered(2, |n| n).collect(1);
            assert!(matches!(collected, Err(FlowError::Cancelled { .. })), "{collected:?}");
            assert!(matches!(out.join(), Err(FlowError::Cancelled { .. })));
        });
        assert!(matches!(outcome, Err(ScopeError::DeadlinePassed)), "{outcome:?}");
        drop(tx);
    });
}

#[test]
fn a_pipeline_that_is_dropped_stops_its_stages() {
    within(1, || {
        let (tx, rx) = bounded::<u8>(1);
        scope(|s| {
            drop(flow::pipeline(s, rx).stage(2, |n| n).ordered(2, |n| n));
            sleep(A_WHILE);
            assert_eq!(s.job().children_len(), 0);
        })
        .unwrap();
        assert!(tx.is_closed());
    });
}

#[test]
fn a_consumer_that_leaves_ends_everything_without_a_failure() {
    within(2, || {
        scope(|s| {
            let stages =
                flow::pipeline(s, numbers(s, usize::MAX)).ordered(3, |n| n).stage(1, |n| n);
            assert!(stages.receiver().iter().take(5).eq(0..5));
        })
        .unwrap();
    });
}

#[test]
fn more_values_than_wanted_is_an_error_and_an_end() {
    within(1, || {
        let outcome =
            supervisor(|s| flow::pipeline(s, numbers(s, usize::MAX)).stage(2, |n| n).collect(100));
        match outcome.unwrap() {
            Err(FlowError::TooMany { values_max: 100 }) => {}
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn a_flow_may_be_a_jobs() {
    within(1, || {
        let body = Job::begin();
        let job = body.job().clone();
        let handled = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&handled);
        let source = flow::produce(&job, 3, |out| (0..10).try_for_each(|n| out.send(n)).ok());
        let doubled = flow::pipeline(&job, source).stage(2, |n| n * 2).receiver();
        let all = flow::fan_out(&job, doubled, 2, move |n| {
            count.fetch_add(n, Ordering::Relaxed);
        });
        all.join().unwrap();
        body.complete();
        assert_eq!(job.join(), JobState::Completed);
        assert_eq!(handled.load(Ordering::Relaxed), 90);
    });
}
