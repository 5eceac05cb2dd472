// SPDX-License-Identifier: BSD-3-Clause
//! Subjects of plugins and entries, and the names of their services.

use std::fmt::Write as _;

use crate::names::unescape;

/// The longest token that a name may become: a subject has to fit into a line of the protocol.
const TOKEN_BYTES_MAX: usize = 1024;

/// The name as one token of a subject: letters, digits, `-` and `_` as they are, other bytes as `%`
/// and two digits; the empty name is `%`. `None`: too long.
pub(super) fn token(name: &str) -> Option<String> {
    if name.is_empty() {
        return Some("%".to_owned());
    }
    let mut token = String::with_capacity(name.len());
    for byte in name.bytes() {
        match is_plain(byte) {
            true => token.push(byte.into()),
            // Writing to a string does not fail.
            false => _ = write!(token, "%{byte:02X}"),
        }
    }
    (token.len() <= TOKEN_BYTES_MAX).then_some(token)
}

/// The name of a token.
pub(super) fn name_of(token: &str) -> Option<String> {
    if token == "%" {
        return Some(String::new());
    }
    unescape(token)
}

/// A name that a service or an endpoint may have: one that has other characters gets `-` for them.
pub(super) fn label(name: &str) -> String {
    let plain = |byte: u8| if is_plain(byte) { char::from(byte) } else { '-' };
    match name.is_empty() {
        true => "-".to_owned(),
        false => name.bytes().map(plain).collect(),
    }
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// The subject of an entry.
pub(super) fn entry_subject(plugin: &str, entry: &str) -> Option<String> {
    Some(format!("becket.plugin.{}.{}", token(plugin)?, token(entry)?))
}

/// The subject of all entries.
pub(super) fn entries_subject(plugin: &str) -> Option<String> {
    Some(format!("becket.plugin.{}.*", token(plugin)?))
}

/// The subject of cancellations, which every node that offers the plugin receives.
pub(super) fn cancel_subject(plugin: &str) -> Option<String> {
    Some(format!("becket.cancel.{}", token(plugin)?))
}

/// The subject on which a node announces that it offers the plugin.
pub(super) fn offered_subject(plugin: &str) -> Option<String> {
    Some(format!("becket.offered.{}", token(plugin)?))
}

/// The same of all plugins.
pub(super) const ANY_OFFERED: &str = "becket.offered.*";

/// The subject of the inbox that a reply subject belongs to, and the last token.
pub(super) fn inbox_of(reply: &str) -> Option<(&str, &str)> {
    reply.rsplit_once('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_is_one_token() {
        for name in ["greeter", "a.b", "*", ">", "a b", "ä€", "%", "", "a%2Eb", "\n"] {
            let token = token(name).unwrap();
            assert!(!token.is_empty() && token.bytes().all(|byte| is_plain(byte) || byte == b'%'));
            assert_eq!(name_of(&token).as_deref(), Some(name));
        }
        assert_eq!(token(&"€".repeat(200)), None);
    }
}
