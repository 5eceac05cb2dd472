// SPDX-License-Identifier: BSD-3-Clause
//! The payload of a message: the first eight bytes are its number, the others a pattern. The sender
//! writes all bytes, the receiver reads all bytes.

use crate::error::BenchError;

/// The bytes of one row's messages.
#[derive(Debug)]
pub(crate) struct Payload {
    peer: &'static str,
    /// The pattern; its first word is not used.
    pattern: Vec<u8>,
    /// Of the pattern without its first word.
    sum: u64,
}

impl Payload {
    /// Of so many bytes: a multiple of eight, and not none.
    pub(crate) fn new(peer: &'static str, bytes: usize) -> Self {
        let bytes = bytes.next_multiple_of(8).max(8);
        let words = (0..bytes as u64 / 8).map(|word| word.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let pattern: Vec<u8> = words.flat_map(u64::to_le_bytes).collect();
        let sum = sum(&pattern);
        Self { peer, pattern, sum }
    }

    /// How many.
    pub(crate) fn bytes(&self) -> usize {
        self.pattern.len()
    }

    /// Writes message `number`.
    #[inline]
    pub(crate) fn fill(&self, into: &mut [u8], number: u64) -> Result<(), BenchError> {
        if into.len() != self.pattern.len() {
            return Err(self.wrong_length(into.len()));
        }
        into.copy_from_slice(&self.pattern);
        if let Some(first) = into.first_chunk_mut() {
            *first = number.to_le_bytes();
        }
        Ok(())
    }

    /// The number of this message, if the other bytes are as they were sent.
    #[inline]
    pub(crate) fn read(&self, from: &[u8]) -> Result<u64, BenchError> {
        if from.len() != self.pattern.len() {
            return Err(self.wrong_length(from.len()));
        }
        let number = from.first_chunk().map_or(0, |first| u64::from_le_bytes(*first));
        self.judge(number, sum(from))
    }

    /// The message in private memory, to be written out in pieces.
    pub(crate) fn stamped(&mut self, number: u64) -> &[u8] {
        if let Some(first) = self.pattern.first_chunk_mut() {
            *first = number.to_le_bytes();
        }
        &self.pattern
    }

    /// The number that this message of pieces with this sum has to have, if it has.
    #[inline]
    pub(crate) fn judge(&self, number: u64, sum: u64) -> Result<u64, BenchError> {
        if sum != self.sum.wrapping_add(number) {
            return Err(self.wrong_bytes());
        }
        Ok(number)
    }

    #[cold]
    fn wrong_length(&self, got: usize) -> BenchError {
        let (expected, got) = (format!("{} bytes", self.pattern.len()), format!("{got}"));
        BenchError::Wrong { host: self.peer, operation: "a message's length", expected, got }
    }

    #[cold]
    fn wrong_bytes(&self) -> BenchError {
        let (expected, got) = ("those that were sent".to_owned(), "others".to_owned());
        BenchError::Wrong { host: self.peer, operation: "a message's bytes", expected, got }
    }
}

/// The sum of the words.
#[inline]
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let (words, _) = bytes.as_chunks();
    words.iter().fold(0, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_number_and_one_wrong_byte_is_noticed() {
        let mut payload = Payload::new("test", 64);
        let mut message = [0; 64];
        payload.fill(&mut message, 7).unwrap();
        assert_eq!(payload.read(&message).unwrap(), 7);
        assert_eq!(payload.stamped(7), message);
        message[63] ^= 1;
        assert!(payload.read(&message).is_err());
        assert!(payload.read(&message[..56]).is_err());
    }
}
