// SPDX-License-Identifier: BSD-3-Clause
//! What a link has done.

/// Counts of one link since it was made. None ever goes down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LinkCounters {
    /// Frames given to the caller.
    pub frames_in: u64,
    /// Frames taken from the caller.
    pub frames_out: u64,
    /// Bytes of those frames, heads and bodies.
    pub bytes_in: u64,
    /// Bytes of those frames, heads and bodies.
    pub bytes_out: u64,
    /// System calls that read, those that found nothing too.
    pub reads: u64,
    /// System calls that wrote, those that found no room too.
    pub writes: u64,
    /// File descriptors that came beside frames.
    pub descriptors_in: u64,
    /// File descriptors that left beside frames.
    pub descriptors_out: u64,
    /// File descriptors that came and that nobody took, or that came with no frame: closed.
    pub descriptors_closed: u64,
    /// Times that the other side sent more descriptors at once than are let in.
    pub descriptors_cut: u64,
    /// Bytes that were put and that a peer which is gone will never read.
    pub bytes_discarded: u64,
}
