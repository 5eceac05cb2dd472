// SPDX-License-Identifier: BSD-3-Clause
//! Connecting to a server and opening its channels, with the failures as messages for people.

use std::path::Path;

use becket_ipc::channels::is_name;
use becket_ipc::transport::listen;
use becket_ipc::{Client, ConnectError, Info, OpenError, ServeError};

use super::place;
use crate::commands::pick::nearest;
use crate::commands::program;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::text;

/// Connects.
pub(super) async fn connect(path: &Path) -> Result<Client, Failure> {
    Client::connect(path).await.map_err(|error| not_connected(path, &error))
}

/// Why there is no connection, and what starts a server if there is none.
pub(in crate::commands) fn not_connected(path: &Path, error: &ConnectError) -> Failure {
    let failure = in_lines(Exit::Failure, &error.to_string());
    match error {
        ConnectError::Socket(listen::ConnectError::NotListening { .. }) => {
            failure.hint(format!("`{}` starts a server there", serve_line(path)))
        }
        _ => failure,
    }
}

/// What starts a server at a path.
fn serve_line(path: &Path) -> String {
    let at = if path == place::default() { String::new() } else { place::option(path) };
    format!("{} ipc serve{at}", program())
}

/// Why there is no server.
pub(in crate::commands) fn not_served(error: &ServeError) -> Failure {
    in_lines(Exit::Failure, &error.to_string())
}

/// Why a channel was not opened, with the nearest name if there is none of this one.
pub(super) async fn not_opened(
    client: &Client,
    socket: &str,
    channel: &str,
    error: OpenError,
) -> Failure {
    let failed = |exit, why: String| Failure::new(exit, why);
    match error {
        OpenError::NotFound(_) => {
            let failure = failed(Exit::Call, format!("the server has no channel {channel:?}"));
            let names = names(client, NAMES_MAX).await;
            match nearest(channel, names.iter().map(String::as_str)) {
                Some(name) => failure.hint(format!("did you mean `{name}`?")),
                None if can_be_made(channel) => {
                    let name = text::shell_word(channel);
                    failure.hint(format!(
                        "`{} ipc send {name}{socket} --make bounded:64` makes it",
                        program()
                    ))
                }
                None => {
                    failure.hint(format!("`{} ipc stat{socket}` lists the channels", program()))
                }
            }
        }
        OpenError::Unsupported(_) => {
            failed(Exit::Call, format!("channel {channel:?} is not offered in this direction"))
                .hint(format!("`{} ipc stat{socket}` lists the channels", program()))
        }
        OpenError::TooMany => failed(Exit::Call, format!("channel {channel:?} cannot be opened"))
            .cause("the server has as many channels or streams as it may")
            .hint("`becket ipc serve --help` shows its limits"),
        OpenError::Refused { why, .. } => {
            failed(Exit::Call, format!("the server refused {channel:?}")).cause(why.to_string())
        }
        OpenError::Disconnected(ended) => {
            failed(Exit::Failure, "the server has gone".into()).cause(ended.to_string())
        }
        other => failed(Exit::Failure, other.to_string()),
    }
}

/// Whether this is a valid name for a channel, and not a number.
fn can_be_made(channel: &str) -> bool {
    let is_number = channel.strip_prefix('#').is_some_and(|number| number.parse::<u32>().is_ok());
    !is_number && is_name(channel)
}

/// Names that are looked at for the nearest.
const NAMES_MAX: usize = 1024;

/// The names of the first channels that have one.
async fn names(client: &Client, max: usize) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut after = None;
    while names.len() < max {
        // The list is not available: no name is suggested.
        let Ok(page) = client.list(after).await else { break };
        let Some(Info { id, .. }) = page.last() else { break };
        after = Some(*id);
        names.extend(page.into_iter().filter_map(|info| info.name));
    }
    names
}

/// The library's errors have several lines: the error, then `cause:` and `hint:`.
fn in_lines(exit: Exit, error: &str) -> Failure {
    let mut parts: [String; 3] = Default::default();
    let mut part = 0;
    for line in error.lines() {
        let line = match (line.strip_prefix("cause: "), line.strip_prefix("hint: ")) {
            (Some(cause), _) => {
                part = 1;
                cause
            }
            (_, Some(hint)) => {
                part = 2;
                hint
            }
            _ => line,
        };
        if let Some(text) = parts.get_mut(part) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(line);
        }
    }
    let [what, cause, hint] = parts;
    let mut failure = Failure::new(exit, what);
    if !cause.is_empty() {
        failure = failure.cause(cause);
    }
    if !hint.is_empty() {
        failure = failure.hint(hint);
    }
    failure
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_error_cause_and_hint() {
        let failure =
            in_lines(Exit::Failure, "no greeting\ncause: silent\ncause: dead\nhint: look");
        assert_eq!(failure.to_string(), "no greeting");
        assert_eq!(failure.why(), Some("silent: dead"));
        assert_eq!(failure.advice(), Some("look"));
        assert_eq!(in_lines(Exit::Failure, "alone").why(), None);
    }
}
