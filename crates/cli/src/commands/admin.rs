// SPDX-License-Identifier: BSD-3-Clause
//! `becket admin …`: actions of a running gateway, asked for on its admin listener.

use std::time::Duration;

use becket_gateway::config::Secret;
use bytes::Bytes;
use clap::Subcommand;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{runtime, secret};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::{GOOD, Ui, paint};

/// Ask a running gateway to reload, drain, upgrade, or take a plugin out of quarantine
///
/// The gateway has the same token: `token` in `[admin]` of its configuration.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Read the configuration again, as SIGHUP does
    Reload(At),
    /// End the gateway once its requests have ended, as SIGTERM does
    Drain(At),
    /// Let the program that is in place now take over, as SIGUSR2 does
    ///
    /// No request is lost. If the new process is not ready in time, the old one goes on.
    Upgrade(At),
    /// Load a quarantined plugin again
    QuarantineOff {
        /// The name of the plugin
        plugin: String,
        #[command(flatten)]
        at: At,
    },
}

/// Which gateway.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct At {
    /// The admin listener
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:9900")]
    url: Uri,
    /// Where the token is: file:PATH or env:NAME
    #[arg(long, value_name = "WHERE", default_value = "env:BECKET_ADMIN_TOKEN")]
    token: String,
    /// Give up after this many milliseconds; the action may be done all the same
    #[arg(long, value_name = "MS", default_value_t = 60_000)]
    timeout_ms: u64,
}

/// The longest answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

pub(crate) fn run(command: Command, ui: &Ui) -> Result<Exit, Failure> {
    let ui = *ui;
    runtime::run_one(runtime::interruptible(async move {
        let (answer, text) = match command {
            Command::Reload(at) => {
                let answer = at.ask("/reload").await?;
                let text =
                    format!("the configuration was reloaded{}", report(answer.get("report")));
                (answer, text)
            }
            Command::Drain(at) => (at.ask("/drain").await?, "the gateway drains".to_owned()),
            Command::Upgrade(at) => {
                let answer = at.ask("/upgrade").await?;
                let pid = answer.get("pid").and_then(Value::as_u64).unwrap_or_default();
                (answer, format!("process {pid} has taken over"))
            }
            Command::QuarantineOff { plugin, at } => {
                let answer = at.ask(&format!("/plugins/{plugin}/quarantine-off")).await?;
                (answer, format!("{plugin} was loaded again"))
            }
        };
        match ui.json() {
            true => ui.data(&answer)?,
            false => ui.text(&format!("{} {text}\n", paint(GOOD, "ok")))?,
        }
        Ok(Exit::Ok)
    }))
}

/// What of a reload is not empty.
fn report(report: Option<&Value>) -> String {
    let mut out = String::new();
    for (what, names) in report.and_then(Value::as_object).into_iter().flatten() {
        let names: Vec<_> =
            names.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        if !names.is_empty() {
            out.push_str(&format!("\n   {}: {}", what.replace('_', " "), names.join(", ")));
        }
    }
    out
}

impl At {
    async fn ask(&self, path: &str) -> Result<Value, Failure> {
        let limit = Duration::from_millis(self.timeout_ms);
        timeout(limit, self.ask_patiently(path)).await.map_err(|_| {
            Failure::new(Exit::Deadline, format!("{} did not answer", self.url))
                .cause(format!("{} ms passed", self.timeout_ms))
                .hint("`--timeout-ms` waits longer; the action may be done all the same")
        })?
    }

    async fn ask_patiently(&self, path: &str) -> Result<Value, Failure> {
        let authority = match (self.url.scheme_str(), self.url.authority()) {
            (Some("http"), Some(authority)) => authority,
            _ => {
                return Err(Failure::new(
                    Exit::Usage,
                    format!("{} is no admin listener", self.url),
                )
                .cause("it must begin with http:// and name a host")
                .hint("an example is http://127.0.0.1:9900"));
            }
        };
        let failed = |cause: String| {
            Failure::new(Exit::Failure, format!("{} cannot be asked", self.url))
                .cause(cause)
                .hint("is the gateway running? `becket serve` prints where its admin page is")
        };
        let wrong = |error: hyper::http::Error| Failure::new(Exit::Usage, error.to_string());
        // A wrong value may be the token itself, and is not shown.
        let place = Secret::parse(&self.token).ok_or_else(|| {
            Failure::new(Exit::Usage, "`--token` has no place of a token")
                .hint("write file:PATH or env:NAME, and not the token itself")
        })?;
        let token = secret::read("admin token", &place)?;
        let mut bearer = HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| {
            Failure::new(Exit::Usage, "the admin token cannot be in a header")
                .hint("make one, such as by `openssl rand -hex 32`")
        })?;
        bearer.set_sensitive(true);
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let socket = TcpStream::connect((host, authority.port_u16().unwrap_or(80)))
            .await
            .map_err(|error| failed(error.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket))
            .await
            .map_err(|error| failed(error.to_string()))?;
        // Ends with the sender; what fails in it fails the request.
        tokio::spawn(connection);
        let request = Request::post(path)
            .header(HOST, authority.as_str())
            .header(AUTHORIZATION, bearer)
            .header(ACCEPT, "application/json")
            .body(Empty::<Bytes>::new())
            .map_err(wrong)?;
        let answer =
            sender.send_request(request).await.map_err(|error| failed(error.to_string()))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| failed(error.to_string()))?.to_bytes();
        let answer: Value = serde_json::from_slice(&body)
            .map_err(|_| failed(format!("its answer, {status}, is not that of a gateway")))?;
        match status.is_success() {
            true => Ok(answer),
            false => Err(refused(status, &answer)),
        }
    }
}

/// The gateway's own words.
fn refused(status: StatusCode, answer: &Value) -> Failure {
    let text = |key: &str| answer.get(key).and_then(Value::as_str).map(str::to_owned);
    let error = text("error").unwrap_or_else(|| format!("the gateway answered {status}"));
    let failure = Failure::new(Exit::Failure, error);
    let failure = text("cause").into_iter().fold(failure, Failure::cause);
    match status {
        StatusCode::UNAUTHORIZED => failure.hint("`--token` says where the gateway's token is"),
        _ => text("hint").into_iter().fold(failure, Failure::hint),
    }
}
