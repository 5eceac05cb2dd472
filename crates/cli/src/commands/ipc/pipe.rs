// SPDX-License-Identifier: BSD-3-Clause
//! `becket ipc pipe FROM TO`: from one channel into another, on one server or two.
//!
//! ```text
//!   FROM ──► in flight, one ──► accepted by TO
//!    ▲            │
//!    └────────────┘  TO is closed, its server refuses or has gone: requeued at the front of FROM
//! ```
//!
//! # Invariants
//!
//! 1. At most one element is in flight and none is prefetched: if this process is killed, at most
//!    that element is lost.
//! 2. An element is requeued unless TO has accepted it, or may have: then a failure reports it, and
//!    it is not sent again.

use std::path::{Path, PathBuf};

use becket_chan::Token;
use becket_ipc::{Client, Element, RecvError, RemoteReceiver, RemoteSender, SendError};
use serde_json::json;

use super::opening::{connect, not_opened};
use super::place;
use super::recv::{Back, give_back};
use super::tally::Tally;
use crate::commands::runtime;
use crate::commands::signals::Signals;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{Ui, text};

/// Move elements from one channel into another
///
/// Each element is taken when the previous one has been accepted, and is requeued at the front of
/// FROM if TO does not accept it. Ends when FROM is closed and empty; TO stays open.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The channel to receive from, by its name or by # and its number
    from: String,
    /// The channel to send into
    to: String,
    /// The socket of the server of both [default: as for `becket ipc serve`]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// The socket of FROM's server
    #[arg(long, value_name = "PATH", conflicts_with = "socket")]
    from_socket: Option<PathBuf>,
    /// The socket of TO's server
    #[arg(long, value_name = "PATH", conflicts_with = "socket")]
    to_socket: Option<PathBuf>,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    runtime::run_one(pipe(args, *ui))
}

/// Why nothing more is moved.
enum Why {
    Interrupted,
    From(RecvError),
    To(SendError),
}

async fn pipe(args: Args, ui: Ui) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let (client, receiver, sender) = tokio::select! {
        opened = open(&args) => opened?,
        () = signals.next() => return Ok(Exit::Interrupted),
    };
    let mut tally = Tally::new(&ui, false);
    let (why, in_hand) = pump(&receiver, &sender, &mut tally, &mut signals).await;
    tally.hide();
    let back = tokio::select! {
        back = give_back(&client, receiver, 0, in_hand) => back,
        () = signals.next() => Back::Unknown,
    };
    if ui.json() {
        ui.data(&json!({
            "event": "moved",
            "from": args.from,
            "to": args.to,
            "elements": tally.elements,
            "bytes": tally.bytes,
            "took_ms": tally.took_ms(),
        }))?;
    }
    conclude(&args, why, back, &tally, &ui)
}

async fn open(args: &Args) -> Result<(Client, RemoteReceiver, RemoteSender), Failure> {
    let path = |asked: &Option<PathBuf>| place::client(asked.as_deref().or(args.socket.as_deref()));
    let (from_path, to_path) = (path(&args.from_socket)?, path(&args.to_socket)?);
    let is_one = is_one(&from_path, &to_path);
    let option = |path: &Path| {
        if path == place::default() { String::new() } else { place::option(path) }
    };
    let from = connect(&from_path).await?;
    let to = if is_one { from.clone() } else { connect(&to_path).await? };
    // TO first: no element is received before TO is known to exist.
    let sender = match to.sender(&args.to).await {
        Ok(sender) => sender,
        Err(error) => return Err(not_opened(&to, &option(&to_path), &args.to, error).await),
    };
    let receiver = match from.receiver(&args.from).await {
        Ok(receiver) => receiver,
        Err(error) => {
            return Err(not_opened(&from, &option(&from_path), &args.from, error).await);
        }
    };
    if receiver.info().id == sender.info().id && is_one {
        return Err(Failure::new(Exit::Usage, format!("{} would flow into itself", args.from))
            .cause("FROM and TO are the same channel")
            .hint("name two channels, or two servers by --from-socket and --to-socket"));
    }
    Ok((from, receiver, sender))
}

