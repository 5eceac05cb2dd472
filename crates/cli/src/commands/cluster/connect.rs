// SPDX-License-Identifier: BSD-3-Clause
//! A connection as `[cluster]` describes it. What is secret is read here, and shown nowhere.

use std::fs::File;
use std::path::Path;

use becket_cluster::{ConnectOptions, Connection, OpenError};
use becket_gateway::config::ClusterConfig;

use crate::commands::secret;
use crate::exit::Exit;
use crate::failure::Failure;

/// The name of this program among the nodes: `HOST:PID`.
pub(crate) fn node() -> String {
    let system = rustix::system::uname();
    format!("{}:{}", system.nodename().to_string_lossy(), std::process::id())
}

/// Connects once.
pub(crate) async fn connect(cluster: &ClusterConfig) -> Result<Connection, Failure> {
    let connected = Connection::connect_with(&cluster.url.join(","), options(cluster)?).await;
    connected.map_err(|error| not_connected(&error))
}

/// Connects, or goes on trying for as long as the connection lives. The second value: why it is to try.
///
/// A server that is there and refuses this program is a failure: the configuration is wrong.
pub(crate) async fn connect_in_time(
    cluster: &ClusterConfig,
) -> Result<(Connection, Option<OpenError>), Failure> {
    let url = cluster.url.join(",");
    match Connection::connect_with(&url, options(cluster)?).await {
        Ok(connection) => Ok((connection, None)),
        Err(away @ OpenError::Connect { .. }) => {
            let options = options(cluster)?.retry_on_initial_connect();
            let connection = Connection::connect_with(&url, options).await;
            Ok((connection.map_err(|error| not_connected(&error))?, Some(away)))
        }
        Err(error) => Err(not_connected(&error)),
    }
}

fn options(cluster: &ClusterConfig) -> Result<ConnectOptions, Failure> {
    let mut options = ConnectOptions::new().name(format!("becket {}", node()));
    if let Some(path) = &cluster.credentials {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|error| Failure::file("read", path, &error))?;
        // What it quotes may be of the file.
        options = options.credentials(&text).map_err(|_| {
            Failure::new(Exit::Failure, format!("{} has no credentials", path.display()))
                .hint("`nsc generate creds` makes such a file")
        })?;
    }
    if let Some((user, password)) = cluster.user.as_ref().zip(cluster.password.as_ref()) {
        options = options
            .user_and_password(user.clone(), secret::read("password for the cluster", password)?);
    }
    if let Some(token) = &cluster.token {
        options = options.token(secret::read("token for the cluster", token)?);
    }
    if let Some(path) = &cluster.ca {
        readable(path)?;
        options = options.add_root_certificates(path.clone());
    }
    if let Some((certificate, key)) = cluster.certificate.as_ref().zip(cluster.key.as_ref()) {
        readable(certificate)?;
        readable(key)?;
        options = options.add_client_certificate(certificate.clone(), key.clone());
    }
    Ok(options)
}

fn readable(path: &Path) -> Result<File, Failure> {
    File::open(path).map_err(|error| Failure::file("read", path, &error))
}

pub(crate) fn not_connected(error: &OpenError) -> Failure {
    match error {
        OpenError::Refused { servers, cause } => Failure::new(
            Exit::Failure,
            format!("{servers} refused the connection"),
        )
        .cause(cause.clone())
        .hint("check `credentials`, `user`, `token` and `ca` of [cluster] in the configuration"),
        OpenError::Connect { servers, cause } => Failure::new(
            Exit::Failure,
            format!("no server of the cluster answers at {servers}"),
        )
        .cause(cause.clone())
        .hint("start one, such as `nats-server -js`, or name it: `--cluster nats://HOST:4222`"),
        other => {
            Failure::new(Exit::Failure, "no connection to the cluster").cause(other.to_string())
        }
    }
}

/// Why the cluster is away.
pub(crate) fn away(error: &OpenError) -> String {
    not_connected(error).to_string()
}
