// SPDX-License-Identifier: BSD-3-Clause
//! `becket ipc recv CHANNEL`: a channel to stdout.
//!
//! ```text
//!   channel ──► prefetched, at most --window ──► current, one ──► stdout
//!      ▲                 │                          │
//!      └─────────────────┴──────────────────────────┘  unwritten elements are requeued, in order
//! ```
//!
//! # Invariants
//!
//! 1. One element at a time is current, and the next is taken only when it has been written: there
//!    is no buffer to flush, and every element that is held here can be requeued.
//! 2. An element that was written completely is never requeued.

use std::io::{self, ErrorKind};
use std::time::Duration;

use becket_ipc::{Client, Element, ReceiverOptions, RecvError, RemoteReceiver};
use serde_json::{Map, Value};

use super::framing::{self, Framing};
use super::opening::{connect, not_opened};
use super::output::Output;
use super::place::At;
use super::tally::Tally;
use crate::commands::mon::units::parse_duration;
use crate::commands::signals::Signals;
use crate::commands::{program, runtime};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{Ui, text};

/// Receive from a channel, each element to stdout
///
/// Ends when the channel is closed and empty, after --count elements, or when the reader of stdout
/// is gone; elements that were received and not written are requeued at the front of the channel.
/// With --json each element is an object on a line: `body` if it is text, else `body_hex`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The channel, by its name or by # and its number
    channel: String,
    #[command(flatten)]
    at: At,
    /// End after this many elements
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    count: Option<u64>,
    #[command(flatten)]
    framing: framing::Options,
    /// Elements that may be prefetched: faster, but lost if this process is killed; 0 fetches each
    /// element when the previous one has been written
    #[arg(long, value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(0..=65_536))]
    window: u32,
    /// Give up when no element comes for this long, such as 30s or 500ms
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    runtime::run_one(recv(args, *ui))
}

/// After a longer element, signals are checked.
const LONG_BYTES: usize = 4096;

/// Why receiving ended.
enum Why {
    Counted,
    Interrupted,
    /// Writing to stdout failed.
    Output(io::Error),
    Over(RecvError),
}

async fn recv(args: Args, ui: Ui) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let client = tokio::select! {
        client = async { connect(&args.at.path()?).await } => client?,
        () = signals.next() => return Ok(Exit::Interrupted),
    };
    let mut tally = Tally::new(&ui, true);
    let mut drain = Drain { args: &args, ui, in_hand: None, broken_lines: 0 };
    let (ahead, last) = phases(&args);
    let mut why = None;
    let mut back = Back::Yes;
    for (window, until) in ahead.into_iter().chain([last]) {
        let receiver = tokio::select! {
            opened = open(&client, &args, window) => opened?,
            () = signals.next() => return Ok(Exit::Interrupted),
        };
        let mut ended = drain.run(&receiver, until, &mut tally, &mut signals).await;
        if matches!(ended, Why::Counted) && window > 0 && receiver.want().is_closed() {
            // Prefetched elements cannot be requeued any more. There are no more of them than are
            // wanted.
            ended = drain.run(&receiver, args.count, &mut tally, &mut signals).await;
        }
        // After a second signal the server's answer is not awaited.
        back = tokio::select! {
            back = give_back(&client, receiver, window, drain.in_hand.take()) => back,
            () = signals.next() => Back::Unknown,
        };
        let is_done = args.count.is_none_or(|count| tally.elements >= count);
        let goes_on = matches!(ended, Why::Counted) && !is_done;
        why = Some(ended);
        if !goes_on {
            break;
        }
    }
    tally.hide();
    if drain.broken_lines > 0 {
        ui.note(&format!(
            "{} had line ends inside: --null or --length-prefixed keeps elements apart",
            text::plural(drain.broken_lines, "element")
        ));
    }
    conclude(&args, why.unwrap_or(Why::Counted), &back, &tally, &ui)
}

/// A window, and the number of elements after which it ends.
type Phase = (u32, Option<u64>);

