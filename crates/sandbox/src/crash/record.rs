// SPDX-License-Identifier: BSD-3-Clause
//! The record, read by the host.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::{HEAD_BYTES, MACHINE, MAGIC, NAME_BYTES, RECORD_BYTES_MAX, STACK_BYTES_MAX};

/// Mappings that are read of a record.
const MAPPINGS_MAX: usize = 1024;

/// What a process left of the thread that a signal came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The signal.
    pub signal: i32,
    /// Its `si_code`: positive if the kernel sent it for what the thread did.
    pub code: i32,
    /// The thread's number.
    pub thread: u32,
    /// Its name, which may contain anything.
    pub thread_name: String,
    /// The address that the signal is about; 0 for a signal that a process sent.
    pub address: u64,
    /// Its registers.
    pub registers: Registers,
    /// What could be executed, by ascending addresses without overlaps.
    pub mappings: Vec<Mapping>,
    /// The address of [`Self::stack`]: that of the stack pointer, or of the first page above it.
    pub stack_start: u64,
    /// The memory from there on.
    pub stack: Vec<u8>,
}

/// The registers from which a stack is unwound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Registers {
    /// The program counter.
    pub pc: u64,
    /// The stack pointer.
    pub sp: u64,
    /// The frame pointer, which a function may use for something else.
    pub fp: u64,
    /// The link register; 0 on a machine that has none.
    pub lr: u64,
}

/// Memory that could be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Its first address.
    pub start: u64,
    /// The address after its last one.
    pub end: u64,
    /// Where it begins in its file.
    pub offset: u64,
    /// Its file, or a name such as `[vdso]`; empty for memory without a name.
    pub path: PathBuf,
    /// The file had been removed.
    pub is_removed: bool,
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// There are none.
    #[error("it left no record")]
    Empty,
    /// They do not begin as one, or end too early.
    #[error("what it left is no record")]
    Form,
    /// The registers of this machine are not known.
    #[error("a stack cannot be read on this machine")]
    Machine,
}

impl Record {
    /// Reads what a process has left. Only the first [`RECORD_BYTES_MAX`] bytes are looked at; lines of the maps
    /// that make no sense are left out.
    ///
    /// # Errors
    /// [`RecordError`]: they are no record of this machine.
    pub fn parse(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.is_empty() {
            return Err(RecordError::Empty);
        }
        let bytes = bytes.get(..RECORD_BYTES_MAX).unwrap_or(bytes);
        let (head, rest) = bytes.split_first_chunk::<HEAD_BYTES>().ok_or(RecordError::Form)?;
        let mut head = Head(head);
        if head.take() != Some(MAGIC) {
            return Err(RecordError::Form);
        }
        if MACHINE == 0 || head.u32() != MACHINE {
            return Err(RecordError::Machine);
        }
        let (signal, code) = (head.u32().cast_signed(), head.u32().cast_signed());
        let (thread, address) = (head.u32(), head.u64());
        let registers =
            Registers { pc: head.u64(), sp: head.u64(), fp: head.u64(), lr: head.u64() };
        let name = head.take::<NAME_BYTES>().unwrap_or_default();
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        // Without the zero the pipe was full: there is no stack.
        let mut parts = rest.splitn(2, |byte| *byte == 0);
        let maps = parts.next().unwrap_or_default();
        let stack = parts.next().and_then(<[u8]>::split_first_chunk::<8>);
        let (start, stack) =
            stack.map_or((0, &[][..]), |(at, stack)| (u64::from_ne_bytes(*at), stack));
        let stack = stack.get(..STACK_BYTES_MAX).unwrap_or(stack);
        Ok(Self {
            signal,
            code,
            thread,
            thread_name: String::from_utf8_lossy(name).into_owned(),
            address,
            registers,
            mappings: mappings(maps),
            stack_start: start,
            stack: stack.to_vec(),
        })
    }

    /// The mapping that an address lies in.
    #[must_use]
    pub fn mapping(&self, address: u64) -> Option<&Mapping> {
        let after = self.mappings.partition_point(|mapping| mapping.start <= address);
        let mapping = self.mappings.get(after.checked_sub(1)?)?;
        (address < mapping.end).then_some(mapping)
    }

    /// The 8 bytes of the stack at an address.
    #[must_use]
    pub fn word(&self, address: u64) -> Option<u64> {
        let at = usize::try_from(address.checked_sub(self.stack_start)?).ok()?;
        let word = self.stack.get(at..at.checked_add(8)?)?;
        Some(u64::from_ne_bytes(word.try_into().ok()?))
    }
}

/// The fields before the maps, from the first on.
struct Head<'a>(&'a [u8]);

impl Head<'_> {
    fn take<const BYTES: usize>(&mut self) -> Option<[u8; BYTES]> {
        let (field, rest) = self.0.split_first_chunk::<BYTES>()?;
        self.0 = rest;
        Some(*field)
    }

    fn u32(&mut self) -> u32 {
        self.take().map_or(0, u32::from_ne_bytes)
    }

    fn u64(&mut self) -> u64 {
        self.take().map_or(0, u64::from_ne_bytes)
    }
}

