// SPDX-License-Identifier: BSD-3-Clause
//! Validation of a peer's segment: its geometry, a slot's head, its positions.
//!
//! Pure functions over private copies of what the peer wrote. None of them accesses memory, so a
//! fuzzer may call them with any numbers; values that they accept cannot be out of bounds.

use std::ops::Range;

use super::memory::{OutOfRange, WORD_BYTES};
use becket_wire::HeadError;

/// The size of a slot of the ring.
pub const SLOT_BYTES: usize = 128;
/// The maximum body in a slot, in bytes.
pub const INLINE_BYTES: usize = SLOT_BYTES - SLOT_BODY;
/// The maximum number of block classes of a segment.
pub const CLASSES_MAX: usize = 8;
/// The maximum number of file descriptors of a frame.
pub const DESCRIPTORS_MAX: usize = 15;

pub(super) const SLOT_HEAD: usize = 8;
pub(super) const SLOT_BODY: usize = 32;

/// "becketsr", little-endian.
const MAGIC: u64 = 0x7273_7465_6b63_6562;
const VERSION: u32 = 1;
pub(super) const HEADER_WORDS: usize = 4 + CLASSES_MAX;
pub(super) const HEADER: usize = 0;
pub(super) const TAKEN: usize = 256;
pub(super) const WAIT: usize = 384;
pub(super) const CPU: usize = WAIT + WORD_BYTES;
pub(super) const BELL: usize = 512;
const RING: usize = 1024;

const SLOTS: Range<u32> = 8..(1 << 16) + 1;
const BLOCK_BYTES: Range<u32> = 128..(1 << 26) + 1;
const BLOCKS: Range<u32> = 1..(1 << 16) + 1;
const BLOCK_ALIGN: u32 = 64;
const PAGE_BYTES: usize = 4096;

/// The peer's violation. It ends the peer's connection, nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// The segment's header is not recognised.
    #[error("its segment has a header of another kind or version")]
    Header,
    /// The values of the header do not fit together.
    #[error("its segment's geometry is wrong: {0}")]
    Geometry(#[from] GeometryError),
    /// The file's size differs from what its header states, or exceeds the limit.
    #[error("its segment has {bytes} bytes, expected {expected}")]
    Size {
        /// The size of the file.
        bytes: u64,
        /// The expected size, or the maximum.
        expected: u64,
    },
    /// The file is not a memfd, or of a type that can fault.
    #[error("its segment is not plain shared memory")]
    NoMemory,
    /// The file could still be truncated, grown, or written by another process.
    #[error("its segment is not sealed against changes of its size")]
    Seals,
    /// A slot holds neither the next frame nor the frame of the previous lap.
    #[error("a slot has sequence {found}, expected {expected}")]
    Sequence {
        /// The slot's sequence.
        found: u32,
        /// The next sequence.
        expected: u32,
    },
    /// A body exceeds its slot, its block or the limit.
    #[error("a body has {bytes} bytes, at most {bytes_max} are allowed")]
    Length {
        /// The length in the head.
        bytes: u32,
        /// The maximum.
        bytes_max: u32,
    },
    /// A body is in a block that does not exist.
    #[error("a body is in block {index} of class {class}, which does not exist")]
    Block {
        /// The number of the class, from 1.
        class: u32,
        /// The number of the block.
        index: u32,
    },
    /// The position that the peer has read up to decreased, or exceeds what was sent.
    #[error("it has read up to frame {taken}, of {sent} sent")]
    Position {
        /// The peer's position.
        taken: u64,
        /// The number of frames sent.
        sent: u64,
    },
    /// The frame's head is invalid.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// Fewer descriptors arrived than the frame states, or more than are accepted.
    #[error("{came} file descriptors arrived, expected {expected}")]
    Descriptors {
        /// The number that arrived.
        came: usize,
        /// The number that the frame states, or the maximum.
        expected: usize,
    },
    /// It rang repeatedly without news.
    #[error("it rang {0} times without a frame")]
    Rings(u32),
    /// The first message on the socket is not an offer.
    #[error("its offer of shared memory is invalid")]
    Offer,
    /// An offset beyond the segment.
    #[error(transparent)]
    OutOfRange(#[from] OutOfRange),
}

/// Why a geometry is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GeometryError {
    /// A ring has 8 to 65 536 slots, a power of two.
    #[error("{0} slots")]
    Slots(u32),
    /// There are at most 8 classes.
    #[error("{0} classes of blocks")]
    Classes(usize),
    /// A block has 128 B to 64 MiB, a multiple of 64, more than those of the previous class.
    #[error("blocks of {0} bytes")]
    BlockBytes(u32),
    /// A class has 1 to 65 536 blocks.
    #[error("{0} blocks of a class")]
    Blocks(u32),
    /// The total exceeds the address space.
    #[error("more bytes than the address space has")]
    TooLarge,
}

