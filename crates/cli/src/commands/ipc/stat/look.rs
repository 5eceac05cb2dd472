// SPDX-License-Identifier: BSD-3-Clause
//! The server's report on its channels, page by page: a page fits into one answer.

use becket_ipc::monitor::{ChannelReport, ChannelSort, Query, Report, Select};
use becket_ipc::{Client, OpenError};

use crate::exit::Exit;
use crate::failure::Failure;

/// Channels on a page. If they do not fit into an answer, the page is halved.
const ROWS: u32 = 64;

/// The answer did not fit (`EMSGSIZE`).
const TOO_LONG: u16 = 90;

/// Every channel in the order of age, or the one of this name.
pub(super) async fn all(
    client: &Client,
    only: Option<&str>,
) -> Result<Vec<ChannelReport>, Failure> {
    let mut channels: Vec<ChannelReport> = Vec::new();
    let (mut first, mut rows) = (0, ROWS);
    loop {
        let page = match client.report(query(only, first, rows).into()).await {
            Ok(answer) => Report::from_json(&answer).map_err(|error| {
                Failure::new(Exit::Failure, "the server's report makes no sense")
                    .cause(error.to_string())
            })?,
            Err(OpenError::Refused { code: TOO_LONG, .. }) if rows > 1 => {
                rows /= 2;
                continue;
            }
            Err(error) => return Err(refused(error)),
        };
        let got = page.channels.rows.len();
        for channel in page.channels.rows {
            // A channel that is removed while the pages are fetched shifts the others.
            let is_new = channels.last().is_none_or(|last| last.id < channel.id);
            if is_new && only.is_none_or(|only| only == channel.name) {
                channels.push(channel);
            }
        }
        first += u32::try_from(got).unwrap_or(u32::MAX);
        if got == 0 || u64::from(first) >= page.channels.matched {
            return Ok(channels);
        }
    }
}

fn query(only: Option<&str>, first: u32, rows: u32) -> Vec<u8> {
    let filter = only.unwrap_or_default().to_owned();
    let query = Query {
        channels: Select { sort: ChannelSort::Id, filter, first, rows, ..Select::default() },
        coroutines: Select::default(),
        plugins: Select::default(),
        sessions: Select::default(),
        ..Query::default()
    };
    query.to_json()
}

fn refused(error: OpenError) -> Failure {
    match error {
        OpenError::Unsupported(_) => Failure::new(Exit::Call, "the server does not report")
            .cause("its program gives no figures to clients"),
        OpenError::Disconnected(ended) => {
            Failure::new(Exit::Failure, "the server has gone").cause(ended.to_string())
        }
        other => Failure::new(Exit::Call, "the server gave no report").cause(other.to_string()),
    }
}
