// SPDX-License-Identifier: BSD-3-Clause
//! Statuses, views, texts, leases, owned bytes, ids that are somebody else's.

use std::time::Duration;

use becket_abi::NrStatus;
use becket_host::{CallError, Dispatch, Limits};

use crate::{
    BOTH, Specimen,
    support::{
        logs,
        script::Script,
        unload_clean,
        wait::{Mailbox, poll_once, wait},
    },
};

pub(crate) fn status_99_returned(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        for result in [specimen.hit(), specimen.plugin.call_now("hit", b"")] {
            let Err(CallError::Refused { status }) = result else { panic!("{result:?}") };
            assert_eq!(status, NrStatus(99));
        }
        assert_eq!(specimen.plugin.snapshot().failed.refused, 2);
        specimen.end();
    }
}

pub(crate) fn status_99_sent(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        let response = specimen.hit().unwrap();
        assert_eq!(response.status, NrStatus(99));
        assert!(!response.body.is_empty());
        assert_eq!(specimen.plugin.snapshot().failed.answered_with_error, 1);
        specimen.end();
    }
}

pub(crate) fn null_with_length(name: &str) {
    refuses_the_answer(name, NrStatus::Invalid);
}

pub(crate) fn length_2_44(name: &str) {
    refuses_the_answer(name, NrStatus::TooLong);
}

pub(crate) fn length_2_62(name: &str) {
    refuses_the_answer(name, NrStatus::TooLong);
}

/// `send_result` cannot say that a payload is none: the call ends with that at once.
fn refuses_the_answer(name: &str, wanted: NrStatus) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        for result in [specimen.hit(), specimen.plugin.call_now("hit", b"")] {
            let response = result.unwrap();
            assert_eq!((response.status, response.body.len()), (wanted, 0));
        }
        let snapshot = specimen.plugin.snapshot();
        assert_eq!(snapshot.refused_answers.invalid, 2);
        assert_eq!(snapshot.failed.answered_with_error, 2);
        specimen.end();
    }
}

pub(crate) fn not_utf8(name: &str) {
    logs::capture();
    let specimen = Specimen::load(name, Dispatch::Caller);
    specimen.answers(b"\xff\xfe\x80\xc0");
    logs::reach(1, &["plugin=not_utf8 ", "\u{fffd}"]);
    let snapshot = specimen.plugin.snapshot();
    assert!(snapshot.metrics.is_empty());
    assert!(snapshot.refused_answers.invalid >= 1, "the key");
    specimen.end();
}

pub(crate) fn writes_to_stdout(name: &str) {
    let specimen = Specimen::load(name, Dispatch::Caller);
    specimen.answers(b"hit");
    specimen.end();
}

pub(crate) fn text_too_long(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        specimen.answers(b"survived");
        assert!(specimen.plugin.snapshot().metrics.is_empty());
        specimen.end();
    }
}

pub(crate) fn lease_2_63(name: &str) {
    let specimen = Specimen::load(name, Dispatch::Caller);
    specimen.answers(b"refused");
    assert_eq!(specimen.plugin.snapshot().resources_refused, 1);
    specimen.end();
}

pub(crate) fn lease_bad_token(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        specimen.answers(b"leased");
        specimen.end();
    }
    let specimen = Specimen::load(name, Dispatch::Caller);
    specimen.answers(b"leased");
    assert!(specimen.refused() >= 3, "made up, for no call, twice");
    specimen.end();
}

pub(crate) fn lease_too_long(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        for at in 1..=10 {
            specimen.answers(b"survived");
            assert_eq!(specimen.plugin.snapshot().refused_answers.invalid, 2 * at);
        }
        specimen.end();
    }
}

pub(crate) fn lease_never_given_back(name: &str) {
    let specimen = Specimen::load_limited(name, Limits { leases_max: 10, ..Limits::default() });
    for _ in 0..10 {
        specimen.answers(b"hit");
    }
    for _ in 0..10 {
        specimen.answers(b"refused");
    }
    assert_eq!(specimen.plugin.snapshot().resources_refused, 10);
    specimen.end();
}

pub(crate) fn exhausts_leases(name: &str) {
    bounded(name);
}

pub(crate) fn exhausts_state(name: &str) {
    bounded(name);
}

pub(crate) fn exhausts_timers(name: &str) {
    bounded(name);
}

pub(crate) fn exhausts_metrics(name: &str) {
    bounded(name);
}

fn bounded(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        for _ in 0..3 {
            specimen.answers(b"bounded");
        }
        specimen.end();
    }
}

pub(crate) fn owned_to_nobody(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        for _ in 0..100 {
            specimen.answers(b"owned");
        }
        // The worker may still be at the last of them: the end waits for it.
        let plugin = specimen.plugin.clone();
        specimen.end();
        let refused = plugin.snapshot().refused_answers;
        assert_eq!(refused.unknown + refused.late + refused.invalid, 300, "{refused:?}");
        assert_eq!(refused.invalid, 100);
    }
}

