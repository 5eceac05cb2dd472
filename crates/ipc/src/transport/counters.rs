// SPDX-License-Identifier: BSD-3-Clause
//! The counters of a link.

/// The counters of one link since it was created. They never decrease.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkCounters {
    /// Frames passed to the caller.
    pub frames_in: u64,
    /// Frames accepted from the caller.
    pub frames_out: u64,
    /// Bytes of those frames, heads and bodies.
    pub bytes_in: u64,
    /// Bytes of those frames, heads and bodies.
    pub bytes_out: u64,
    /// System calls that read, including those that found nothing.
    pub reads: u64,
    /// System calls that wrote, including those that found no room.
    pub writes: u64,
    /// File descriptors that arrived as ancillary data.
    pub descriptors_in: u64,
    /// File descriptors that were sent as ancillary data.
    pub descriptors_out: u64,
    /// File descriptors that were closed: not taken, or without a frame.
    pub descriptors_closed: u64,
    /// How often the peer sent more descriptors at once than are accepted.
    pub descriptors_cut: u64,
    /// Bytes that were put after the peer was gone.
    pub bytes_discarded: u64,
}
