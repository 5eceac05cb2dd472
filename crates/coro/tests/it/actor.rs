// SPDX-License-Identifier: BSD-3-Clause
//! Actors: messages, ends, and the notifications of ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use becket_chan::{
    Overflow, Receiver, RecvError, SendError, Token, TrySendError, rendezvous, unlimited,
};
use becket_coro::actor::{
    self, Actor, Address, AskError, Builder, Context, Exit, Next, Reply, Restart, Stop, from_fn,
};
use becket_coro::job::{BoxError, Job, JobState};
use becket_coro::{
    Clock, Runtime, Scope, VirtualClock, current_token, now, scope, sleep, spawn, supervisor,
};
use futures_lite::future::block_on;
use parking_lot::Mutex;

const SECOND: Duration = Duration::from_secs(1);

/// Runs a test on a coroutine of a one-worker runtime with a virtual clock: a sleep there lasts
/// until all the others wait.
fn within<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    let clock = Clock::Virtual(VirtualClock::automatic());
    let runtime = Runtime::builder().workers(1).clock(clock).build().unwrap();
    match runtime.spawn(f).join() {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

/// Messages of an actor that sums numbers: answer, fail, block, stop.
enum Sum {
    Add(u64),
    Total(Reply<u64>),
    Forget(Reply<u64>),
    Break(&'static str),
    Wait(Receiver<()>),
    Stop,
}

#[derive(Default)]
struct Summing {
    total: u64,
}

impl Actor for Summing {
    type Message = Sum;

    fn handle(&mut self, message: Sum, cx: &Context<Sum>) -> Result<Next, BoxError> {
        match message {
            Sum::Add(n) => self.total += n,
            Sum::Total(reply) => drop(reply.send(self.total)),
            Sum::Forget(reply) => drop(reply),
            Sum::Break("with an error") => return Err("with an error".into()),
            Sum::Break(text) => panic!("{text}"),
            // Until there is an event, or the actor is cancelled.
            Sum::Wait(event) => event.recv().cancel_on(cx.token()).wait().unwrap_or(()),
            Sum::Stop => return Ok(Next::Stop),
        }
        Ok(Next::Continue)
    }
}

fn failed(exit: &Exit) -> (String, u32) {
    match exit {
        Exit::Failed { failure, restarts } => {
            (failure.panic_message().unwrap_or("an error").to_owned(), *restarts)
        }
        other => panic!("{other}"),
    }
}

#[test]
fn messages_of_all_senders_are_handled_in_order() {
    let sum = actor::spawn(Summing::default()).unwrap();
    sum.tell(Sum::Add(1)).wait().unwrap();
    block_on(async { sum.tell(Sum::Add(2)).await.unwrap() });
    let other = sum.clone();
    spawn(move || other.tell(Sum::Add(4)).wait().unwrap()).join().unwrap();
    assert_eq!(sum.ask(Sum::Total).wait().unwrap(), 7);
    assert_eq!(block_on(async { sum.ask(Sum::Total).await.unwrap() }), 7);
    let other = sum.clone();
    assert_eq!(spawn(move || other.ask(Sum::Total).wait().unwrap()).join().unwrap(), 7);
    assert!(sum.exit().is_none());
    sum.stop(Stop::Drain);
    assert!(matches!(sum.join(), Exit::Stopped));

    let (seen_by, seen) = unlimited();
    let list = actor::spawn_fn(move |n: usize, _| seen_by.try_send(n).unwrap()).unwrap();
    for n in 0..1000 {
        list.tell(n).wait().unwrap();
    }
    drop(list);
    assert!(seen.iter().eq(0..1000));
}

/// A known mistake: an actor that polls its mailbox, and burns a core while it is idle.
#[test]
fn an_idle_actor_costs_no_cpu() {
    within(|| {
        let actors: Vec<_> = (0..100).map(|_| actor::spawn(Summing::default()).unwrap()).collect();
        // The virtual clock would stand still beside an actor that polls by yielding; an actor that
        // polls by a timer would show in the dispatches.
        sleep(SECOND);
        let runtime = becket_coro::Handle::current().unwrap();
        let dispatches = || runtime.stats().workers.iter().map(|w| w.dispatches).sum::<u64>();
        let before = dispatches();
        sleep(3600 * SECOND);
        assert!(dispatches() - before <= 2, "{}", dispatches() - before);
        assert_eq!(actors[7].ask(Sum::Total).wait().unwrap(), 0);
    });
}

#[test]
fn a_mailbox_is_a_channel_of_any_kind() {
    within(|| {
        let (lost_by, lost) = unlimited();
        let keeps = |mailbox: becket_chan::Builder<u32>| {
            let (go, may_go) = unlimited();
            let (seen_by, seen) = unlimited();
            let address = Builder::new()
                .mailbox(mailbox)
                .spawn_fn(move |n: u32, _: &_| {
                    may_go.recv().wait().unwrap();
                    seen_by.try_send(n).unwrap();
                })
                .unwrap();
            (address, go, seen)
        };
        let sent_to = |address: &Address<u32>| {
            (1..=5).filter(|n| address.tell(*n).timeout(SECOND).wait().is_ok()).count()
        };
        let count = |mailbox| {
            let (address, go, seen) = keeps(mailbox);
            // The first message is being handled when the others are sent.
            address.tell(0).wait().unwrap();
            sleep(SECOND);
            let sent = sent_to(&address);
            (0..10).for_each(|_| go.try_send(()).unwrap());
            address.stop(Stop::Drain);
            assert!(address.join().is_normal());
            drop(address);
            (sent, seen.iter().collect::<Vec<_>>())
        };
        use becket_chan::Builder as Mailbox;
        assert_eq!(count(Mailbox::rendezvous()), (0, vec![0]));
        assert_eq!(count(Mailbox::bounded(2)), (2, vec![0, 1, 2]));
        assert_eq!(count(Mailbox::conflated()), (5, vec![0, 5]));
        assert_eq!(count(Mailbox::unlimited()), (5, vec![0, 1, 2, 3, 4, 5]));
        let oldest = Mailbox::bounded(2)
            .overflow(Overflow::DropOldest)
            .on_undelivered(move |n| lost_by.try_send(n).unwrap());
        assert_eq!(count(oldest), (5, vec![0, 4, 5]));
        assert!(lost.try_iter().eq([1, 2, 3]));
    });
}

#[test]
fn a_message_that_is_not_taken_comes_back() {
    within(|| {
        let mailbox = becket_chan::Builder::bounded(1);
        let (go, may_go) = unlimited::<()>();
        let busy = Builder::new()
            .mailbox(mailbox)
            .spawn_fn(move |_: String, _: &_| may_go.recv().wait().or(Ok::<_, RecvError>(())))
            .unwrap();
        let text = |text: &str| text.to_owned();
        busy.tell(text("at work")).wait().unwrap();
        sleep(SECOND);
        busy.try_tell(text("queued")).unwrap();
        assert_eq!(busy.try_tell(text("full")), Err(TrySendError::Full(text("full"))));
        let late = busy.tell(text("late")).timeout(SECOND).wait();
        assert_eq!(late, Err(SendError::TimedOut(text("late"))));
        busy.stop(Stop::Drain);
        assert_eq!(busy.try_tell(text("over")), Err(TrySendError::Closed(text("over"))));
        drop(go);
        busy.join();
        assert_eq!(busy.tell(text("over")).wait(), Err(SendError::Closed(text("over"))));
        assert_eq!(busy.mailbox().receives, 2);
    });
}

#[test]
fn a_request_says_why_there_is_no_answer() {
    within(|| {
        let mailbox = becket_chan::Builder::bounded(1);
        let sum = Builder::new().mailbox(mailbox).spawn(Summing::default()).unwrap();
        assert!(matches!(sum.ask(Sum::Forget).wait(), Err(AskError::Dropped)));

        // The actor is busy, with an empty mailbox: it has the request, and does not answer.
        let (event, waits) = unlimited();
        sum.tell(Sum::Wait(waits)).wait().unwrap();
        sleep(SECOND);
        let start = now();
        let late = sum.ask(Sum::Total).timeout(10 * SECOND).wait();
        assert!(matches!(late, Err(AskError::TimedOut)), "{}", late.unwrap_err());
        assert_eq!(now() - start, 10 * SECOND);
        // Now the mailbox is full: the request does not reach it.
        let late = sum.ask(Sum::Total).timeout(10 * SECOND).wait().unwrap_err();
        assert!(matches!(late, AskError::NotSent(SendError::TimedOut(Sum::Total(_)))), "{late}");
        match late.into_message() {
            Some(Sum::Total(reply)) => assert!(!reply.is_awaited()),
            _ => panic!("the message comes back"),
        }
        event.try_send(()).unwrap();
        assert_eq!(sum.ask(Sum::Total).timeout(10 * SECOND).wait().unwrap(), 0);

        // The request is in the mailbox when its wait is cancelled.
        let (event, waits) = unlimited();
        sum.tell(Sum::Wait(waits)).wait().unwrap();
        sleep(SECOND);
        let token = Token::new();
        let (asker, asks) = (sum.clone(), token.clone());
        let asked = spawn(move || asker.ask(Sum::Total).cancel_on(&asks).wait());
        sleep(SECOND);
        token.cancel();
        assert!(matches!(asked.join().unwrap(), Err(AskError::Cancelled)));
        event.try_send(()).unwrap();

        // The actor fails before it handles the request: the request fails too.
        let (asker, breaks) = (sum.clone(), sum.clone());
        let asked = spawn(move || {
            breaks.tell(Sum::Break("at work")).wait().unwrap();
            asker.ask(Sum::Total).wait()
        });
        let answer = asked.join().unwrap();
        assert!(matches!(answer, Err(AskError::Dropped | AskError::NotSent(_))));
        assert_eq!(failed(&sum.join()).0, "at work");
        assert!(matches!(
            sum.ask(Sum::Total).wait(),
            Err(AskError::NotSent(SendError::Closed(Sum::Total(_))))
        ));
    });
}

#[test]
fn stopping_drains_or_does_not() {
    within(|| {
        for (how, handled) in [(Stop::Drain, 4), (Stop::Now, 1)] {
            let (lost_by, lost) = unlimited();
            let (go, may_go) = unlimited::<()>();
            let count = Arc::new(AtomicUsize::new(0));
            let counts = Arc::clone(&count);
            let mailbox = becket_chan::Builder::bounded(8)
                .on_undelivered(move |n: u32| lost_by.try_send(n).unwrap());
            let address = Builder::new()
                .mailbox(mailbox)
                .spawn_fn(move |_: u32, _: &_| {
                    let _ = may_go.recv().wait();
                    counts.fetch_add(1, Ordering::Relaxed);
                })
                .unwrap();
            (0..4).for_each(|n| address.tell(n).wait().unwrap());
            sleep(SECOND);
            address.stop(how);
            assert!(address.exit().is_none(), "it finishes the message at work");
            drop(go);
            assert!(matches!(address.join(), Exit::Stopped));
            assert_eq!(count.load(Ordering::Relaxed), handled);
            assert_eq!(lost.try_iter().count(), 4 - handled);
        }
    });
}

#[test]
fn an_actor_may_stop_itself_and_gets_its_exit() {
    struct Once(Arc<Mutex<Vec<String>>>);
    impl Actor for Once {
        type Message = ();

        fn started(&mut self, cx: &Context<()>) -> Result<(), BoxError> {
            self.0.lock().push(format!("started {}", cx.name().unwrap()));
            cx.address().unwrap().try_tell(()).unwrap();
            Ok(())
        }

        fn handle(&mut self, (): (), _: &Context<()>) -> Result<Next, BoxError> {
            self.0.lock().push("handled".into());
            Ok(Next::Stop)
        }

        fn stopped(&mut self, exit: &Exit) {
            self.0.lock().push(exit.to_string());
        }
    }
    impl Drop for Once {
        fn drop(&mut self) {
            self.0.lock().push("dropped".into());
        }
    }
    let said = Arc::new(Mutex::new(Vec::new()));
    let address = Builder::new().name("once").spawn(Once(Arc::clone(&said))).unwrap();
    let done = Arc::clone(&said);
    address.on_done(move |_| done.lock().push("done".into()));
    assert!(matches!(address.join(), Exit::Stopped));
    assert_eq!(*said.lock(), ["started once", "handled", "stopped", "dropped", "done"]);
}

#[test]
fn cancelling_ends_the_handlers_wait_and_gives_the_reason() {
    within(|| {
        let (_tx, rx) = rendezvous::<()>();
        let address =
            actor::spawn_fn(move |(), cx: &Context<()>| rx.recv().cancel_on(cx.token()).wait())
                .unwrap();
        address.tell(()).wait().unwrap();
        address.tell(()).wait().unwrap();
        sleep(SECOND);
        assert!(address.cancel("out of time") && !address.cancel("again"));
        match address.join() {
            Exit::Cancelled { reason } => assert_eq!(&*reason, "out of time"),
            other => panic!("{other}"),
        }
        // The error that followed from the cancellation is no failure of the job, but is recorded.
        let error = address.last_failure().unwrap();
        assert_eq!(
            error.error_ref().unwrap().downcast_ref::<RecvError>(),
            Some(&RecvError::Cancelled)
        );
        assert_eq!(address.job().state(), JobState::Cancelled);
    });
}

#[test]
fn on_done_is_called_exactly_once_for_every_way_to_end() {
    within(|| {
        type End = fn(&Address<Sum>);
        let ends: [(&str, End); 7] = [
            ("stopped", |sum| sum.stop(Stop::Drain)),
            ("stopped", |sum| sum.stop(Stop::Now)),
            ("stopped", |sum| sum.tell(Sum::Stop).wait().unwrap()),
            ("cancelled: x", |sum| assert!(sum.cancel("x"))),
            ("panicked: y", |sum| sum.tell(Sum::Break("y")).wait().unwrap()),
            ("failed: with an error", |sum| {
                sum.tell(Sum::Break("with an error")).wait().unwrap();
            }),
            ("its last address was dropped", |_| ()),
        ];
        for (index, (expected, end)) in ends.into_iter().enumerate() {
            let sum = actor::spawn(Summing::default()).unwrap();
            if index % 2 == 0 {
                // In the other rounds the actor may end before it has started.
                sleep(SECOND);
            }
            let heard = Arc::new(Mutex::new(Vec::new()));
            let hook = |number: u32| {
                let heard = Arc::clone(&heard);
                move |exit: &Exit| heard.lock().push((number, exit.to_string()))
            };
            sum.on_done(hook(1));
            sum.on_done(|_| panic!("a hook that panics does not affect the others"));
            sum.on_done(hook(2));
            end(&sum);
            if index == 6 {
                let job = sum.job().clone();
                drop(sum);
                job.join();
                assert_eq!(heard.lock().len(), 2);
            } else {
                sum.join();
                sum.on_done(hook(3));
                assert_eq!(heard.lock().len(), 3, "at once");
            }
            for (number, (heard, said)) in heard.lock().iter().enumerate() {
                assert_eq!(*heard as usize, number + 1);
                assert!(said.contains(expected), "{said}");
            }
        }
    });
}

#[test]
fn the_end_of_a_runtime_is_an_end_too() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let exits = Arc::new(Mutex::new(Vec::new()));
    let begin = || {
        let sum = Builder::new().on(runtime.handle()).spawn(Summing::default()).unwrap();
        let exits = Arc::clone(&exits);
        sum.on_done(move |exit| exits.lock().push(exit.to_string()));
        sum
    };
    let idle = begin();
    assert_eq!(idle.ask(Sum::Total).wait().unwrap(), 0);
    let busy = begin();
    let (_event, waits) = unlimited();
    busy.tell(Sum::Wait(waits)).wait().unwrap();
    let fresh = begin();
    drop(runtime);
    for address in [idle, busy, fresh] {
        assert!(matches!(address.join(), Exit::Cancelled { .. }), "{}", address.join());
        assert!(address.try_tell(Sum::Stop).is_err());
    }
    assert_eq!(exits.lock().len(), 3);
    assert!(exits.lock().iter().all(|exit| exit == "cancelled: its runtime has ended"));
}

#[test]
fn a_failed_actor_is_started_again_after_a_delay_that_doubles() {
    within(|| {
        let starts = Arc::new(Mutex::new(Vec::new()));
        let start = now();
        struct Notes(Arc<Mutex<Vec<Duration>>>, std::time::Instant, Summing);
        impl Actor for Notes {
            type Message = Sum;

            fn started(&mut self, _: &Context<Sum>) -> Result<(), BoxError> {
                self.0.lock().push(now() - self.1);
                Ok(())
            }

            fn handle(&mut self, message: Sum, cx: &Context<Sum>) -> Result<Next, BoxError> {
                self.2.handle(message, cx)
            }
        }
        let policy = Restart::new().limit(4, 100 * SECOND).backoff(SECOND, 5 * SECOND);
        let noted = Arc::clone(&starts);
        let sum = Builder::new()
            .spawn_restarting(policy, move || Notes(Arc::clone(&noted), start, Summing::default()))
            .unwrap();
        // A message that waits in the mailbox outlives the failure; the state does not.
        sum.tell(Sum::Add(5)).wait().unwrap();
        sum.tell(Sum::Break("first")).wait().unwrap();
        sum.tell(Sum::Add(2)).wait().unwrap();
        assert_eq!(sum.ask(Sum::Total).wait().unwrap(), 2);
        assert_eq!((sum.restarts(), now() - start), (1, SECOND));
        assert_eq!(sum.last_failure().unwrap().panic_message(), Some("first"));
        sum.tell(Sum::Break("with an error")).wait().unwrap();
        assert_eq!(sum.ask(Sum::Total).wait().unwrap(), 0);
        sum.tell(Sum::Break("third")).wait().unwrap();
        assert_eq!(sum.ask(Sum::Total).wait().unwrap(), 0);
        sum.tell(Sum::Break("fourth")).wait().unwrap();
        assert_eq!(sum.ask(Sum::Total).wait().unwrap(), 0);
        let seconds: Vec<_> = starts.lock().iter().map(Duration::as_secs).collect();
        assert_eq!(seconds, [0, 1, 1 + 2, 3 + 4, 7 + 5], "1, 2, 4, and the bound");

        // After the window the limit is new: failures at 0, 1, 3, 7 leave it at 107 at the latest.
        sleep(200 * SECOND);
        sum.tell(Sum::Break("later")).wait().unwrap();
        let before = now();
        assert_eq!(sum.ask(Sum::Total).wait().unwrap(), 0);
        assert_eq!(now() - before, SECOND, "from the beginning");
        for text in ["a", "b", "c", "one too many"] {
            sum.tell(Sum::Break(text)).wait().unwrap();
        }
        assert_eq!(failed(&sum.join()), ("one too many".into(), 8));
    });
}

#[test]
fn a_request_to_a_failing_actor_fails_and_may_be_repeated() {
    within(|| {
        let policy = Restart::new().backoff(SECOND, SECOND);
        let moody = Builder::new()
            .spawn_restarting(policy, || {
                let mut first = true;
                from_fn(move |reply: Reply<bool>, cx: &Context<_>| {
                    assert!(!std::mem::take(&mut first) || cx.restarts() > 0, "a bad start");
                    reply.send(true).unwrap();
                })
            })
            .unwrap();
        assert!(matches!(moody.ask(|reply| reply).wait(), Err(AskError::Dropped)));
        assert!(moody.ask(|reply| reply).wait().unwrap());
    });
}

#[test]
fn what_cannot_be_made_fails_until_it_gives_up() {
    within(|| {
        let made = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&made);
        let policy = Restart::new().limit(3, 1000 * SECOND).backoff(SECOND, 10 * SECOND);
        let never = Builder::new()
            .spawn_restarting(policy, move || -> Summing {
                panic!("number {}", count.fetch_add(1, Ordering::Relaxed))
            })
            .unwrap();
        let start = now();
        assert_eq!(failed(&never.join()), ("number 3".into(), 3));
        assert_eq!(now() - start, 7 * SECOND);
        assert_eq!(made.load(Ordering::Relaxed), 4);
    });
}

