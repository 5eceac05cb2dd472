// SPDX-License-Identifier: BSD-3-Clause
//! `becket ipc recv CHANNEL`: a channel to stdout.
//!
//! ```text
//!   channel ──► ahead, at most --window ──► in hand, one ──► stdout
//!      ▲                 │                      │
//!      └─────────────────┴──────────────────────┘  what was not written goes back, in order
//! ```
//!
//! # Invariants
//!
//! 1. One element at a time is in hand, and the next is taken only when it has been written: there
//!    is no buffer to flush, and what waits here can go back in front of the channel.
//! 2. An element that was written whole never goes back.

use std::io::{self, ErrorKind};
use std::time::Duration;

use becket_ipc::{Client, Element, ReceiverOptions, RecvError, RemoteReceiver};
use serde_json::{Map, Value};

use super::framing::{self, Framing};
use super::opening::{connect, not_opened};
use super::output::Output;
use super::place::At;
use super::stop::Signals;
use super::tally::Tally;
use crate::commands::{program, runtime};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{Ui, text};

/// Receive from a channel, each element to stdout
///
/// Ends when the channel is closed and empty, after --count elements, or when stdout's reader has
/// gone; what was received and not written goes back to the front of the channel. With --json each
/// element is an object on a line: `body` if it is text, else `body_hex`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The channel, by its name or by # and its number
    channel: String,
    #[command(flatten)]
    at: At,
    /// End after so many elements
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    framing: framing::Options,
    /// Elements that may be fetched ahead: faster, and lost if this process is killed; 0 fetches
    /// each when the one before has been written
    #[arg(long, value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(0..=65_536))]
    window: u32,
    /// Give up when nothing comes for so long, such as 30s or 500ms
    #[arg(long, value_name = "TIME", value_parser = super::duration)]
    timeout: Option<Duration>,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    runtime::run_one(recv(args, *ui))
}

/// Why nothing more is received.
enum Why {
    Counted,
    Interrupted,
    /// Stdout took no more.
    Output(io::Error),
    Over(RecvError),
}

async fn recv(args: Args, ui: Ui) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let (client, receiver) = tokio::select! {
        opened = open(&args) => opened?,
        () = signals.next() => return Ok(Exit::Interrupted),
    };
    let mut tally = Tally::new(&ui, true);
    let mut drain = Drain { args: &args, ui, receiver: &receiver, broken_lines: 0 };
    let why = drain.run(&mut tally, &mut signals).await;
    let broken_lines = drain.broken_lines;
    tally.hide();
    // A second signal does not wait for the server.
    let back = tokio::select! {
        back = give_back(&client, receiver) => back,
        () = signals.next() => Back::Unknown,
    };
    if broken_lines > 0 {
        ui.note(&format!(
            "{} had line ends inside: --null or --length-prefixed keeps elements apart",
            text::plural(broken_lines, "element")
        ));
    }
    conclude(&args, why, &back, &tally, &ui)
}

async fn open(args: &Args) -> Result<(Client, RemoteReceiver), Failure> {
    let client = connect(&args.at.path()?).await?;
    // More than it wants would only go back again.
    let wanted = args.count.and_then(|count| u32::try_from(count).ok()).unwrap_or(u32::MAX);
    let options = ReceiverOptions::window(args.window.min(wanted));
    match client.receiver_with(&args.channel, options).await {
        Ok(receiver) => Ok((client, receiver)),
        Err(error) => Err(not_opened(&client, &args.at.option(), &args.channel, error).await),
    }
}

struct Drain<'a> {
    args: &'a Args,
    ui: Ui,
    receiver: &'a RemoteReceiver,
    /// Elements that were more than one line.
    broken_lines: u64,
}

