// SPDX-License-Identifier: BSD-3-Clause
//! Overflows of a stack: a message, then abort.
//!
//! A coroutine that outgrows its stack touches the guard below it. A handler of SIGSEGV and SIGBUS,
//! installed once for the process and running on a stack of its own (the overflown one has no
//! room), looks the address up; if it lies in a guard, it prints a message on standard error and
//! aborts. Every other fault goes to the handler that was installed before, or to the default
//! action.
//!
//! Only a frame of more than a page that is never probed can step over a guard. Rust probes its
//! frames; C does with `-fstack-clash-protection`.
//!
//! # Safety
//!
//! - The handler calls nothing but `write`, `sigaction`, `raise` and `abort`, and reads atomics;
//!   the function that names the coroutine ([`Describe`]) neither allocates nor waits for a lock.
//! - The previous actions are written before our handler is installed, and never again.
//! - A thread's signal stack is mapped when it is set and unmapped, unset first, when the thread
//!   ends.

use std::cell::Cell;
use std::mem::MaybeUninit;
use std::sync::atomic::{AtomicPtr, Ordering};
use std::sync::{Once, OnceLock};

use super::slab::{GuardHit, guard_of};
use super::sys;

/// Passes the words that name the coroutine running on this thread, such as
/// `'reader' (17, spawned at src/main.rs:4)`, to the sink, piece by piece; nothing if there is
/// none. Called in a signal handler: it must not allocate, wait for a lock or panic.
pub(crate) type Describe = fn(&mut dyn FnMut(&[u8]));

static DESCRIBE: AtomicPtr<()> = AtomicPtr::new(std::ptr::null_mut());

/// Sets the function that names the coroutine in the message. The last call counts.
pub(crate) fn set_describe(describe: Describe) {
    DESCRIBE.store(describe as *mut (), Ordering::Release);
}

/// From now on an overflow of a coroutine's stack is reported, with the coroutine's name, before the process
/// aborts.
///
/// Runtimes and fibers do this themselves. A program calls it if it installs handlers of `SIGSEGV` and `SIGBUS`
/// that are to come first: it then installs them afterwards, and passes on to the actions that it finds. It may
/// be called any number of times, on any thread.
pub fn report_overflows() {
    prepare_thread();
}

/// Enables the report of overflows on the calling thread. Cheap if it was called before.
#[inline]
pub(crate) fn prepare_thread() {
    thread_local! {
        static READY: Cell<bool> = const { Cell::new(false) };
    }
    if !READY.get() && !cfg!(miri) {
        READY.set(true);
        prepare();
    }
}

#[cold]
fn prepare() {
    thread_local! {
        static OWN: Cell<Option<SignalStack>> = const { Cell::new(None) };
    }
    install();
    if let Some(stack) = SignalStack::if_needed() {
        OWN.set(Some(stack));
    }
}

/// The actions that were set before ours, by signal.
static BEFORE: OnceLock<[(libc::c_int, libc::sigaction); 2]> = OnceLock::new();

fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(install_once);
}

fn install_once() {
    let before = [libc::SIGSEGV, libc::SIGBUS].map(|signal| (signal, action_of(signal)));
    for (signal, _) in BEFORE.get_or_init(|| before) {
        // SAFETY: all zeros is a valid sigaction.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = on_fault as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
        // SAFETY: `on_fault` has the signature that SA_SIGINFO requires.
        unsafe { libc::sigaction(*signal, &raw const action, std::ptr::null_mut()) };
    }
}

fn action_of(signal: libc::c_int) -> libc::sigaction {
    let mut action = MaybeUninit::zeroed();
    // SAFETY: a query; all zeros, which is what a failure leaves, is the default action.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr());
        action.assume_init()
    }
}

extern "C" fn on_fault(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a valid siginfo.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr() as usize) };
    // A positive code is the kernel's own: only then is there an address.
    if code > 0
        && let Some(hit) = guard_of(address)
    {
        // SAFETY: the kernel passes a valid context.
        report(hit, unsafe { sys::stack_pointer(context) });
        // SAFETY: has no preconditions.
        unsafe { libc::abort() };
    }
    pass_on(signal, info, context);
}

/// Does what would have happened without this handler.
fn pass_on(signal: libc::c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let before = BEFORE.get().and_then(|all| all.iter().find(|(which, _)| *which == signal));
    let Some((_, action)) = before else { return };
    match action.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: restores the previous action. A fault repeats as soon as we return; a signal
            // that was sent by a process has to be sent again, and arrives when we return.
            unsafe {
                libc::sigaction(signal, action, std::ptr::null_mut());
                if (*info).si_code <= 0 {
                    libc::raise(signal);
                }
            }
        }
        handler if action.sa_flags & libc::SA_SIGINFO != 0 => {
            type Handler = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
            // SAFETY: with SA_SIGINFO the action holds a function of this signature.
            let handler = unsafe { std::mem::transmute::<usize, Handler>(handler) };
            handler(signal, info, context);
        }
        handler => {
            // SAFETY: without SA_SIGINFO the action holds a function of this signature.
            let handler =
                unsafe { std::mem::transmute::<usize, extern "C" fn(libc::c_int)>(handler) };
            handler(signal);
        }
    }
}

