// SPDX-License-Identifier: BSD-3-Clause
//! `becket plugin call PATH ENTRY`: one call, stream or bidirectional stream, by the kind of the
//! entry.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use becket_host::{
    Body, EntryKind, NrStatus, Plugin, Request, SendError, Stream, StreamError, StreamSender,
};
use serde_json::{Map, Value};

use super::load::Load;
use crate::commands::runtime;
use crate::commands::stdin::Lines;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{Ui, text};

/// The shortest limit of a load, however short that of the call: the system has to find and map the
/// library.
const LOAD_MIN: Duration = Duration::from_secs(1);

/// Call one entry of a plugin and print its answer
///
/// A stream's frames are printed one per line, as they come. A bidirectional entry gets the lines
/// of stdin as messages; its stream ends after them.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    load: Load,
    /// The entry to call
    entry: String,
    /// The payload
    #[arg(long, value_name = "TEXT", conflicts_with = "file")]
    data: Option<String>,
    /// The payload's file, or - for stdin
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Open a stream, for a plugin that does not declare the kinds of its entries
    #[arg(long)]
    stream: bool,
    /// Open a bidirectional stream, for a plugin that does not declare the kinds of its entries
    #[arg(long, conflicts_with_all = ["stream", "file"])]
    chat: bool,
    /// Pass only the payload, by the plugin's `handle_raw` if it has one
    #[arg(long, conflicts_with_all = ["stream", "chat", "header", "method", "request_path", "query"])]
    raw: bool,
    /// A header of the request; may be given several times
    #[arg(long, short = 'H', value_name = "KEY=VALUE", value_parser = header)]
    header: Vec<(String, String)>,
    /// The request's method
    #[arg(long, default_value = "POST")]
    method: String,
    /// The request's path [default: /ENTRY]
    #[arg(long = "path", value_name = "PATH")]
    request_path: Option<String>,
    /// The request's query, without its question mark
    #[arg(long, default_value = "")]
    query: String,
    /// Give up after this many milliseconds [default: 30000; 3600000 for a stream; 10000 to load
    /// it]
    #[arg(long, value_name = "MS")]
    timeout_ms: Option<u64>,
}

pub(super) fn run(args: Args, ui: &Ui) -> Result<Exit, Failure> {
    let payload = payload(&args)?;
    let load_timeout = args.timeout_ms.map(|ms| Duration::from_millis(ms).max(LOAD_MIN));
    let (_host, plugin) = args.load.load(load_timeout)?;
    plugin.entry(&args.entry)?;
    let request = request(&args, payload);
    let work = async {
        match kind(&args, &plugin) {
            _ if args.raw => call(&args, &plugin, request, ui).await,
            EntryKind::Unary => call(&args, &plugin, request, ui).await,
            EntryKind::Bidirectional => {
                let mut stream = open(&args, &plugin, request).await?;
                let sending = send_lines(stream.sender());
                tokio::select! {
                    printed = print_frames(&args.entry, &mut stream, ui) => printed,
                    Err(failure) = sending => Err(failure),
                }
            }
            _ => {
                let mut stream = open(&args, &plugin, request).await?;
                print_frames(&args.entry, &mut stream, ui).await
            }
        }
    };
    runtime::run_one(runtime::interruptible(work))
}

async fn call(args: &Args, plugin: &Plugin, request: Request, ui: &Ui) -> Result<Exit, Failure> {
    let started = Instant::now();
    let payload = request.body.clone();
    let mut call = match args.raw {
        true => plugin.call_raw(&args.entry, &payload),
        false => plugin.call(&args.entry, request),
    };
    if let Some(limit) = args.timeout_ms {
        call = call.timeout(Duration::from_millis(limit));
    }
    let response = call.await?;
    let took = started.elapsed();
    if ui.json() {
        let mut object = answer(response.status, &response.body);
        object.insert("latency_us".into(), (took.as_nanos() as f64 / 1e3).into());
        ui.data(&object)?;
    } else if !response.body.is_empty() {
        ui.line(&response.body)?;
    }
    ended(&args.entry, response.status)
}

