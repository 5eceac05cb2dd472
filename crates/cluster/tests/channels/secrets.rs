// SPDX-License-Identifier: BSD-3-Clause
//! No password, token, key or credentials in a log or an error.

use std::io;
use std::net::TcpListener;
use std::sync::Arc;

use becket_cluster::Connection;
use futures_lite::future::block_on;
use parking_lot::Mutex;
use tracing_subscriber::fmt::MakeWriter;

use crate::access::{self, Way};
use crate::server::Server;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

/// The only test that sets the subscriber of the process.
#[test]
fn secrets_are_in_no_log_and_no_error() {
    let log = Log::default();
    tracing_subscriber::fmt()
        .with_env_filter("trace")
        .with_writer(log.clone())
        .with_ansi(false)
        .init();
    // A port on which nothing listens.
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = Server::start();
    let port = free.port();
    let mut errors = String::new();
    for url in [
        format!("nats://agent:hush-hush@127.0.0.1:{port}"),
        format!("nats://hush-hush@127.0.0.1:{port}"),
        format!("tls://agent:hush-hush@{}", server.url().trim_start_matches("nats://")),
        format!("nats://agent:hush-hush@127.0.0.1:{port}/%zz hush"),
        "nats://agent:hush-hush@:bad".to_owned(),
    ] {
        if let Err(error) = block_on(Connection::connect(&url)) {
            errors.push_str(&format!("{error} {error:?}\n"));
        }
    }
    let (ways, secrets) = access::ways();
    for Way { server, right, wrong } in ways {
        access::works(access::connect(&server.url(), right));
        let error = access::connect(&server.url(), wrong).unwrap_err();
        errors.push_str(&format!("{error} {error:?}\n"));
    }
    assert!(errors.contains(&format!("no connection to 127.0.0.1:{port}")), "{errors}");
    let log = String::from_utf8(log.0.lock().clone()).unwrap();
    assert!(log.contains(&port.to_string()), "the client logs its attempts: {log}");
    for text in [&errors, &log] {
        assert!(!text.contains("hush") && !text.contains("agent"), "{text}");
        assert!(!secrets.iter().any(|secret| text.contains(secret)), "{text}");
    }
}
