// SPDX-License-Identifier: BSD-3-Clause
//! Zero copy: descriptors instead of bytes, by a backend of `becket_zcopy` (`kcoro_zcopy.h`).
//!
//! | file | contents |
//! |---|---|
//! | `registry` | backends by name and number: the C functions |
//! | `vtable` | a backend whose functions are C's |
//! | `carrier` | a channel of C, as a backend uses it |
//! | `zref` | the built-in backend: pointers of this process |
//! | `dispatch` | a channel's operations on descriptors, by the backend that is bound to it |
//! | `count` | counters of a backend outside this library |
//! | `failure` | `becket_zcopy`'s failures as C's numbers |
//!
//! `zref` is the channel's own path, through its lanes, and takes no reference to the channel
//! unless it waits. Any other backend is a link of `becket_zcopy`.

mod carrier;
pub mod count;
pub mod dispatch;
mod failure;
pub mod registry;
#[cfg(test)]
mod tests;
mod vtable;
pub(crate) mod zref;

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use becket_zcopy::{BackendId, Carrier};
use libc::{c_int, c_void};
use parking_lot::Mutex;

use self::carrier::{CarrierOf, Options};
use crate::chan::{CLOSED, Chan, lent};
use crate::errno;

/// The backend of a channel's descriptors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// None yet.
    None = 0,
    /// The channel itself.
    Zref = 1,
    /// The link that is bound.
    Link = 2,
}

/// A channel's backends. They are detached when the channel is destroyed, after it was closed.
#[derive(Default)]
pub(crate) struct Binding {
    by: AtomicU8,
    links: becket_zcopy::Binding,
    /// Held while a backend is bound, so that the last one bound is the one that is used.
    turn: Mutex<()>,
}

impl Binding {
    pub(crate) fn by(&self) -> By {
        match self.by.load(Ordering::Acquire) {
            1 => By::Zref,
            2 => By::Link,
            _ => By::None,
        }
    }

    pub(crate) fn links(&self) -> &becket_zcopy::Binding {
        &self.links
    }

    /// Attaches the backend, if it is not, and binds it.
    fn bind(&self, handle: *mut Chan, id: BackendId, opts: *const c_void) -> Result<(), c_int> {
        let _turn = self.turn.lock();
        let by = if id == BackendId::ZREF {
            By::Zref
        } else {
            let carrier: Arc<dyn Carrier> = Arc::new(CarrierOf(handle));
            let options: &dyn Any = &Options(opts);
            match self.links.bind(id, &carrier, options) {
                Some(Ok(())) => {
                    // SAFETY: the handle's channel is being bound, so it is alive.
                    if unsafe { lent(handle) }.is_some_and(|chan| chan.has(CLOSED)) {
                        self.links.close();
                    }
                    By::Link
                }
                Some(Err(failure)) => return Err(failure::code(failure)),
                None => return Err(errno::ENOENT),
            }
        };
        self.by.store(by as u8, Ordering::Release);
        Ok(())
    }

    /// Detaches the backends of a channel that is closed and will be freed.
    pub(crate) fn detach(&self) {
        self.by.store(By::None as u8, Ordering::Release);
        let _detached = self.links.detach(true);
    }
}
