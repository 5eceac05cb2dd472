// SPDX-License-Identifier: BSD-3-Clause
//! Which functions a plugin's vtable has, in which order.
//!
//! Version 2 of the ABI has one order, and its own symbol: [`v2`]. Version 1 has four. A grown plugin ([`becket`]) is recognised by its `vtable_size`.
//! One with the documented 56 bytes of info has none, so the words of its vtable decide:
//!
//! ```text
//!   word          0     1       2           3            4             5
//!   documented    init  handle  shutdown    stream_data  stream_close  ┊ something else
//!   raw           init  handle  handle_raw  shutdown     stream_data   stream_close
//!   short         init  handle  shutdown    ┊ something else
//! ```
//!
//! Each layout is a file that gives its slots and an opinion of the [`Evidence`]; the host takes
//! the one layout that agrees with everything, and refuses when none or several do. The size of
//! the vtable's symbol decides where there is one; without it, words are classified as NULL, code
//! of the plugin's own image, other code, or data, and the rules are:
//!
//! 1. Five leading words that are NULL or own code make "documented", a sixth that is code "raw",
//!    fewer than five "short".
//! 2. Nothing counts past the end of the vtable's section or the start of the next known object.
//!    If that cuts a run of functions where no layout ends, nothing is believed.
//! 3. `stream_data` and `stream_close` come together: a reading that has one without the other is
//!    not believed.
//!    Three functions with no more than zeros behind them are not believed either: the third is
//!    `shutdown` or `handle_raw`, and nothing says which.
//! 4. Words of other libraries' code may be functions or may be a neighbour's: not believed.
//! 5. A table that goes on with code behind the sixth word may be two neighbours: not believed;
//!    unless what goes on there is the vtable of a Rust trait object (drop, size, alignment), which
//!    then also says that the table before it ended.
//!
//! A wrong guess would call `shutdown` with the arguments of `handle_raw`, so what is not believed
//! is refused, with the hint to set `layout`.

mod becket;
mod documented;
mod raw;
mod short;
mod v2;

use std::fmt::Write as _;

use super::elf::{Abi, Extent};
use super::entry_points::{EntryPoints, Slot, Table};
use super::error::LoadError;
use super::info::Info;
use super::memory::{self, MappedImage};
use super::{Layout, layout_name};

/// Words looked at: the longest unmarked layout and what a neighbour needs to show itself.
const WORDS_MAX: usize = 12;
/// Words of our own vtable, which begins like the documented one.
const GROWN_WORDS: usize = size_of::<becket_abi::NrPluginVTable>() / size_of::<usize>();
const WORD_BYTES: u64 = size_of::<usize>() as u64;

/// One order of functions.
pub(super) trait Dialect: Sync {
    /// `None`: the grown one.
    fn layout(&self) -> Option<Layout>;

    fn name(&self) -> &'static str {
        layout_name(self.layout())
    }

    /// What each word is for.
    fn slots(&self) -> &'static [Slot];

    /// Whether the words of an unmarked plugin are in this order.
    fn judge(&self, evidence: &Evidence) -> Opinion;

    /// The functions, as the host calls them.
    fn bind(&self, table: &Table<'_>) -> Result<EntryPoints, LoadError> {
        table.bind()
    }
}

