// SPDX-License-Identifier: BSD-3-Clause
//! The sockets that requests come in by: bound here, or passed by the service manager.
//!
//! | module | what lives there |
//! |---|---|
//! | `error` | why there is no listener |
//! | `heirs` | sockets on their way to the next process |
//! | `socket` | a listening socket, and what it accepts, whatever its kind |
//! | `socket_file` | the file of a Unix socket: made, replaced if its process is dead, removed |
//!
//! # Invariants
//!
//! 1. All listeners of a configuration are there before one accepts: a gateway that cannot have one of them does not
//!    start.
//! 2. A socket of the process before belongs to the listener with the same text, whatever else is set for it.
//! 3. A passed socket belongs to the listener that names it; to `systemd` without a name, if none does.

mod error;
mod heirs;
mod socket;
mod socket_file;

use std::net::SocketAddr;

use tokio::net::TcpListener;

pub use self::error::ListenError;
pub(crate) use self::heirs::Heirs;
pub use self::socket::ListenSocket;
pub(crate) use self::socket::{Acceptor, Stream};
use self::socket_file::SocketFile;
use crate::TARGET;
use crate::config::{Config, ListenAt, ListenConfig};
use crate::error::GatewayError;

/// Where a gateway takes requests.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerInfo {
    /// The address in use, or the path. A passed Unix socket without a path is the one of its listener's name.
    pub at: ListenAt,
    /// Whether it takes requests with TLS: `https`.
    pub has_tls: bool,
}

/// A socket that the service manager has passed, and its name.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) name: String,
    pub(crate) socket: ListenSocket,
}

/// A listener that does not accept yet.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) acceptor: Acceptor,
    /// The name by which the next process finds it.
    pub(crate) name: String,
    pub(crate) info: ListenerInfo,
}

/// Every listener of `config`.
pub(crate) async fn bind_all(
    config: &Config,
    mut passed: Vec<Passed>,
    inherited: &mut Vec<Passed>,
) -> Result<Vec<Bound>, GatewayError> {
    let names: Vec<_> = passed.iter().map(|passed| passed.name.clone()).collect();
    let named: Vec<_> = config.listen.iter().filter_map(|listener| name_of(&listener.at)).collect();
    let mut listeners = Vec::new();
    for listener in &config.listen {
        let has_tls = listener.tls.unwrap_or(config.tls.is_some());
        let own = take_inherited(inherited, &listener.at);
        if !own.is_empty() {
            let adopted: Result<Vec<_>, _> =
                own.into_iter().map(|own| adopt(own.socket, listener, has_tls)).collect();
            listeners.extend(adopted.map_err(|source| failed(&listener.at, source))?);
            continue;
        }
        let name = listener.at.to_string();
        let bound = match &listener.at {
            ListenAt::Tcp(addr) => {
                let (acceptor, addr) = bind_tcp(*addr, "requests", None).await?;
                let info = ListenerInfo { at: ListenAt::Tcp(addr), has_tls };
                vec![Bound { acceptor, name, info }]
            }
            ListenAt::Unix(path) => {
                let bound = socket_file::bind(path, listener.mode()).await;
                let (socket, file) = bound.map_err(|source| failed(&listener.at, source))?;
                let info = ListenerInfo { at: listener.at.clone(), has_tls: false };
                vec![Bound { acceptor: Acceptor::unix(socket, Some(file)), name, info }]
            }
            ListenAt::Systemd(name) => {
                let is_meant = |passed: &mut Passed| match name {
                    Some(name) => passed.name == *name,
                    None => !named.contains(&passed.name.as_str()),
                };
                let own: Vec<_> = passed.extract_if(.., is_meant).collect();
                if own.is_empty() {
                    let source = ListenError::NotPassed { passed: names };
                    return Err(failed(&listener.at, source));
                }
                let bound: Result<_, _> =
                    own.into_iter().map(|own| adopt(own.socket, listener, has_tls)).collect();
                bound.map_err(|source| failed(&listener.at, source))?
            }
        };
        listeners.extend(bound);
    }
    for Passed { name, .. } in passed {
        tracing::warn!(target: TARGET, name, "no listener takes this socket, which was passed; it is closed");
    }
    Ok(listeners)
}

/// A TCP listener, and its address; the inherited one, if there is one.
pub(crate) async fn bind_tcp(
    addr: SocketAddr,
    purpose: &'static str,
    inherited: Option<Passed>,
) -> Result<(Acceptor, SocketAddr), GatewayError> {
    let bound = async {
        let listener = match inherited {
            Some(Passed { socket: ListenSocket::Tcp(socket), .. }) => {
                socket.set_nonblocking(true)?;
                TcpListener::from_std(socket)?
            }
            _ => TcpListener::bind(addr).await?,
        };
        let addr = listener.local_addr()?;
        Ok((Acceptor::tcp(listener), addr))
    };
    bound.await.map_err(|source| GatewayError::Bind { addr, purpose, source })
}

fn adopt(
    socket: ListenSocket,
    listener: &ListenConfig,
    has_tls: bool,
) -> Result<Bound, ListenError> {
    let file = match &listener.at {
        ListenAt::Unix(path) => Some(SocketFile::inherited(path, listener.mode())),
        ListenAt::Tcp(_) | ListenAt::Systemd(_) => None,
    };
    let (acceptor, at) = socket.into_acceptor(file)?;
    let is_tcp = matches!(acceptor, Acceptor::Tcp { .. });
    if !is_tcp && listener.tls == Some(true) {
        return Err(ListenError::NoTls);
    }
    let at = at.unwrap_or_else(|| listener.at.clone());
    let name = listener.at.to_string();
    Ok(Bound { acceptor, name, info: ListenerInfo { at, has_tls: has_tls && is_tcp } })
}

/// All that are of a `systemd` listener, else the first.
fn take_inherited(inherited: &mut Vec<Passed>, at: &ListenAt) -> Vec<Passed> {
    let name = at.to_string();
    let max = if matches!(at, ListenAt::Systemd(_)) { usize::MAX } else { 1 };
    inherited.extract_if(.., |passed| passed.name == name).take(max).collect()
}

fn name_of(at: &ListenAt) -> Option<&str> {
    match at {
        ListenAt::Systemd(name) => name.as_deref(),
        ListenAt::Tcp(_) | ListenAt::Unix(_) => None,
    }
}

fn failed(at: &ListenAt, source: ListenError) -> GatewayError {
    GatewayError::Listen { listener: at.to_string(), source }
}
