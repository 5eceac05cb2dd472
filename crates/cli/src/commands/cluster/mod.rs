// SPDX-License-Identifier: BSD-3-Clause
//! `becket cluster …`: what is on other machines.
//!
//! | module | what lives there |
//! |---|---|
//! | `connect` | a connection as `[cluster]` describes it |
//! | `status`, `plugins`, `channels` | one command each |

mod channels;
pub(crate) mod connect;
mod plugins;
mod status;

use std::path::PathBuf;
use std::time::Duration;

use becket_cluster::{Connection, OpenError};
use becket_gateway::Config;

use super::runtime;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::ui::Ui;

/// What is on other machines: the servers, the plugins that are offered, the channels
///
/// The servers are NATS servers, as `becket serve --cluster` uses them.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show the server that answers, the plugins and what is stored
    Status(At),
    /// Show the plugins that are offered, their nodes and entries
    ///
    /// Nodes are asked, and have 300 ms each to answer after the one before. Counts are of calls with
    /// one answer, since the plugin is offered. With --json one object per node and line.
    Plugins(At),
    /// Show the channels: what they hold, and whether they are closed
    ///
    /// With --json one object per channel and line.
    Channels {
        #[command(flatten)]
        at: At,
        /// The prefix of their subjects
        #[arg(long, value_name = "NAME", default_value = "becket")]
        namespace: String,
    },
}

/// Which servers.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct At {
    /// A NATS server; several, separated by commas [default: `url` of `[cluster]` in the file of
    /// --config, else nats://127.0.0.1:4222]
    #[arg(long, value_name = "URL")]
    cluster: Option<String>,
    /// The configuration of `becket serve` whose `[cluster]` has the servers, credentials and
    /// certificates
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Where a NATS server is by itself.
const DEFAULT: &str = "nats://127.0.0.1:4222";
/// How long a server may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);

pub(super) fn run(command: Command, ui: &Ui) -> Result<Exit, Failure> {
    let ui = *ui;
    runtime::run_one(runtime::interruptible(async move {
        match command {
            Command::Status(at) => in_time(status::run(&at.connect().await?, &ui)).await?,
            Command::Plugins(at) => in_time(plugins::run(&at.connect().await?, &ui)).await?,
            Command::Channels { at, namespace } => {
                in_time(channels::run(&at.connect().await?, &namespace, &ui)).await?;
            }
        }
        Ok(Exit::Ok)
    }))
}

async fn in_time(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let late = || {
        Failure::new(Exit::Deadline, "the cluster does not answer in time")
            .cause("the connection was made, and then lost or silent")
            .hint("try again; the server's log may say why")
    };
    tokio::time::timeout(ANSWER_MAX, work).await.unwrap_or_else(|_| Err(late()))
}

impl At {
    async fn connect(&self) -> Result<Connection, Failure> {
        let mut config = match &self.config {
            Some(path) => Config::load(path)?,
            None => Config::default(),
        };
        if let Some(urls) = &self.cluster {
            config.cluster.url = urls.split(',').map(|url| url.trim().to_owned()).collect();
        }
        if config.cluster.url.is_empty() {
            config.cluster.url = vec![DEFAULT.to_owned()];
        }
        config.check()?;
        connect::connect(&config.cluster).await
    }
}

fn not_known(error: &OpenError) -> Failure {
    let failure = Failure::new(Exit::Failure, error.to_string());
    match error {
        OpenError::Server { .. } => failure.hint(
            "channels need JetStream, as `nats-server -js` has it; `becket cluster status` shows whether it is there",
        ),
        _ => failure,
    }
}
