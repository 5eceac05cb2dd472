// SPDX-License-Identifier: BSD-3-Clause
//! Zero copy: descriptors instead of bytes, by a backend (`kcoro_zcopy.h`).
//!
//! | file | holds |
//! |---|---|
//! | `registry` | backends by name and number |
//! | `zref` | the one that is built in: pointers of this process |
//! | `dispatch` | a channel's operations on descriptors, by the backend that is bound to it |
//! | `count` | what a backend outside this library counts |

pub mod count;
pub mod dispatch;
pub mod registry;
pub(crate) mod zref;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, Ordering};

use libc::{c_int, c_void};
use parking_lot::Mutex;

use self::registry::Backend;
use crate::chan::Chan;
use crate::errno;

/// A channel's backends.
///
/// The one that is bound handles its descriptors. One that was attached is detached when the channel
/// is destroyed, once, after it was closed; those that came before the last are kept until then.
#[derive(Default)]
pub(crate) struct Binding {
    bound: AtomicPtr<Backend>,
    attached: OnceLock<Mutex<Vec<&'static Backend>>>,
}

impl Binding {
    pub(crate) fn backend(&self) -> Option<&'static Backend> {
        // SAFETY: null, or a backend of the registry, which are never freed.
        unsafe { self.bound.load(Ordering::Acquire).as_ref() }
    }

    /// Attaches the backend, if it is not, and binds it.
    fn bind(&self, handle: *mut Chan, backend: &'static Backend, opts: *const c_void) -> c_int {
        // Held while the backend attaches: it comes once, and before its first operation.
        let mut attached = self.attached.get_or_init(Mutex::default).lock();
        if !attached.iter().any(|other| std::ptr::eq(*other, backend)) {
            let code = backend.attach(handle, opts);
            if code != errno::OK {
                return code;
            }
            attached.push(backend);
        }
        self.bound.store(std::ptr::from_ref(backend).cast_mut(), Ordering::Release);
        errno::OK
    }

    /// The channel is closed and will be no more.
    pub(crate) fn detach(&self, handle: *mut Chan) {
        self.bound.store(std::ptr::null_mut(), Ordering::Release);
        let attached = self.attached.get().map(|attached| std::mem::take(&mut *attached.lock()));
        for backend in attached.unwrap_or_default() {
            backend.detach(handle);
        }
    }
}