#[test]
fn stopping_and_cancelling_do_not_wait_for_a_restart() {
    within(|| {
        let policy = Restart::new().backoff(3600 * SECOND, 3600 * SECOND);
        let ends: [fn(&Address<Sum>); 2] =
            [|sum| sum.stop(Stop::Now), |sum| assert!(sum.cancel("no more"))];
        for end in ends {
            let sum = Builder::new().spawn_restarting(policy, Summing::default).unwrap();
            sum.tell(Sum::Break("at once")).wait().unwrap();
            sleep(SECOND);
            let start = now();
            end(&sum);
            sum.join();
            assert_eq!((now() - start, sum.restarts()), (Duration::ZERO, 0));
            assert_eq!(sum.last_failure().unwrap().panic_message(), Some("at once"));
        }
    });
}

#[test]
fn what_goes_wrong_while_it_ends_does_not_start_it_again() {
    struct Clumsy;
    impl Actor for Clumsy {
        type Message = ();

        fn handle(&mut self, (): (), _: &Context<()>) -> Result<Next, BoxError> {
            Ok(Next::Stop)
        }

        fn stopped(&mut self, _: &Exit) {
            panic!("on the doorstep");
        }
    }
    let clumsy = Builder::new().spawn_restarting(Restart::new(), || Clumsy).unwrap();
    clumsy.tell(()).wait().unwrap();
    assert_eq!(failed(&clumsy.join()), ("on the doorstep".into(), 0));
}

