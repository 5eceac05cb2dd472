// SPDX-License-Identifier: BSD-3-Clause
//! Guards that are hit, and faults that are none of ours. All in children.

use std::os::unix::process::ExitStatusExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::switch::{Link, Switch};

/// Overflows the stack it runs on.
#[inline(never)]
#[allow(unconditional_recursion, reason = "that is the point")]
fn dive(depth: usize) -> usize {
    let frame = std::hint::black_box([depth; 32]);
    dive(depth + 1) + std::hint::black_box(frame)[depth % 32]
}

/// The lowest address of the neighbour, which is filled with ones.
static NEIGHBOUR: AtomicUsize = AtomicUsize::new(0);
const SIZE: usize = 64 * 1024;

/// In the handler, last thing before the end: is the neighbour as it was?
fn describe(sink: &mut dyn FnMut(&[u8])) {
    let low = NEIGHBOUR.load(Ordering::Relaxed);
    // SAFETY: a stack that is held until the process ends.
    let intact = (low..low + SIZE).all(|address| unsafe {
        std::ptr::with_exposed_provenance::<u8>(address).read_volatile() == 1
    });
    sink(b"'diver' (7, spawned at here.rs:1, neighbour ");
    sink(if intact { b"intact)" } else { b"hurt)" });
}

#[cfg(not(feature = "threads"))]
#[test]
fn an_overflow_names_the_coroutine_and_aborts() {
    if task().is_none() {
        let name = "stack::tests::faults::an_overflow_names_the_coroutine_and_aborts";
        let child = run_child(name, "x");
        assert_eq!(child.status.signal(), Some(libc::SIGABRT));
        let message = "error: coroutine 'diver' (7, spawned at here.rs:1, neighbour intact) \
                       overflowed its stack of 65536 bytes\n\
                       hint: give it more with Spawn::stack_size\n";
        assert_eq!(String::from_utf8_lossy(&child.stderr), message);
        return;
    }
    unsafe fn entry(_: *mut (), _: Link) {
        dive(0);
    }
    overflow::set_describe(describe);
    overflow::prepare_thread();
    overflow::prepare_thread();
    // Two that lie side by side: the lower one is where an overflow of the upper would go.
    let mut stacks: Vec<_> = (0..40).map(|_| acquire(SIZE).unwrap()).collect();
    stacks.sort_by_key(|stack| stack.base());
    let upper =
        (1..stacks.len()).find(|upper| stacks[*upper].limit() == stacks[upper - 1].base()).unwrap();
    let neighbour = stacks[upper - 1].base().get() - SIZE;
    (neighbour..neighbour + SIZE).for_each(poke);
    NEIGHBOUR.store(neighbour, Ordering::Relaxed);
    let mut switch = Switch::new(stacks.swap_remove(upper), entry, std::ptr::null_mut());
    // SAFETY: new, and `entry` asks for nothing.
    unsafe { switch.resume() };
}

#[test]
fn a_stray_pointer_into_a_guard_is_no_overflow() {
    if task().is_none() {
        let name = "stack::tests::faults::a_stray_pointer_into_a_guard_is_no_overflow";
        let child = run_child(name, "x");
        assert_eq!(child.status.signal(), Some(libc::SIGABRT));
        let message = "error: coroutine touched the guard of another stack, of 65536 bytes\n\
                       hint: a stray pointer, or a large frame without stack probes\n";
        assert_eq!(String::from_utf8_lossy(&child.stderr), message);
        return;
    }
    overflow::prepare_thread();
    poke(acquire(SIZE).unwrap().limit().get());
}

#[test]
fn other_faults_go_where_they_went_before() {
    const NAME: &str = "stack::tests::faults::other_faults_go_where_they_went_before";
    extern "C" fn exit_42(_: libc::c_int) {
        // SAFETY: has no preconditions, and may be called in a handler.
        unsafe { libc::_exit(42) };
    }
    extern "C" fn exit_43(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the kernel's siginfo, handed on; `_exit` as above.
        unsafe { libc::_exit(if (*info).si_addr() as usize == 8 { 43 } else { 1 }) };
    }
    fn before(signal: libc::c_int, handler: usize, flags: libc::c_int) {
        // SAFETY: the handlers have the signatures that the flags ask for.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = handler;
            action.sa_flags = flags;
            assert_eq!(libc::sigaction(signal, &raw const action, std::ptr::null_mut()), 0);
        }
    }
    match task().as_deref() {
        None => {
            for (what, signal, code) in [
                ("fault", Some(libc::SIGSEGV), None),
                ("fault, by default", Some(libc::SIGSEGV), None),
                ("sent, by default", Some(libc::SIGSEGV), None),
                ("sent bus, by default", Some(libc::SIGBUS), None),
                ("fault, handler", None, Some(42)),
                ("sent, handler", None, Some(42)),
                ("fault, handler with info", None, Some(43)),
            ] {
                let status = run_child(NAME, what).status;
                assert_eq!((status.signal(), status.code()), (signal, code), "{what}");
            }
            return;
        }
        Some("fault, by default" | "sent, by default" | "sent bus, by default") => {
            before(libc::SIGSEGV, libc::SIG_DFL, 0);
            before(libc::SIGBUS, libc::SIG_DFL, 0);
        }
        Some("fault, handler" | "sent, handler") => {
            before(libc::SIGSEGV, exit_42 as *const () as usize, 0);
        }
        Some("fault, handler with info") => {
            before(libc::SIGSEGV, exit_43 as *const () as usize, libc::SA_SIGINFO);
        }
        // With the handler of Rust's standard library, which takes the default action.
        Some(_) => {}
    }
    overflow::prepare_thread();
    let what = task().unwrap();
    if what.starts_with("sent") {
        let signal = if what.starts_with("sent bus") { libc::SIGBUS } else { libc::SIGSEGV };
        // SAFETY: the child is meant to end by it.
        unsafe { libc::raise(signal) };
    } else {
        poke(std::hint::black_box(8));
    }
}

#[test]
fn a_thread_ends_with_its_signal_stack() {
    fn enabled() -> bool {
        let mut stack = std::mem::MaybeUninit::<libc::stack_t>::zeroed();
        // SAFETY: asks only.
        let stack = unsafe {
            assert_eq!(libc::sigaltstack(std::ptr::null(), stack.as_mut_ptr()), 0);
            stack.assume_init()
        };
        stack.ss_flags & libc::SS_DISABLE == 0 && stack.ss_size >= 16 * 1024
    }
    // Many, so that stacks which are not unmapped would show, and those unmapped twice as well.
    for _ in 0..100 {
        let thread = std::thread::spawn(|| {
            overflow::prepare_thread();
            enabled()
        });
        assert!(thread.join().unwrap());
    }
}