/// Blocks of one size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Class {
    /// The length of a block, in bytes.
    pub block_bytes: u32,
    /// The number of blocks.
    pub blocks: u32,
}

/// The layout of a segment. A constructed value is consistent: every location that it returns is
/// within [`bytes`](Self::bytes).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    slots: u32,
    classes: [Class; CLASSES_MAX],
    class_offsets: [usize; CLASSES_MAX],
    bytes: usize,
}

/// The location of a frame's body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// In the slot.
    Inline,
    /// At this offset of the segment.
    At(usize),
}

/// The upper half of a slot's first word: block and number of descriptors, in 32 bits.
///
/// ```text
///   31            8 7       4 3       0
///   ┌──────────────┬─────────┬─────────┐
///   │ block's index│descript.│  class  │   class 0: the body is in the slot
///   └──────────────┴─────────┴─────────┘
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SlotMeta(pub u32);

impl Geometry {
    /// A ring of `slots` and blocks of these classes, smallest first.
    pub fn new(slots: u32, classes: &[Class]) -> Result<Self, GeometryError> {
        if !SLOTS.contains(&slots) || !slots.is_power_of_two() {
            return Err(GeometryError::Slots(slots));
        }
        if classes.len() > CLASSES_MAX {
            return Err(GeometryError::Classes(classes.len()));
        }
        let mut kept = [Class::default(); CLASSES_MAX];
        let mut offsets = [0; CLASSES_MAX];
        let mut smaller = 0;
        let mut end = slots as usize * SLOT_BYTES + RING;
        for ((class, kept), offset) in classes.iter().zip(&mut kept).zip(&mut offsets) {
            let Class { block_bytes, blocks } = *class;
            let fits = BLOCK_BYTES.contains(&block_bytes)
                && block_bytes.is_multiple_of(BLOCK_ALIGN)
                && block_bytes > smaller;
            if !fits {
                return Err(GeometryError::BlockBytes(block_bytes));
            }
            if !BLOCKS.contains(&blocks) {
                return Err(GeometryError::Blocks(blocks));
            }
            let bytes = (block_bytes as usize).checked_mul(blocks as usize);
            let next = bytes.and_then(|bytes| end.checked_add(bytes));
            *kept = *class;
            *offset = end;
            smaller = block_bytes;
            end = next.ok_or(GeometryError::TooLarge)?;
        }
        let bytes = end.checked_next_multiple_of(PAGE_BYTES).ok_or(GeometryError::TooLarge)?;
        Ok(Self { slots, classes: kept, class_offsets: offsets, bytes })
    }