/// Whether two paths name the same socket.
fn is_one(a: &Path, b: &Path) -> bool {
    let same = || Some(std::fs::canonicalize(a).ok()? == std::fs::canonicalize(b).ok()?);
    a == b || same().unwrap_or_default()
}

/// Moves elements until the end; returns why it ended, and the element in flight.
async fn pump(
    receiver: &RemoteReceiver,
    sender: &RemoteSender,
    tally: &mut Tally,
    signals: &mut Signals,
) -> (Why, Option<Element>) {
    loop {
        let element = match next(receiver, tally, signals).await {
            Ok(element) => element,
            Err(why) => return (why, None),
        };
        let bytes = element.len() as u64;
        let token = Token::new();
        let mut send = std::pin::pin!(sender.send(element).cancel_on(&token));
        let mut is_last = false;
        let outcome = loop {
            tokio::select! {
                outcome = &mut send => break outcome,
                // The element may have been accepted: the server's answer decides.
                () = signals.next() => {
                    is_last = true;
                    token.cancel();
                }
                () = tally.tick() => tally.show(", one waits for room"),
            }
        };
        match outcome {
            Ok(()) => tally.add(bytes),
            Err(error @ SendError::Unknown { .. }) => return (Why::To(error), None),
            Err(error) => {
                let interrupted = matches!(error, SendError::Cancelled(_));
                let element = error.clone().into_element();
                let why = if interrupted { Why::Interrupted } else { Why::To(error) };
                return (why, Some(element));
            }
        }
        if is_last {
            return (Why::Interrupted, None);
        }
    }
}

async fn next(
    receiver: &RemoteReceiver,
    tally: &mut Tally,
    signals: &mut Signals,
) -> Result<Element, Why> {
    let mut receive = std::pin::pin!(receiver.recv());
    loop {
        tokio::select! {
            biased;
            () = signals.next() => return Err(Why::Interrupted),
            received = &mut receive => return received.map_err(Why::From),
            () = tally.tick() => tally.show(""),
        }
    }
}

fn conclude(args: &Args, why: Why, back: Back, tally: &Tally, ui: &Ui) -> Result<Exit, Failure> {
    let Args { from, to, .. } = args;
    let moved = text::plural(tally.elements, "element");
    let gone = |error: String| Failure::new(Exit::Failure, error);
    let back = match back {
        Back::Yes => format!("the one in hand is back in front of {from}"),
        Back::Lost(_) => {
            format!("the one in hand is lost: {from} is closed or its server has gone")
        }
        Back::Unknown => format!("whether the one in hand is back in {from} is not known"),
    };
    match why {
        Why::Interrupted => {
            ui.note(&format!("interrupted: {moved} moved from {from} to {to}"));
            Ok(Exit::Interrupted)
        }
        Why::From(RecvError::Closed { reason }) => {
            let because = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            ui.note(&format!("{from} is closed{because}; moved to {to}: {}", tally.text()));
            Ok(Exit::Ok)
        }
        Why::From(RecvError::Disconnected(ended)) => {
            Err(gone(format!("the server of {from} has gone: {moved} moved to {to}"))
                .cause(ended.to_string()))
        }
        Why::From(other) => {
            Err(Failure::new(Exit::Call, format!("nothing more comes from {from}"))
                .cause(other.to_string()))
        }
        Why::To(SendError::Unknown { .. }) => {
            Err(gone(format!("the server of {to} has gone: {moved} moved from {from}"))
                .cause("whether it accepted one more is not known; that one was not put back"))
        }
        Why::To(SendError::Disconnected { ended, .. }) => {
            Err(gone(format!("the server of {to} has gone: {moved} moved from {from}"))
                .cause(ended.to_string())
                .hint(back))
        }
        Why::To(error) => {
            let failure =
                Failure::new(Exit::Call, format!("{to} takes no more: {moved} moved from {from}"));
            Err(failure.cause(error.to_string()).hint(back))
        }
    }
}
