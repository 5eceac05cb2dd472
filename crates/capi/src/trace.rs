// SPDX-License-Identifier: BSD-3-Clause
//! `KCORO_TRACE=<file>`: a line for each operation on a channel, as it ends.
//!
//! ```text
//!   clock (ns)        thread   channel          operation   answer
//!   81734712345678    2        0x55d0c8a3f2d0   send        0
//! ```
//!
//! The file is opened once, for channels created after that; lines are appended whole. Without the
//! variable, and in a process whose file cannot be opened, an operation only checks its channel's
//! flags.

use std::fs::File;
use std::io::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use libc::c_int;
use parking_lot::Mutex;

use crate::boundary::code;
use crate::chan::{Chan, TRACE};
use crate::clock;

static OUT: LazyLock<Option<Mutex<File>>> = LazyLock::new(|| {
    let path = std::env::var_os("KCORO_TRACE").filter(|path| !path.is_empty())?;
    let opened = File::options().create(true).append(true).open(&path);
    if let Err(error) = &opened {
        let _ = writeln!(
            std::io::stderr(),
            "kcoro: no trace: {}: {error}",
            std::path::Path::new(&path).display()
        );
    }
    opened.ok().map(Mutex::new)
});

thread_local! {
    static THREAD: u64 = {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

/// Whether new channels are traced.
pub(crate) fn is_wanted() -> bool {
    OUT.is_some()
}

/// Records an operation that has ended.
#[inline]
pub(crate) fn ended(chan: &Chan, operation: &str, answer: Result<(), c_int>) {
    if chan.has(TRACE) {
        write(chan, operation, code(answer));
    }
}

#[cold]
fn write(chan: &Chan, operation: &str, answer: c_int) {
    let Some(out) = &*OUT else {
        return;
    };
    let thread = THREAD.try_with(|thread| *thread).unwrap_or(0);
    let at = std::ptr::from_ref(chan);
    let line = format!("{}\t{thread}\t{at:p}\t{operation}\t{answer}\n", clock::now_ns());
    // An error, such as a full disk, loses this line only.
    let _ = out.lock().write_all(line.as_bytes());
}