#[test]
fn linked_actors_end_together_unless_it_is_a_normal_end() {
    within(|| {
        let chain: Vec<_> = (0..5).map(|_| actor::spawn(Summing::default()).unwrap()).collect();
        chain.windows(2).for_each(|pair| pair[0].link(&pair[1]));
        let aside = actor::spawn(Summing::default()).unwrap();
        aside.link(&chain[2]);
        aside.stop(Stop::Drain);
        aside.join();
        assert_eq!(chain[2].ask(Sum::Total).wait().unwrap(), 0, "a normal end is none of theirs");
        chain[2].tell(Sum::Break("the middle")).wait().unwrap();
        for (number, actor) in chain.iter().enumerate() {
            let exit = actor.join();
            if number == 2 {
                assert_eq!(failed(&exit).0, "the middle");
            } else {
                assert!(matches!(&exit, Exit::Cancelled { .. }), "{exit}");
                assert!(exit.to_string().contains("the middle"), "{exit}");
            }
        }
        // A link to an actor that has failed already.
        let late = actor::spawn(Summing::default()).unwrap();
        late.link(&chain[2]);
        assert!(matches!(late.join(), Exit::Cancelled { .. }));
        let other = actor::spawn(Summing::default()).unwrap();
        chain[0].link(&other);
        assert!(matches!(other.join(), Exit::Cancelled { .. }));
    });
}