pub(crate) fn answers_twice(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        for _ in 0..10 {
            specimen.answers(b"first");
        }
        let plugin = specimen.plugin.clone();
        specimen.end();
        assert_eq!(plugin.snapshot().refused_answers.late, 10);
    }
}

pub(crate) fn answers_after_error(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        let result = specimen.hit();
        let Err(CallError::Refused { status }) = result else { panic!("{result:?}") };
        assert_eq!(status, NrStatus::Err);
        specimen.is_well();
        assert_eq!(specimen.plugin.snapshot().refused_answers.late, 1);
        specimen.end();
    }
}

pub(crate) fn answers_in_handle_then_errs(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        for _ in 0..50 {
            assert_eq!(*specimen.hit().unwrap().body, *b"answered", "the first answer wins");
        }
        specimen.end();
    }
}

pub(crate) fn answers_foreign_sid(name: &str) {
    let specimen = Specimen::load(name, Dispatch::Caller);
    let ids = Mailbox::new();
    let to_test = ids.clone();
    let (victim, own) = Script::new(move |_, call| {
        to_test.put(call.sid);
        NrStatus::Ok
    })
    .load(&specimen.host, "victim");
    let mut call = victim.call_raw("x", b"");
    assert!(poll_once(&mut call).is_pending());
    let sid = ids.take();
    let forged = wait(specimen.plugin.call_raw("hit", sid.to_string().as_bytes())).unwrap();
    assert_eq!(*forged.body, *b"done");
    assert_eq!(specimen.plugin.snapshot().refused_answers.foreign, 4);
    assert!(poll_once(&mut call).is_pending(), "that plugin's call goes on");
    assert_eq!(own.send(sid, NrStatus::Ok, b"own"), NrStatus::Ok);
    assert_eq!(*wait(call).unwrap().body, *b"own");
    unload_clean(&specimen.host, &victim);
    specimen.end();
}

pub(crate) fn answers_random_sids(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        specimen.answers(b"done");
        let refused = specimen.refused();
        assert!((99_000..=100_000).contains(&refused), "{refused}");
        specimen.end();
    }
}

pub(crate) fn throws_exception(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        for _ in 0..10 {
            let result = specimen.hit();
            let Err(CallError::Refused { status }) = result else { panic!("{result:?}") };
            assert_eq!(status, NrStatus::Panic);
        }
        specimen.end();
    }
}

pub(crate) fn panics_in_async(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        for _ in 0..10 {
            match specimen.hit() {
                Ok(response) => assert_eq!(response.status, NrStatus::Panic),
                Err(CallError::Refused { status }) => assert_eq!(status, NrStatus::Panic),
                other => panic!("{other:?}"),
            }
        }
        specimen.end();
    }
}

pub(crate) fn answers_any_entry(name: &str) {
    let specimen = Specimen::load(name, Dispatch::Caller);
    let response = wait(specimen.plugin.call_raw("no-such-entry", b"")).unwrap();
    assert_eq!((response.status, &*response.body), (NrStatus::Ok, &b"any"[..]));
    specimen.end();
}

pub(crate) fn loses_bytes_of_answers(name: &str) {
    for dispatch in BOTH {
        let specimen = Specimen::load(name, dispatch);
        for (sent, back) in [(40, 40), (41, 40)] {
            let response = wait(specimen.plugin.call_raw("hit", &vec![b'x'; sent])).unwrap();
            assert_eq!(response.body.len(), back);
        }
        specimen.end();
    }
}

pub(crate) fn forgets_long_payloads(name: &str) {
    let specimen = Specimen::load(name, Dispatch::Caller);
    specimen.answers(b"hit");
    let long = vec![0; (64 << 10) + 1];
    let call = specimen.plugin.call_raw("hit", &long).timeout(Duration::ZERO);
    assert!(matches!(wait(call), Err(CallError::DeadlineExceeded)));
    specimen.end();
}

pub(crate) fn forgets_who_was_refused(name: &str) {
    Specimen::load(name, Dispatch::Caller).answers(b"hit");
    let limits = Limits { leases_max: 0, ..Limits::default() };
    let specimen = Specimen::load_limited(name, limits);
    let call = specimen.plugin.call_raw("hit", b"").timeout(Duration::ZERO);
    assert!(matches!(wait(call), Err(CallError::DeadlineExceeded)));
    assert_eq!(specimen.plugin.snapshot().resources_refused, 1);
    specimen.end();
}

pub(crate) fn keeps_what_leavers_took(name: &str) {
    let limits = Limits { leases_max: 4, ..Limits::default() };
    let specimen = Specimen::load_limited(name, limits);
    specimen.answers(b"hit");
    for _ in 0..4 {
        assert!(poll_once(&mut specimen.plugin.call_raw("hit", b"")).is_pending());
    }
    let refused = specimen.hit().unwrap();
    assert_eq!((refused.status, &*refused.body), (NrStatus::Backpressure, &b"refused"[..]));
    specimen.end();
}
