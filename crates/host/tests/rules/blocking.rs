// SPDX-License-Identifier: BSD-3-Clause
//! A plugin that blocks costs its own calls and nothing else in an async program of one thread.
//!
//! The program is tokio with one worker. While calls of the plugin are blocked, a task calls another
//! plugin every 10 ms: the worst of those, timer included, takes less than [`WORST`]. A machine that
//! stands still is no finding, so one of a few tries must be undisturbed.

// A probe has a period, and the promise is by the clock.
#![allow(clippy::disallowed_methods)]

use std::{
    ffi::c_void,
    ptr,
    time::{Duration, Instant},
};

use becket_abi::{NrOwnedBytes, NrStatus};
use becket_host::{CallError, Host, Limits, Plugin, Request};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::IS_INLINE;
use crate::support::{script::Script, unload_clean, wait::Tally};

const WORST: Duration = Duration::from_millis(100);
const PERIOD: Duration = Duration::from_millis(10);
const DEADLINE: Duration = Duration::from_millis(100);
/// How long it is probed.
const PROBED: Duration = Duration::from_millis(250);
/// What comes at a deadline, comes so soon after it on a busy machine.
const SOON: Duration = Duration::from_millis(500);
const WORKERS_MAX: usize = 32;
const TRIES: u32 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Handle,
    Data,
    Release,
    /// In `handle` of a call that is not awaited.
    Notified,
    /// In `stream_data` with a frame that is not awaited.
    Offered,
}

const PLACES: [Place; 5] =
    [Place::Handle, Place::Data, Place::Release, Place::Notified, Place::Offered];

/// Opened when the test is over. Leaked: a release has no other way to it than an address.
type Gate = &'static Tally;

unsafe extern "C" fn release(gate: *mut c_void, _: *const u8, _: u64) {
    // SAFETY: the leaked gate that `blocks` passes.
    unsafe { &*gate.cast_const().cast::<Tally>() }.reach(1);
}

/// Blocks in its entries `handle` and `release`, and in each frame of `data`.
fn blocks(gate: Gate) -> Script {
    Script::new(move |api, call| match call.entry {
        "data" => NrStatus::Ok,
        "release" => api.send_owned(
            call.sid,
            NrStatus::Ok,
            NrOwnedBytes {
                ptr: b"static".as_ptr(),
                len: 6,
                owner_ctx: ptr::from_ref(gate).cast_mut().cast(),
                release: Some(release),
            },
        ),
        "handle" => {
            gate.reach(1);
            api.send(call.sid, NrStatus::Ok, b"")
        }
        _ => api.send(call.sid, NrStatus::Ok, b""),
    })
    .on_data(move |_, _, _| {
        gate.reach(1);
        NrStatus::Ok
    })
    .on_close(|_, _| NrStatus::Ok)
}

/// One call that blocks; what its caller sees.
async fn block(plugin: Plugin, place: Place) {
    let began = Instant::now();
    match place {
        Place::Handle => {
            let answer = plugin.call_raw("handle", b"").timeout(DEADLINE).await;
            assert!(matches!(answer, Err(CallError::DeadlineExceeded)), "{answer:?}");
        }
        Place::Data => {
            let stream = plugin.stream("data", Request::default()).await.unwrap();
            let sent = timeout(DEADLINE, stream.send(b"x")).await;
            // It is on its way to another process, or the plugin has to take it.
            assert_eq!(sent.is_err(), IS_INLINE, "{sent:?}");
        }
        Place::Release => {
            let answer = plugin.call_raw("release", b"").timeout(DEADLINE * 10).await;
            drop(answer.unwrap().body);
        }
        Place::Notified => plugin.notify("handle", b"").unwrap(),
        Place::Offered => {
            let stream = plugin.stream("data", Request::default()).await.unwrap();
            stream.try_send(b"x").unwrap();
            stream.try_send(b"behind it").unwrap();
            stream.close().unwrap();
        }
    }
    assert!(began.elapsed() < DEADLINE + SOON, "{place:?}: {:?}", began.elapsed());
}

