// SPDX-License-Identifier: BSD-3-Clause
//! A connection as a client of a server: its waiting commands are in a session of `becket_ipc::v1`,
//! one for each context that handles its commands.

use std::ffi::c_int;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Weak};

use becket_ipc::reactor::{self, Ready, Watched};
use becket_ipc::v1::{Answer, Server, Session};
use parking_lot::Mutex;

use super::conn::Conn;
use crate::errno;

#[derive(Default)]
pub(super) struct Served(Mutex<State>);

#[derive(Default)]
struct State {
    sessions: Vec<(Arc<Server>, Arc<Session>)>,
    /// For its end, and for room to write.
    watched: Option<Watched>,
    over: bool,
}

impl Served {
    /// The session with a server; created by the first command.
    pub(super) fn session(conn: &Arc<Conn>, server: &Arc<Server>) -> Result<Arc<Session>, c_int> {
        let mut state = conn.served.0.lock();
        conn.check()?;
        let known = state.sessions.iter().find(|(known, _)| Arc::ptr_eq(known, server));
        if let Some((_, session)) = known {
            return Ok(session.clone());
        }
        if state.watched.is_none() {
            let owner: Weak<dyn Ready> = Arc::downgrade(&(conn.clone() as Arc<dyn Ready>));
            let watched = reactor::watch(conn.as_fd(), owner);
            state.watched =
                Some(watched.map_err(|error| -error.raw_os_error().unwrap_or(-errno::ENOMEM))?);
        }
        let to = Arc::downgrade(conn);
        let session = Session::new(server, move |Answer { frame, value }| {
            // Without its connection the value is requeued.
            if let Some(conn) = to.upgrade() {
                conn.answer(frame, value);
            }
        });
        if state.over {
            session.end();
        }
        state.sessions.push((server.clone(), session.clone()));
        Ok(session)
    }

    /// Ends the session: the connection is over.
    pub(super) fn end(&self) {
        let sessions = {
            let mut state = self.0.lock();
            state.over = true;
            std::mem::take(&mut state.sessions)
        };
        for (_, session) in sessions {
            session.end();
        }
    }
}
