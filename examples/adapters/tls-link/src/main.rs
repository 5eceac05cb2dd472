// SPDX-License-Identifier: BSD-3-Clause
//! A channel between two machines: one serves it, the other sends numbers into it and receives them back.
//!
//! ```text
//! tls-link serve 127.0.0.1:7443 server.pem server.key
//! tls-link send  127.0.0.1:7443 authority.pem localhost 10000
//! ```

#![forbid(unsafe_code)]

use std::error::Error;
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::{env, thread};

use becket_chan::Kind;
use becket_ipc::channels::Wanted;
use becket_ipc::transport::{LinkLimits, Peer};
use becket_ipc::{Client, Options, Server};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};

const USAGE: &str = "\
usage: tls-link serve ADDRESS CERTIFICATE KEY
       tls-link send ADDRESS AUTHORITY NAME COUNT";

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["serve", address, certificate, key] => serve(address, certificate, key),
        ["send", address, authority, name, count] => send(address, authority, name, count),
        _ => Err(USAGE.into()),
    };
    if let Err(error) = &result {
        eprintln!("error: {error}");
    }
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

// ANCHOR: serve
fn serve(address: &str, certificate: &str, key: &str) -> Result<(), Box<dyn Error>> {
    let chain = CertificateDer::pem_file_iter(certificate)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key)?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    let config = Arc::new(config);

    let server = Arc::new(Server::builder().without_socket());
    let wanted = Wanted { kind: Kind::Bounded, capacity: 64, element_bytes: None };
    server.channels().make(Some("numbers"), wanted)?;
    let listener = TcpListener::bind(address)?;
    println!("serving the channel \"numbers\" at {}", listener.local_addr()?);
    for socket in listener.incoming() {
        let (socket, config, server) = (socket?, config.clone(), server.clone());
        // A handshake waits for its client, so each has a thread of its own; the link has none.
        thread::spawn(move || {
            match tls_link::server(socket, config, LinkLimits::default(), Peer::own()) {
                Ok(link) => server.serve(Box::new(link)).map_err(|error| error.to_string()),
                Err(error) => Err(error.to_string()),
            }
            .unwrap_or_else(|error| eprintln!("error: {error}"));
        });
    }
    Ok(())
}
// ANCHOR_END: serve

// ANCHOR: send
fn send(address: &str, authority: &str, name: &str, count: &str) -> Result<(), Box<dyn Error>> {
    let count: u32 = count.parse()?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(authority)?)?;
    let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let socket = TcpStream::connect(address).map_err(|error| {
        format!("cannot connect to {address}\ncause: {error}\nhint: is `tls-link serve` there?")
    })?;
    let name = ServerName::try_from(name.to_owned())?;
    let link =
        tls_link::client(socket, name, Arc::new(config), LinkLimits::default(), Peer::own())?;

    let client = Client::over(Box::new(link), &Options::default())?;
    let sender = client.sender("numbers").wait()?;
    let receiver = client.receiver("numbers").wait()?;
    let sends = thread::spawn(move || {
        (0..count).try_for_each(|number| sender.send(number.to_le_bytes().to_vec()).wait())
    });
    let mut sum = 0;
    for _ in 0..count {
        let element = receiver.recv().wait()?;
        sum += u64::from(u32::from_le_bytes(element.as_slice().try_into()?));
    }
    sends.join().map_err(|_| "the sender has panicked")??;
    println!("{count} numbers there and back, their sum is {sum}");
    Ok(())
}
// ANCHOR_END: send