/// A layout's judgement of the evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Opinion {
    /// It is in this order, for this reason.
    Yes(&'static str),
    /// It is not.
    No,
    /// It looks like it, but this speaks against it.
    Doubtful(&'static str),
}

/// The dialect of a plugin and why it was chosen.
pub(super) struct Chosen {
    pub(super) dialect: &'static dyn Dialect,
    pub(super) why: String,
    /// The vtable's words, as many as the layout has and the plugin provides.
    pub(super) words: Vec<usize>,
}

/// Chooses the dialect of a plugin.
pub(super) fn choose(
    plugin: &str,
    info: &Info,
    abi: Abi,
    wanted: Option<Layout>,
    image: &MappedImage,
    extent: Extent,
) -> Result<Chosen, LoadError> {
    let (dialect, why): (&'static dyn Dialect, String) = match wanted {
        Some(Layout::V2) => (&v2::V2, "asked for".to_owned()),
        None if abi == Abi::V2 => (&v2::V2, format!("it exports {}", abi.symbol_name())),
        Some(Layout::Documented) => (&documented::Documented, "asked for".to_owned()),
        Some(Layout::Raw) => (&raw::Raw, "asked for".to_owned()),
        Some(Layout::Short) => (&short::Short, "asked for".to_owned()),
        None if info.vtable_size > 0 => {
            (&becket::Becket, format!("vtable_size is {}", info.vtable_size))
        }
        None if info.struct_size > 56 => {
            (&documented::Documented, "the info is grown and vtable_size is 0".to_owned())
        }
        None => recognise(plugin, &Evidence::gather(info, image, extent))?,
    };
    let mut slots = dialect.slots().len();
    if info.vtable_size > 0 && wanted.is_none() {
        slots = slots.min(info.vtable_size as usize / size_of::<usize>());
    }
    let words = memory::read_words(info.vtable, slots);
    if words.len() < slots {
        return Err(LoadError::Info {
            plugin: plugin.to_owned(),
            defect: super::InfoDefect::Vtable {
                address: info.vtable,
                why: "ends before its last function",
            },
        });
    }
    Ok(Chosen { dialect, why, words })
}

fn recognise(
    plugin: &str,
    evidence: &Evidence,
) -> Result<(&'static dyn Dialect, String), LoadError> {
    let unmarked: [&'static dyn Dialect; 3] = [&documented::Documented, &raw::Raw, &short::Short];
    let mut agreed: Vec<(&'static dyn Dialect, &'static str)> = Vec::new();
    let mut doubts: Vec<String> = Vec::new();
    for dialect in unmarked {
        match dialect.judge(evidence) {
            Opinion::Yes(why) => agreed.push((dialect, why)),
            Opinion::Doubtful(why) => {
                doubts.push(format!("it may be {}, but {why}", dialect.name()));
            }
            Opinion::No => {}
        }
    }
    if evidence.is_cut() {
        doubts.push("something else begins in the middle of its functions".to_owned());
    }
    match agreed.as_slice() {
        [(dialect, why)] if doubts.is_empty() => Ok((*dialect, (*why).to_owned())),
        _ => {
            doubts.extend(agreed.iter().map(|(dialect, why)| format!("{}: {why}", dialect.name())));
            if doubts.is_empty() {
                doubts.push("it looks like none of the layouts".to_owned());
            }
            doubts.push(evidence.describe());
            let why = doubts.join("; ");
            Err(LoadError::LayoutUndecided { plugin: plugin.to_owned(), why })
        }
    }
}

/// What a word of memory may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    Null,
    /// Code of the plugin's own image.
    Code,
    /// Code of something else.
    OtherCode,
    Data,
}

/// What can be seen at and around an unmarked vtable.
#[derive(Debug)]
pub(super) struct Evidence {
    kinds: Vec<Word>,
    values: Vec<usize>,
    /// The size of the vtable by its symbol, if that is the size of a layout.
    size: Option<u64>,
    /// Words that may belong to it; no more than this.
    words_max: usize,
}

impl Evidence {
    fn gather(info: &Info, image: &MappedImage, extent: Extent) -> Self {
        let values = memory::read_words(info.vtable, WORDS_MAX);
        let kinds = values
            .iter()
            .map(|&value| match value {
                0 => Word::Null,
                value if image.is_code(value) => Word::Code,
                value if memory::is_executable(value) => Word::OtherCode,
                _ => Word::Data,
            })
            .collect();
        // The info itself is an object whose place is known.
        let to_info = info.address.checked_sub(info.vtable).filter(|bytes| *bytes > 0);
        let bytes_max = extent
            .bytes_max
            .into_iter()
            .chain(to_info.map(|bytes| bytes as u64))
            .min()
            .unwrap_or(u64::MAX);
        let words_max = usize::try_from(bytes_max / WORD_BYTES).unwrap_or(usize::MAX);
        Self { kinds, values, size: extent.exact.filter(|size| is_layout(*size)), words_max }
    }

    /// The word at `index`; `Data` where nothing of the vtable can be.
    pub(super) fn word(&self, index: usize) -> Word {
        if index >= self.words_max {
            return Word::Data;
        }
        self.kinds.get(index).copied().unwrap_or(Word::Data)
    }

    /// True if the symbol says that the vtable has this many words.
    pub(super) fn has_size(&self, words: usize) -> Option<bool> {
        self.size.map(|size| size == words as u64 * WORD_BYTES)
    }

    /// True if the first `words` are NULL or code, own or another library's.
    pub(super) fn callable(&self, words: usize) -> bool {
        (0..words).all(|index| self.word(index) != Word::Data)
    }

    /// How many leading words are NULL or own code.
    pub(super) fn leading(&self) -> usize {
        (0..WORDS_MAX)
            .take_while(|index| matches!(self.word(*index), Word::Null | Word::Code))
            .count()
    }

    /// True if the next object begins within a run of functions, where no layout ends.
    fn is_cut(&self) -> bool {
        let functions =
            self.kinds.iter().take_while(|word| matches!(word, Word::Null | Word::Code)).count();
        self.size.is_none() && self.words_max < functions && ![3, 5, 6].contains(&self.words_max)
    }

    /// True if another library's code stands among the first `words`, before any data.
    pub(super) fn other_code_within(&self, words: usize) -> bool {
        (0..words)
            .map(|index| self.word(index))
            .take_while(|word| *word != Word::Data)
            .any(|word| word == Word::OtherCode)
    }

    /// True if the words from `index` are the vtable of a Rust trait object with something to drop.
    pub(super) fn trait_object_at(&self, index: usize) -> bool {
        let value = |at: usize| if at < self.words_max { self.values.get(at) } else { None };
        let (Some(&size), Some(&align)) = (value(index + 1), value(index + 2)) else {
            return false;
        };
        self.word(index) == Word::Code
            && size > 0
            && align.is_power_of_two()
            && align <= 4096
            && size.is_multiple_of(align)
            && size <= 1 << 30
    }

    fn describe(&self) -> String {
        let mut text = String::from("the vtable's words are");
        for (index, word) in self.kinds.iter().take(8).enumerate() {
            let name = match word {
                Word::Null => "NULL",
                Word::Code => "code",
                Word::OtherCode => "code of another library",
                Word::Data => "data",
            };
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(text, "{comma} {name}");
        }
        match self.size {
            Some(size) => {
                let _ = write!(text, "; its symbol says {size} bytes");
            }
            None => text.push_str("; no symbol tells its size"),
        }
        text
    }
}

fn is_layout(size: u64) -> bool {
    [3, 5, 6, GROWN_WORDS as u64].into_iter().any(|words| size == words * WORD_BYTES)
}
