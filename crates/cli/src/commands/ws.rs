// SPDX-License-Identifier: BSD-3-Clause
//! `becket ws URL`: a WebSocket on stdin and stdout.
//!
//! Two halves at once. The writer sends each line of stdin as a text frame, and the answers that
//! the protocol wants to pings and closes; the reader prints each message as a line.
//!
//! A WebSocket has no half-close: after a close frame the server may drop what it was about to
//! answer. So at the end of stdin the writer lingers until the server has been quiet for a while,
//! and only then sends the close frame.

use std::time::Duration;

use bytes::Bytes;
use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError, WebSocketRead, WebSocketWrite,
    handshake,
};
use http_body_util::Empty;
use hyper::header::{CONNECTION, HOST, UPGRADE};
use hyper::upgrade::Upgraded;
use hyper::{Request, Uri};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use super::runtime;
use super::stdin::Lines;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// Talk to a WebSocket: lines of stdin become text frames, frames become lines of stdout
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to connect, such as ws://127.0.0.1:8080/sample/chat
    url: Uri,
    /// Give up connecting after this many milliseconds
    #[arg(long, value_name = "MS", default_value_t = 10_000)]
    connect_timeout_ms: u64,
    /// At the end of stdin, close once the server has said nothing for this many milliseconds
    #[arg(long, value_name = "MS", default_value_t = 1_000)]
    linger_ms: u64,
}

type Socket = TokioIo<Upgraded>;

pub(crate) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    runtime::run_one(runtime::interruptible(talk(args, *ui)))
}

async fn talk(args: Args, ui: Ui) -> Result<Exit, Failure> {
    let limit = Duration::from_millis(args.connect_timeout_ms);
    let (reader, writer) =
        tokio::time::timeout(limit, connect(&args.url)).await.map_err(|_| {
            Failure::new(Exit::Deadline, format!("{} did not answer", args.url))
                .cause(format!("{} ms passed", args.connect_timeout_ms))
                .hint("`--connect-timeout-ms` waits longer")
        })??;
    let (answers_in, answers_out) = mpsc::channel(1);
    let (heard_in, heard_out) = watch::channel(());
    let writing = write(writer, answers_out, heard_out, Duration::from_millis(args.linger_ms));
    tokio::pin!(writing);
    let closed = tokio::select! {
        closed = read(reader, answers_in, heard_in, &ui, &args.url) => closed,
        // Stdin failed. If it ended or the socket did, the reader finds out what there is to say.
        Err(failure) = &mut writing => Err(failure),
    };
    if closed.is_ok() {
        // The answer to the server's close frame is under way. A server that does not take it is
        // not waited for.
        let _ = tokio::time::timeout(CLOSE_WAIT, writing).await;
    }
    closed
}

/// How long the last frame may take.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

async fn connect(
    url: &Uri,
) -> Result<(WebSocketRead<ReadHalf<Socket>>, WebSocketWrite<WriteHalf<Socket>>), Failure> {
    let wrong = |why: &str| {
        Failure::new(Exit::Usage, format!("{url} is not an address of a WebSocket"))
            .cause(why.to_owned())
            .hint("an example is ws://127.0.0.1:8080/sample/chat")
    };
    if !matches!(url.scheme_str(), Some("ws" | "http")) {
        return Err(wrong("it must begin with ws://"));
    }
    let authority = url.authority().ok_or_else(|| wrong("it names no host"))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let port = authority.port_u16().unwrap_or(80);
    let failed = |cause: String| {
        Failure::new(Exit::Failure, format!("{url} cannot be connected to"))
            .cause(cause)
            .hint("is the server running? `becket serve` starts one")
    };
    let socket =
        TcpStream::connect((host, port)).await.map_err(|error| failed(error.to_string()))?;
    let path = url.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::get(path)
        .header(HOST, authority.as_str())
        .header(UPGRADE, "websocket")
        .header(CONNECTION, "upgrade")
        .header("sec-websocket-key", handshake::generate_key())
        .header("sec-websocket-version", "13")
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(error.to_string()))?;
    let (socket, _) = handshake::client(&TokioExecutor::new(), request, socket).await.map_err(
        |error| match error {
            WebSocketError::InvalidStatusCode(code) => {
                Failure::new(Exit::Call, format!("{url} is not served as a WebSocket"))
                    .cause(format!("the server answered {code}"))
                    .hint("`curl` with the same address, http:// in front, shows what it says")
            }
            error => failed(error.to_string()),
        },
    )?;
    Ok(socket.split(tokio::io::split))
}

