// SPDX-License-Identifier: BSD-3-Clause
//! WebSocket chats, all open at once.
//!
//! Each connects and receives the greeting; when every one has, each sends its messages one by one,
//! receives every echo, and closes. A lost, repeated or foreign message fails the phase. The
//! plugin's last frame, with the number of messages that it counted, may be overtaken by the answer
//! to the close frame; if it arrives, the number must be right.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::error::Error;

/// The time limit of all chats together.
const SECONDS_MAX: u64 = 120;

/// Enough to fill the queue of a plugin that accepts none, and too few to fill the socket.
const MESSAGES_OF_A_KNOCK: u32 = 64;

type Socket = WebSocketStream<TcpStream>;

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

/// Opens one chat, sends some messages and disconnects without a close frame.
pub(crate) async fn knock(address: SocketAddr, path: &str) -> Result<(), Error> {
    let mut socket = connect(address, path).await?;
    for message in 0..MESSAGES_OF_A_KNOCK {
        send(&mut socket, Message::text(message.to_string())).await?;
    }
    Ok(())
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
        send(&mut socket, Message::text(text.as_str())).await?;
        expect(&mut socket, number, &format!("echo: {text}")).await?;
    }
    send(&mut socket, Message::Close(None)).await?;
    match next(&mut socket, number).await? {
        Message::Close(_) => Ok(()),
        last => heard(number, &last, &format!("bye after {messages} messages")),
    }
}

async fn connect(address: SocketAddr, path: &str) -> Result<Socket, Error> {
    let url = format!("ws://{address}{path}");
    let failed = |cause: &dyn ToString| Error::request(url.as_str(), cause.to_string());
    let socket = TcpStream::connect(address).await.map_err(|error| failed(&error))?;
    socket.set_nodelay(true).map_err(|error| failed(&error))?;
    let (socket, _) = client_async(&url, socket).await.map_err(|error| failed(&error))?;
    Ok(socket)
}

async fn send(socket: &mut Socket, message: Message) -> Result<(), Error> {
    socket.send(message).await.map_err(|error| Error::request("sending to a chat", error))
}

async fn expect(socket: &mut Socket, chat: u32, expected: &str) -> Result<(), Error> {
    heard(chat, &next(socket, chat).await?, expected)
}

/// The next message that is neither a ping nor a pong.
async fn next(socket: &mut Socket, chat: u32) -> Result<Message, Error> {
    let failed =
        |cause: &dyn ToString| Error::request(format!("chat {chat}, listening"), cause.to_string());
    loop {
        let message = socket.next().await.ok_or_else(|| failed(&"the connection ended"))?;
        let message = message.map_err(|error| failed(&error))?;
        if !matches!(message, Message::Ping(_) | Message::Pong(_)) {
            return Ok(message);
        }
    }
}

fn heard(chat: u32, message: &Message, expected: &str) -> Result<(), Error> {
    let text = String::from_utf8_lossy(message.to_text().map_or(b"not text", str::as_bytes));
    if text == expected {
        return Ok(());
    }
    Err(Error::Chat { chat, heard: text.into_owned(), expected: expected.to_owned() })
}
