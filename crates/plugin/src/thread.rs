// SPDX-License-Identifier: BSD-3-Clause
//! Threads of the plugin's own, which leave no trace on the thread that starts them.
//!
//! The starting thread is the host's. `std::thread` gives it a thread-local with a destructor, for
//! as long as it lives, and the image stays mapped for that destructor; the started thread takes
//! one of the process's few `pthread` keys, which an unmapped image does not give back. POSIX
//! threads do neither.
//!
//! # Safety
//!
//! `pthread_create` gives the box with the body away; it comes back once, in `run`, or here when no
//! thread was made. A [`Thread`] is joined once: by the call that consumes it.

use std::ffi::{CString, c_void};
use std::io;
use std::ptr;

use crate::boundary;

type Body = Box<dyn FnOnce() + Send>;

/// A running thread. Dropping it waits for its end.
#[derive(Debug)]
pub(crate) struct Thread(libc::pthread_t);

impl Thread {
    /// Starts `body`; the system shows the thread as `name`, or the first 15 bytes of it.
    pub(crate) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let body: *mut Body = Box::into_raw(Box::new(Box::new(body)));
        let mut id: libc::pthread_t = 0;
        // SAFETY: `id` is written to; `run` takes the body over.
        let failed = unsafe { libc::pthread_create(&raw mut id, ptr::null(), run, body.cast()) };
        if failed != 0 {
            // SAFETY: no thread was made, so the body is still ours.
            drop(unsafe { Box::from_raw(body) });
            return Err(io::Error::from_raw_os_error(failed));
        }
        let thread = Self(id);
        thread.set_name(name);
        Ok(thread)
    }

    pub(crate) fn join(self) {
        drop(self);
    }

    fn set_name(&self, name: &str) {
        const SHOWN_BYTES_MAX: usize = 15;
        let shown: Vec<u8> = name.bytes().filter(|byte| *byte != 0).take(SHOWN_BYTES_MAX).collect();
        if let Ok(shown) = CString::new(shown) {
            // A thread without a name works as well; on macOS only the thread itself could set it.
            #[cfg(not(target_vendor = "apple"))]
            // SAFETY: the thread is not joined yet; the text ends in a zero.
            let _ = unsafe { libc::pthread_setname_np(self.0, shown.as_ptr()) };
            #[cfg(target_vendor = "apple")]
            let _ = shown;
        }
    }
}

impl Drop for Thread {
    fn drop(&mut self) {
        // SAFETY: joined nowhere else. A thread that joins itself is refused, and goes on.
        let _ = unsafe { libc::pthread_join(self.0, ptr::null_mut()) };
    }
}

extern "C" fn run(body: *mut c_void) -> *mut c_void {
    // SAFETY: `spawn` gave this box away, to this thread alone.
    let body = unsafe { Box::from_raw(body.cast::<Body>()) };
    boundary::guard("a thread", || None, body);
    ptr::null_mut()
}