/// The lines that are whole; the kernel writes them by ascending addresses.
fn mappings(maps: &[u8]) -> Vec<Mapping> {
    let lines = maps.split_inclusive(|byte| *byte == b'\n');
    let lines = lines.filter_map(|line| mapping(line.strip_suffix(b"\n")?));
    let mut mappings: Vec<Mapping> = Vec::new();
    for mapping in lines.take(MAPPINGS_MAX) {
        if mappings.last().is_none_or(|last| last.end <= mapping.start) {
            mappings.push(mapping);
        }
    }
    mappings
}

/// `7f3c5a028000-7f3c5a1b0000 r-xp 00028000 fe:00 1234    /usr/lib/libc.so.6`
fn mapping(line: &[u8]) -> Option<Mapping> {
    let mut fields = line.splitn(6, |byte| *byte == b' ');
    let hex = |field: &[u8]| u64::from_str_radix(str::from_utf8(field).ok()?, 16).ok();
    let mut range = fields.next()?.splitn(2, |byte| *byte == b'-');
    let (start, end) = (hex(range.next()?)?, hex(range.next()?)?);
    let offset = hex(fields.nth(1)?)?;
    let path = fields.nth(2).unwrap_or_default().trim_ascii_start();
    let removed = path.strip_suffix(b" (deleted)");
    (start < end && offset.checked_add(end - start).is_some()).then(|| Mapping {
        start,
        end,
        offset,
        path: PathBuf::from(OsStr::from_bytes(removed.unwrap_or(path))),
        is_removed: removed.is_some(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MAPS: &str = "1000-3000 r-xp 00001000 fe:00 12      /lib/a b.so\n\
                        9000-a000 r-xp 00000000 00:00 0 \n\
                        a000-b000 r-xp 00000000 fe:00 13 /tmp/p.so (deleted)\n";

    fn record(maps: &str, stack: &[u8]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let numbers = [MACHINE, 11, 1, 77];
        numbers.iter().for_each(|number| bytes.extend(number.to_ne_bytes()));
        [8_u64, 0x1010, 0x7000, 0x7010, 0].iter().for_each(|it| bytes.extend(it.to_ne_bytes()));
        bytes.extend(b"a thread\0\0\0\0\0\0\0\0");
        assert_eq!(bytes.len(), HEAD_BYTES);
        bytes.extend(maps.as_bytes());
        bytes.push(0);
        bytes.extend(0x7000_u64.to_ne_bytes());
        bytes.extend(stack);
        bytes
    }

    #[test]
    fn a_record_is_read_back() {
        let read = Record::parse(&record(MAPS, &7_u64.to_ne_bytes())).unwrap();
        assert_eq!((read.signal, read.code, read.thread, read.address), (11, 1, 77, 8));
        assert_eq!(read.thread_name, "a thread");
        assert_eq!(read.registers, Registers { pc: 0x1010, sp: 0x7000, fp: 0x7010, lr: 0 });
        let paths: Vec<_> = read.mappings.iter().map(|it| it.path.to_str().unwrap()).collect();
        assert_eq!(paths, ["/lib/a b.so", "", "/tmp/p.so"]);
        assert_eq!(read.mapping(0x2fff).unwrap().offset, 0x1000);
        assert!(read.mapping(0xa000).unwrap().is_removed);
        assert_eq!((read.mapping(0x3000), read.mapping(0xfff)), (None, None));
        assert_eq!(
            (read.word(0x7000), read.word(0x7001), read.word(0x6fff)),
            (Some(7), None, None)
        );
    }

    #[test]
    fn what_overlaps_is_upside_down_or_cut_is_left_out() {
        let maps = "2000-1000 r-xp 0 0 0\n1000-3000 r-xp 0 0 0\n2000-4000 r-xp 0 0 0\n\
                    5000-6000 r-xp ffffffffffffffff 0 0\nzz-6000 r-xp 0 0 0\n\n7000-8000 r-xp 0 0";
        let read = Record::parse(&record(maps, &[])).unwrap();
        let ranges: Vec<_> = read.mappings.iter().map(|it| (it.start, it.end)).collect();
        assert_eq!(ranges, [(0x1000, 0x3000)]);
    }

    #[test]
    fn other_bytes_are_refused() {
        assert_eq!(Record::parse(b""), Err(RecordError::Empty));
        assert_eq!(Record::parse(&[b'x'; 200]), Err(RecordError::Form));
        let whole = record("", &[]);
        assert_eq!(Record::parse(&whole[..HEAD_BYTES - 1]), Err(RecordError::Form));
        let mut other = whole.clone();
        other[8] ^= 1;
        assert_eq!(Record::parse(&other), Err(RecordError::Machine));
        // Cut before the stack.
        assert_eq!(Record::parse(&whole[..HEAD_BYTES]).unwrap().stack, []);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(maps in ".{0,400}", bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let mut whole = record(&maps, &bytes);
            let _ = Record::parse(&bytes);
            let read = Record::parse(&whole).unwrap();
            prop_assert!(read.mappings.windows(2).all(|two| two[0].end <= two[1].start));
            prop_assert!(read.stack.len() <= STACK_BYTES_MAX && read.mappings.len() <= MAPPINGS_MAX);
            for (at, byte) in bytes.iter().enumerate() {
                whole[(at * 31) % HEAD_BYTES] ^= byte;
            }
            if let Ok(read) = Record::parse(&whole) {
                read.mappings.iter().for_each(|it| _ = read.mapping(it.start.wrapping_sub(1)));
                bytes.iter().for_each(|at| _ = read.word(read.stack_start.wrapping_add(u64::from(*at))));
            }
        }
    }
}
