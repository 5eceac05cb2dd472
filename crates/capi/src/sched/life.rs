// SPDX-License-Identifier: BSD-3-Clause
//! One coroutine or task on a scheduler, from its spawn to its end.
//!
//! A `Life` is created with it and dropped at its end, however it ends:
//!
//! | end | the life is dropped |
//! |---|---|
//! | its function returned | by `run`, right after |
//! | it could not be spawned, or its scheduler ended before it started | with the closure |
//! | its scheduler ended while it waited | with the coroutine's locals: its stack is not unwound |
//!
//! So actions that must happen once at the end (`Start::at_end`) do.

use std::ffi::{c_int, c_void};
use std::panic::Location;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use becket_coro::Spawn;

use super::{Sched, install_hook};
use crate::context::Context;
use crate::core::flow::{self, FLOW};
use crate::core::object::{Coro, CoroRef, Function, Role, stack_size, state};
use crate::{debug, errno, monitor};

/// The stack size of a task in bytes: it may be code that was written for a thread.
const TASK_STACK_BYTES: usize = 256 * 1024;

/// The code to run.
pub(crate) enum Body {
    C { function: Function, argument: *mut c_void },
    Rust(Box<dyn Fn() + Send>),
}

// SAFETY: C's functions and their arguments may go to another thread, as the header says.
unsafe impl Send for Body {}

/// The parameters of a start.
pub(crate) struct Start {
    /// Its object; a task has none.
    pub(crate) coro: Option<CoroRef>,
    pub(crate) body: Body,
    pub(crate) context: Option<Arc<Context>>,
    /// The address of the scope that it is a member of; 0: of none.
    pub(crate) scope: usize,
    /// Runs once, when it has ended or could not be started. True: its function has returned.
    pub(crate) at_end: Option<Box<dyn FnOnce(bool) + Send>>,
    /// The index of the worker that runs it; `None`: any.
    pub(crate) worker: Option<usize>,
    pub(crate) site: &'static Location<'static>,
    /// For the monitor.
    pub(crate) name: Option<String>,
}

impl Start {
    /// Of a coroutine with an object, in the caller's context.
    #[track_caller]
    pub(crate) fn coroutine(body: Body, size: usize) -> Result<Self, c_int> {
        let (function, argument) = match body {
            Body::C { function, argument } => (function, argument),
            Body::Rust(_) => (None, ptr::null_mut()),
        };
        let coro = Coro::make(Role::Scheduled, function, argument, stack_size(size));
        Ok(Self { coro: Some(coro.ok_or(errno::ENOMEM)?), ..Self::task(body) })
    }

    /// The same without an object.
    #[track_caller]
    pub(crate) fn task(body: Body) -> Self {
        let site = Location::caller();
        Self {
            coro: None,
            body,
            context: flow::context(),
            scope: 0,
            at_end: None,
            worker: None,
            site,
            name: None,
        }
    }

    /// Named, if the process is watched: after the function that it runs for C.
    pub(crate) fn named(self, what: &str, function: *const c_void) -> Self {
        let function = || monitor::function_name(function).unwrap_or_default();
        let name = monitor::is_on().then(|| format!("{what}{}", function()));
        Self { name, ..self }
    }

    /// With an action at the end.
    pub(crate) fn at_end(self, action: impl FnOnce(bool) + Send + 'static) -> Self {
        Self { at_end: Some(Box::new(action)), ..self }
    }
}

/// From the spawn to the end: see the module.
pub(crate) struct Life {
    sched: *const Sched,
    coro: Option<CoroRef>,
    is_task: bool,
    /// While it waits to start: whether a thread spawned it that is none of the workers.
    queued: Option<bool>,
    started: bool,
    returned: bool,
    at_end: Option<Box<dyn FnOnce(bool) + Send>>,
    body: Option<Body>,
}

// SAFETY: the scheduler is freed after its last life has ended, and is Sync; the rest is Send.
unsafe impl Send for Life {}

