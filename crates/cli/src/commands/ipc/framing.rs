// SPDX-License-Identifier: BSD-3-Clause
//! Where one element ends and the next begins in a stream of bytes.
//!
//! ```text
//!   --lines             element \n element \n     an element contains no line end
//!   --null              element \0 element \0     an element contains no zero byte
//!   --length-prefixed   u32 element u32 element   any bytes; the length is big-endian
//! ```
//!
//! # Invariants
//!
//! 1. The elements do not depend on how the stream is cut into pieces.
//! 2. A splitter holds at most the bytes of the longest allowed element, whatever the announced
//!    length.

/// How elements are delimited in a stream of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Lines,
    Null,
    LengthPrefixed,
}

/// The framing on the command line.
#[derive(Debug, Clone, Copy, clap::Args)]
#[group(multiple = false)]
pub(super) struct Options {
    /// Each line is an element; its line end is not part of it (the default)
    #[arg(long)]
    lines: bool,
    /// Each element is followed by a zero byte
    #[arg(long)]
    null: bool,
    /// Each element follows its length: 4 bytes, big-endian
    #[arg(long)]
    length_prefixed: bool,
}

impl Options {
    pub(super) fn framing(self) -> Framing {
        match self {
            Self { null: true, .. } => Framing::Null,
            Self { length_prefixed: true, .. } => Framing::LengthPrefixed,
            _ => Framing::Lines,
        }
    }
}

impl Framing {
    /// What an element is called when one is counted.
    pub(super) const fn noun(self) -> &'static str {
        match self {
            Self::Lines => "line",
            Self::Null | Self::LengthPrefixed => "element",
        }
    }

    /// The byte that ends an element, if one does.
    pub(super) const fn end(self) -> Option<u8> {
        match self {
            Self::Lines => Some(b'\n'),
            Self::Null => Some(0),
            Self::LengthPrefixed => None,
        }
    }

    /// Appends an element to `out`.
    pub(super) fn put(self, element: &[u8], out: &mut Vec<u8>) {
        match self.end() {
            Some(end) => {
                out.extend_from_slice(element);
                out.push(end);
            }
            None => {
                // No element is as long as 4 GiB: the session's limits are far below.
                let length = u32::try_from(element.len()).unwrap_or(u32::MAX);
                out.extend_from_slice(&length.to_be_bytes());
                out.extend_from_slice(element);
            }
        }
    }
}

/// Why a stream has no further element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// Longer than allowed; how long, if that is known.
    TooLong(Option<u64>),
    /// The stream ends inside a length, or inside an element with a length.
    Cut { missing: u64 },
}

/// Splits a stream into elements.
#[derive(Debug)]
pub(super) struct Splitter {
    framing: Framing,
    bytes_max: usize,
    partial: Vec<u8>,
    /// The first bytes of a length.
    prefix: Vec<u8>,
    /// Bytes that the element still lacks, once its length is known.
    missing: Option<usize>,
}

const PREFIX_BYTES: usize = 4;

impl Splitter {
    /// Elements of at most `bytes_max`.
    pub(super) fn new(framing: Framing, bytes_max: usize) -> Self {
        Self { framing, bytes_max, partial: Vec::new(), prefix: Vec::new(), missing: None }
    }