#[test]
fn a_restarted_actor_cancels_no_other() {
    within(|| {
        let (one, two) = (
            Builder::new().spawn_restarting(Restart::new(), Summing::default).unwrap(),
            actor::spawn(Summing::default()).unwrap(),
        );
        one.link(&two);
        one.tell(Sum::Break("not for good")).wait().unwrap();
        assert_eq!(one.ask(Sum::Total).wait().unwrap(), 0);
        assert_eq!(two.ask(Sum::Total).wait().unwrap(), 0);
        // In the other direction: a cancelled actor has not failed, so it is not restarted.
        two.tell(Sum::Break("for good")).wait().unwrap();
        assert!(matches!(one.join(), Exit::Cancelled { .. }));
    });
}

#[test]
fn a_monitor_is_notified_of_every_end_even_if_its_mailbox_is_full() {
    within(|| {
        let (seen_by, seen) = unlimited();
        let (go, may_go) = unlimited::<()>();
        let watcher = Builder::new()
            .mailbox(becket_chan::Builder::bounded(1))
            .spawn_fn(move |text: String, _: &_| {
                let _ = may_go.recv().wait();
                seen_by.try_send(text).unwrap();
            })
            .unwrap();
        let watched: Vec<_> = (0..6).map(|_| actor::spawn(Summing::default()).unwrap()).collect();
        for (number, actor) in watched.iter().enumerate() {
            watcher.monitor(actor, move |exit| format!("{number}: {exit}"));
        }
        for actor in &watched[..3] {
            actor.stop(Stop::Now);
        }
        watched[3].cancel("y");
        drop(watched);
        sleep(SECOND);
        drop(go);
        let mut all: Vec<_> = seen.iter().take(6).collect();
        all.sort();
        let gone = "stopped: its last address was dropped";
        assert_eq!(all[..4], ["0: stopped", "1: stopped", "2: stopped", "3: cancelled: y"]);
        assert_eq!(all[4..], [format!("4: {gone}"), format!("5: {gone}")]);
        // A monitor does not keep its own mailbox open.
        drop(watcher);
        assert!(seen.recv().wait().is_err());
    });
}

