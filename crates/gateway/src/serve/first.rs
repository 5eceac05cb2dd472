// SPDX-License-Identifier: BSD-3-Clause
//! The first bytes of a connection, which tell its protocol.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

/// The method of HTTP/2's preface, which no request of HTTP/1 has.
const HTTP2: [u8; 4] = *b"PRI ";

/// As many first bytes as it takes to tell the protocol: at most four.
#[derive(Debug, Default)]
pub(super) struct First {
    bytes: [u8; HTTP2.len()],
    len: usize,
}

impl First {
    /// Reads until the protocol is known, or the client has closed. What was read stays if the
    /// future is dropped.
    pub(super) async fn read(&mut self, socket: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
        while self.len < HTTP2.len() && HTTP2.starts_with(self.bytes()) {
            let room = self.bytes.get_mut(self.len..).unwrap_or_default();
            match socket.read(room).await? {
                0 => break,
                len => self.len += len,
            }
        }
        Ok(())
    }

    pub(super) fn is_http2(&self) -> bool {
        self.bytes() == HTTP2
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Moves them into a buffer, as far as it has room.
    pub(super) fn move_into(&mut self, buf: &mut ReadBuf<'_>) {
        let len = self.len.min(buf.remaining());
        buf.put_slice(self.bytes.get(..len).unwrap_or_default());
        self.bytes.copy_within(len..self.len, 0);
        self.len -= len;
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}