    /// Takes bytes from the front of `bytes`: how many, and the element that they complete.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(usize, Option<Vec<u8>>), Broken> {
        match self.framing.end() {
            Some(end) => self.take_ended(bytes, end),
            None => self.take_prefixed(bytes),
        }
    }

    fn take_ended(&mut self, bytes: &[u8], end: u8) -> Result<(usize, Option<Vec<u8>>), Broken> {
        let at = bytes.iter().position(|byte| *byte == end);
        let (element, used) = match at {
            Some(at) => (bytes.get(..at).unwrap_or_default(), at + 1),
            None => (bytes, bytes.len()),
        };
        if self.partial.len() + element.len() > self.bytes_max {
            return Err(Broken::TooLong(None));
        }
        self.partial.extend_from_slice(element);
        Ok((used, at.map(|_| std::mem::take(&mut self.partial))))
    }

    fn take_prefixed(&mut self, bytes: &[u8]) -> Result<(usize, Option<Vec<u8>>), Broken> {
        let mut used = 0;
        let mut rest = bytes;
        let missing = match self.missing {
            Some(missing) => missing,
            None => {
                let wanted = PREFIX_BYTES - self.prefix.len();
                let (prefix, after) = rest.split_at(wanted.min(rest.len()));
                self.prefix.extend_from_slice(prefix);
                (used, rest) = (prefix.len(), after);
                let Ok(length) = <[u8; PREFIX_BYTES]>::try_from(self.prefix.as_slice()) else {
                    return Ok((used, None));
                };
                self.prefix.clear();
                let length = u32::from_be_bytes(length);
                let missing = usize::try_from(length).unwrap_or(usize::MAX);
                if missing > self.bytes_max {
                    return Err(Broken::TooLong(Some(length.into())));
                }
                missing
            }
        };
        let (body, _) = rest.split_at(missing.min(rest.len()));
        self.partial.extend_from_slice(body);
        used += body.len();
        if body.len() < missing {
            self.missing = Some(missing - body.len());
            return Ok((used, None));
        }
        self.missing = None;
        Ok((used, Some(std::mem::take(&mut self.partial))))
    }

    /// The last element of a stream that has ended without a delimiter, if there is one.
    pub(super) fn end(&mut self) -> Result<Option<Vec<u8>>, Broken> {
        if self.framing == Framing::LengthPrefixed {
            let missing = match self.missing {
                Some(missing) => missing,
                None if self.prefix.is_empty() => return Ok(None),
                None => PREFIX_BYTES - self.prefix.len(),
            };
            return Err(Broken::Cut { missing: missing as u64 });
        }
        Ok((!self.partial.is_empty()).then(|| std::mem::take(&mut self.partial)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds the stream in pieces of these lengths, over and over.
    fn split(
        framing: Framing,
        bytes_max: usize,
        stream: &[u8],
        pieces: &[usize],
    ) -> (Vec<Vec<u8>>, Option<Broken>) {
        let mut splitter = Splitter::new(framing, bytes_max);
        let (mut elements, mut rest) = (Vec::new(), stream);
        let mut pieces = pieces.iter().cycle();
        while !rest.is_empty() {
            let piece = (*pieces.next().unwrap()).min(rest.len());
            let mut bytes = &rest[..piece];
            rest = &rest[piece..];
            while !bytes.is_empty() {
                match splitter.take(bytes) {
                    Ok((used, element)) => {
                        assert!(used > 0 || element.is_some());
                        bytes = &bytes[used..];
                        elements.extend(element);
                    }
                    Err(broken) => return (elements, Some(broken)),
                }
            }
            assert!(splitter.partial.capacity() <= 2 * bytes_max.max(8));
        }
        match splitter.end() {
            Ok(last) => elements.extend(last),
            Err(broken) => return (elements, Some(broken)),
        }
        (elements, None)
    }

    fn framing() -> impl Strategy<Value = Framing> {
        prop::sample::select(vec![Framing::Lines, Framing::Null, Framing::LengthPrefixed])
    }

    proptest! {
        #[test]
        fn what_was_put_comes_out_however_it_is_cut(
            framing in framing(),
            elements in prop::collection::vec(prop::collection::vec(1_u8..=255, 0..20), 0..20),
            pieces in prop::collection::vec(1_usize..9, 1..10),
        ) {
            let elements: Vec<Vec<u8>> = elements
                .into_iter()
                .map(|element| element.into_iter().filter(|byte| *byte != b'\n').collect())
                .collect();
            let mut stream = Vec::new();
            elements.iter().for_each(|element| framing.put(element, &mut stream));
            prop_assert_eq!(split(framing, 20, &stream, &pieces), (elements, None));
        }

        #[test]
        fn any_bytes_cut_anyhow_are_the_same_elements(
            framing in framing(),
            stream in
                prop::collection::vec(prop::sample::select(vec![0, 1, 3, b'\n', b'a']), 0..60),
            bytes_max in 0_usize..8,
            pieces in prop::collection::vec(1_usize..9, 1..10),
        ) {
            let whole = split(framing, bytes_max, &stream, &[stream.len().max(1)]);
            prop_assert_eq!(split(framing, bytes_max, &stream, &pieces), whole);
        }
    }

    #[test]
    fn what_the_end_cuts_is_told_of() {
        let cut = |stream: &[u8]| split(Framing::LengthPrefixed, 100, stream, &[3]).1;
        assert_eq!(cut(&[0, 0, 0]), Some(Broken::Cut { missing: 1 }));
        assert_eq!(cut(&[0, 0, 0, 5, 1]), Some(Broken::Cut { missing: 4 }));
        assert_eq!(cut(&[0, 0, 0, 101]), Some(Broken::TooLong(Some(101))));
        assert_eq!(cut(&[0, 0, 0, 0]), None);
        assert_eq!(
            split(Framing::Lines, 9, b"a\n\nb", &[2]),
            (vec![b"a".to_vec(), vec![], b"b".to_vec()], None)
        );
    }
}
