// SPDX-License-Identifier: BSD-3-Clause
//! `select!` for a set that is known at compile time, `Select` for any other.

use std::thread;
use std::time::Duration;

use becket_chan::{Select, Token, bounded, rendezvous, select, unlimited};
use futures_lite::future::block_on;

use crate::Shown;

pub(crate) fn show() -> Shown {
    block_on(arms())?;
    ways()?;
    both_sides();
    dynamic()
}

// ANCHOR: arms
async fn arms() -> Shown {
    let (orders, inbox) = bounded::<u32>(8);
    let (_alarms, alarm) = rendezvous::<&str>();
    let (log, lines) = bounded::<String>(1);
    let stop = Token::new();
    orders.try_send(7)?;
    log.try_send("full".to_owned())?;

    let heard = select! {
        order = inbox.recv() => format!("order {}", order?),
        what = alarm.recv() => format!("alarm {}", what?),
        // A send is an arm like a receive. This one has no room.
        sent = log.send("idle".to_owned()) => { sent?; "logged".to_owned() },
        timeout(Duration::from_secs(1)) => "nothing for a second".to_owned(),
        cancelled(&stop) => "stopped".to_owned(),
    };
    assert_eq!(heard, "order 7");
    // The others have left no trace.
    assert_eq!((lines.len(), lines.snapshot().send_failures.total()), (1, 0));
    assert_eq!(alarm.snapshot().receivers_waiting, 0);
    Ok(())
}
// ANCHOR_END: arms

// ANCHOR: ways
fn ways() -> Shown {
    let (urgent_in, urgent) = unlimited();
    let (normal_in, normal) = unlimited();
    normal_in.try_send("normal")?;
    urgent_in.try_send("urgent")?;

    // On a thread or in a coroutine; the first ready operation, instead of a random one.
    let first = select! { wait, biased;
        job = urgent.recv() => job?,
        job = normal.recv() => job?,
    };
    assert_eq!(first, "urgent");
    assert_eq!(normal.try_recv(), Ok("normal"));
    // Without waiting.
    let idle = select! { wait;
        _job = urgent.recv() => false,
        _job = normal.recv() => false,
        default => true,
    };
    assert!(idle);
    Ok(())
}
// ANCHOR_END: ways

// ANCHOR: both
fn both_sides() {
    // Two tasks that swap a value, whichever is first: each offers to send and to receive.
    let (tx, rx) = rendezvous();
    let swap = |mine: u32| {
        select! { wait;
            theirs = rx.recv() => theirs.ok(),
            _sent = tx.send(mine) => None,
        }
    };
    thread::scope(|scope| {
        let other = scope.spawn(|| swap(1));
        let seen = [swap(2), other.join().ok().flatten()];
        assert!(seen == [Some(1), None] || seen == [None, Some(2)], "exactly one went across");
    });
}
// ANCHOR_END: both

// ANCHOR: dynamic
fn dynamic() -> Shown {
    let sources: Vec<_> = (0..200).map(|_| bounded(1)).collect();
    let (done, _done_out) = bounded(1);
    done.try_send("full")?;

    let mut select = Select::new();
    let keys: Vec<_> = sources.iter().map(|(_, rx)| select.recv(rx)).collect();
    let report = select.send(&done, "ready");

    for from in [150, 3, 42] {
        let (Some((tx, _)), Some(key)) = (sources.get(from), keys.get(from)) else { continue };
        tx.try_send(from)?;
        let ready = select.ready().timeout(Duration::from_secs(10)).wait()?;
        assert_eq!(ready.index(), from);
        assert_eq!(ready.recv(*key), Some(Ok(from)));
        assert_eq!(ready.send(report), None, "it was another");
    }
    assert!(select.try_ready().is_none(), "no value is left, and no wait was started");
    Ok(())
}
// ANCHOR_END: dynamic
