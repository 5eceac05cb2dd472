// SPDX-License-Identifier: BSD-3-Clause
//! `cargo xtask page`: the admin page as a browser shows it, checked and photographed.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};

use serde_json::Value;

use crate::browser::Browser;
use crate::context::Context;
use crate::error::Error;
use crate::process::{Output, create_folder, spawn_error};
use crate::samples::{self, Language};
use crate::steps;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Where the pictures go.
    #[arg(long, value_name = "FOLDER")]
    pictures: Option<PathBuf>,
}

/// Unary calls to each plugin before the page is captured.
const CALLS: usize = 50;

pub(crate) fn run(context: &Context, arguments: Arguments) -> Result<ExitCode, Error> {
    let pictures = arguments.pictures.unwrap_or_else(|| folder(context));
    check(context, &pictures, &mut Output::Screen)?;
    println!("pictures in {}", pictures.display());
    Ok(ExitCode::SUCCESS)
}

/// Where pictures go by default.
pub(crate) fn folder(context: &Context) -> PathBuf {
    context.target().join("xtask").join("page")
}

/// Serves the built samples, calls them, and opens the page: it must show each plugin and entry.
pub(crate) fn check(context: &Context, pictures: &Path, output: &mut Output) -> Result<(), Error> {
    let browser = Browser::obtain(output)?;
    let becket = steps::becket(context, output)?;
    let built = samples::build_stale(context, output);
    let plugins: Vec<_> = Language::ALL
        .into_iter()
        .map(|language| (language.name(), samples::place(context, language)))
        .filter(|(_, path)| path.is_file())
        .collect();
    let gateway = Gateway::start(&becket, &plugins)?;
    for (name, _) in &plugins {
        for _ in 0..CALLS {
            gateway.get(&format!("/{name}/unary"))?;
        }
        gateway.get(&format!("/{name}/stream"))?;
        gateway.get(&format!("/{name}/fail"))?;
    }
    create_folder(pictures)?;
    let profile = context.target().join("xtask").join("browser");
    let url = format!("http://{}/", gateway.admin);
    browser.picture(&url, &profile, (1280, 800), &pictures.join("admin-page.png"), output)?;
    browser.picture(&url, &profile, (390, 844), &pictures.join("admin-page-phone.png"), output)?;
    let document = browser.document(&url, &profile, output)?;
    let shown = text(&document);
    let mut lacks = Vec::new();
    for (name, _) in &plugins {
        for wanted in [*name, "unary", "echo", "stream", "chat", "state", "slow", "fail"] {
            if !shown.split_whitespace().any(|word| word.trim_matches([':', ',']) == wanted) {
                lacks.push(format!("the page does not show `{wanted}`"));
            }
        }
    }
    // The page counts its requests to the gateway; without a working script there are none.
    if !document.contains("data-looks=") {
        lacks.push("the page never asked the gateway".into());
    }
    lacks.dedup();
    crate::checks::verdict(lacks).and(built)
}

/// A gateway that is ended when this is dropped.
#[derive(Debug)]
struct Gateway {
    process: Child,
    listen: String,
    admin: String,
}

impl Gateway {
    fn start(becket: &Path, plugins: &[(&str, PathBuf)]) -> Result<Self, Error> {
        let mut command = Command::new(becket);
        command
            .args(["serve", "--json", "--listen=127.0.0.1:0", "--admin=127.0.0.1:0"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        for (name, path) in plugins {
            let mut plugin = std::ffi::OsString::from(format!("--plugin={name}="));
            plugin.push(path);
            command.arg(plugin);
        }
        let mut process = command.spawn().map_err(|source| spawn_error(&command, source))?;
        let mut line = String::new();
        // An unreadable line is an empty one: its addresses are missed below.
        let _ = process.stdout.take().map(|stdout| BufReader::new(stdout).read_line(&mut line));
        let started: Value = serde_json::from_str(&line).unwrap_or_default();
        let address =
            |key: &str| started.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (listen, admin) = (address("listen"), address("admin"));
        let this = Self { process, listen, admin };
        if this.listen.is_empty() || this.admin.is_empty() {
            return Err(Error::Output {
                command: "becket serve --json".into(),
                what: format!("no addresses in {line:?}"),
            });
        }
        Ok(this)
    }

    /// One GET request; returns the whole answer, whatever its status.
    fn get(&self, path: &str) -> Result<String, Error> {
        let exchange = || {
            let mut socket = TcpStream::connect(&self.listen)?;
            write!(
                socket,
                "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
                self.listen
            )?;
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer)?;
            // The other side has closed already.
            let _ = socket.shutdown(Shutdown::Both);
            Ok(String::from_utf8_lossy(&answer).into_owned())
        };
        exchange().map_err(|error: std::io::Error| Error::Output {
            command: format!("GET http://{}{path}", self.listen),
            what: error.to_string(),
        })
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // No request is in flight, and its output is not needed.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The text of a document, without its markup.
fn text(document: &str) -> String {
    let mut text = String::new();
    let mut rest = document;
    while let Some((before, after)) = rest.split_once('<') {
        text.push_str(before);
        text.push(' ');
        // Scripts and styles are not shown.
        let end = ["script", "style"]
            .iter()
            .find(|name| after.starts_with(**name))
            .map(|name| format!("</{name}>"));
        rest = match &end {
            Some(end) => after.split_once(end.as_str()).map_or("", |(_, rest)| rest),
            None => after.split_once('>').map_or("", |(_, rest)| rest),
        };
    }
    text.push_str(rest);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_shown_is_text() {
        let document = "<h1>A</h1><script>if (a < b) {}</script><p class=\"x\">B<br>C</p>";
        let words: Vec<_> = text(document).split_whitespace().map(str::to_owned).collect();
        assert_eq!(words, ["A", "B", "C"]);
    }
}
