// SPDX-License-Identifier: BSD-3-Clause
//! Manually driven coroutines: resumed by calls of `kcoro_resume`, on the calling thread.
//!
//! ```text
//!   resumer ──resume──► A ──yield, park, a wait──► resumer
//!      │                │
//!      │                └──yield_to(B)──► resumer ──► B     the loop in `resume` continues with B
//! ```
//!
//! While such a coroutine runs, the park hook of channels is ours (`HOOK`): a wait sets PARKED and
//! returns control; a wake only sets READY. So the resumer sees the coroutine's state, and decides.
//! A coroutine that was passed to a scheduler after it had started is resumed by a coroutine of the
//! scheduler, its driver, which sleeps while it is PARKED.
//!
//! # Safety
//!
//! A fiber is resumed by the thread that set `running`, and dropped by the holder of the last
//! reference. It may change threads between two resumes: of Rust, only waits are on its stack then,
//! which keep nothing of the thread (the hook is a static, its flow a number); values that C code
//! keeps there are C's responsibility, as the header says.

use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use becket_chan::park::{Park, Unparker, set_hook};
use becket_coro::fiber::{self, Fiber, Resumed};

use super::flow::{self, FLOW};
use super::object::{Coro, CoroRef, Role, state};
use super::wake::{self, Alarm};
use super::{main, park};
use crate::sched::Sched;

thread_local! {
    /// The coroutine that is being resumed on this thread: read by one that starts.
    static STARTING: Cell<*const Coro> = const { Cell::new(ptr::null()) };
    /// The scheduler of the last resumer on this thread.
    static RESUMER_SCHED: Cell<*const Sched> = const { Cell::new(ptr::null()) };
    /// Runs next instead of the coroutine that has just returned control on this thread.
    static NEXT: RefCell<Option<CoroRef>> = const { RefCell::new(None) };
}

/// The park hook of manually driven coroutines.
static HOOK: Hook = Hook;

struct Hook;

impl Park for Hook {
    fn unparker(&self) -> Unparker {
        let number = flow::with_coro(wake::number).unwrap_or(0);
        // 64 bits, as the core requires.
        Unparker::new(wake::by_number, number as usize)
    }

    fn park(&self, deadline: Option<Instant>) {
        // SAFETY: a fiber's object is held by its resumer while it runs, and by references to its
        // end.
        let Some(coro) = (unsafe { flow::coro().as_ref() }) else {
            fiber::suspend();
            return;
        };
        coro.set_state(state::PARKED);
        if !park::announce(&coro.wait_gate) {
            coro.set_state(state::RUNNING);
            return;
        }
        let alarm =
            Rings(deadline.and_then(|at| wake::set_alarm(at, Alarm::Wait(wake::number(coro)))));
        if deadline.is_some() && alarm.0.is_none() {
            // No memory for a timer: it checks the clock when it is resumed.
            coro.set_state(state::READY);
        }
        give_back();
        drop(alarm);
        park::end(&coro.wait_gate);
    }
}

/// An alarm that is cancelled when the wait ends, also by unwinding.
struct Rings(Option<becket_chan::timer::Key>);

impl Drop for Rings {
    fn drop(&mut self) {
        if let Some(key) = self.0.take() {
            wake::cancel_alarm(key);
        }
    }
}

/// Ends an operation's wait: it was matched, or its deadline has passed.
pub(crate) fn wake(coro: &Coro) {
    if park::notify(&coro.wait_gate) {
        coro.becomes_ready();
        if let Some(driver) = coro.waker.get() {
            driver.unpark();
        }
    }
}

/// The fiber of an object. False: there is no stack for it.
pub(crate) fn prepare(coro: &CoroRef) -> bool {
    // It captures nothing: Rust values on the stack are leaked if the stack is abandoned.
    match Fiber::new(coro.stack_size(), || run(STARTING.get())) {
        Ok(fiber) => {
            // SAFETY: new, and not shared yet.
            unsafe { *coro.fiber.get() = Some(fiber) };
            true
        }
        Err(_) => false,
    }
}

/// The body of a coroutine, which its resumer names.
fn run(raw: *const Coro) {
    FLOW.with(|flow| flow.coro.set(raw));
    resumed();
    // SAFETY: the resumer holds a reference; the function and its argument are C's.
    unsafe {
        if let Some(function) = (*raw).function {
            function((*raw).argument);
        }
    }
}

/// Returns control to the resumer of the calling coroutine; returns when it is resumed. The caller
/// has set its state.
#[inline(never)]
pub(crate) fn give_back() {
    fiber::suspend();
    resumed();
}