    /// For bodies of up to `body_bytes_max` (at most 64 MiB): 256 slots, and blocks of 256 B, 1 KiB
    /// and so on, fewer of the larger ones. 64 KiB need 1 MiB.
    pub fn for_bodies(body_bytes_max: u32) -> Result<Self, GeometryError> {
        let mut classes = Vec::with_capacity(CLASSES_MAX);
        let mut class = Class { block_bytes: 256, blocks: 128 };
        if body_bytes_max as usize > INLINE_BYTES {
            while class.block_bytes < body_bytes_max && classes.len() < CLASSES_MAX - 1 {
                classes.push(class);
                class.block_bytes *= 4;
                class.blocks = (class.blocks / 2).max(2);
            }
            class.block_bytes = body_bytes_max
                .max(256)
                .checked_next_multiple_of(BLOCK_ALIGN)
                .ok_or(GeometryError::BlockBytes(body_bytes_max))?;
            classes.push(class);
        }
        Self::new(256, &classes)
    }

    /// The number of slots of the ring.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// The classes of blocks, smallest first.
    #[must_use]
    pub fn classes(&self) -> &[Class] {
        let count = self.classes.iter().take_while(|class| class.blocks > 0).count();
        self.classes.get(..count).unwrap_or_default()
    }

    /// The size of the segment, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The bytes in front of the first block that fills a page: what every connection touches.
    #[must_use]
    pub(super) fn warm_bytes(&self) -> usize {
        let first =
            self.classes().iter().position(|class| class.block_bytes as usize >= PAGE_BYTES);
        first.and_then(|first| self.class_offsets.get(first).copied()).unwrap_or(self.bytes)
    }

    /// The maximum body, in bytes.
    #[must_use]
    pub fn body_bytes_max(&self) -> u32 {
        self.classes().last().map_or(INLINE_BYTES as u32, |class| class.block_bytes)
    }

    /// The offset of a frame's slot.
    #[inline]
    pub(super) fn slot(&self, position: u64) -> usize {
        RING + (position as usize & (self.slots as usize - 1)) * SLOT_BYTES
    }

    /// The offset and length of a block. `class` is counted from 1.
    #[inline]
    pub(super) fn block(&self, class: u32, index: u32) -> Option<(usize, u32)> {
        let at = (class as usize).checked_sub(1)?;
        let Class { block_bytes, blocks } = *self.classes.get(at)?;
        let offset = self.class_offsets.get(at)?;
        (index < blocks).then(|| (offset + index as usize * block_bytes as usize, block_bytes))
    }

    /// The words of the segment's header.
    pub(super) fn to_words(self) -> [u64; HEADER_WORDS] {
        let mut words = [0; HEADER_WORDS];
        let head = [
            MAGIC,
            u64::from(VERSION) | u64::from(self.slots) << 32,
            self.classes().len() as u64,
            self.bytes as u64,
        ];
        let classes =
            self.classes.iter().map(|c| u64::from(c.block_bytes) | u64::from(c.blocks) << 32);
        for (to, from) in words.iter_mut().zip(head.into_iter().chain(classes)) {
            *to = from;
        }
        words
    }

    /// The geometry in a header's words, if they are valid and match a file of `file_bytes`.
    pub fn from_words(words: [u64; HEADER_WORDS], file_bytes: u64) -> Result<Self, Violation> {
        let [magic, version_slots, count, bytes, classes @ ..] = words;
        if magic != MAGIC || version_slots as u32 != VERSION {
            return Err(Violation::Header);
        }
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let classes =
            classes.map(|word| Class { block_bytes: word as u32, blocks: (word >> 32) as u32 });
        let classes = classes.get(..count).ok_or(GeometryError::Classes(count))?;
        let geometry = Self::new((version_slots >> 32) as u32, classes)?;
        let expected = geometry.bytes as u64;
        if bytes != expected || file_bytes != expected {
            return Err(Violation::Size { bytes: file_bytes, expected });
        }
        Ok(geometry)
    }
}

impl SlotMeta {
    /// In the slot, or in block `index` of `class`.
    #[inline]
    #[must_use]
    pub fn new(class: u32, index: u32, descriptors: u32) -> Self {
        Self(class | descriptors << 4 | index << 8)
    }