fn report(hit: GuardHit, stack_pointer: usize) {
    // One write, so that lines of other threads do not come between, if it fits.
    let mut line = Line { bytes: [0; 768], len: 0 };
    line.push(b"error: coroutine ");
    let before = line.len;
    let describe = DESCRIBE.load(Ordering::Acquire);
    if !describe.is_null() {
        // SAFETY: only `set_describe` stores there.
        let describe = unsafe { std::mem::transmute::<*mut (), Describe>(describe) };
        describe(&mut |piece| line.push(piece));
    }
    if line.len > before {
        line.push(b" ");
    }
    let page = super::class::page_bytes();
    let slot = hit.base - hit.stack_size - page..=hit.base;
    if stack_pointer == 0 || slot.contains(&stack_pointer) {
        line.push(b"overflowed its stack of ");
        line.push_number(hit.stack_size);
        line.push(b" bytes\nhint: give it more with Spawn::stack_size\n");
    } else {
        line.push(b"touched the guard of another stack, of ");
        line.push_number(hit.stack_size);
        line.push(b" bytes\nhint: a stray pointer, or a large frame without stack probes\n");
    }
    line.write();
}

/// Text that is composed without allocation.
struct Line {
    bytes: [u8; 768],
    len: usize,
}

impl Line {
    fn push(&mut self, piece: &[u8]) {
        if piece.len() > self.bytes.len() - self.len {
            self.write();
        }
        let room = self.bytes.iter_mut().skip(self.len);
        let copied = room.zip(piece).map(|(to, from)| *to = *from).count();
        self.len += copied;
    }

    fn push_number(&mut self, number: usize) {
        let mut digits = [0_u8; 20];
        let mut left = number;
        let mut count = 0;
        for digit in digits.iter_mut().rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
            count += 1;
            if left == 0 {
                break;
            }
        }
        self.push(digits.get(digits.len() - count..).unwrap_or_default());
    }

    fn write(&mut self) {
        let text = self.bytes.get(..self.len).unwrap_or_default();
        // SAFETY: the bytes are valid for the call. A failure cannot be reported anywhere.
        unsafe { libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len()) };
        self.len = 0;
    }
}

/// A signal stack of this module, freed with its thread.
struct SignalStack {
    start: usize,
    bytes: usize,
}

impl SignalStack {
    /// The memory of the handler and the hook, beside the frame that the kernel pushes.
    const WORK_BYTES: usize = 16 * 1024;

    /// Sets one, unless the thread has one that is large enough.
    fn if_needed() -> Option<Self> {
        let needed = sys::signal_frame_bytes() + Self::WORK_BYTES;
        let current = current()?;
        if current.ss_flags & libc::SS_DISABLE == 0 && current.ss_size >= needed {
            return None;
        }
        let page = super::class::page_bytes();
        let bytes = needed.next_multiple_of(page) + page;
        let start = sys::map(bytes).ok()?;
        // SAFETY: the lowest page of a mapping that is ours alone. Without the guard the thread
        // works too.
        let _ = unsafe { sys::Guards::of_this_kernel().install(start, page, 1) };
        let this = Self { start, bytes };
        let stack = libc::stack_t {
            ss_sp: (start + page) as *mut libc::c_void,
            ss_flags: 0,
            ss_size: bytes - page,
        };
        // SAFETY: the memory stays until `drop`, which unsets it first. The stack that was set is
        // not in use, for we do not run in a handler; its owner still frees it.
        let set = unsafe { libc::sigaltstack(&raw const stack, std::ptr::null_mut()) };
        // On failure it is dropped and unmapped.
        (set == 0).then_some(this)
    }
}

impl Drop for SignalStack {
    fn drop(&mut self) {
        let ours = self.start..self.start + self.bytes;
        if current().is_some_and(|now| ours.contains(&(now.ss_sp as usize))) {
            let none = libc::stack_t {
                ss_sp: std::ptr::null_mut(),
                ss_flags: libc::SS_DISABLE,
                ss_size: 0,
            };
            // SAFETY: we do not run in a handler, hence not on it.
            unsafe { libc::sigaltstack(&raw const none, std::ptr::null_mut()) };
        }
        // SAFETY: mapped in `if_needed`; no longer set.
        unsafe { sys::unmap(self.start, self.bytes) };
    }
}

fn current() -> Option<libc::stack_t> {
    let mut stack = MaybeUninit::<libc::stack_t>::zeroed();
    // SAFETY: a query; all zeros is a valid value.
    let (result, stack) =
        unsafe { (libc::sigaltstack(std::ptr::null(), stack.as_mut_ptr()), stack.assume_init()) };
    (result == 0).then_some(stack)
}
