// SPDX-License-Identifier: BSD-3-Clause
//! `becket ws URL`: a WebSocket on stdin and stdout.
//!
//! Two halves at once: one sends each line of stdin as a text frame, the other prints each message
//! as a line.
//!
//! A WebSocket has no half-close: after a close frame the server may drop outstanding answers. So
//! at the end of stdin the sender waits until the server has sent nothing for a while, and only
//! then closes.

use std::future::pending;
use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::http::Uri;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::runtime;
use super::stdin::Lines;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Connect to a WebSocket: lines of stdin become text frames, frames become lines of stdout
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to connect, such as ws://127.0.0.1:8080/sample/chat
    url: Uri,
    /// Give up connecting after this many milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    connect_timeout_ms: u64,
    /// At the end of stdin, close when the server has sent nothing for this many milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    linger_ms: u64,
}

type Socket = WebSocketStream<TcpStream>;

/// How long the server has to answer a close frame, or to read the answer to its own.
const CLOSE_WAIT: Duration = Duration::from_secs(2);

pub(crate) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    runtime::run_one(runtime::interruptible(talk(args, *ui)))
}

async fn talk(args: Args, ui: Ui) -> Result<Exit, Failure> {
    let limit = Duration::from_millis(args.connect_timeout_ms);
    let socket = timeout(limit, connect(&args.url)).await.map_err(|_| {
        Failure::new(Exit::Deadline, format!("{} did not answer", args.url))
            .cause(format!("{} ms passed", args.connect_timeout_ms))
            .hint("`--connect-timeout-ms` waits longer")
    })??;
    let (sink, stream) = socket.split();
    let (heard_in, heard_out) = watch::channel(());
    tokio::select! {
        ended = print(stream, heard_in, &ui, &args.url) => ended,
        ended = send(sink, heard_out, Duration::from_millis(args.linger_ms)) => ended,
    }
}

async fn connect(url: &Uri) -> Result<Socket, Failure> {
    let wrong = |why: &str| {
        Failure::new(Exit::Usage, format!("{url} is not an address of a WebSocket"))
            .cause(why.to_owned())
            .hint("an example is ws://127.0.0.1:8080/sample/chat")
    };
    if url.scheme_str() != Some("ws") {
        return Err(wrong("it must begin with ws://"));
    }
    let authority = url.authority().ok_or_else(|| wrong("it names no host"))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let failed = |cause: String| {
        Failure::new(Exit::Failure, format!("{url} cannot be connected to"))
            .cause(cause)
            .hint("is the server running? `becket serve` starts one")
    };
    let socket = TcpStream::connect((host, authority.port_u16().unwrap_or(80)))
        .await
        .map_err(|error| failed(error.to_string()))?;
    match client_async(url.clone(), socket).await {
        Ok((socket, _)) => Ok(socket),
        Err(Error::Http(response)) => {
            Err(Failure::new(Exit::Call, format!("{url} is not served as a WebSocket"))
                .cause(format!("the server answered {}", response.status().as_u16()))
                .hint("`curl` with the same address, http:// in front, shows what it says"))
        }
        Err(error) => Err(failed(error.to_string())),
    }
}

/// Prints every message until the server closes. Reading also answers pings and the close frame.
async fn print(
    mut stream: SplitStream<Socket>,
    heard: watch::Sender<()>,
    ui: &Ui,
    url: &Uri,
) -> Result<Exit, Failure> {
    loop {
        match stream.next().await {
            Some(Ok(Message::Text(text))) => ui.line(text.as_bytes())?,
            Some(Ok(Message::Binary(data))) => ui.line(&data)?,
            Some(Ok(Message::Close(close))) => {
                // A server that does not read the answer is not awaited.
                let _ = timeout(CLOSE_WAIT, async { while stream.next().await.is_some() {} }).await;
                return closed(url, close);
            }
            Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
            Some(Err(error)) => return Err(broken(url, &error.to_string())),
            None => return Err(broken(url, "the server left without a close frame")),
        }
        heard.send_replace(());
    }
}

/// Sends every line, waits for silence, closes. `print` reports the end of the socket.
async fn send(
    mut sink: SplitSink<Socket, Message>,
    mut heard: watch::Receiver<()>,
    linger: Duration,
) -> Result<Exit, Failure> {
    let mut lines = Lines::new();
    while let Some(line) = lines.next().await? {
        if sink.send(message(line)).await.is_err() {
            return pending().await;
        }
    }
    while let Ok(Ok(())) = timeout(linger, heard.changed()).await {}
    let close = CloseFrame { code: CloseCode::Normal, reason: "".into() };
    if sink.send(Message::Close(Some(close))).await.is_err() {
        return pending().await;
    }
    let _ = timeout(CLOSE_WAIT, pending::<()>()).await;
    Ok(Exit::Ok)
}

/// A text frame; a binary one if the line is not text.
fn message(line: Vec<u8>) -> Message {
    match String::from_utf8(line) {
        Ok(text) => Message::text(text),
        Err(error) => Message::binary(error.into_bytes()),
    }
}

fn closed(url: &Uri, close: Option<CloseFrame>) -> Result<Exit, Failure> {
    let Some(CloseFrame { code, reason }) = close else { return Ok(Exit::Ok) };
    if code == CloseCode::Normal {
        return Ok(Exit::Ok);
    }
    let failure = Failure::new(Exit::Call, format!("{url} closed the WebSocket with code {code}"));
    Err(if reason.is_empty() { failure } else { failure.cause(reason.to_string()) })
}

fn broken(url: &Uri, why: &str) -> Failure {
    Failure::new(Exit::Failure, format!("the connection to {url} broke")).cause(why.to_owned())
}
