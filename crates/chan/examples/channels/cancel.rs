// SPDX-License-Identifier: BSD-3-Clause
//! Trees of cancel tokens.

use std::thread;
use std::time::Duration;

use becket_chan::{RecvError, Token, rendezvous};

use crate::Shown;

pub(crate) fn show() -> Shown {
    tree();
    waiting();
    Ok(())
}

// ANCHOR: tree
fn tree() {
    let request = Token::new();
    let (fetch, log) = (request.child(), request.child());
    let retry = fetch.child();

    fetch.cancel();
    assert!(fetch.is_cancelled() && retry.is_cancelled(), "it and all below it");
    assert!(!request.is_cancelled() && !log.is_cancelled(), "and nothing else");

    request.cancel();
    assert!(log.is_cancelled());
    assert!(request.child().is_cancelled(), "born cancelled");
}
// ANCHOR_END: tree

// ANCHOR: waiting
fn waiting() {
    let (_tx, rx) = rendezvous::<u32>();
    let server = Token::new();
    let connections: Vec<Token> = (0..3).map(|_| server.child()).collect();
    thread::scope(|scope| {
        for connection in &connections {
            let rx = &rx;
            scope.spawn(move || rx.recv().cancel_on(connection).wait());
        }
        // Waiting for a token is an operation like any other.
        let last = scope.spawn(|| connections.iter().all(|token| token.cancelled().wait()));
        server.cancel();
        assert!(last.join().is_ok_and(|all| all));
    });
    let late = rx.recv().cancel_on(&server).timeout(Duration::from_secs(1));
    assert_eq!(late.wait(), Err(RecvError::Cancelled));
}
// ANCHOR_END: waiting
