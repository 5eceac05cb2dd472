// SPDX-License-Identifier: BSD-3-Clause
//! Looking at memory that a plugin points to, without trusting the pointer.
//!
//! Everything a plugin hands over at load time (the info, its texts, its vtable) is copied out by
//! the kernel: `process_vm_readv` on this very process answers `EFAULT` for an address that a plain
//! read would crash on. Where a sandbox forbids that call, a pipe does the same: `write` from the
//! address into the pipe answers `EFAULT` too, and the bytes are read back from the other end.
//!
//! What memory *is* comes from the dynamic linker (`dl_iterate_phdr`), which knows the segments of
//! every image, and for everything else (code made at run time) from the kernel's list of mappings.
//!
//! # Invariants
//!
//! 1. No address from a plugin is dereferenced in this module.
//! 2. A read is whole or it failed: there is no partial result.
//! 3. What was read is a copy: the plugin cannot change it between the check and the use.
//!
//! # Safety
//!
//! - System calls: every buffer handed to the kernel for writing is a live, exclusive slice of ours;
//!   the plugin's address is only ever the *source*, which the kernel checks.
//! - `dl_iterate_phdr`: the records are valid during the callback, and what is kept is copied there.

#[cfg(not(target_vendor = "apple"))]
use std::ffi::c_int;
use std::ffi::c_void;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsRawFd;

use crate::sys;

/// A pipe takes this much without anyone reading, whatever its configured size.
const PIPE_CHUNK_BYTES: usize = 4096;

/// The memory at an address cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fault;

/// Copies `len` bytes at `address`.
pub(super) fn read(address: usize, len: usize) -> Result<Vec<u8>, Fault> {
    if len == 0 {
        return Ok(Vec::new());
    }
    if address == 0 || address.checked_add(len).is_none() {
        return Err(Fault);
    }
    let mut copy = vec![0_u8; len];
    match sys::copy_memory(address, &mut copy) {
        Some(true) => Ok(copy),
        Some(false) => Err(Fault),
        None => read_by_pipe(address, &mut copy).map(|()| copy),
    }
}

/// The number of leading 8-byte words at `address` that can be read, at most `words_max`, copied.
pub(super) fn read_words(address: usize, words_max: usize) -> Vec<usize> {
    let mut words = Vec::with_capacity(words_max);
    for index in 0..words_max {
        let Some(at) = address.checked_add(index * size_of::<usize>()) else { break };
        match read(at, size_of::<usize>()) {
            Ok(bytes) => words.push(word(&bytes, 0)),
            Err(Fault) => break,
        }
    }
    words
}

/// The native `u32` at `offset` of a copy; 0 past its end.
pub(super) fn half(bytes: &[u8], offset: usize) -> u32 {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk::<4>())
        .map_or(0, |raw| u32::from_ne_bytes(*raw))
}

/// The native word at `offset` of a copy; 0 past its end.
pub(super) fn word(bytes: &[u8], offset: usize) -> usize {
    bytes
        .get(offset..)
        .and_then(|rest| rest.first_chunk::<{ size_of::<usize>() }>())
        .map_or(0, |raw| usize::from_ne_bytes(*raw))
}

fn read_by_pipe(address: usize, copy: &mut [u8]) -> Result<(), Fault> {
    let (mut reading, writing) = io::pipe().map_err(|_| Fault)?;
    let mut at = address;
    for chunk in copy.chunks_mut(PIPE_CHUNK_BYTES) {
        let source: *const c_void = std::ptr::with_exposed_provenance(at);
        // SAFETY: the kernel reads the range and reports what it cannot read; the pipe is empty,
        // so a chunk fits without waiting.
        let wrote = unsafe { libc::write(writing.as_raw_fd(), source, chunk.len()) };
        if usize::try_from(wrote) != Ok(chunk.len()) || reading.read_exact(chunk).is_err() {
            return Err(Fault);
        }
        at = at.wrapping_add(chunk.len());
    }
    Ok(())
}

/// One mapped segment of an image.
#[derive(Debug, Clone, Copy)]
pub(super) struct Segment {
    start: usize,
    end: usize,
    executable: bool,
}

/// One image that the dynamic linker has mapped.
#[derive(Debug, Clone, Default)]
pub(super) struct MappedImage {
    /// What was added to the file's addresses.
    pub(super) bias: usize,
    segments: Vec<Segment>,
}

impl MappedImage {
    /// The image that `address` lies in.
    pub(super) fn containing(address: usize) -> Option<Self> {
        #[cfg_attr(target_vendor = "apple", expect(unused_mut, reason = "none are collected"))]
        let mut images: Vec<Self> = Vec::new();
        // On systems of Apple images are of another form, and plugins in that form are refused.
        #[cfg(not(target_vendor = "apple"))]
        // SAFETY: `collect` gets the address of `images`, which outlives the call and is touched
        // by nothing else meanwhile.
        unsafe {
            libc::dl_iterate_phdr(Some(collect), (&raw mut images).cast())
        };
        images.into_iter().find(|image| image.segment(address).is_some())
    }