/// With a count, the last elements are fetched one by one, so that no more are taken than are
/// wanted: the sender of a rendezvous channel would see its send succeed.
fn phases(args: &Args) -> (Option<Phase>, Phase) {
    let window = args.window;
    match args.count {
        None => (None, (window, None)),
        Some(count) => {
            // The window, and the one element that `want` requests beside the prefetched ones.
            let ahead = count.saturating_sub(u64::from(window) + 1);
            let is_worth_it = window > 0 && ahead > 0;
            (is_worth_it.then_some((window, Some(ahead))), (0, Some(count)))
        }
    }
}

async fn open(client: &Client, args: &Args, window: u32) -> Result<RemoteReceiver, Failure> {
    let channel = &args.channel;
    match client.receiver_with(channel, ReceiverOptions::window(window)).await {
        Ok(receiver) => Ok(receiver),
        Err(error) => Err(not_opened(client, &args.at.option(), channel, error).await),
    }
}

struct Drain<'a> {
    args: &'a Args,
    ui: Ui,
    /// Taken and not yet written.
    in_hand: Option<Element>,
    /// Elements that were more than one line.
    broken_lines: u64,
}

impl Drain<'_> {
    async fn run(
        &mut self,
        receiver: &RemoteReceiver,
        until: Option<u64>,
        tally: &mut Tally,
        signals: &mut Signals,
    ) -> Why {
        let output = match Output::stdout() {
            Ok(output) => output,
            Err(error) => return Why::Output(error),
        };
        let mut frame = Vec::new();
        while until.is_none_or(|until| tally.elements < until) {
            if frame.len() > LONG_BYTES {
                // While the reader keeps up, no other await yields to the signals.
                tokio::task::yield_now().await;
            }
            let element = match self.next(receiver, &output, tally, signals).await {
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
                // Partly written: the reader gets the rest too, unless a second signal comes.
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
                    self.in_hand = Some(element);
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
        receiver: &RemoteReceiver,
        output: &Output,
        tally: &mut Tally,
        signals: &mut Signals,
    ) -> Result<Element, Why> {
        let receive = receiver.recv();
        let mut receive = std::pin::pin!(match self.args.timeout {
            Some(timeout) => receive.timeout(timeout),
            None => receive,
        });
        loop {
            tokio::select! {
                // After the reader has gone, or after a signal, no more elements are taken.
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

/// The result of requeuing unwritten elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Back {
    /// They are at the front of the channel again, if there were any.
    Yes,
    /// This many could not be requeued: the server is gone.
    Lost(usize),
    /// The server's answer was not awaited.
    Unknown,
}

/// Closes the receiver and requeues the current element and the prefetched ones, the current one
/// first.
pub(super) async fn give_back(
    client: &Client,
    receiver: RemoteReceiver,
    window: u32,
    in_hand: Option<Element>,
) -> Back {
    let mut held = 0;
    // `want` requests one more element, so it is called only with a reason.
    if window > 0 || in_hand.is_some() {
        let inbox = receiver.want();
        if let Some(element) = in_hand {
            inbox.put_back(element);
        }
        held = inbox.len();
    }
    let had_gone = client.ended().is_some();
    receiver.close().await;
    match held {
        0 => Back::Yes,
        held if had_gone => Back::Lost(held),
        _ if client.ended().is_some() => Back::Unknown,
        _ => Back::Yes,
    }
}

fn conclude(args: &Args, why: Why, back: &Back, tally: &Tally, ui: &Ui) -> Result<Exit, Failure> {
    let channel = &args.channel;
    let written = text::plural(tally.elements, "element");
    match *back {
        Back::Yes => {}
        Back::Unknown => ui.note("whether the rest went back is not known"),
        Back::Lost(held) => {
            let held = text::plural(held as u64, "element");
            return Err(Failure::new(
                Exit::Failure,
                format!("{held} of {channel} fetched ahead and not written, {written} written"),
            )
            .cause("the server has gone: what was fetched cannot go back")
            .hint("`--window 0` fetches nothing ahead"));
        }
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
                ui.note(&format!("stdout has no reader any more: {written} of {channel} written"));
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
                .cause(format!("{written} received before; no sender sent another"))
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
