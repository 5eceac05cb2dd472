// SPDX-License-Identifier: BSD-3-Clause
//! A thread of another process, run step by step.
//!
//! # Safety
//!
//! `ptrace` is asked for what concerns the other process alone: its memory is read by `PEEKDATA`, whose
//! result is a value, and registers are written into a record of this function's.

use std::collections::HashMap;
use std::io;
use std::ptr;
use std::time::Instant;

use libc::{c_int, c_long, c_uint, c_void, pid_t};

use crate::calls::MARK;

/// How often each instruction was run, by its address; and its first bytes.
pub(crate) type Seen = HashMap<u64, (u64, [u8; 16])>;

/// A thread that this one traces.
#[derive(Debug)]
pub(crate) struct Traced(pid_t);

impl Traced {
    /// A thread that runs goes on running.
    pub(crate) fn seize(thread: pid_t) -> io::Result<Self> {
        // SAFETY: see the module's documentation.
        check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, thread, ptr::null::<c_void>(), 0) })?;
        Ok(Self(thread))
    }

    /// Waits until it has sent itself the mark, which it does not get.
    pub(crate) fn wait_for_mark(&self) -> io::Result<()> {
        loop {
            let signal = self.stopped()?;
            if signal == MARK.as_raw() {
                return Ok(());
            }
            self.go(libc::PTRACE_CONT as c_uint, signal)?;
        }
    }

    /// Stops it where it is.
    pub(crate) fn interrupt(&self) -> io::Result<()> {
        self.ask(libc::PTRACE_INTERRUPT as c_uint, 0)?;
        self.stopped().map(|_| ())
    }

    /// Runs the stopped thread by steps until it has passed so many marks, or the first one after `until`; how many
    /// they were. At least one.
    pub(crate) fn run(&self, marks_max: u64, until: Instant) -> io::Result<(Seen, u64)> {
        let (mut seen, mut marks) = (Seen::new(), 0);
        loop {
            let at = self.instruction()?;
            let place = match seen.get_mut(&at) {
                Some(place) => place,
                None => {
                    let code = self.code(at)?;
                    seen.entry(at).or_insert((0, code))
                }
            };
            place.0 += 1;
            self.go(libc::PTRACE_SINGLESTEP as c_uint, 0)?;
            let signal = self.stopped()?;
            if signal == MARK.as_raw() {
                marks += 1;
                if marks >= marks_max || Instant::now() >= until {
                    return Ok((seen, marks));
                }
            } else if signal != libc::SIGTRAP {
                self.go(libc::PTRACE_SINGLESTEP as c_uint, signal)?;
                self.stopped()?;
            }
        }
    }

    /// Lets the stopped thread go on.
    pub(crate) fn leave(self) -> io::Result<()> {
        self.ask(libc::PTRACE_DETACH as c_uint, 0)
    }

    fn go(&self, how: c_uint, signal: c_int) -> io::Result<()> {
        self.ask(how, signal.into())
    }

    fn ask(&self, what: c_uint, data: c_long) -> io::Result<()> {
        // SAFETY: see the module's documentation.
        check(unsafe { libc::ptrace(what, self.0, ptr::null::<c_void>(), data) })
    }

    /// Waits until it stops, and why.
    fn stopped(&self) -> io::Result<c_int> {
        let mut status = 0;
        // SAFETY: the status is this function's.
        check(unsafe { libc::waitpid(self.0, &raw mut status, libc::__WALL) }.into())?;
        if libc::WIFSTOPPED(status) {
            return Ok(libc::WSTOPSIG(status));
        }
        Err(io::Error::other("the thread has ended"))
    }

    #[cfg(target_arch = "x86_64")]
    fn instruction(&self) -> io::Result<u64> {
        let mut registers = std::mem::MaybeUninit::<libc::user_regs_struct>::uninit();
        let to = registers.as_mut_ptr();
        // SAFETY: see the module's documentation.
        check(unsafe { libc::ptrace(libc::PTRACE_GETREGS, self.0, ptr::null::<c_void>(), to) })?;
        // SAFETY: written by the call, which has succeeded.
        Ok(unsafe { registers.assume_init() }.rip)
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn instruction(&self) -> io::Result<u64> {
        Err(io::Error::new(io::ErrorKind::Unsupported, "only instructions of x86-64 are known"))
    }

    fn code(&self, at: u64) -> io::Result<[u8; 16]> {
        let mut code = [0; 16];
        for (offset, word) in (0..).step_by(8).zip(code.as_chunks_mut::<8>().0) {
            // The second word may lie behind what is mapped.
            *word = self.word(at + offset).unwrap_or_default().to_ne_bytes();
        }
        Ok(code)
    }

    fn word(&self, at: u64) -> io::Result<c_long> {
        // SAFETY: `errno` is this thread's.
        unsafe { *libc::__errno_location() = 0 };
        // SAFETY: see the module's documentation.
        let word = unsafe { libc::ptrace(libc::PTRACE_PEEKDATA, self.0, at as *mut c_void, 0) };
        match io::Error::last_os_error() {
            error if word == -1 && error.raw_os_error() != Some(0) => Err(error),
            _ => Ok(word),
        }
    }
}

fn check(result: c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