    /// True if `address` lies in the image.
    pub(super) fn contains(&self, address: usize) -> bool {
        self.segment(address).is_some()
    }

    /// True if `address` lies in code of the image.
    pub(super) fn is_code(&self, address: usize) -> bool {
        self.segment(address).is_some_and(|segment| segment.executable)
    }

    fn segment(&self, address: usize) -> Option<&Segment> {
        self.segments.iter().find(|segment| (segment.start..segment.end).contains(&address))
    }
}

/// True if a call to `address` reaches code: of any image, or mapped at run time.
pub(super) fn is_executable(address: usize) -> bool {
    MappedImage::containing(address).is_some_and(|image| image.is_code(address))
        || mapping_is_executable(address).unwrap_or(false)
}

/// Reads the kernel's list of mappings; `None` where there is none to read.
fn mapping_is_executable(address: usize) -> Option<bool> {
    for line in BufReader::new(File::open("/proc/self/maps").ok()?).split(b'\n') {
        let line = line.ok()?;
        let line = String::from_utf8_lossy(&line);
        let (range, rest) = line.split_once(' ')?;
        let (start, end) = range.split_once('-')?;
        let start = usize::from_str_radix(start, 16).ok()?;
        let end = usize::from_str_radix(end, 16).ok()?;
        if (start..end).contains(&address) {
            return Some(rest.as_bytes().get(2) == Some(&b'x'));
        }
    }
    Some(false)
}

/// The flag of a segment that holds code, in the format of the file.
#[cfg(not(target_vendor = "apple"))]
const SEGMENT_EXECUTABLE: u32 = 1;

/// # Safety
/// `info` is a record of `dl_iterate_phdr`, and `images` the `Vec<MappedImage>` given to it.
#[cfg(not(target_vendor = "apple"))]
unsafe extern "C" fn collect(
    info: *mut libc::dl_phdr_info,
    _size: libc::size_t,
    images: *mut c_void,
) -> c_int {
    // SAFETY: the record is valid during the callback; the fields read here are in its first
    // version.
    let info = unsafe { &*info };
    // SAFETY: the caller's promise; the callback runs on the calling thread, one at a time.
    let images = unsafe { &mut *images.cast::<Vec<MappedImage>>() };
    let bias = info.dlpi_addr as usize;
    if info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: the linker keeps `dlpi_phnum` headers at `dlpi_phdr` while the image is mapped, and
    // it holds its lock during the callback.
    let headers =
        unsafe { std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum)) };
    let segments = headers
        .iter()
        .filter(|header| header.p_type == libc::PT_LOAD)
        .map(|header| {
            let start = bias.wrapping_add(header.p_vaddr as usize);
            Segment {
                start,
                end: start.saturating_add(header.p_memsz as usize),
                executable: header.p_flags & SEGMENT_EXECUTABLE != 0,
            }
        })
        .collect();
    images.push(MappedImage { bias, segments });
    0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_read_is_a_fault() {
        let page = 4096;
        // SAFETY: a fresh private mapping.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                2 * page,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        } as usize;
        // SAFETY: the second page of that mapping, which nothing uses.
        let rc = unsafe {
            libc::mprotect(
                std::ptr::with_exposed_provenance_mut(base + page),
                page,
                libc::PROT_NONE,
            )
        };
        assert_eq!(rc, 0);
        let edge = base + page - 8;
        for read_all in [
            |at, len| read(at, len).map(drop),
            |at, len: usize| read_by_pipe(at, &mut vec![0; len]),
        ] {
            assert_eq!(read_all(edge, 8), Ok(()));
            assert_eq!(read_all(edge, 9), Err(Fault), "the last byte is behind the edge");
            assert_eq!(read_all(8, 8), Err(Fault));
        }
        assert_eq!(read(0, 1), Err(Fault));
        assert_eq!(read(usize::MAX - 4, 8), Err(Fault));
        assert_eq!(read_words(base + page - 24, 12).len(), 3);
    }

    #[test]
    fn both_ways_copy_the_same() {
        let bytes: Vec<u8> = (0..10_000).map(|n| (n % 251) as u8).collect();
        let at = bytes.as_ptr().expose_provenance();
        let mut piped = vec![0; bytes.len()];
        assert_eq!(read_by_pipe(at, &mut piped), Ok(()));
        assert_eq!(read(at, bytes.len()).as_deref(), Ok(bytes.as_slice()));
        assert_eq!(piped, bytes);
    }

    #[test]
    fn code_and_data_are_told_apart() {
        let code = what_cannot_be_read_is_a_fault as *const () as usize;
        let heap = Box::new(1_u64);
        assert!(is_executable(code));
        assert!(!is_executable(std::ptr::from_ref(&*heap) as usize));
        assert!(!is_executable(8));
        assert_eq!(mapping_is_executable(code), Some(true));
    }
}