/// Prints every message, until the server closes.
async fn read(
    reader: WebSocketRead<ReadHalf<Socket>>,
    answers: mpsc::Sender<Frame<'static>>,
    heard: watch::Sender<()>,
    ui: &Ui,
    url: &Uri,
) -> Result<Exit, Failure> {
    let mut reader = FragmentCollectorRead::new(reader);
    loop {
        let frame = reader
            .read_frame(&mut |answer| hand_over(owned(answer), answers.clone()))
            .await
            .map_err(|error| {
                Failure::new(Exit::Failure, format!("the connection to {url} broke"))
                    .cause(error.to_string())
            })?;
        match frame.opcode {
            OpCode::Text | OpCode::Binary => {
                ui.line(&frame.payload)?;
                heard.send_replace(());
            }
            OpCode::Close => return closed(url, &frame.payload),
            OpCode::Ping | OpCode::Pong | OpCode::Continuation => {}
        }
    }
}

/// Gives the writer an answer that the protocol wants. The answer to a ping may be left out when
/// another waits (RFC 6455, 5.5.3), so that a slow server never keeps the reader from reading.
async fn hand_over(
    answer: Frame<'static>,
    answers: mpsc::Sender<Frame<'static>>,
) -> Result<(), WebSocketError> {
    // Refused only once the writer has ended: then the socket has, and the next read says so.
    if answer.opcode == OpCode::Close {
        let _ = answers.send(answer).await;
    } else {
        let _ = answers.try_send(answer);
    }
    Ok(())
}

/// What the writer still has to do.
enum Rest {
    Lines(Lines),
    Linger,
    Nothing,
}

/// Sends every line, lingers, closes; answers the protocol all along. Ends when it has answered the
/// server's close frame, or when the socket takes no more.
async fn write(
    mut writer: WebSocketWrite<WriteHalf<Socket>>,
    mut answers: mpsc::Receiver<Frame<'static>>,
    mut heard: watch::Receiver<()>,
    linger: Duration,
) -> Result<(), Failure> {
    let mut rest = Rest::Lines(Lines::new());
    loop {
        let (frame, is_last) = tokio::select! {
            Some(answer) = answers.recv() => {
                let is_last = answer.opcode == OpCode::Close;
                (answer, is_last)
            }
            said = next(&mut rest, &mut heard, linger) => match said? {
                Some(frame) => (frame, false),
                None => continue,
            },
        };
        if writer.write_frame(frame).await.is_err() || is_last {
            return Ok(());
        }
    }
}

/// The next frame of ours; `None` if there is none and something else is to be done.
///
/// Cancel safe: nothing is taken before it returns.
async fn next(
    rest: &mut Rest,
    heard: &mut watch::Receiver<()>,
    linger: Duration,
) -> Result<Option<Frame<'static>>, Failure> {
    match rest {
        Rest::Lines(lines) => match lines.next().await? {
            Some(line) => return Ok(Some(message(line))),
            None => *rest = Rest::Linger,
        },
        Rest::Linger => {
            if let Ok(Ok(())) = tokio::time::timeout(linger, heard.changed()).await {
                return Ok(None);
            }
            *rest = Rest::Nothing;
            return Ok(Some(Frame::close(CLOSE_NORMAL, b"")));
        }
        Rest::Nothing => std::future::pending().await,
    }
    Ok(None)
}

/// A text frame; a binary one if the line is not text.
fn message(line: Vec<u8>) -> Frame<'static> {
    match std::str::from_utf8(&line) {
        Ok(_) => Frame::text(Payload::Owned(line)),
        Err(_) => Frame::binary(Payload::Owned(line)),
    }
}

fn owned(frame: Frame<'_>) -> Frame<'static> {
    Frame::new(frame.fin, frame.opcode, None, Payload::Owned(frame.payload.to_vec()))
}

/// The close code that says "all is well".
const CLOSE_NORMAL: u16 = 1000;

fn closed(url: &Uri, payload: &[u8]) -> Result<Exit, Failure> {
    let (code, reason) = match payload {
        [high, low, reason @ ..] => (u16::from_be_bytes([*high, *low]), reason),
        _ => (CLOSE_NORMAL, &[][..]),
    };
    if code == CLOSE_NORMAL {
        return Ok(Exit::Ok);
    }
    let failure = Failure::new(Exit::Call, format!("{url} closed the WebSocket with code {code}"));
    Err(match reason {
        [] => failure,
        reason => failure.cause(String::from_utf8_lossy(reason).into_owned()),
    })
}
