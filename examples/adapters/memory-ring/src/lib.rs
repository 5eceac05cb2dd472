// SPDX-License-Identifier: BSD-3-Clause
//! A backend of `becket-zcopy` outside the core: a template.
//!
//! It moves descriptors through a ring in memory. A real adapter has a device, a bus or a network
//! in place of the ring; everything around it stays the same: the credit window, the waits, the
//! results, closing.
//!
//! | file | holds | to replace |
//! |---|---|---|
//! | `ring` | slots and credits, as a state machine without waiting | by your transport |
//! | `link` | waiting, closing, ownership | hardly any of it |
//!
//! ```
//! use becket_chan::Kind;
//! use becket_zcopy::{Desc, ZChannel};
//! use memory_ring::Options;
//!
//! let backend = memory_ring::register().unwrap();
//! let channel = ZChannel::new(Kind::Bounded, Some(64), None);
//! channel.attach(backend, &Options { bytes_max: 1 << 20, ..Options::default() }).unwrap();
//!
//! let mut bytes = vec![7_u8; 4096];
//! let mut desc = Desc::local(bytes.as_mut_ptr(), bytes.len()).unwrap();
//! channel.send(&mut desc).wait().unwrap();
//! assert_eq!(channel.recv().wait().unwrap().len, 4096);
//! ```

#![forbid(unsafe_code)]

mod link;
mod ring;

use std::any::Any;
use std::sync::Arc;

use becket_chan::Kind;
use becket_zcopy::{Backend, BackendId, Carrier, Failure, Link, RegisterError};

use self::link::RingLink;

/// The name in the registry.
pub const NAME: &str = "memory-ring";

/// The options of `attach`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The longest descriptor, in bytes. Longer ones are refused.
    pub bytes_max: usize,
    /// Credits return to the producers in batches of this size, with one wake per batch. At least
    /// 1; at most the window.
    pub grant: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self { bytes_max: usize::MAX, grant: 8 }
    }
}

/// The backend. It has no state of its own: each channel has a link.
#[derive(Debug)]
pub struct MemoryRing;

/// Registers the backend. A second call returns the same id.
///
/// # Errors
///
/// [`RegisterError`].
pub fn register() -> Result<BackendId, RegisterError> {
    becket_zcopy::register(NAME, MemoryRing, 0)
}

// ANCHOR: attach
impl Backend for MemoryRing {
    fn attach(
        &self,
        carrier: &Arc<dyn Carrier>,
        options: &dyn Any,
    ) -> Result<Box<dyn Link>, Failure> {
        // The window is the channel's capacity; only a bounded channel has one.
        let (Kind::Bounded, Some(window)) = (carrier.kind(), carrier.capacity()) else {
            return Err(Failure::Unsupported);
        };
        let options = options.downcast_ref::<Options>().copied().unwrap_or_default();
        Ok(Box::new(RingLink::new(carrier.clone(), window, options)))
    }
}
// ANCHOR_END: attach
