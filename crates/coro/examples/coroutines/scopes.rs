// SPDX-License-Identifier: BSD-3-Clause
//! Scopes: coroutines that end before the block that spawned them.

use std::time::Duration;

use becket_chan::{Receiver, RecvError, rendezvous};
use becket_coro::{
    scope,
    scope::{Scope, ScopeError, current_token},
};

use crate::Shown;

pub(crate) fn show() -> Shown {
    borrowing()?;
    failing();
    limits();
    ambient();
    Ok(())
}

// ANCHOR: borrow
fn borrowing() -> Shown {
    let text = "to be or not to be".to_owned();
    let mut longest = "";
    let count = scope(|s| {
        // Both children borrow from this function, and end before it continues.
        let count = s.spawn(|| text.split(' ').count());
        s.spawn(|| longest = text.split(' ').max_by_key(|word| word.len()).unwrap_or_default());
        count.join()
    });
    assert_eq!((count??, longest), (6, "not"));
    Ok(())
}
// ANCHOR_END: borrow

// ANCHOR: failure
fn failing() {
    let (_tx, rx) = rendezvous::<u32>();
    let result = scope(|s| {
        s.launch().name("config").spawn_try(|| "8o80".parse::<u16>());
        // Would wait for ever, but the other child's failure cancels the scope's token.
        s.spawn(|| assert_eq!(rx.recv().cancel_on(s.token()).wait(), Err(RecvError::Cancelled)));
    });
    let failure = result.err().and_then(|error| error.failure().cloned());
    assert_eq!(failure.as_ref().and_then(|failure| failure.name()), Some("config"));
    if let Some(failure) = failure {
        println!("{failure}");
    }
}
// ANCHOR_END: failure

// ANCHOR: limits
fn limits() {
    let late = Scope::builder()
        .name("request")
        .timeout(Duration::from_millis(5))
        .run(|s| s.spawn(|| s.token().cancelled().wait()).join().is_ok());
    assert!(matches!(late, Err(ScopeError::DeadlinePassed)));

    let stopped = scope(|s| {
        s.spawn(|| s.token().cancelled().wait());
        s.cancel("the client has gone");
    });
    assert!(stopped.is_err_and(|error| error.to_string() == "cancelled: the client has gone"));
}
// ANCHOR_END: limits

// ANCHOR: ambient
/// Gets no token as an argument, and is cancelled all the same.
fn next_of(rx: &Receiver<u32>) -> Result<u32, RecvError> {
    match current_token() {
        Some(token) => rx.recv().cancel_on(&token).wait(),
        None => rx.recv().wait(),
    }
}

fn ambient() {
    let (_tx, rx) = rendezvous();
    let outer = scope(|outer| {
        // A scope inside a child is below the outer one: a cancellation reaches it.
        outer.spawn(|| scope(|inner| inner.spawn(|| next_of(&rx)).join().is_err()).is_err());
        outer.cancel("enough");
    });
    assert!(outer.is_err());
}
// ANCHOR_END: ambient
