// SPDX-License-Identifier: BSD-3-Clause
//! Actors: a state that one coroutine owns, and a mailbox in front of it.

use std::{collections::HashMap, time::Duration};

use becket_chan::rendezvous;
use becket_coro::{
    Clock, Runtime, VirtualClock,
    actor::{self, Actor, AskError, Builder, Context, Exit, Next, Reply, Restart, Stop, from_fn},
    job::BoxError,
};

use crate::Shown;

pub(crate) fn show() -> Shown {
    asking()?;
    stopping()?;
    restarting()?;
    ties()
}

// ANCHOR: bank
#[derive(Default)]
struct Bank {
    accounts: HashMap<&'static str, u64>,
}

#[derive(Debug)]
enum Order {
    Pay { to: &'static str, amount: u64 },
    Balance { of: &'static str, reply: Reply<u64> },
}

impl Actor for Bank {
    type Message = Order;

    // One message at a time: the state needs no lock. It may wait; then messages queue.
    fn handle(&mut self, order: Order, _cx: &Context<Order>) -> Result<Next, BoxError> {
        match order {
            Order::Pay { to, amount } => *self.accounts.entry(to).or_default() += amount,
            Order::Balance { of, reply } => {
                let balance = self.accounts.get(of).copied().unwrap_or_default();
                // The request may have timed out.
                reply.send(balance).ok();
            }
        }
        Ok(Next::Continue)
    }
}

fn asking() -> Shown {
    let bank = actor::spawn(Bank::default())?;
    bank.tell(Order::Pay { to: "ada", amount: 40 }).wait()?;
    bank.tell(Order::Pay { to: "ada", amount: 2 }).wait()?;
    let balance = bank.ask(|reply| Order::Balance { of: "ada", reply });
    assert_eq!(balance.timeout(Duration::from_secs(60)).wait()?, 42);
    Ok(())
}
// ANCHOR_END: bank

// ANCHOR: stop
fn stopping() -> Shown {
    let (done, printed) = rendezvous();
    let mailbox = becket_chan::Builder::bounded(8);
    let printer = Builder::new()
        .name("printer")
        .mailbox(mailbox)
        .spawn_fn(move |page: u32, _cx| done.send(page).wait())?;
    let (ended, heard) = rendezvous();
    printer.on_done(move |exit| _ = ended.send(exit.is_normal()).wait());
    for page in 1..=3 {
        printer.try_tell(page)?;
    }
    // Messages in the mailbox are handled first. A later message is refused and returned.
    printer.stop(Stop::Drain);
    assert_eq!(printer.try_tell(4).map_err(|error| error.into_inner()), Err(4));
    assert!(printed.iter().take(3).eq(1..=3));
    assert_eq!(heard.recv().wait(), Ok(true));
    assert!(matches!(printer.join(), Exit::Stopped));
    Ok(())
}
// ANCHOR_END: stop

// ANCHOR: restart
fn restarting() -> Shown {
    // A virtual clock, so that the delays take no real time.
    let clock = Clock::Virtual(VirtualClock::automatic());
    let runtime = Runtime::builder().workers(1).clock(clock).build()?;
    // Twice a minute; after one second and after two.
    let policy = Restart::new()
        .limit(2, Duration::from_secs(60))
        .backoff(Duration::from_secs(1), Duration::from_secs(8));
    let adder =
        Builder::new().name("adder").on(runtime.handle()).spawn_restarting(policy, || {
            let mut sum = 0;
            from_fn(move |(text, reply): (&str, Reply<u32>), _cx| {
                sum += text.parse::<u32>()?;
                reply.send(sum).ok();
                Ok::<_, BoxError>(())
            })
        })?;
    let ask = |text| adder.ask(|reply| (text, reply)).wait();

    assert_eq!(ask("7").ok(), Some(7));
    // The message that failed is lost, and so is the state. The address stays valid.
    assert!(matches!(ask("x"), Err(AskError::Dropped)));
    assert_eq!(ask("1").ok(), Some(1));
    assert_eq!(adder.restarts(), 1);

    assert!(ask("x").is_err() && ask("x").is_err(), "the second restart, and the end");
    let exit = adder.join();
    assert!(matches!(&exit, Exit::Failed { restarts: 2, .. }));
    println!("{exit}");
    Ok(())
}
// ANCHOR_END: restart

// ANCHOR: links
fn ties() -> Shown {
    let idle = || actor::spawn_fn(|failure: &'static str, _cx| Err::<(), _>(failure));
    let (left, right) = (idle()?, idle()?);
    left.link(&right);

    // Receives the exit of the other actor as a message, and continues.
    let (tx, news) = rendezvous();
    let watcher = actor::spawn_fn(move |text: String, _cx| drop(tx.send(text).wait()))?;
    watcher.monitor(&right, |exit| exit.to_string());

    left.tell("out of paper").wait()?;
    assert!(matches!(left.join(), Exit::Failed { .. }));
    assert!(matches!(right.join(), Exit::Cancelled { .. }), "linked: it goes too");
    assert!(news.recv().wait()?.starts_with("cancelled: a linked actor ended"));
    assert!(watcher.exit().is_none());
    Ok(())
}
// ANCHOR_END: links
