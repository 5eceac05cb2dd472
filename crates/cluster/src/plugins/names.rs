// SPDX-License-Identifier: BSD-3-Clause
//! Subjects of plugins and entries, and the names of their services.

use std::fmt::Write as _;
use std::num::NonZeroU64;

use async_nats::Subject;

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

/// The digits of a number of 64 bits.
const HEX_DIGITS_MAX: usize = 16;

/// The digits that a number has in hexadecimal.
fn hex_digits(number: u64) -> u32 {
    (u64::BITS - number.leading_zeros()).div_ceil(4).max(1)
}

/// Appends a number in hexadecimal. With formatting, the two of a call cost it another 600 instructions.
fn push_hex(text: &mut String, number: u64) {
    for at in (0..hex_digits(number)).rev() {
        let digit = (number >> (4 * at)) as u8 & 0xf;
        text.push(char::from(if digit < 10 { b'0' + digit } else { b'a' - 10 + digit }));
    }
}

/// A number in hexadecimal, as [`push_hex`] writes it.
pub(super) fn hex(text: &str) -> Option<u64> {
    if text.is_empty() || text.len() > HEX_DIGITS_MAX {
        return None;
    }
    let digit = |byte| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    text.bytes().try_fold(0, |number, byte| Some(number << 4 | u64::from(digit(byte)?)))
}

/// Where a host awaits the answer of a call: the last token of the reply subject, `SID:MS` with both numbers in
/// hexadecimal, or `SID:` for a call without a deadline. Inboxes of other clients have no `:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    /// The call, as its host counts.
    pub(super) sid: u64,
    /// How long its caller waits.
    pub(super) deadline_ms: Option<NonZeroU64>,
}

impl Reply {
    /// A call whose caller waits for so long yet.
    pub(super) fn new(sid: u64, remaining_ms: Option<u64>) -> Self {
        let deadline_ms = remaining_ms.map(|ms| NonZeroU64::new(ms).unwrap_or(NonZeroU64::MIN));
        Self { sid, deadline_ms }
    }

    /// The reply subject, in the inbox of the host.
    pub(super) fn subject(self, inbox: &str) -> Subject {
        // Exact: what has room left needs a block more to be shared.
        let digits = hex_digits(self.sid) + self.deadline_ms.map_or(0, |ms| hex_digits(ms.get()));
        let mut subject = String::with_capacity(inbox.len() + ".:".len() + digits as usize);
        subject.push_str(inbox);
        subject.push('.');
        push_hex(&mut subject, self.sid);
        subject.push(':');
        if let Some(ms) = self.deadline_ms {
            push_hex(&mut subject, ms.get());
        }
        subject.into()
    }

    /// That of a token. `None`: it is no host's.
    pub(super) fn of(token: &str) -> Option<Self> {
        // A token is short: a search that is made for long text takes longer.
        let colon = token.bytes().position(|byte| byte == b':')?;
        let sid = hex(token.get(..colon)?)?;
        let deadline_ms = match token.get(colon + 1..)? {
            "" => None,
            ms => Some(NonZeroU64::new(hex(ms)?)?),
        };
        Some(Self { sid, deadline_ms })
    }

    /// The inbox of the host, and the token, of a reply subject. `None`: it is no host's.
    pub(super) fn of_subject(reply: &str) -> Option<(&str, Self)> {
        let (inbox, token) = inbox_of(reply)?;
        Some((inbox, Self::of(token)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_subject_is_read_back_and_no_other_clients_is_taken_for_one() {
        for (sid, remaining_ms, read) in
            [(1, None, None), (u64::MAX, Some(u64::MAX), Some(u64::MAX)), (0x1f, Some(0), Some(1))]
        {
            let reply = Reply::new(sid, remaining_ms);
            assert_eq!(reply.deadline_ms.map(NonZeroU64::get), read);
            let subject = reply.subject("_INBOX.inbox");
            assert_eq!(Reply::of_subject(&subject), Some(("_INBOX.inbox", reply)));
        }
        // The second and third are those of the clients of Rust and Go.
        for other in [
            "1",
            "_INBOX.oYyKhvCVUj9iRHPaKJBBXs.0123456789abcdef012345",
            "_INBOX.WGPrRBqhBOFBRZ1WOUDyDS.deadbeef",
            "_INBOX.1:2.3",
            "_INBOX.notes",
            "_INBOX.1:0",
            "_INBOX.:",
            "_INBOX.1:g",
            "_INBOX.1:2:3",
            "_INBOX.+1:2",
            "_INBOX.A:2",
            "_INBOX.10000000000000000:2",
        ] {
            assert_eq!(Reply::of_subject(other), None, "{other}");
        }
    }

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