#[test]
fn a_scope_waits_for_its_actors_and_fails_with_them() {
    within(|| {
        let outcome = scope(|s| {
            let sum = Builder::new().parent(s.job()).spawn(Summing::default()).unwrap();
            sum.tell(Sum::Add(3)).wait().unwrap();
            sum.ask(Sum::Total).wait().unwrap()
        });
        assert_eq!(outcome.unwrap(), 3, "the address is dropped, the actor ends");

        let outcome = Scope::builder().timeout(3600 * SECOND).run(|s| {
            let sum = Builder::new().name("sum").parent(s.job()).spawn(Summing::default()).unwrap();
            sum.tell(Sum::Break("in the scope")).wait().unwrap();
            s.token().cancelled().wait();
        });
        let error = outcome.unwrap_err();
        assert_eq!(error.failure().unwrap().name(), Some("sum"));

        let outcome = supervisor(|s| {
            let bad = Builder::new().parent(s.job()).spawn(Summing::default()).unwrap();
            let good = Builder::new().parent(s.job()).spawn(Summing::default()).unwrap();
            bad.tell(Sum::Break("alone")).wait().unwrap();
            bad.join();
            good.ask(Sum::Total).wait().unwrap()
        });
        assert_eq!(outcome.unwrap(), 0);

        let body = Job::begin();
        let sum = Builder::new().parent(body.job()).spawn(Summing::default()).unwrap();
        body.job().cancel("from above");
        assert_eq!(sum.join().to_string(), "cancelled: from above");
        body.complete();
    });
}

