// SPDX-License-Identifier: BSD-3-Clause
//! Coroutines that a certain worker starts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use crate::common::{must_end, runtime, times, until};
use becket_coro::{JoinError, JoinHandle, Runtime, Spawn, SpawnError, current, yield_now};

fn on<T: Send + 'static>(
    rt: &Runtime,
    worker: usize,
    code: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    Spawn::new().on(rt.handle()).on_worker(worker).spawn(code).unwrap()
}

fn own_worker() -> Option<usize> {
    current().and_then(|me| me.worker())
}

#[test]
fn each_runs_on_its_worker_whoever_spawns_it_and_whether_it_sleeps() {
    must_end(|| {
        let workers = 4;
        let rt = runtime(workers);
        for _ in 0..times(200) {
            for worker in 0..workers {
                assert_eq!(on(&rt, worker, own_worker).join().unwrap(), Some(worker));
            }
        }
        // From a worker, to itself and to the others.
        let handle = rt.handle().clone();
        let all = rt.spawn(move || {
            let spawned: Vec<_> = (0..100 * workers)
                .map(|number| {
                    let spawn = Spawn::new().on(&handle).on_worker(number % workers);
                    (number % workers, spawn.spawn(own_worker).unwrap())
                })
                .collect();
            spawned.into_iter().all(|(worker, one)| one.join().unwrap() == Some(worker))
        });
        assert!(all.join().unwrap());
    });
}

#[test]
fn an_idle_worker_leaves_them_to_the_busy_one() {
    must_end(|| {
        let rt = runtime(2);
        let (holds, started) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let held = Arc::clone(&holds);
        let busy = on(&rt, 0, move || {
            while held.load(Ordering::Relaxed) {
                thread::yield_now();
            }
        });
        let waiting: Vec<_> = (0..10)
            .map(|_| {
                let started = Arc::clone(&started);
                on(&rt, 0, move || {
                    started.fetch_add(1, Ordering::Relaxed);
                    own_worker()
                })
            })
            .collect();
        // The other worker has run all that anyone may run, and was idle in between.
        for _ in 0..times(100) {
            assert_eq!(rt.spawn(own_worker).join().unwrap(), Some(1));
        }
        assert_eq!(started.load(Ordering::Relaxed), 0);
        holds.store(false, Ordering::Relaxed);
        busy.join().unwrap();
        assert!(waiting.into_iter().all(|one| one.join().unwrap() == Some(0)));
    });
}

#[test]
fn neither_they_nor_the_others_keep_the_rest_from_starting() {
    must_end(|| {
        // Each of a flood spawns the next, so that there is always one that has not started.
        fn flood(rt: becket_coro::Handle, ends: Arc<AtomicBool>, pinned: bool) {
            if !ends.load(Ordering::Relaxed) {
                let spawn = Spawn::new().on(&rt);
                let spawn = if pinned { spawn.on_worker(0) } else { spawn };
                let handle = rt.clone();
                spawn.spawn(move || flood(handle, ends, pinned)).unwrap();
                yield_now();
            }
        }
        for pinned in [false, true] {
            let rt = runtime(1);
            let ends = Arc::new(AtomicBool::new(false));
            flood(rt.handle().clone(), Arc::clone(&ends), pinned);
            if pinned {
                rt.spawn(|| ()).join().unwrap();
            } else {
                on(&rt, 0, || ()).join().unwrap();
            }
            ends.store(true, Ordering::Relaxed);
            assert!(rt.handle().wait_idle(None));
        }
    });
}

#[test]
fn a_worker_that_does_not_exist_is_an_error() {
    let rt = runtime(2);
    let refused = Spawn::new().on(rt.handle()).on_worker(2).spawn(|| ()).err();
    assert_eq!(refused, Some(SpawnError::NoWorker { worker: 2, workers: 2 }));
}

#[test]
fn those_that_never_start_end_with_the_runtime() {
    must_end(|| {
        for _ in 0..times(50) {
            let rt = runtime(2);
            let handle = rt.handle().clone();
            let holds = Arc::new(AtomicBool::new(true));
            let held = Arc::clone(&holds);
            let running = Arc::new(AtomicBool::new(false));
            let runs = Arc::clone(&running);
            let _busy = on(&rt, 1, move || {
                runs.store(true, Ordering::Relaxed);
                while held.load(Ordering::Relaxed) {
                    thread::yield_now();
                }
            });
            until(|| running.load(Ordering::Relaxed));
            let never: Vec<_> = (0..5).map(|_| on(&rt, 1, || ())).collect();
            let late = thread::spawn(move || {
                let spawn = || Spawn::new().on(&handle).on_worker(0).spawn(|| ());
                while let Ok(one) = spawn() {
                    let ended = one.join();
                    assert!(matches!(ended, Ok(()) | Err(JoinError::Cancelled)));
                }
            });
            let ends = thread::spawn(move || drop(rt));
            late.join().unwrap();
            holds.store(false, Ordering::Relaxed);
            ends.join().unwrap();
            assert!(never.into_iter().all(|one| matches!(one.join(), Err(JoinError::Cancelled))));
        }
    });
}
