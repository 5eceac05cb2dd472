// SPDX-License-Identifier: BSD-3-Clause
//! `becket ipc send CHANNEL`: stdin into a channel.
//!
//! ```text
//!   stdin ──► in flight: sent, not answered ──► accepted, in order
//!                 at most --window
//! ```
//!
//! Stdin is read only while the window has room, so that a producer waits when the channel's
//! receivers are slow.
//!
//! # Invariants
//!
//! 1. Elements are accepted in the order of stdin: the accepted ones are a prefix of it, unless the
//!    server refused an element because of the element itself (its length) while later ones were in
//!    flight.
//! 2. When the command ends early, the elements in flight are withdrawn, the newest first, so that
//!    invariant 1 holds, and each element is counted as accepted, as not accepted, or as unknown.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use becket_chan::Token;
use becket_ipc::{Client, Ended, RemoteSend, RemoteSender, SendError};
use serde_json::json;
use tokio::time::Instant;

use super::framing;
use super::input::Input;
use super::opening::{connect, not_opened};
use super::place::At;
use super::shape::{self, Shape};
use super::tally::Tally;
use crate::commands::mon::units::parse_duration;
use crate::commands::signals::Signals;
use crate::commands::{program, runtime};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{Ui, text};

/// Send stdin into a channel, element by element
///
/// Waits while the channel is full, and ends when every element has been accepted. If it ends
/// before, it prints how many elements were accepted, and for how many that is unknown.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The channel, by its name or by # and its number
    channel: String,
    #[command(flatten)]
    at: At,
    /// Make the channel unless it is there: rendezvous, bounded:N, conflated or unlimited
    #[arg(long, value_name = "KIND")]
    make: Option<Shape>,
    /// Close the channel for all clients once stdin has ended and every element was accepted
    #[arg(long)]
    close: bool,
    #[command(flatten)]
    framing: framing::Options,
    /// Elements that may be in flight at once
    #[arg(long, value_name = "N", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    window: u32,
    /// Give up when no element is accepted for this long, such as 30s or 500ms
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    timeout: Option<Duration>,
}

/// Bytes that may be in flight at once, beyond one element.
const BYTES_AHEAD_MAX: u64 = 16 << 20;

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    runtime::run_one(send(args, *ui))
}

async fn send(args: Args, ui: Ui) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let (client, sender) = tokio::select! {
        opened = open(&args) => opened?,
        () = signals.next() => return Ok(Exit::Interrupted),
    };
    let mut tally = Tally::new(&ui, false);
    let token = Token::new();
    let mut flight = Flight::new(&sender, &token);
    let why = pump(&args, &mut flight, &mut tally, &mut signals).await;
    let before = tally.elements;
    // After a second signal the server's answers are not awaited.
    let rest = tokio::select! {
        rest = flight.take_back(&mut tally) => rest,
        () = signals.next() => Rest { unknown: flight.len() as u64, ended: None },
    };
    tally.hide();
    if args.close && matches!(why, Why::Done) {
        close(&client, &args).await?;
    }
    if ui.json() {
        ui.data(&json!({
            "event": "sent",
            "channel": args.channel,
            "accepted": tally.elements,
            "unknown": rest.unknown,
            "bytes": tally.bytes,
            "took_ms": tally.took_ms(),
        }))?;
    }
    conclude(&args, why, before, &rest, &tally, &ui)
}

async fn close(client: &Client, args: &Args) -> Result<(), Failure> {
    let channel = &args.channel;
    match client.close_channel(channel, None).await {
        Ok(()) => Ok(()),
        Err(error) => Err(not_opened(client, &args.at.option(), channel, error).await),
    }
}

async fn open(args: &Args) -> Result<(Client, RemoteSender), Failure> {
    let client = connect(&args.at.path()?).await?;
    let (channel, socket) = (args.channel.as_str(), args.at.option());
    if let Some(wanted) = args.make {
        let made = client.make_or_open(channel, wanted.kind, wanted.capacity, true).await;
        let info = match made {
            Ok(info) => info,
            Err(error) => return Err(not_opened(&client, &socket, channel, error).await),
        };
        if !wanted.is_of(&info) {
            return Err(Failure::new(Exit::Call, format!("channel {channel:?} is not {wanted}"))
                .cause(format!("the server has one of this name already: {}", shape::of(&info)))
                .hint("leave --make away to use that, or choose another name"));
        }
    }
    match client.sender(channel).await {
        Ok(sender) => Ok((client, sender)),
        Err(error) => Err(not_opened(&client, &socket, channel, error).await),
    }
}

