// SPDX-License-Identifier: BSD-3-Clause
//! Jobs: a tree of running work, without a block around it.

use becket_chan::rendezvous;
use becket_coro::{
    current_token,
    job::{Job, JobState},
};

use crate::Shown;

pub(crate) fn show() -> Shown {
    tree()?;
    failure()
}

// ANCHOR: tree
fn tree() -> Shown {
    let body = Job::builder().name("server").begin();
    let server = body.job().clone();
    let (began, heard) = rendezvous();
    let connections = ["a", "b"].map(|name| {
        let began = began.clone();
        server.launch().name(name).spawn(move || {
            began.send(name).wait().ok();
            // The token of its own job, which is a child of the server's.
            current_token().is_some_and(|token| token.cancelled().wait())
        })
    });
    // A child that had not started by then would never start.
    assert!(heard.iter().take(2).all(|name| name == "a" || name == "b"));
    assert_eq!((server.state(), server.children_len()), (JobState::Active, 2));

    server.cancel("shutting down");
    for connection in connections {
        assert!(connection.join()?, "it heard, and ended by itself");
    }
    // The body is over too, so the job ends.
    body.complete();
    assert_eq!(server.join(), JobState::Cancelled);
    assert_eq!(server.reason().as_deref(), Some("shutting down"));
    Ok(())
}
// ANCHOR_END: tree

// ANCHOR: failure
fn failure() -> Shown {
    let body = Job::builder().name("server").begin();
    let server = body.job().clone();
    let (began, ready) = rendezvous();
    let flush = server.launch().name("flush").spawn(move || {
        began.send(()).wait().ok();
        current_token().is_some_and(|token| token.cancelled().wait())
    });
    server.launch().name("accept").spawn_try(move || {
        ready.recv().wait().ok();
        Err::<(), _>("no more descriptors")
    });

    assert!(flush.join()?, "cancelled by its sibling's failure");
    body.complete();
    assert_eq!(server.join(), JobState::Failed);
    assert_eq!(server.failure().as_ref().and_then(|failure| failure.name()), Some("accept"));
    Ok(())
}
// ANCHOR_END: failure
