// SPDX-License-Identifier: BSD-3-Clause
//! Requests on one connection, one after the other.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use crate::WAIT_MAX;

pub(crate) struct Connection {
    socket: BufReader<TcpStream>,
    address: String,
}

/// What was answered.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

impl Connection {
    pub(crate) fn open(address: &str) -> io::Result<Self> {
        let socket = TcpStream::connect(address)?;
        socket.set_nodelay(true)?;
        // An answer that takes longer is none.
        socket.set_read_timeout(Some(WAIT_MAX))?;
        Ok(Self { socket: BufReader::new(socket), address: address.to_owned() })
    }

    /// A GET without a body, else a POST.
    pub(crate) fn request(&mut self, path: &str, body: &str) -> io::Result<Answer> {
        let method = if body.is_empty() { "GET" } else { "POST" };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\ncontent-length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        );
        self.socket.get_mut().write_all(request.as_bytes())?;
        let invalid = || io::Error::from(io::ErrorKind::InvalidData);
        let status = self.line()?;
        let status = status.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.ok_or_else(invalid)?;
        let mut length = None;
        loop {
            let line = self.line()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse::<usize>().ok();
            }
        }
        let mut body = vec![0; length.ok_or_else(invalid)?];
        self.socket.read_exact(&mut body)?;
        Ok(Answer { status, body })
    }

    fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        match self.socket.read_line(&mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}