/// The worst of the calls of another plugin meanwhile.
async fn probe(other: Plugin) -> Duration {
    let over = Instant::now() + PROBED;
    let mut worst = Duration::ZERO;
    while Instant::now() < over {
        let began = Instant::now();
        sleep(PERIOD).await;
        other.call_raw("x", b"").await.unwrap();
        worst = worst.max(began.elapsed() - PERIOD);
    }
    worst
}

fn look(runtime: &Runtime, place: Place, at_once: usize, quick_before: u32) -> Duration {
    let host = Host::new();
    if runtime.metrics().num_workers() > 1 {
        let handle = runtime.handle().clone();
        host.set_executor(runtime.metrics().num_workers(), move |work| {
            drop(handle.spawn(async { work.run() }));
        });
    }
    let gate: Gate = Box::leak(Box::default());
    let limits = Limits { drain_ms: 50, ..Limits::default() };
    let (plugin, _) = blocks(gate).load_with(&host, "blocks", |spec| spec.limits(limits));
    let (other, _) = Script::echo().load(&host, "other");
    let (worst, took) = {
        let (host, other) = (host.clone(), other.clone());
        let program = async move {
            for _ in 0..quick_before {
                plugin.call_raw("quick", b"").await.unwrap();
            }
            let probe = tokio::spawn(probe(other));
            let mut blocked: JoinSet<()> =
                (0..at_once).map(|_| block(plugin.clone(), place)).collect();
            while let Some(joined) = blocked.join_next().await {
                joined.unwrap();
            }
            let worst = probe.await.unwrap();
            let began = Instant::now();
            host.unload("blocks").await.unwrap();
            (worst, began.elapsed())
        };
        // On the worker: the calling thread only waits.
        let program = runtime.spawn(program);
        runtime.block_on(program).unwrap()
    };
    assert!(took < Duration::from_secs(2), "the unload took {took:?}");
    gate.add();
    unload_clean(&host, &other);
    worst
}

#[test]
fn a_plugin_that_blocks_stops_no_program_of_one_thread() {
    stops_nothing(1);
}

/// The program has named its executor: calls that have been quick run on its threads.
#[test]
fn a_plugin_that_was_quick_and_blocks_stops_no_program_of_two_threads() {
    stops_nothing(2);
}

fn stops_nothing(threads: usize) {
    let runtime = Builder::new_multi_thread().worker_threads(threads).enable_time().build();
    let runtime = runtime.unwrap();
    for place in PLACES {
        // A plugin whose process has to be killed takes seconds to unload, so not all of it.
        let (at_onces, quicks): (&[_], &[_]) = match IS_INLINE {
            true => (&[1, WORKERS_MAX], &[0, 8, 1000]),
            false => (&[WORKERS_MAX], &[1000]),
        };
        for &at_once in at_onces {
            for &quick_before in quicks {
                let worst = (0..TRIES)
                    .map(|_| look(&runtime, place, at_once, quick_before))
                    .find(|worst| *worst < WORST);
                assert!(worst.is_some(), "{place:?}, {at_once} at once, after {quick_before}");
            }
        }
    }
}

#[test]
fn the_only_thread_of_an_executor_is_not_lent_to_a_plugin_that_says_it_never_blocks() {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let host = Host::new();
    let waker = runtime.handle().clone();
    host.set_executor(runtime.metrics().num_workers(), move |work| {
        drop(waker.spawn(async { work.run() }))
    });
    let gate: Gate = Box::leak(Box::default());
    let (plugin, _) = blocks(gate).never_blocks().load(&host, "blocks");
    let (other, _) = Script::echo().load(&host, "other");
    for place in PLACES {
        let worst = (0..TRIES).map(|_| {
            runtime.block_on(async {
                let blocked = block(plugin.clone(), place);
                let (worst, ()) = tokio::join!(probe(other.clone()), blocked);
                worst
            })
        });
        assert!({ worst }.any(|worst| worst < WORST), "{place:?}");
    }
    gate.add();
    unload_clean(&host, &other);
}