#[test]
fn what_an_actor_spawned_ends_with_its_life() {
    within(|| {
        let ended = Arc::new(AtomicUsize::new(0));
        let counts = Arc::clone(&ended);
        let helped = Builder::new()
            .spawn_restarting(Restart::new(), move || {
                let ended = Arc::clone(&counts);
                from_fn(move |fails: bool, cx: &Context<bool>| {
                    let ended = Arc::clone(&ended);
                    assert!(!current_token().unwrap().is_cancelled());
                    cx.job().spawn(move || {
                        current_token().unwrap().cancelled().wait();
                        ended.fetch_add(1, Ordering::Relaxed);
                    });
                    // So that the helper has begun.
                    sleep(SECOND);
                    if fails { Err("as requested") } else { Ok(()) }
                })
            })
            .unwrap();
        helped.tell(false).wait().unwrap();
        helped.tell(true).wait().unwrap();
        sleep(60 * SECOND);
        assert_eq!((helped.restarts(), ended.load(Ordering::Relaxed)), (1, 2));
        helped.tell(false).wait().unwrap();
        helped.stop(Stop::Drain);
        assert!(matches!(helped.join(), Exit::Stopped));
        assert_eq!(ended.load(Ordering::Relaxed), 3, "the join waits for the helpers");
    });
}

#[test]
fn a_refused_spawn_is_an_error_of_the_start() {
    let runtime = Runtime::builder().workers(1).build().unwrap();
    let handle = runtime.handle().clone();
    drop(runtime);
    assert!(Builder::new().on(&handle).spawn(Summing::default()).is_err());
}
