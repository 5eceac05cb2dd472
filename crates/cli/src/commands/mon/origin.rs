// SPDX-License-Identifier: BSD-3-Clause
//! The sources of reports, and their recording.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use becket_ipc::Client;
use becket_ipc::monitor::{ClientFeed, Feed, FeedError, Query, ReplayFeed, Report};

use crate::commands::ipc::opening::not_connected;
use crate::failure::Failure;

/// The feed of the process that serves a socket.
pub(super) fn of_socket(path: &Path) -> Result<Box<dyn Feed>, Failure> {
    let client = Client::connect(path).wait().map_err(|error| not_connected(path, &error))?;
    Ok(Box::new(ClientFeed::new(client, path.display().to_string())))
}

/// The feed of a recording.
pub(super) fn of_recording(path: &Path) -> Result<Box<dyn Feed>, Failure> {
    let file = File::open(path).map_err(|error| Failure::file("read", path, &error))?;
    Ok(Box::new(ReplayFeed::new(BufReader::new(file), path.display().to_string())))
}

/// The same feed; each report is also written to a file.
pub(super) fn recorded(feed: Box<dyn Feed>, path: PathBuf) -> Result<Box<dyn Feed>, Failure> {
    let file = File::create(&path).map_err(|error| Failure::file("written", &path, &error))?;
    Ok(Box::new(Recorded { feed, file: BufWriter::new(file), path }))
}

struct Recorded {
    feed: Box<dyn Feed>,
    file: BufWriter<File>,
    path: PathBuf,
}

impl Feed for Recorded {
    fn next(&mut self, query: &Query) -> Result<Report, FeedError> {
        let report = self.feed.next(query)?;
        let line = report.to_json()?;
        let written = self
            .file
            .write_all(&line)
            .and_then(|()| self.file.write_all(b"\n"))
            .and_then(|()| self.file.flush());
        match written {
            Ok(()) => Ok(report),
            Err(error) => {
                let cause = format!("{} cannot be written: {error}", self.path.display());
                Err(FeedError::Lost { cause })
            }
        }
    }

    fn origin(&self) -> String {
        self.feed.origin()
    }

    fn is_live(&self) -> bool {
        self.feed.is_live()
    }
}