impl Sched {
    /// Starts it, or ends its life at once: a queue is full, there is no memory, the scheduler ends.
    pub(crate) fn start(&self, start: Start) -> Result<(), c_int> {
        let start = match start.body {
            Body::C { function: Some(function), .. } => start.named("", function as *const c_void),
            _ => start,
        };
        let Start { coro, body, context, scope, at_end, worker, site, name } = start;
        let is_task = coro.is_none() && matches!(body, Body::C { .. });
        let stack = coro.as_ref().map_or(TASK_STACK_BYTES, |coro| coro.stack_size());
        if let Some(coro) = &coro {
            let place = ptr::from_ref(self).cast_mut().cast();
            coro.scheduler.store(place, Ordering::Relaxed);
            coro.ready_enqueued.store(true, Ordering::Relaxed);
        }
        let is_injected = !ptr::eq(flow::sched(), self);
        let has_room = self.queues.enter(is_injected);
        self.members.enter();
        let life = Life {
            sched: self,
            coro,
            is_task,
            queued: has_room.then_some(is_injected),
            started: false,
            returned: false,
            at_end,
            body: Some(body),
        };
        if !has_room {
            debug::log(debug::SCHED, || format!("{}: refused, a queue is full", life.label()));
            return Err(errno::ENOMEM);
        }
        debug::log(debug::SCHED, || format!("{}: queued", life.label()));
        if is_injected {
            self.injected.fetch_add(1, Ordering::Relaxed);
        }
        if is_task {
            self.tasks_submitted.fetch_add(1, Ordering::Relaxed);
        }
        let mut spawn = Spawn::new().on(self.handle()).stack_size(stack).site(site);
        if let Some(worker) = worker {
            spawn = spawn.on_worker(worker);
        }
        if let Some(name) = name {
            spawn = spawn.name(name);
        }
        let spawned = spawn.spawn(move || run(life, context, scope));
        if spawned.is_err() && is_task {
            self.tasks_submitted.fetch_sub(1, Ordering::Relaxed);
        }
        spawned.map(drop).map_err(|_| errno::ENOMEM)
    }
}

/// The body of a coroutine.
fn run(mut life: Life, context: Option<Arc<Context>>, scope: usize) {
    install_hook();
    life.leave_queue();
    life.started = true;
    FLOW.with(|flow| {
        flow.sched.set(life.sched);
        flow.scope.set(scope);
        flow.contexts.borrow_mut().extend(context);
        if let Some(coro) = &life.coro {
            coro.set_state(state::RUNNING);
            coro.running.store(1, Ordering::Relaxed);
            coro.main.store(crate::core::main::any(), Ordering::Relaxed);
            if let Some(current) = becket_coro::current() {
                // Set once, here.
                let _ = coro.waker.set(current.unparker());
            }
            flow.coro.set(coro.as_ptr());
        }
        flow.life.replace(Some(life));
    });
    // It stays with the life, and not on the stack, which may be abandoned.
    let body = FLOW.with(|flow| {
        flow.life.borrow().as_ref().and_then(|life| life.body.as_ref()).map(ptr::from_ref)
    });
    // SAFETY: the life stays where it is until this returns, and its body is not taken meanwhile.
    match body.map(|body| unsafe { &*body }) {
        // SAFETY: C allows it to be called, once, with this.
        Some(Body::C { function: Some(function), argument }) => unsafe { function(*argument) },
        Some(Body::Rust(body)) => body(),
        Some(Body::C { function: None, .. }) | None => {}
    }
    let life = FLOW.with(|flow| {
        // From here on it is not found as the running coroutine.
        flow.coro.set(ptr::null());
        flow.life.take()
    });
    if let Some(mut life) = life {
        life.returned = true;
    }
}

impl Life {
    /// Its name in lines for a person.
    fn label(&self) -> String {
        // SAFETY: it outlives this life.
        let sched = unsafe { &*self.sched }.label();
        match &self.coro {
            Some(coro) => format!("{sched}: coroutine {}", coro.id()),
            None => format!("{sched}: task"),
        }
    }

    /// It has started, or never will.
    fn leave_queue(&mut self) {
        if let Some(is_injected) = self.queued.take() {
            // SAFETY: it outlives this life.
            unsafe { &*self.sched }.queues.leave(is_injected);
        }
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        self.leave_queue();
        debug::log(debug::SCHED, || {
            let how = match (self.started, self.returned) {
                (_, true) => "ended",
                (true, false) => "ended where it waited",
                (false, false) => "never started",
            };
            format!("{}: {how}", self.label())
        });
        if let Some(coro) = self.coro.take() {
            coro.running.store(0, Ordering::Relaxed);
            coro.finish();
        }
        drop(self.body.take());
        if let Some(at_end) = self.at_end.take() {
            at_end(self.returned);
        }
        // SAFETY: it outlives this life.
        let sched = unsafe { &*self.sched };
        if self.is_task && self.started {
            sched.tasks_completed.fetch_add(1, Ordering::Relaxed);
        }
        sched.members.leave();
    }
}