    /// 0: in the slot; otherwise a class, from 1.
    #[inline]
    #[must_use]
    pub fn class(self) -> u32 {
        self.0 & 15
    }

    /// The index of the block within its class.
    #[inline]
    #[must_use]
    pub fn index(self) -> u32 {
        self.0 >> 8
    }

    /// The number of the frame's file descriptors.
    #[inline]
    #[must_use]
    pub fn descriptors(self) -> usize {
        (self.0 >> 4 & 15) as usize
    }
}

/// The location of a frame's body, if a frame of that length may be there.
#[inline]
pub fn check_body(
    geometry: &Geometry,
    body_bytes_max: u32,
    meta: SlotMeta,
    length: u32,
) -> Result<Body, Violation> {
    let (body, room) = if meta.class() == 0 {
        (Body::Inline, INLINE_BYTES as u32)
    } else {
        let (class, index) = (meta.class(), meta.index());
        let (offset, room) =
            geometry.block(class, index).ok_or(Violation::Block { class, index })?;
        (Body::At(offset), room)
    };
    let bytes_max = room.min(body_bytes_max);
    if length > bytes_max {
        return Err(Violation::Length { bytes: length, bytes_max });
    }
    Ok(body)
}

/// The sequence of a slot that holds frame `position` (from 0).
#[inline]
#[must_use]
pub fn sequence(position: u64) -> u32 {
    (position as u32).wrapping_add(1)
}

/// Whether the slot holds frame `position`; otherwise it must hold that of the previous lap, or
/// nothing yet.
#[inline]
pub fn check_sequence(found: u32, position: u64, slots: u32) -> Result<bool, Violation> {
    let expected = sequence(position);
    if found == expected {
        return Ok(true);
    }
    let before = position.checked_sub(u64::from(slots)).map_or(0, sequence);
    if found == before { Ok(false) } else { Err(Violation::Sequence { found, expected }) }
}

