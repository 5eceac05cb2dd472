// SPDX-License-Identifier: BSD-3-Clause
//! Guards hit by other code, and unrelated faults. Mostly in child processes.

use std::os::unix::process::ExitStatusExt;

use super::*;

const SIZE: usize = 64 * 1024;

#[cfg_attr(becket_portable, ignore = "the stack pointer is not known")]
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

/// AddressSanitizer has a handler of its own, which ends the process its own way.
#[cfg(not(feature = "sanitizer"))]
#[test]
fn other_faults_go_where_they_went_before() {
    const NAME: &str = "stack::tests::faults::other_faults_go_where_they_went_before";
    extern "C" fn exit_42(_: libc::c_int) {
        // SAFETY: has no preconditions, and may be called in a handler.
        unsafe { libc::_exit(42) };
    }
    extern "C" fn exit_43(_: libc::c_int, info: *mut libc::siginfo_t, _: *mut libc::c_void) {
        // SAFETY: the kernel's siginfo, passed on; `_exit` as above.
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
        // SAFETY: a query.
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