/// Why sending ended.
enum Why {
    /// Stdin has ended, and every element was accepted.
    Done,
    Interrupted,
    TimedOut(Duration),
    /// Stdin cannot be read.
    Input(Failure),
    /// An element was not accepted.
    Refused(SendError),
}

async fn pump(
    args: &Args,
    flight: &mut Flight<'_>,
    tally: &mut Tally,
    signals: &mut Signals,
) -> Why {
    let mut input = Input::new(args.framing.framing());
    let mut has_more = true;
    let mut broken = None;
    // When an element was last accepted, or first waited for room.
    let mut moved = Instant::now();
    loop {
        if flight.is_empty() {
            if !has_more {
                return broken.map_or(Why::Done, Why::Input);
            }
            moved = Instant::now();
        }
        let has_room = flight.len() < args.window as usize && flight.bytes < BYTES_AHEAD_MAX;
        let stalled = async {
            match args.timeout {
                Some(timeout) => tokio::time::sleep_until(moved + timeout).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            (outcome, bytes) = flight.next() => match outcome {
                Ok(()) => {
                    tally.add(bytes);
                    moved = Instant::now();
                }
                Err(error) => return Why::Refused(error),
            },
            element = input.next(), if has_more && has_room => match element {
                // An element that cannot be sent ends the loop: no later one is begun.
                Ok(Some(element)) => has_more = flight.begin(element).await,
                Ok(None) => has_more = false,
                // Earlier elements are not affected.
                Err(failure) => {
                    broken = Some(failure);
                    has_more = false;
                }
            },
            () = stalled, if !flight.is_empty() => {
                return Why::TimedOut(args.timeout.unwrap_or_default());
            }
            () = signals.next() => return Why::Interrupted,
            () = tally.tick() => tally.show(&format!(", {} under way", flight.len())),
        }
    }
}

/// Elements that were sent and not answered.
struct Flight<'a> {
    sender: &'a RemoteSender,
    token: &'a Token,
    sends: VecDeque<Sending<'a>>,
    bytes: u64,
}

struct Sending<'a> {
    operation: Pin<Box<RemoteSend<'a>>>,
    bytes: u64,
    outcome: Option<Result<(), SendError>>,
}

/// The results of the withdrawn elements.
#[derive(Debug, Default)]
struct Rest {
    unknown: u64,
    ended: Option<Ended>,
}

impl<'a> Flight<'a> {
    fn new(sender: &'a RemoteSender, token: &'a Token) -> Self {
        Self { sender, token, sends: VecDeque::new(), bytes: 0 }
    }

    fn len(&self) -> usize {
        self.sends.len()
    }

    fn is_empty(&self) -> bool {
        self.sends.is_empty()
    }

    /// Sends an element after the earlier ones. `false` if it was refused at once.
    async fn begin(&mut self, element: Vec<u8>) -> bool {
        let bytes = element.len() as u64;
        let operation = Box::pin(self.sender.send(element).cancel_on(self.token));
        let mut sending = Sending { operation, bytes, outcome: None };
        // Handed over now, and not only when its result is awaited.
        sending.look().await;
        let is_refused = matches!(sending.outcome, Some(Err(_)));
        self.bytes += bytes;
        self.sends.push_back(sending);
        !is_refused
    }

    /// Waits for the result of the oldest element; for ever if there is none. Cancel safe.
    async fn next(&mut self) -> (Result<(), SendError>, u64) {
        let Some(oldest) = self.sends.front_mut() else { return std::future::pending().await };
        let outcome = match oldest.outcome.take() {
            Some(outcome) => outcome,
            None => oldest.operation.as_mut().await,
        };
        let bytes = oldest.bytes;
        self.sends.pop_front();
        self.bytes -= bytes;
        (outcome, bytes)
    }

