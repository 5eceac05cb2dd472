// SPDX-License-Identifier: BSD-3-Clause
//! Coroutines without a scheduler: made, run and dropped; switched to and back.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use becket_coro::fiber::{self, Fiber, Resumed};
use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult};
use generator::{Gn, LocalGenerator};

use super::work::sum_below;
use crate::error::{BenchError, check};
use crate::harness::Contestant;

const STACK_BYTES: usize = 64 * 1024;
const STACK_WORDS: usize = STACK_BYTES / size_of::<usize>();
const MAKE: &str = "create, run and drop";
const SWITCH: &str = "resume and suspend";

/// Made on a stack that was used before, run to its end, dropped.
pub(crate) fn make() -> Result<Vec<Contestant>, BenchError> {
    let becket = Contestant::timed("Becket", |n| {
        let sum = Rc::new(Cell::new(0_u64));
        for number in 0..n {
            let inside = Rc::clone(&sum);
            let mut fiber = Fiber::new(STACK_BYTES, move || {
                inside.set(inside.get().wrapping_add(number));
            })
            .map_err(|error| BenchError::host("Becket", error))?;
            check("Becket", MAKE, Ok(Resumed::Finished), fiber.resume())?;
        }
        check("Becket", MAKE, sum_below(n), sum.get())
    });

    let mut pool = vec![stack()?];
    let corosensei = Contestant::timed("corosensei", move |n| {
        let sum = Rc::new(Cell::new(0_u64));
        for number in 0..n {
            let inside = Rc::clone(&sum);
            let stack = pool.pop().ok_or(BenchError::Worker)?;
            let mut coroutine: Coroutine<(), (), (), _> =
                Coroutine::with_stack(stack, move |_, ()| {
                    inside.set(inside.get().wrapping_add(number));
                });
            let ended = matches!(coroutine.resume(()), CoroutineResult::Return(()));
            check("corosensei", MAKE, true, ended)?;
            pool.push(coroutine.into_stack());
        }
        check("corosensei", MAKE, sum_below(n), sum.get())
    });

    let mut pool = vec![Gn::<()>::new_opt(STACK_WORDS, || ())];
    let generator = Contestant::timed("generator", move |n| {
        let sum = Arc::new(AtomicU64::new(0));
        for number in 0..n {
            let inside = Arc::clone(&sum);
            let mut generator = pool.pop().ok_or(BenchError::Worker)?;
            // One that has ended, or never began, takes new code and keeps its stack.
            generator.init_code(move || {
                inside.store(inside.load(Relaxed).wrapping_add(number), Relaxed);
            });
            check("generator", MAKE, Some(()), generator.resume())?;
            pool.push(generator);
        }
        check("generator", MAKE, sum_below(n), sum.load(Relaxed))
    });
    Ok(vec![becket, corosensei, generator])
}

/// Resumed, suspends: two switches.
pub(crate) fn switch() -> Result<Vec<Contestant>, BenchError> {
    let counter = Rc::new(Cell::new(0_u64));
    let inside = Rc::clone(&counter);
    let mut fiber = Fiber::new(STACK_BYTES, move || {
        loop {
            inside.set(inside.get() + 1);
            fiber::suspend();
        }
    })
    .map_err(|error| BenchError::host("Becket", error))?;
    let becket = Contestant::timed("Becket", move |n| {
        let before = counter.get();
        for _ in 0..n {
            fiber.resume().map_err(|error| BenchError::host("Becket", error))?;
        }
        check("Becket", SWITCH, n, counter.get() - before)
    });

    let counter = Rc::new(Cell::new(0_u64));
    let inside = Rc::clone(&counter);
    let mut coroutine: Coroutine<(), (), (), _> =
        Coroutine::with_stack(stack()?, move |suspender, ()| {
            loop {
                inside.set(inside.get() + 1);
                suspender.suspend(());
            }
        });
    let corosensei = Contestant::timed("corosensei", move |n| {
        let before = counter.get();
        for _ in 0..n {
            coroutine.resume(());
        }
        check("corosensei", SWITCH, n, counter.get() - before)
    });

    let counter = Rc::new(Cell::new(0_u64));
    let inside = Rc::clone(&counter);
    let mut generator: LocalGenerator<'static, (), ()> =
        Gn::new_scoped_opt_local(STACK_WORDS, move |mut scope| {
            loop {
                inside.set(inside.get() + 1);
                scope.yield_with(());
            }
        });
    let generator = Contestant::timed("generator", move |n| {
        let before = counter.get();
        for _ in 0..n {
            generator.resume();
        }
        check("generator", SWITCH, n, counter.get() - before)
    });
    Ok(vec![becket, corosensei, generator])
}

fn stack() -> Result<DefaultStack, BenchError> {
    DefaultStack::new(STACK_BYTES)
        .map_err(|source| BenchError::System { what: "make a stack", source })
}
