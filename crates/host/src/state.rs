// SPDX-License-Identifier: BSD-3-Clause
//! State of a call: named bytes that live as long as the call.
//!
//! Bounded by the plugin's `state_bytes_max` over keys and values. It carries the id of its call,
//! so that what an earlier call left in a slot is never seen by the next.

/// The keys and values of one call. Calls keep a handful of them, so a vector beats a map.
#[derive(Debug, Default)]
pub(crate) struct StateMap {
    sid: u64,
    bytes: u64,
    entries: Vec<(Box<str>, Box<[u8]>)>,
}

/// The state would exceed its bound; nothing was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Full;

impl StateMap {
    pub(crate) fn new(sid: u64) -> Self {
        Self { sid, ..Self::default() }
    }

    /// True if this is the state of `sid`, not of an earlier call in the same place.
    pub(crate) fn is_of(&self, sid: u64) -> bool {
        self.sid == sid
    }

    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        self.entries.iter().find(|(name, _)| **name == *key).map(|(_, value)| &**value)
    }

    /// Replaces the value under `key`.
    pub(crate) fn set(&mut self, key: &str, value: &[u8], bytes_max: u64) -> Result<(), Full> {
        let old = self.entries.iter_mut().find(|(name, _)| **name == *key);
        let freed = old.as_ref().map_or(0, |(name, value)| name.len() + value.len()) as u64;
        let needed = (key.len() + value.len()) as u64;
        let bytes = self.bytes - freed + needed;
        if bytes > bytes_max {
            return Err(Full);
        }
        match old {
            Some((_, slot)) => *slot = value.into(),
            None => self.entries.push((key.into(), value.into())),
        }
        self.bytes = bytes;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_counts_keys_and_values_and_replacing_frees() {
        let mut state = StateMap::new(1);
        assert_eq!(state.set("ab", b"cd", 4), Ok(()));
        assert_eq!(state.set("x", b"", 4), Err(Full));
        assert_eq!(state.set("ab", b"e", 4), Ok(()));
        assert_eq!(state.set("x", b"", 4), Ok(()));
        assert_eq!(state.get("ab"), Some(&b"e"[..]));
        assert_eq!(state.get("x"), Some(&b""[..]));
        assert_eq!(state.get("y"), None);
    }
}
