// SPDX-License-Identifier: BSD-3-Clause
//! The first answer wins over what `handle` returns after it, wherever it was given.

use becket_abi::NrStatus;
use becket_host::{CallError, Request, Response, StreamError};

use crate::{
    Waits,
    support::{assert_adds_up, wait::wait},
};

/// Where the answer is given: on the coroutine before its first wait, with a wait behind it, after
/// one, and on a thread of the plugin's own.
const ANSWERED: [&str; 4] = ["here", "before", "after", "elsewhere"];
const REFUSED: NrStatus = NrStatus(99);

#[test]
fn the_first_answer_wins_over_what_handle_returns_after_it_on_a_coroutine() {
    let waits = Waits::load("first_answer");
    let plugin = &waits.plugin;
    for _ in 0..20 {
        for place in ANSWERED {
            let answered = |result: Result<Response, CallError>| {
                let response = result.unwrap_or_else(|error| panic!("{place}: {error}"));
                assert_eq!((response.status, &*response.body), (NrStatus::Ok, &b"yes"[..]));
            };
            answered(wait(plugin.call_raw("both", place.as_bytes())));
            answered(wait(plugin.call("both", Request::new(place))));
        }
        let silent = wait(plugin.call_raw("both", b"never"));
        assert!(matches!(silent, Err(CallError::Refused { status: REFUSED })), "{silent:?}");
    }
    let snapshot = plugin.snapshot();
    assert_eq!((snapshot.ok, snapshot.failed.refused), (160, 20));
    assert_adds_up(plugin);
    waits.end();
}

#[test]
fn a_stream_that_has_a_frame_is_open_whatever_a_coroutine_returns_after_it() {
    let waits = Waits::load("first_frame");
    let plugin = &waits.plugin;
    for _ in 0..20 {
        for place in ANSWERED {
            let mut stream = wait(plugin.stream("both", Request::new(place))).unwrap();
            assert_eq!(*wait(stream.next()).unwrap().unwrap().body, *b"yes", "{place}");
            let Err(StreamError::Failed { status, .. }) = wait(stream.next()) else {
                panic!("{place}: the refusal is how it ends")
            };
            assert_eq!(status, REFUSED, "{place}");
            assert!(wait(stream.next()).unwrap().is_none());
        }
        let silent = wait(plugin.stream("both", Request::new("never"))).map(drop);
        assert!(matches!(silent, Err(CallError::Refused { status: REFUSED })), "{silent:?}");
    }
    let snapshot = plugin.snapshot();
    assert_eq!((snapshot.streams_opened, snapshot.streams_refused), (100, 20));
    waits.end();
}
