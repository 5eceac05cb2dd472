// SPDX-License-Identifier: BSD-3-Clause
//! A server in a process of its own, which sends each message back over a Unix socket.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use super::ours::payload;
use crate::error::{BenchError, check};
use crate::harness::Contestant;
use crate::machine::{FIRST_CPU, SECOND_CPU, pin};

/// A server of the standard library's: each message has a length before it.
const ASYNCIO: &str = "
import asyncio, sys
class Echo(asyncio.Protocol):
    def __init__(self):
        self.inbox = bytearray()
    def connection_made(self, transport):
        self.transport = transport
    def data_received(self, data):
        self.inbox += data
        while len(self.inbox) >= 4:
            end = 4 + int.from_bytes(self.inbox[:4], 'little')
            if len(self.inbox) < end:
                break
            self.transport.write(bytes(self.inbox[:end]))
            del self.inbox[:end]
async def main():
    server = await asyncio.get_running_loop().create_unix_server(Echo, sys.argv[1])
    print('ready', flush=True)
    await server.serve_forever()
asyncio.run(main())
";
/// The same, over HTTP/1.1 with keep-alive.
const NODE: &str = "
const answer = (request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    const body = Buffer.concat(parts);
    response.writeHead(200, { 'content-length': body.length });
    response.end(body);
  });
};
require('node:http').createServer(answer).listen(process.argv[1], () => console.log('ready'));
";

/// A process, and the folder of its socket. Both end with the value.
pub(super) struct Server {
    process: Child,
    folder: PathBuf,
    pub(super) socket: PathBuf,
}

impl Server {
    /// Starts `command` with the socket's path as its last word, on the second CPU. It listens when it
    /// has written a line.
    pub(super) fn start(command: &[OsString]) -> Result<Self, BenchError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("becket-bench-{}-{number}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        fs::create_dir(&folder).map_err(no_server)?;
        let socket = folder.join("socket");
        let (program, words) = command.split_first().ok_or(BenchError::Worker)?;
        // A process begins where the thread is that starts it.
        pin(SECOND_CPU)?;
        let mut command = Command::new(program);
        let process = command.args(words).arg(&socket).stdout(Stdio::piped()).spawn();
        pin(FIRST_CPU)?;
        let mut server = Self { process: process.map_err(no_server)?, folder, socket };
        let mut line = String::new();
        if let Some(output) = &mut server.process.stdout {
            BufReader::new(output).read_line(&mut line).map_err(no_server)?;
        }
        check("a server", "its first line", "ready", line.trim_end())?;
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A script of an interpreter that is on the path.
fn script(program: &str, code: &str, switch: &str) -> Result<Server, BenchError> {
    Server::start(&[program.into(), switch.into(), code.into()])
}

/// The column of [`asyncio`].
pub(super) const ASYNCIO_COLUMN: &str = "bare asyncio";
/// The column of [`node`].
pub(super) const NODE_COLUMN: &str = "bare Node HTTP";

/// Python's event loop without any framework.
pub(super) fn asyncio(bytes: usize) -> Result<Contestant, BenchError> {
    let server = script("python3", ASYNCIO, "-c")?;
    let mut socket = connect(&server.socket)?;
    let sent = payload(bytes);
    let message = [&(bytes as u32).to_le_bytes(), sent.as_slice()].concat();
    let mut answer = vec![0; message.len()];
    Ok(Contestant::timed(ASYNCIO_COLUMN, move |n| {
        let _runs = &server;
        for _ in 0..n {
            socket.write_all(&message).map_err(no_server)?;
            socket.read_exact(&mut answer).map_err(no_server)?;
            check(ASYNCIO_COLUMN, "an answer", &message, &answer)?;
        }
        Ok(())
    }))
}

/// Node's HTTP server without any framework.
pub(super) fn node(bytes: usize) -> Result<Contestant, BenchError> {
    let server = script("node", NODE, "-e")?;
    let mut socket = BufReader::new(connect(&server.socket)?);
    let sent = payload(bytes);
    let head = format!("POST / HTTP/1.1\r\nhost: bench\r\ncontent-length: {bytes}\r\n\r\n");
    let request = [head.as_bytes(), sent.as_slice()].concat();
    let (mut line, mut answer) = (String::new(), vec![0; bytes]);
    Ok(Contestant::timed(NODE_COLUMN, move |n| {
        let _runs = &server;
        for _ in 0..n {
            socket.get_mut().write_all(&request).map_err(no_server)?;
            let mut length = None;
            loop {
                line.clear();
                socket.read_line(&mut line).map_err(no_server)?;
                match line.trim_end().split_once(": ") {
                    Some(("content-length", bytes)) => length = bytes.parse().ok(),
                    _ if line.trim_end().is_empty() => break,
                    _ => {}
                }
            }
            check(NODE_COLUMN, "the length of an answer", Some(bytes), length)?;
            socket.read_exact(&mut answer).map_err(no_server)?;
            check(NODE_COLUMN, "an answer", &sent, &answer)?;
        }
        Ok(())
    }))
}

fn connect(path: &Path) -> Result<UnixStream, BenchError> {
    UnixStream::connect(path).map_err(no_server)
}

pub(super) fn no_server(source: std::io::Error) -> BenchError {
    BenchError::System { what: "start a server, or speak with it", source }
}