async fn open(args: &Args, plugin: &Plugin, request: Request) -> Result<Stream, Failure> {
    let mut opening = plugin.stream(&args.entry, request);
    if let Some(limit) = args.timeout_ms {
        opening = opening.timeout(Duration::from_millis(limit));
    }
    Ok(opening.await?)
}

/// Prints every frame until the stream ends.
async fn print_frames(entry: &str, stream: &mut Stream, ui: &Ui) -> Result<Exit, Failure> {
    loop {
        match stream.next().await {
            Ok(Some(frame)) => print(frame.status, &frame.body, ui)?,
            Ok(None) => return Ok(Exit::Ok),
            Err(StreamError::Failed { status, body }) => {
                if ui.json() || !body.is_empty() {
                    print(status, &body, ui)?;
                }
                let what = format!("entry `{entry}` ended its stream with {status}");
                return Err(Failure::new(Exit::Call, what));
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn print(status: NrStatus, body: &Body, ui: &Ui) -> Result<(), Failure> {
    if ui.json() { ui.data(&answer(status, body)) } else { ui.line(body) }
}

/// Sends every line of stdin, then closes the sending side.
async fn send_lines(sender: StreamSender) -> Result<(), Failure> {
    let mut lines = Lines::new();
    let sent = loop {
        match lines.next().await? {
            Some(line) => match sender.send(&line).await {
                Ok(()) => {}
                Err(error) => break Err(error),
            },
            None => break sender.close(),
        }
    };
    match sent {
        // The plugin ended the stream: its last frame has the reason.
        Ok(()) | Err(SendError::Closed) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// A status other than Ok is a failure, once the body has been printed.
fn ended(entry: &str, status: NrStatus) -> Result<Exit, Failure> {
    if status.is_ok() {
        return Ok(Exit::Ok);
    }
    Err(Failure::new(Exit::Call, format!("entry `{entry}` answered {status}")))
}

fn answer(status: NrStatus, body: &Body) -> Map<String, Value> {
    let mut object = Map::new();
    object.insert("status".into(), status.to_string().into());
    object.insert("status_code".into(), status.0.into());
    text::put_payload(&mut object, body);
    object
}

/// The kind of the entry: that of the options, else that declared by the plugin.
fn kind(args: &Args, plugin: &Plugin) -> EntryKind {
    if args.chat {
        return EntryKind::Bidirectional;
    }
    if args.stream {
        return EntryKind::Stream;
    }
    let known = plugin.entries().into_iter().find(|entry| entry.name == args.entry);
    known.map_or(EntryKind::Unary, |entry| entry.kind)
}

fn request(args: &Args, payload: Vec<u8>) -> Request {
    let path = args.request_path.clone().unwrap_or_else(|| format!("/{}", args.entry));
    let mut request =
        Request::new(payload).method(args.method.clone()).path(path).query(args.query.clone());
    for (key, value) in &args.header {
        request = request.header(key.clone(), value.clone());
    }
    request
}

fn payload(args: &Args) -> Result<Vec<u8>, Failure> {
    match (&args.data, &args.file) {
        (Some(data), _) => Ok(data.clone().into_bytes()),
        (None, Some(path)) if path == Path::new("-") => {
            let mut payload = Vec::new();
            std::io::stdin().read_to_end(&mut payload).map_err(|error| {
                Failure::new(Exit::Failure, "stdin cannot be read").cause(error.to_string())
            })?;
            Ok(payload)
        }
        (None, Some(path)) => {
            std::fs::read(path).map_err(|error| Failure::file("read", path, &error))
        }
        (None, None) => Ok(Vec::new()),
    }
}

fn header(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write it as KEY=VALUE".to_owned()),
    }
}