/// Runs after a resume, perhaps on another thread: nothing of the thread is kept across this.
#[inline(never)]
fn resumed() {
    set_hook(Some(&HOOK));
    let sched = RESUMER_SCHED.get();
    FLOW.with(|flow| flow.sched.set(sched));
}

/// `kcoro_resume` of a manually driven coroutine, and of those that it yields to.
pub(crate) fn resume(coro: CoroRef) {
    let mut next = Some(coro);
    while let Some(coro) = next {
        match coro.role() {
            Role::Manual if !is_driven(&coro) => resume_one(&coro),
            Role::Manual | Role::Scheduled => park::unpark(&coro),
            Role::Main => {}
        }
        next = NEXT.with_borrow_mut(Option::take);
    }
}

/// Whether a scheduler resumes it.
fn is_driven(coro: &Coro) -> bool {
    coro.ready_enqueued.load(Ordering::Relaxed)
}

fn resume_one(coro: &CoroRef) {
    if coro.is_finished()
        || coro.running.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_err()
    {
        return;
    }
    let (caller, sched) = FLOW.with(|flow| (flow.coro.get(), flow.sched.get()));
    let main = if caller.is_null() { main::any() } else { caller.cast_mut() };
    coro.main.store(main, Ordering::Relaxed);
    // SAFETY: the object of the calling coroutine, or of the thread; null if there is no memory.
    let resumer = unsafe { main.as_ref() }.map(Coro::share);
    // SAFETY: `running` is ours.
    let slot = unsafe { &mut *coro.fiber.get() };
    let Some(fiber) = slot.as_mut() else {
        coro.running.store(0, Ordering::Release);
        return;
    };
    if let Some(resumer) = &resumer {
        resumer.set_state(state::SUSPENDED);
    }
    coro.set_state(state::RUNNING);
    STARTING.set(coro.as_ptr());
    RESUMER_SCHED.set(sched);
    let resumed = fiber.resume();
    if let Some(resumer) = &resumer {
        resumer.set_state(state::RUNNING);
    }
    if matches!(resumed, Ok(Resumed::Finished) | Err(_)) {
        *slot = None;
        coro.finish();
    }
    coro.running.store(0, Ordering::Release);
}

/// `kcoro_yield` of a manually driven coroutine.
pub(crate) fn yield_back(coro: &Coro) {
    coro.set_state(state::SUSPENDED);
    give_back();
}

/// Returns control, and lets `target` run instead of the caller.
pub(crate) fn yield_to(coro: &Coro, target: CoroRef) {
    let before = NEXT.with_borrow_mut(|next| next.replace(target));
    drop(before);
    coro.set_state(state::SUSPENDED);
    give_back();
}

/// Sleeps, in one that a scheduler drives.
pub(crate) fn sleep(time: Duration) {
    let at = becket_chan::timer::after(time);
    while Instant::now() < at {
        HOOK.park(Some(at));
    }
}

/// Called with the last reference: its waits are unlinked. C frames are abandoned in place.
pub(crate) fn end(coro: &Coro) {
    // SAFETY: no other reference exists.
    let fiber = unsafe { (*coro.fiber.get()).take() };
    drop(fiber);
    coro.finish();
}

/// Takes the fiber of a coroutine that has not started, so that a scheduler runs it instead. False:
/// it has started, or runs.
pub(crate) fn take_unstarted(coro: &Coro) -> bool {
    if coro.running.compare_exchange(0, 1, Ordering::AcqRel, Ordering::Relaxed).is_err() {
        return false;
    }
    let unstarted = coro.state() == state::CREATED;
    if unstarted {
        // SAFETY: `running` is ours.
        let fiber = unsafe { (*coro.fiber.get()).take() };
        drop(fiber);
        coro.becomes_scheduled();
    }
    coro.running.store(0, Ordering::Release);
    unstarted
}

/// Runs a started coroutine to its end, on a scheduler.
pub(crate) fn drive(coro: &CoroRef) {
    if let Some(current) = becket_coro::current() {
        // Before it is resumed: wakes from then on find this.
        let _ = coro.waker.set(current.unparker());
    }
    loop {
        resume_one(coro);
        let next = NEXT.with_borrow_mut(Option::take);
        if let Some(next) = next {
            resume(next);
        }
        if coro.is_finished() {
            return;
        }
        if coro.state() == state::PARKED {
            // A wake from here on unparks this coroutine.
            while coro.state() == state::PARKED {
                becket_coro::park();
            }
        } else {
            becket_coro::yield_now();
        }
    }
}
