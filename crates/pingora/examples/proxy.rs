// SPDX-License-Identifier: BSD-3-Clause
//! A proxy whose routes, upstream servers and filters are those of a `becket.toml`.
//!
//! ```console
//! $ cargo run --example proxy -- becket.toml 127.0.0.1:8080
//! ```
//!
//! A plugin whose file changes is loaded again while requests go on, and so is a configuration that changes.

// ANCHOR: proxy
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use becket_pingora::{Config, Filters, Proxy};
use pingora_core::server::Server;
use pingora_core::server::configuration::ServerConf;

fn main() -> Result<(), Box<dyn Error>> {
    if becket_pingora::run_worker()? {
        return Ok(());
    }
    // The records of Becket and of Pingora: which plugin is loaded, or was not, and why.
    tracing_subscriber::fmt().with_writer(std::io::stderr).init();
    let mut arguments = std::env::args_os().skip(1);
    let config: PathBuf = arguments.next().unwrap_or_else(|| "becket.toml".into()).into();
    let listen = arguments.next().and_then(|listen| listen.into_string().ok());
    let listen = listen.unwrap_or_else(|| "127.0.0.1:8080".to_owned());

    let filters = Filters::builder()
        .processes(vec![std::env::current_exe()?.into()])
        .start(Config::load(&config)?)?;
    let filters = Arc::new(filters);
    filters.follow(&config)?;
    for route in filters.gateway().routes() {
        println!("http://{listen}{}  {}", route.path, route.filters.join(", "));
    }

    // What requests in flight have after SIGTERM: Pingora's own default is five minutes.
    let settings = ServerConf { grace_period_seconds: Some(2), ..ServerConf::default() };
    let mut server = Server::new_with_opt_and_conf(None, settings);
    server.bootstrap();
    let proxy = Proxy::new(Arc::clone(&filters));
    let mut service = pingora_proxy::http_proxy_service(&server.configuration, proxy);
    service.add_tcp(&listen);
    server.add_service(service);
    server.run_forever();
}
// ANCHOR_END: proxy