impl Drain<'_> {
    async fn run(&mut self, tally: &mut Tally, signals: &mut Signals) -> Why {
        let output = match Output::stdout() {
            Ok(output) => output,
            Err(error) => return Why::Output(error),
        };
        let mut frame = Vec::new();
        while self.args.count.is_none_or(|count| tally.elements < count) {
            let element = match self.next(&output, tally, signals).await {
                Ok(element) => element,
                Err(why) => return why,
            };
            frame.clear();
            self.frame(&element, &mut frame);
            let mut written = 0;
            let outcome = tokio::select! {
                outcome = output.write(&frame, &mut written) => Some(outcome),
                () = signals.next() => None,
            };
            let outcome = match outcome {
                // Begun: the reader gets the rest of it too, unless a second signal comes.
                None if written > 0 => {
                    let rest = tokio::select! {
                        rest = output.write(&frame, &mut written) => rest,
                        () = signals.next() => Err(ErrorKind::Interrupted.into()),
                    };
                    rest.map(|()| true)
                }
                None => Err(ErrorKind::Interrupted.into()),
                Some(outcome) => outcome.map(|()| false),
            };
            match outcome {
                Ok(is_last) => {
                    tally.add(element.len() as u64);
                    if is_last {
                        return Why::Interrupted;
                    }
                }
                Err(error) => {
                    put_back(self.receiver, element);
                    return match error.kind() {
                        ErrorKind::Interrupted => Why::Interrupted,
                        _ => Why::Output(error),
                    };
                }
            }
        }
        Why::Counted
    }

    async fn next(
        &self,
        output: &Output,
        tally: &mut Tally,
        signals: &mut Signals,
    ) -> Result<Element, Why> {
        let receive = self.receiver.recv();
        let mut receive = std::pin::pin!(match self.args.timeout {
            Some(timeout) => receive.timeout(timeout),
            None => receive,
        });
        loop {
            tokio::select! {
                // Who has left takes nothing more, and neither does who was asked to.
                biased;
                () = signals.next() => return Err(Why::Interrupted),
                () = output.closed() => return Err(Why::Output(ErrorKind::BrokenPipe.into())),
                received = &mut receive => return received.map_err(Why::Over),
                () = tally.tick() => tally.show(""),
            }
        }
    }

    fn frame(&mut self, element: &Element, out: &mut Vec<u8>) {
        let framing = self.args.framing.framing();
        if self.ui.json() {
            let mut object = Map::new();
            text::put_payload(&mut object, element.as_slice());
            out.extend_from_slice(Value::Object(object).to_string().as_bytes());
            out.push(b'\n');
            return;
        }
        if framing == Framing::Lines && element.as_slice().contains(&b'\n') {
            self.broken_lines += 1;
        }
        framing.put(element.as_slice(), out);
    }
}

/// The element in hand stands in front of those that came after it again.
pub(super) fn put_back(receiver: &RemoteReceiver, element: Element) {
    receiver.want().put_back(element);
}

/// What became of what was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Back {
    /// It is in front of the channel again, if there was any.
    Yes,
    /// So many could not go back: the channel was closed, or the server has gone.
    Lost(usize),
    /// Nobody waited for the server's word.
    Unknown,
}

/// Closes the receiver, with what it holds.
pub(super) async fn give_back(client: &Client, receiver: RemoteReceiver) -> Back {
    let (held, is_over) = {
        let inbox = receiver.want();
        (inbox.len(), inbox.is_closed())
    };
    receiver.close().await;
    match held {
        0 => Back::Yes,
        held if is_over => Back::Lost(held),
        _ if client.ended().is_some() => Back::Unknown,
        _ => Back::Yes,
    }
}

fn conclude(args: &Args, why: Why, back: &Back, tally: &Tally, ui: &Ui) -> Result<Exit, Failure> {
    let channel = &args.channel;
    let written = text::plural(tally.elements, "element");
    let lost = match *back {
        Back::Yes => None,
        Back::Lost(held) => Some(format!(
            "{} came ahead from a channel that is closed now, and cannot go back",
            text::plural(held as u64, "element")
        )),
        Back::Unknown => Some("whether the rest went back is not known".to_owned()),
    };
    if let Some(lost) = &lost {
        ui.note(lost);
    }
    match why {
        Why::Counted => {
            ui.note(&format!("received from {channel}: {}", tally.text()));
            Ok(Exit::Ok)
        }
        Why::Interrupted => {
            ui.note(&format!("interrupted: {written} of {channel} written"));
            Ok(Exit::Interrupted)
        }
        Why::Output(error) => {
            if error.kind() == ErrorKind::BrokenPipe {
                ui.note(&format!("nobody reads any more: {written} of {channel} written"));
            }
            Err(error.into())
        }
        Why::Over(RecvError::Closed { reason }) => {
            let because = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            ui.note(&format!("{channel} is closed{because}; received: {}", tally.text()));
            Ok(Exit::Ok)
        }
        Why::Over(RecvError::TimedOut) => {
            let timeout = text::duration(args.timeout.unwrap_or_default());
            Err(Failure::new(Exit::Deadline, format!("nothing came from {channel} for {timeout}"))
                .cause(format!("{written} came before; nobody sends"))
                .hint(format!("`{} ipc stat{}` shows it", program(), args.at.option())))
        }
        Why::Over(RecvError::Disconnected(ended)) => Err(Failure::new(
            Exit::Failure,
            format!("the server has gone: {written} of {channel} written"),
        )
        .cause(ended.to_string())),
        Why::Over(other) => {
            Err(Failure::new(Exit::Call, format!("nothing more comes from {channel}"))
                .cause(other.to_string()))
        }
    }
}
