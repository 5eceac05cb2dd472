// SPDX-License-Identifier: BSD-3-Clause
//! HTTP in front of plugins: unary calls, streams, WebSockets, an admin page and metrics.
//!
//! ```no_run
//! # async fn serve() -> Result<(), Box<dyn std::error::Error>> {
//! use becket_gateway::{Config, Gateway};
//! use becket_host::Host;
//!
//! let config = Config::load("becket.toml".as_ref())?;
//! let gateway = Gateway::start(config, Host::new()).await?;
//! println!("http://{}", gateway.addr());
//! # Ok(())
//! # }
//! ```
//!
//! # Modules
//!
//! | module | what lives there |
//! |---|---|
//! | `config` | the TOML file: parsed, checked, every mistake shown |
//! | `gateway`, `reload`, `watch` | start, reload, changed files, drain |
//! | `access_log` | a line for each request |
//! | `trace` | the header `traceparent` |
//! | `otlp` | spans of requests, exported; with the feature `otlp` |
//! | `tls` | certificates and handshakes of the public listeners; with the feature `tls` |
//! | `listen` | the sockets that requests come in by |
//! | `repeats` | log records that clients can cause |
//! | `origins` | where plugins come from: files, this binary, processes of their own, other machines |
//! | `process` | their processes; with the feature `process` |
//! | `router` | from path and method to an entry |
//! | `filter` | filters of a route: what they are asked, and what they answer |
//! | `embed` | routes and filters behind another HTTP server |
//! | `clients` | what each client's address may have at once |
//! | `shared`, `connections`, `stats` | what every request reaches: routes, connections, counters |
//! | `serve` | the public listeners: unary, streams, WebSockets |
//! | `status`, `problem` | statuses and errors of plugins and host as HTTP answers |
//! | `admin` | the admin listener: page, metrics, health, actions |
//! | `actions` | actions that it passes on to the program |
//! | `monitor` | what `becket mon` is shown; with the feature `monitor` |
#![forbid(unsafe_code)]

mod access_log;
mod actions;
mod admin;
mod clients;
pub mod config;
mod connections;
pub mod embed;
mod error;
mod filter;
mod gateway;
mod listen;
#[cfg(feature = "monitor")]
pub mod monitor;
mod origins;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(not(feature = "otlp"))]
#[path = "no_otlp.rs"]
mod otlp;
mod problem;
#[cfg(feature = "process")]
pub mod process;
mod reload;
mod repeats;
mod router;
mod serve;
mod shared;
mod stats;
mod status;
#[cfg(feature = "tls")]
mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
mod tls;
mod trace;
mod watch;

pub use self::actions::{AdminAction, AdminRequest};
pub use self::admin::{Family, metric_families};
pub use self::config::{Config, ConfigError};
pub use self::error::GatewayError;
pub use self::gateway::{Builder, DrainReport, Gateway};
pub use self::listen::{ListenError, ListenSocket, ListenerInfo};
pub use self::origins::{InProcess, StartCluster, StartProcess};
pub use self::reload::ReloadReport;
pub use self::router::RouteInfo;
pub use self::watch::FileWatch;

/// The target of this crate's log events.
pub(crate) const TARGET: &str = "becket::gateway";
