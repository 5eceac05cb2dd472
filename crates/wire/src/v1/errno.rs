// SPDX-License-Identifier: BSD-3-Clause
//! The errors that a `RESULT` carries: Linux numbers, negative on the wire, on every platform.

use std::fmt;

/// An error's number, as Linux counts them. On the wire it is negative.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Errno(i32);

macro_rules! errnos {
    ($($(#[$meta:meta])* $name:ident $number:literal $text:literal;)*) => {
        impl Errno {
            $($(#[$meta])* pub const $name: Self = Self($number);)*

            /// The error's name in C, where this protocol uses it.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self.0 {
                    $($number => Some($text),)*
                    _ => None,
                }
            }
        }
    };
}

errnos! {
    /// There is no channel or select of this number.
    NOENT 2 "ENOENT";
    /// The operation would block.
    AGAIN 11 "EAGAIN";
    /// The server is out of memory.
    NOMEM 12 "ENOMEM";
    /// The number is in use.
    EXIST 17 "EEXIST";
    /// An attribute's value is invalid.
    INVAL 22 "EINVAL";
    /// A limit of the server is reached.
    NOSPC 28 "ENOSPC";
    /// The channel is closed.
    PIPE 32 "EPIPE";
    /// The path of a socket is too long.
    NAMETOOLONG 36 "ENAMETOOLONG";
    /// The command is unknown or reserved.
    NOSYS 38 "ENOSYS";
    /// The timeout has passed.
    TIME 62 "ETIME";
    /// The frame is malformed.
    PROTO 71 "EPROTO";
    /// An element is too long.
    MSGSIZE 90 "EMSGSIZE";
    /// The channel does not offer this direction.
    NOTSUP 95 "ENOTSUP";
    /// The peer is gone.
    CONNRESET 104 "ECONNRESET";
    /// The select is registered or decided already.
    ALREADY 114 "EALREADY";
    /// The operation was cancelled.
    CANCELED 125 "ECANCELED";
}

impl Errno {
    /// As the value of a `RESULT`: negative.
    #[must_use]
    pub const fn result(self) -> i32 {
        -self.0
    }

    /// The error in a `RESULT`; `None` if it is not negative.
    #[must_use]
    pub const fn from_result(result: i32) -> Option<Self> {
        // `i32::MIN` has no negation, and is no error's number.
        match result.checked_neg() {
            Some(number) if number > 0 => Some(Self(number)),
            _ => None,
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
