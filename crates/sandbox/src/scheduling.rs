// SPDX-License-Identifier: BSD-3-Clause
//! The scheduler's class of a thread: a thread of the idle class runs when no other wants the processor, and has some
//! thousandth of it otherwise.
//!
//! Any process may put threads of its own user into the idle class; only a privileged one ([`may_raise`]) takes them
//! out of it. What a thread of the idle class starts is of that class too.
//!
//! # Safety
//!
//! No crate offers the system call as a safe function. It reads one record, which is this function's, and names a
//! thread by its number; the kernel checks the right to change it.

#![allow(unsafe_code, reason = "a system call that no crate has a safe function for")]

use std::io;

use rustix::thread::{CapabilitySet, capabilities};

/// The classes that are used here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// As threads begin.
    Normal,
    /// Behind all others.
    Idle,
}

/// Puts a thread into a class; 0: the calling one.
///
/// # Errors
/// There is no such thread, or this process may not.
pub fn set_class(thread: i32, class: Class) -> io::Result<()> {
    let policy = match class {
        Class::Normal => libc::SCHED_OTHER,
        Class::Idle => libc::SCHED_IDLE,
    };
    let parameters = libc::sched_param { sched_priority: 0 };
    // SAFETY: reads the record of this function.
    match unsafe { libc::sched_setscheduler(thread, policy, &raw const parameters) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Whether the calling thread may take threads of other processes out of the idle class.
#[must_use]
pub fn may_raise() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_NICE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy() -> i32 {
        // SAFETY: changes nothing.
        unsafe { libc::sched_getscheduler(0) }
    }

    #[test]
    fn a_thread_is_put_into_the_idle_class_and_out_of_it_if_that_is_allowed() {
        let classes = std::thread::spawn(|| {
            let before = policy();
            set_class(0, Class::Idle).unwrap();
            let inherited = std::thread::spawn(policy).join().unwrap();
            let idle = policy();
            let raised = set_class(0, Class::Normal).is_ok();
            (before, idle, inherited, raised, policy())
        });
        let (before, idle, inherited, raised, after) = classes.join().unwrap();
        assert_eq!((before, idle, inherited), (libc::SCHED_OTHER, libc::SCHED_IDLE, idle));
        assert_eq!(after, if raised { libc::SCHED_OTHER } else { libc::SCHED_IDLE });
        assert!(raised || !may_raise());
        assert_eq!(policy(), libc::SCHED_OTHER, "of one thread alone");
        assert!(set_class(i32::MAX, Class::Idle).is_err());
    }
}