/// Checks the position that the peer has read up to: at least `known`, at most `sent`.
#[inline]
pub fn check_taken(taken: u64, known: u64, sent: u64) -> Result<u64, Violation> {
    if taken < known || taken > sent { Err(Violation::Position { taken, sent }) } else { Ok(taken) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_geometry() -> impl Strategy<Value = Geometry> {
        let classes = prop::collection::vec((2_u32..400, 1_u32..300), 0..=CLASSES_MAX);
        (3_u32..12, classes).prop_filter_map("classes that grow", |(slots, mut classes)| {
            classes.sort_unstable();
            let classes: Vec<_> = classes
                .into_iter()
                .map(|(size, blocks)| Class { block_bytes: size * 64, blocks })
                .collect();
            Geometry::new(1 << slots, &classes).ok()
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 2 } else { 256 }))]

        #[test]
        fn locations_are_within_and_disjoint(geometry in any_geometry(), positions in any::<[u64; 8]>()) {
            let mut end = RING + geometry.slots as usize * SLOT_BYTES;
            for position in positions {
                let slot = geometry.slot(position);
                prop_assert!(slot >= RING && slot + SLOT_BYTES <= end);
                prop_assert_eq!(slot, geometry.slot(position.wrapping_add(geometry.slots.into())));
            }
            for (at, class) in geometry.classes().iter().enumerate() {
                for index in 0..class.blocks {
                    let (offset, bytes) = geometry.block(at as u32 + 1, index).unwrap();
                    prop_assert_eq!(offset, end);
                    prop_assert!(offset.is_multiple_of(64));
                    end += bytes as usize;
                }
                prop_assert_eq!(geometry.block(at as u32 + 1, class.blocks), None);
            }
            prop_assert!(end <= geometry.bytes);
            prop_assert_eq!(geometry.block(0, 0), None);
            prop_assert_eq!(geometry.block(geometry.classes().len() as u32 + 1, 0), None);
        }

        #[test]
        fn a_header_round_trips(geometry in any_geometry()) {
            let bytes = geometry.bytes() as u64;
            prop_assert_eq!(Geometry::from_words(geometry.to_words(), bytes), Ok(geometry));
            let longer = Geometry::from_words(geometry.to_words(), bytes + 4096);
            prop_assert!(matches!(longer, Err(Violation::Size { .. })), "got {:?}", longer);
        }

        #[test]
        fn a_header_with_a_word_changed_is_another_or_refused(
            geometry in any_geometry(), word in 0..HEADER_WORDS, value in any::<u64>(),
        ) {
            let mut words = geometry.to_words();
            words[word] = value;
            if let Ok(other) = Geometry::from_words(words, geometry.bytes() as u64) {
                prop_assert_eq!(other.bytes, geometry.bytes);
                let unused = word >= 4 + geometry.classes().len();
                prop_assert_eq!(unused || other.to_words() == words, true);
            }
        }

        #[test]
        fn a_body_that_passes_is_within_the_segment(
            geometry in any_geometry(), meta in any::<u32>(), length in any::<u32>(),
            body_bytes_max in prop_oneof![any::<u32>(), 0_u32..2000],
        ) {
            for meta in [meta, meta & 0xfff, meta & 0xf] {
                for length in [length, length % 4096, length % 100] {
                    match check_body(&geometry, body_bytes_max, SlotMeta(meta), length) {
                        Ok(Body::Inline) => prop_assert!(length as usize <= INLINE_BYTES),
                        Ok(Body::At(offset)) => {
                            prop_assert!(offset + length as usize <= geometry.bytes);
                            prop_assert!(offset >= RING + geometry.slots as usize * SLOT_BYTES);
                        }
                        Err(_) => continue,
                    }
                    prop_assert!(length <= body_bytes_max);
                }
            }
        }

        #[test]
        fn only_the_next_sequence_and_the_last_lap_s_pass(
            position in any::<u64>(), found in any::<u32>(), slots in 3_u32..17,
        ) {
            let slots = 1 << slots;
            prop_assert_eq!(check_sequence(sequence(position), position, slots), Ok(true));
            if let Some(before) = position.checked_sub(slots.into()) {
                prop_assert_eq!(check_sequence(sequence(before), position, slots), Ok(false));
            }
            let expected = sequence(position);
            if found != expected && found != expected.wrapping_sub(slots) && found != 0 {
                let violation = Err(Violation::Sequence { found, expected });
                prop_assert_eq!(check_sequence(found, position, slots), violation);
            }
        }
    }

    #[test]
    fn the_first_lap_finds_empty_slots() {
        assert_eq!(check_sequence(0, 5, 8), Ok(false));
        assert_eq!(check_sequence(0, 8, 8), Err(Violation::Sequence { found: 0, expected: 9 }));
    }

    #[test]
    fn positions_neither_go_back_nor_ahead() {
        assert_eq!(check_taken(5, 5, 9), Ok(5));
        assert_eq!(check_taken(9, 5, 9), Ok(9));
        assert_eq!(check_taken(4, 5, 9), Err(Violation::Position { taken: 4, sent: 9 }));
        assert_eq!(check_taken(10, 5, 9), Err(Violation::Position { taken: 10, sent: 9 }));
    }

    #[test]
    fn any_length_of_body_has_a_geometry() {
        for bytes in [0, 96, 97, 256, 257, 4096, 65_536, 65_537, 1 << 20, 1 << 26] {
            let geometry = Geometry::for_bodies(bytes).unwrap();
            assert!(geometry.body_bytes_max() >= bytes, "{bytes}");
        }
        let geometry = Geometry::for_bodies(65_536).unwrap();
        assert_eq!((geometry.warm_bytes(), geometry.bytes()), (132_096, 1_052_672));
        assert!(Geometry::for_bodies((1 << 26) + 1).is_err());
    }
}
