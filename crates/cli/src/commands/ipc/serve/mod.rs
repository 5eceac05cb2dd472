// SPDX-License-Identifier: BSD-3-Clause
//! `becket ipc serve`: a server of channels, until a signal ends it.
//!
//! | module | what lives there |
//! |---|---|
//! | `how_to` | commands to try next, to paste |
//! | `report` | the report for `becket ipc stat` and `becket mon` |

mod how_to;
mod report;

use std::path::PathBuf;

use becket_ipc::channels::{ChannelError, Wanted};
use becket_ipc::transport::listen::Access;
use becket_ipc::{Options, Server};
use serde_json::json;

use super::opening::not_served;
use super::place;
use super::shape::Named;
use crate::commands::runtime;
use crate::commands::signals::Signals;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{Ui, text};

/// Serve channels to the processes of this machine until a signal ends it
///
/// Listens for clients of protocol 1.0 at the socket, and at the same path with .stream appended
/// for clients of protocol 2, over shared memory if both support it. Only its own user can reach
/// it: the socket is in a directory that no other user can enter.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen; the directory is made if it is absent [default: ipc.sock in
    /// $XDG_RUNTIME_DIR/becket, else in becket-UID in the directory for temporary files]
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Make a channel, such as jobs:bounded:64, state:conflated, handover:rendezvous or
    /// log:unlimited; may be given several times
    #[arg(long, value_name = "NAME:KIND")]
    channel: Vec<Named>,
    /// Admit this user too; the user must be able to enter the directory; may be given several
    /// times
    #[arg(long, value_name = "UID")]
    allow_uid: Vec<u32>,
    /// Admit this group too; may be given several times
    #[arg(long, value_name = "GID")]
    allow_gid: Vec<u32>,
    /// Use the socket only
    #[arg(long)]
    no_shared_memory: bool,
    #[command(flatten, next_help_heading = "Limits")]
    limits: Limits,
}

/// What clients may use.
#[derive(Debug, clap::Args)]
struct Limits {
    /// Connections at a time
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = count)]
    connections_max: usize,
    /// Channels at a time
    #[arg(long, value_name = "N", default_value_t = 65_536, value_parser = count)]
    channels_max: usize,
    /// Channels that one connection may make
    #[arg(long, value_name = "N", default_value_t = 16_384)]
    channels_made_max: usize,
    /// Streams of one connection: a stream is a channel that it sends into or receives from
    #[arg(long, value_name = "N", default_value_t = 16_384,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    streams_max: u32,
    /// Bytes of one element
    #[arg(long, value_name = "BYTES", default_value_t = 16 << 20,
          value_parser = clap::value_parser!(u32).range(1..=64 << 20))]
    element_bytes_max: u32,
    /// Bytes of elements that one connection may have in flight to the server
    #[arg(long, value_name = "BYTES", default_value_t = 64 << 20,
          value_parser = clap::value_parser!(u64).range(1..))]
    ahead_bytes_max: u64,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    runtime::run_one(serve(args, *ui))
}

async fn serve(args: Args, ui: Ui) -> Result<Exit, Failure> {
    let mut signals = Signals::new()?;
    let path = args.socket.clone().unwrap_or_else(place::default);
    let reported = report::Reported::new();
    let mut options = Options::default();
    options.shared_memory = !args.no_shared_memory;
    options.limits.streams_max = args.limits.streams_max;
    options.limits.element_bytes_max = args.limits.element_bytes_max;
    options.limits.session_credit_bytes = args.limits.ahead_bytes_max;
    let access = args.allow_uid.iter().fold(Access::own_user(), |access, uid| access.user(*uid));
    let access = args.allow_gid.iter().fold(access, |access, gid| access.group(*gid));
    let server = Server::builder()
        .access(access)
        .options(options)
        .connections_max(args.limits.connections_max)
        .channels_max(args.limits.channels_max)
        .channels_made_max(args.limits.channels_made_max)
        .report(reported.reporter())
        .bind_both(&path)
        .map_err(|error| not_served(&error))?;
    reported.bind(&server).map_err(|error| {
        Failure::new(Exit::Failure, "the server cannot be watched").cause(error.to_string())
    })?;
    for Named { name, shape } in &args.channel {
        let wanted = Wanted { kind: shape.kind, capacity: shape.capacity, element_bytes: None };
        server.channels().make(Some(name), wanted).map_err(|error| not_made(name, &error))?;
    }
    how_to::show(&path, &args.channel, &ui)?;
    signals.next().await;
    end(server, &ui)
}

/// Closes every channel, and prints the number of undelivered elements.
fn end(server: Server, ui: &Ui) -> Result<Exit, Failure> {
    let connections = server.sessions().len() as u64;
    let mut channels = 0;
    let mut left = 0;
    let mut after = None;
    loop {
        let page = server.channels().page(after, 256);
        let Some(last) = page.last() else { break };
        after = Some(last.id());
        channels += page.len() as u64;
        let held = page.iter().filter_map(|channel| channel.snapshot());
        left += held.map(|snapshot| snapshot.len as u64).sum::<u64>();
    }
    drop(server);
    if ui.json() {
        ui.data(&json!({
            "event": "ended",
            "channels": channels,
            "connections_closed": connections,
            "elements_left": left,
        }))?;
    }
    ui.note(&format!(
        "ended: {} and {} closed; {} undelivered",
        text::plural(channels, "channel"),
        text::plural(connections, "connection"),
        text::plural(left, "element"),
    ));
    Ok(Exit::Ok)
}

fn not_made(name: &str, error: &ChannelError) -> Failure {
    let failure = Failure::new(Exit::Usage, format!("channel {name:?} cannot be made"))
        .cause(error.to_string());
    match error {
        ChannelError::TooMany(_) => failure.hint("`--channels-max` allows more"),
        _ => failure,
    }
}

/// A limit of at least one.
fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("write a number above nothing".into()),
        Ok(count) => Ok(count),
    }
}
