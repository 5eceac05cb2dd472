// SPDX-License-Identifier: BSD-3-Clause
//! The handler that writes the record.
//!
//! # Safety
//!
//! - The handler calls the kernel, reads values that were set before it was installed, and uses buffers that
//!   belong to the first thread that comes: it neither allocates nor waits for a lock.
//! - Memory that may not be there (the stack) is read by the kernel alone, which answers `EFAULT`.
//! - A descriptor is used if it is still the file that it was: a plugin may have closed it, and opened
//!   another under its number.
//! - A second thread that comes waits for the end of the process, or for a second.

#![allow(unsafe_code, reason = "handlers of signals are installed, and read the registers")]

use std::cell::UnsafeCell;
use std::ffi::{c_int, c_void};
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};

use super::record::Registers;
use super::{
    GUARD_PAGES_MAX, HEAD_BYTES, MACHINE, MAGIC, MAPS_BYTES_MAX, NAME_BYTES, STACK_BYTES_MAX,
};
use crate::Error;

/// The signals by which a process ends because of what it did itself.
const SIGNALS: [c_int; 7] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGABRT,
    libc::SIGTRAP,
    libc::SIGSYS,
];

/// A line of the maps: addresses, rights, and a path of at most `PATH_MAX` bytes.
const LINE_BYTES_MAX: usize = 4096 + 128;
const CHUNK_BYTES: usize = 4096;

/// Set before the handler is installed, and never changed.
struct Installed {
    pipe: Descriptor,
    /// Opened beforehand: later there may be no descriptor left, or no right to open it.
    maps: Descriptor,
    /// A child of this process has its handlers, and is not the worker.
    process: c_int,
    page_bytes: usize,
    /// The actions that were set before.
    before: [Option<libc::sigaction>; SIGNALS.len()],
}

static INSTALLED: OnceLock<Installed> = OnceLock::new();

/// The thread that writes the record; 0: none yet.
static RECORDER: AtomicI32 = AtomicI32::new(0);

/// Memory of the recorder, whose own stack may be small.
struct Buffers {
    line: UnsafeCell<[u8; LINE_BYTES_MAX]>,
    chunk: UnsafeCell<[u8; CHUNK_BYTES]>,
}

// SAFETY: only the thread that has set `RECORDER` uses it.
unsafe impl Sync for Buffers {}

static BUFFERS: Buffers = Buffers {
    line: UnsafeCell::new([0; LINE_BYTES_MAX]),
    chunk: UnsafeCell::new([0; CHUNK_BYTES]),
};

/// From now on the process leaves a record in this pipe when a signal of its own ends it.
///
/// The pipe's end is to be non-blocking. The handlers run on the stack for signals of the thread that the
/// signal comes to, if it has one. To be called once, before the process runs what is not trusted; a second
/// call changes nothing.
///
/// # Errors
/// `/proc` is not there, or the kernel refuses a handler.
pub fn install(pipe: OwnedFd) -> Result<(), Error> {
    let failed = |action| move |source| Error::Kernel { action, source };
    let maps = File::open("/proc/self/maps").map_err(failed("opening the list of mapped files"))?;
    let mut before = [None; SIGNALS.len()];
    for (signal, before) in SIGNALS.into_iter().zip(&mut before) {
        // Ignored, it ends nothing.
        *before = action_of(signal).filter(|action| action.sa_sigaction != libc::SIG_IGN);
    }
    let installed = Installed {
        pipe: Descriptor::new(pipe).map_err(failed("reading a pipe's number"))?,
        maps: Descriptor::new(maps.into()).map_err(failed("reading a file's number"))?,
        process: std::process::id().cast_signed(),
        page_bytes: rustix::param::page_size(),
        before,
    };
    if INSTALLED.set(installed).is_err() {
        return Ok(());
    }
    for (signal, before) in SIGNALS.into_iter().zip(&before) {
        if before.is_some() {
            handle(signal).map_err(failed("installing a handler of signals"))?;
        }
    }
    Ok(())
}

