// SPDX-License-Identifier: BSD-3-Clause
//! WebSocket chats, all open at once.
//!
//! Each connects and hears the greeting; when every one has, each sends its messages one by one,
//! hears every echo, and closes. A lost, repeated or foreign message is a failure of the whole. What
//! the plugin says to the close, how many messages it counted, may arrive or be overtaken by the
//! answer to the close frame; if it arrives the number is right.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::{FragmentCollector, Frame, OpCode, Payload, handshake};
use http_body_util::Empty;
use hyper::Request;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::error::Error;

/// Longest that all the chats together may take.
const SECONDS_MAX: u64 = 120;

/// The close code that says "all is well".
const CLOSE_NORMAL: u16 = 1000;

type Socket = FragmentCollector<TokioIo<Upgraded>>;

/// Holds `chats` chats of `messages` messages at once.
pub(crate) async fn all(
    address: SocketAddr,
    path: &str,
    chats: u32,
    messages: u32,
) -> Result<(), Error> {
    let everyone_is_in = Arc::new(Barrier::new(chats as usize));
    let mut running = JoinSet::new();
    for number in 0..chats {
        let path = path.to_owned();
        let everyone_is_in = Arc::clone(&everyone_is_in);
        running.spawn(async move { chat(address, &path, number, messages, &everyone_is_in).await });
    }
    let finished = async {
        while let Some(ended) = running.join_next().await {
            ended.map_err(|error| Error::request("a chat's task ended", error))??;
        }
        Ok(())
    };
    tokio::time::timeout(Duration::from_secs(SECONDS_MAX), finished)
        .await
        .map_err(|_| Error::TooLong { what: "the chats", seconds: SECONDS_MAX })?
}

async fn chat(
    address: SocketAddr,
    path: &str,
    number: u32,
    messages: u32,
    everyone_is_in: &Barrier,
) -> Result<(), Error> {
    let mut socket = connect(address, path).await?;
    expect(&mut socket, number, "welcome").await?;
    everyone_is_in.wait().await;
    for message in 0..messages {
        let text = format!("chat {number} message {message}");
        send(&mut socket, Frame::text(Payload::Borrowed(text.as_bytes()))).await?;
        expect(&mut socket, number, &format!("echo: {text}")).await?;
    }
    send(&mut socket, Frame::close(CLOSE_NORMAL, b"")).await?;
    let last = next(&mut socket, number).await?;
    if last.opcode == OpCode::Close {
        return Ok(());
    }
    heard(number, &last, &format!("bye after {messages} messages"))
}

async fn connect(address: SocketAddr, path: &str) -> Result<Socket, Error> {
    let failed =
        |cause: &dyn ToString| Error::request(format!("ws://{address}{path}"), cause.to_string());
    let socket = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    socket.set_nodelay(true).map_err(|error| failed(&error))?;
    let request = Request::get(path)
        .header(HOST, address.to_string())
        .header(UPGRADE, "websocket")
        .header(CONNECTION, "upgrade")
        .header("sec-websocket-key", handshake::generate_key())
        .header("sec-websocket-version", "13")
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(&error))?;
    let (mut socket, _) = handshake::client(&TokioExecutor::new(), request, socket)
        .await
        .map_err(|error| failed(&error))?;
    // The answer to the server's close frame would follow our own: there is nobody to read it.
    socket.set_auto_close(false);
    Ok(FragmentCollector::new(socket))
}

async fn send(socket: &mut Socket, frame: Frame<'_>) -> Result<(), Error> {
    socket.write_frame(frame).await.map_err(|error| Error::request("sending to a chat", error))
}

async fn expect(socket: &mut Socket, chat: u32, expected: &str) -> Result<(), Error> {
    heard(chat, &next(socket, chat).await?, expected)
}

/// The next frame that says something.
async fn next(socket: &mut Socket, chat: u32) -> Result<Frame<'static>, Error> {
    loop {
        let frame = socket
            .read_frame()
            .await
            .map_err(|error| Error::request(format!("chat {chat}, listening"), error))?;
        if !matches!(frame.opcode, OpCode::Ping | OpCode::Pong) {
            return Ok(Frame::new(
                true,
                frame.opcode,
                None,
                Payload::Owned(frame.payload.to_vec()),
            ));
        }
    }
}

fn heard(chat: u32, frame: &Frame<'_>, expected: &str) -> Result<(), Error> {
    if *frame.payload == *expected.as_bytes() {
        return Ok(());
    }
    Err(Error::Chat {
        chat,
        heard: String::from_utf8_lossy(&frame.payload).into_owned(),
        expected: expected.to_owned(),
    })
}