    /// Withdraws every element in flight, and waits for the server's answer to each.
    async fn take_back(&mut self, tally: &mut Tally) -> Rest {
        self.token.cancel();
        for sending in self.sends.iter_mut().rev() {
            sending.look().await;
        }
        let mut rest = Rest::default();
        while !self.is_empty() {
            match self.next().await {
                (Ok(()), bytes) => tally.add(bytes),
                (Err(SendError::Unknown { ended, .. }), _) => {
                    rest.unknown += 1;
                    rest.ended = rest.ended.or(ended);
                }
                (Err(_), _) => {}
            }
        }
        rest
    }
}

impl Sending<'_> {
    /// Polls the send once.
    async fn look(&mut self) {
        if self.outcome.is_none() {
            let polled = poll_fn(|context| Poll::Ready(self.operation.as_mut().poll(context)));
            if let Poll::Ready(outcome) = polled.await {
                self.outcome = Some(outcome);
            }
        }
    }
}

fn conclude(
    args: &Args,
    why: Why,
    before: u64,
    rest: &Rest,
    tally: &Tally,
    ui: &Ui,
) -> Result<Exit, Failure> {
    let channel = &args.channel;
    let stat = || format!("`{} ipc stat{}` shows it", program(), args.at.option());
    let unknown = match &why {
        Why::Refused(SendError::Unknown { .. }) => rest.unknown + 1,
        _ => rest.unknown,
    };
    let accepted = text::plural(tally.elements, "element");
    match why {
        Why::Done => {
            ui.note(&format!("sent to {channel}: {}", tally.text()));
            Ok(Exit::Ok)
        }
        Why::Interrupted => {
            let mut note = format!("interrupted: {accepted} accepted by {channel}");
            if unknown > 0 {
                note.push_str(&format!("; of {} it is not known", text::count(unknown)));
            }
            ui.note(&note);
            Ok(Exit::Interrupted)
        }
        Why::Input(failure) => {
            ui.note(&format!("{accepted} accepted by {channel} before"));
            Err(failure)
        }
        Why::TimedOut(timeout) => Err(Failure::new(
            Exit::Deadline,
            format!("{channel} accepted nothing for {}", text::duration(timeout)),
        )
        .cause(doubt(format!("{accepted} accepted before; the channel stays full"), unknown))
        .hint(stat())),
        Why::Refused(error) => Err(refused(args, error, before, (rest, unknown), tally)),
    }
}

fn refused(
    args: &Args,
    error: SendError,
    before: u64,
    (rest, unknown): (&Rest, u64),
    tally: &Tally,
) -> Failure {
    let channel = &args.channel;
    let noun = args.framing.framing().noun();
    let accepted = text::plural(tally.elements, "element");
    let next = tally.elements + 1;
    let ended = match &error {
        SendError::Disconnected { ended, .. } => Some(ended),
        SendError::Unknown { ended, .. } => ended.as_ref().or(rest.ended.as_ref()),
        _ => None,
    };
    if let Some(ended) = ended {
        let again = if unknown > 0 {
            let first = text::count(unknown);
            format!("; the first {first} of those may have been accepted")
        } else {
            String::new()
        };
        return Failure::new(
            Exit::Failure,
            format!("the server has gone: {accepted} accepted by {channel}"),
        )
        .cause(doubt(ended.to_string(), unknown))
        .hint(format!("what begins with {noun} {} is to be sent again{again}", text::count(next)));
    }
    match error {
        SendError::Closed { reason, .. } => {
            let cause = match reason {
                Some(reason) => format!("closed with the reason: {reason}"),
                None => "a client closed it".to_owned(),
            };
            Failure::new(Exit::Call, format!("{channel} is closed: {accepted} accepted before"))
                .cause(doubt(cause, unknown))
        }
        other => {
            // The server refused this element while later ones were already in flight.
            let behind = match tally.elements - before {
                0 => String::new(),
                behind => format!(", and {} behind it", text::count(behind)),
            };
            let which = text::count(before + 1);
            let before = text::plural(before, "element");
            Failure::new(Exit::Call, format!("{noun} {which} was not accepted"))
                .cause(doubt(other.to_string(), unknown))
                .hint(format!("{before} before it were accepted by {channel}{behind}"))
        }
    }
}

/// A cause, with the number of elements whose outcome is unknown.
fn doubt(cause: String, unknown: u64) -> String {
    if unknown == 0 {
        return cause;
    }
    format!("{cause}; whether {} more were accepted is not known", text::count(unknown))
}