fn handle(signal: c_int) -> io::Result<()> {
    // SAFETY: all zeros is a valid sigaction, with an empty mask.
    let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
    action.sa_sigaction = on_signal as *const () as usize;
    // A fault of the handler's own comes to it again, and to the action before it.
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_NODEFER;
    // SAFETY: `on_signal` has the signature that SA_SIGINFO requires.
    match unsafe { libc::sigaction(signal, &raw const action, std::ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn action_of(signal: c_int) -> Option<libc::sigaction> {
    let mut action = MaybeUninit::zeroed();
    // SAFETY: a query; all zeros is a valid sigaction.
    let (result, action) = unsafe {
        (libc::sigaction(signal, std::ptr::null(), action.as_mut_ptr()), action.assume_init())
    };
    (result == 0).then_some(action)
}

/// An open file, and which one it is.
struct Descriptor {
    descriptor: OwnedFd,
    is: (u64, u64),
}

impl Descriptor {
    fn new(descriptor: OwnedFd) -> io::Result<Self> {
        let is = identity(descriptor.as_raw_fd()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { descriptor, is })
    }

    /// Its number, if that is still this file.
    fn number(&self) -> Option<c_int> {
        let number = self.descriptor.as_raw_fd();
        (identity(number) == Some(self.is)).then_some(number)
    }
}

/// The device and inode of an open file.
fn identity(descriptor: c_int) -> Option<(u64, u64)> {
    let mut status = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the memory is one `stat`, for which all zeros is valid; a number that names nothing is an error.
    let (result, status) =
        unsafe { (libc::fstat(descriptor, status.as_mut_ptr()), status.assume_init()) };
    (result == 0).then_some((status.st_dev, status.st_ino))
}

extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let Some(installed) = INSTALLED.get() else { return };
    // SAFETY: the kernel passes a valid siginfo, and these have no preconditions.
    let (code, process, thread) = unsafe { ((*info).si_code, libc::getpid(), libc::gettid()) };
    if process == installed.process {
        match RECORDER.compare_exchange(0, thread, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => {
                // SAFETY: with this code the kernel has set the address.
                let address = if code > 0 { unsafe { (*info).si_addr() as u64 } } else { 0 };
                // SAFETY: the kernel passes a valid context.
                let registers = unsafe { registers(context) };
                write_record(installed, [signal, code, thread], address, registers);
            }
            // What the action before has led to: an abort, for example.
            Err(recorder) if recorder == thread => {}
            Err(_) => wait_for_the_end(),
        }
    }
    let before = SIGNALS.iter().zip(&installed.before).find(|(it, _)| **it == signal);
    let before = before.and_then(|(_, before)| before.as_ref());
    // The kernel's own codes are positive: what did that does it again, and comes to the action before. A
    // breakpoint is behind it already.
    if code > 0
        && signal != libc::SIGTRAP
        && let Some(before) = before
    {
        // SAFETY: an action that was set before.
        unsafe { libc::sigaction(signal, before, std::ptr::null_mut()) };
        return;
    }
    // SAFETY: the default action; then the signal comes once more, to this thread.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::syscall(libc::SYS_tgkill, process, thread, signal);
    }
}

/// Another thread writes its record, and ends the process.
fn wait_for_the_end() {
    let second = libc::timespec { tv_sec: 1, tv_nsec: 0 };
    // SAFETY: valid for the call.
    unsafe { libc::nanosleep(&raw const second, std::ptr::null_mut()) };
}

/// The registers at the signal; zeros where they are not known.
///
/// # Safety
///
/// `context` is what the kernel passed to a handler with SA_SIGINFO.
unsafe fn registers(context: *mut c_void) -> Registers {
    // SAFETY: the caller's.
    let machine = unsafe { &(*context.cast::<libc::ucontext_t>()).uc_mcontext };
    #[cfg(target_arch = "x86_64")]
    let registers = {
        let register =
            |number: c_int| machine.gregs.get(number as usize).map_or(0, |it| it.cast_unsigned());
        Registers {
            pc: register(libc::REG_RIP),
            sp: register(libc::REG_RSP),
            fp: register(libc::REG_RBP),
            lr: 0,
        }
    };
    #[cfg(target_arch = "aarch64")]
    let registers = {
        let register = |number: usize| machine.regs.get(number).copied().unwrap_or_default();
        Registers { pc: machine.pc, sp: machine.sp, fp: register(29), lr: register(30) }
    };
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let registers = {
        let _ = machine;
        Registers::default()
    };
    registers
}

/// What is written is left if the pipe is full.
fn write_record(
    installed: &Installed,
    [signal, code, thread]: [c_int; 3],
    address: u64,
    registers: Registers,
) {
    let Some(pipe) = installed.pipe.number() else { return };
    let mut name = [0_u8; NAME_BYTES];
    // SAFETY: the kernel writes at most 16 bytes.
    unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
    let mut head = [0_u8; HEAD_BYTES];
    let fields: [&[u8]; 11] = [
        &MAGIC,
        &MACHINE.to_ne_bytes(),
        &signal.to_ne_bytes(),
        &code.to_ne_bytes(),
        &thread.to_ne_bytes(),
        &address.to_ne_bytes(),
        &registers.pc.to_ne_bytes(),
        &registers.sp.to_ne_bytes(),
        &registers.fp.to_ne_bytes(),
        &registers.lr.to_ne_bytes(),
        &name,
    ];
    let fields = fields.into_iter().flatten();
    head.iter_mut().zip(fields).for_each(|(to, from)| *to = *from);
    if write_bytes(pipe, &head) && write_maps(installed, pipe) && write_bytes(pipe, &[0]) {
        write_stack(pipe, registers.sp, installed.page_bytes);
    }
}

/// Writes what is mapped and can be executed, line by line. False if the pipe is full.
fn write_maps(installed: &Installed, pipe: c_int) -> bool {
    let Some(maps) = installed.maps.number() else { return true };
    // SAFETY: this thread is the recorder, which nothing else of it uses them for.
    let (line, chunk) = unsafe { (&mut *BUFFERS.line.get(), &mut *BUFFERS.chunk.get()) };
    let (mut len, mut left) = (0, MAPS_BYTES_MAX);
    // SAFETY: the number is that of the file of maps.
    unsafe { libc::lseek(maps, 0, libc::SEEK_SET) };
    loop {
        // SAFETY: the kernel writes into the chunk, at most its length.
        let read = unsafe { libc::read(maps, chunk.as_mut_ptr().cast(), chunk.len()) };
        let Ok(read @ 1..) = usize::try_from(read) else { return true };
        for byte in chunk.iter().take(read) {
            // The last place is for the end of the line.
            if *byte != b'\n' {
                if let Some(place) = line.get_mut(len).filter(|_| len + 1 < LINE_BYTES_MAX) {
                    *place = *byte;
                    len += 1;
                }
                continue;
            }
            if let Some(place) = line.get_mut(len) {
                *place = b'\n';
            }
            let whole = line.get(..=len).unwrap_or_default();
            len = 0;
            if is_code(whole) && whole.len() <= left {
                left -= whole.len();
                if !write_bytes(pipe, whole) {
                    return false;
                }
            }
        }
    }
}

/// Whether a line of the maps has the right to be executed: `7f00-7f10 r-xp …`.
fn is_code(line: &[u8]) -> bool {
    let rights = line.iter().position(|byte| *byte == b' ');
    rights.and_then(|space| line.get(space + 3)) == Some(&b'x')
}

/// Writes the memory from the stack pointer on, up to where it ends.
fn write_stack(pipe: c_int, pointer: u64, page_bytes: usize) {
    let Some(mut at) = usize::try_from(pointer).ok().and_then(|at| first_there(at, page_bytes))
    else {
        return;
    };
    if !write_bytes(pipe, &(at as u64).to_ne_bytes()) {
        return;
    }
    let mut left = STACK_BYTES_MAX;
    while left > 0 {
        // A page is there or not. A piece of one is written, or is not.
        let bytes = (page_bytes - at % page_bytes).min(left).min(CHUNK_BYTES);
        // SAFETY: the kernel reads the memory, and answers EFAULT if it is not there.
        let written = unsafe { libc::write(pipe, at as *const c_void, bytes) };
        match usize::try_from(written) {
            Ok(written) if written == bytes => {}
            _ => return,
        }
        let Some(next) = at.checked_add(bytes) else { return };
        (at, left) = (next, left - bytes);
    }
}

/// The address, or that of the next page that is there.
fn first_there(mut at: usize, page_bytes: usize) -> Option<usize> {
    const SET_BYTES: usize = 8;
    const NO_ACTION: c_int = -1;
    for _ in 0..GUARD_PAGES_MAX {
        let (set, none) = ((at - at % SET_BYTES) as *const c_void, std::ptr::null_mut::<c_void>());
        // SAFETY: the kernel reads the set, and answers EFAULT if it is not there; then it refuses the action.
        unsafe { libc::syscall(libc::SYS_rt_sigprocmask, NO_ACTION, set, none, SET_BYTES) };
        if errno() != libc::EFAULT {
            return Some(at);
        }
        at = (at - at % page_bytes).checked_add(page_bytes)?;
    }
    None
}

fn errno() -> c_int {
    // SAFETY: the address of this thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}

/// True if all was written.
fn write_bytes(pipe: c_int, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        // SAFETY: the bytes are valid for the call.
        let written = unsafe { libc::write(pipe, bytes.as_ptr().cast(), bytes.len()) };
        match usize::try_from(written) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(_) if errno() == libc::EINTR => {}
            Err(_) => return false,
        }
    }
    true
}
