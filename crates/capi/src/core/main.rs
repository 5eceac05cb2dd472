// SPDX-License-Identifier: BSD-3-Clause
//! The object of a thread.
//!
//! `kcoro_create_main` returns one reference to the caller; the thread has another as long as the
//! object is installed. Many programs never release theirs, so every main object is listed, and is
//! found through the list. Where a coroutine is resumed on a thread without one, one is made
//! without being installed, so that `main_co` points to something.

use std::cell::RefCell;
use std::collections::HashSet;
use std::ptr;
use std::sync::LazyLock;
use std::sync::atomic::Ordering;
use std::thread;

use parking_lot::Mutex;

use super::object::{Coro, CoroRef, Role, state};

/// All of them, by address.
static LISTED: LazyLock<Mutex<HashSet<usize>>> = LazyLock::new(Mutex::default);

#[derive(Default)]
struct Mains {
    installed: Option<CoroRef>,
    /// Made for `main_co` alone.
    silent: Option<CoroRef>,
}

thread_local! {
    static MAINS: RefCell<Mains> = RefCell::default();
}

fn make() -> Option<CoroRef> {
    let main = Coro::make(Role::Main, None, ptr::null_mut(), 0)?;
    main.set_state(state::RUNNING);
    main.running.store(1, Ordering::Relaxed);
    // Set once, here.
    let _ = main.thread.set(thread::current());
    LISTED.lock().insert(main.as_ptr().addr());
    Some(main)
}

/// Called with the last reference.
pub(crate) fn forget(main: *mut Coro) {
    LISTED.lock().remove(&main.addr());
}

fn with<R>(f: impl FnOnce(&mut Mains) -> R) -> Option<R> {
    // While the thread is torn down there are none.
    MAINS.try_with(|mains| f(&mut mains.borrow_mut())).ok()
}

/// The thread's installed object, borrowed; null: none.
pub(crate) fn installed() -> *mut Coro {
    with(|mains| mains.installed.as_ref().map_or(ptr::null_mut(), CoroRef::as_ptr))
        .unwrap_or(ptr::null_mut())
}

/// The installed object, else one that is made now; null: no memory.
pub(crate) fn any() -> *mut Coro {
    with(|mains| {
        let main = mains.installed.as_ref().or(mains.silent.as_ref());
        if let Some(main) = main {
            return main.as_ptr();
        }
        mains.silent = make();
        mains.silent.as_ref().map_or(ptr::null_mut(), CoroRef::as_ptr)
    })
    .unwrap_or(ptr::null_mut())
}

/// Makes and installs one, if there is none. The result is the caller's reference.
pub(crate) fn create() -> Option<CoroRef> {
    with(|mains| {
        if mains.installed.is_none() {
            mains.installed = mains.silent.take().or_else(make);
        }
        mains.installed.clone()
    })
    .flatten()
}

/// Installs this one, or none.
pub(crate) fn install(main: Option<CoroRef>) {
    let before = with(|mains| std::mem::replace(&mut mains.installed, main));
    drop(before);
}

/// Releases a reference of the caller. If only the thread's own is left, that is released with it.
pub(crate) fn release(main: CoroRef) {
    let own = with(|mains| match &mains.installed {
        Some(installed) if ptr::eq(installed.as_ptr(), main.as_ptr()) && main.references() == 2 => {
            mains.installed.take()
        }
        _ => None,
    });
    drop((own, main));
}

/// Whether it is the object of the calling thread.
pub(crate) fn is_this_thread(main: &Coro) -> bool {
    main.thread.get().is_some_and(|thread| thread.id() == thread::current().id())
}
