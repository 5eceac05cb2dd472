// SPDX-License-Identifier: BSD-3-Clause
//! Actions that the admin listener passes on to the program that runs the gateway: it is the program that knows
//! where its configuration is, and how it ends.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::{Mutex, mpsc, oneshot};

use crate::reload::ReloadReport;

/// What an operator asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdminAction {
    /// The configuration is to be read again.
    Reload,
    /// The gateway is to drain, and the program to end.
    Drain,
    /// Another process is to take over: [`crate::Gateway::sockets`].
    Upgrade,
}

/// An action that was asked for, and its asker. Dropped, the answer is that the gateway ends.
#[derive(Debug)]
pub struct AdminRequest {
    action: AdminAction,
    answer: oneshot::Sender<Answer>,
}

/// What came of an action.
#[derive(Debug)]
pub(crate) enum Answer {
    Done(Option<ReloadReport>),
    /// The id of the process that has taken over.
    Upgraded(u32),
    Failed {
        error: String,
        cause: Option<String>,
        hint: Option<String>,
    },
}

impl AdminRequest {
    /// What is asked for.
    #[must_use]
    pub fn action(&self) -> AdminAction {
        self.action
    }

    /// It was done, or has begun.
    pub fn done(self, report: Option<ReloadReport>) {
        // The asker may have left.
        let _ = self.answer.send(Answer::Done(report));
    }

    /// The process of this id has taken over.
    pub fn upgraded(self, pid: u32) {
        let _ = self.answer.send(Answer::Upgraded(pid));
    }

    /// It failed: what, why, and what to try.
    pub fn failed(self, error: impl Into<String>, cause: Option<String>, hint: Option<String>) {
        let _ = self.answer.send(Answer::Failed { error: error.into(), cause, hint });
    }
}

/// The way of actions to the program.
#[derive(Debug)]
pub(crate) struct Actions {
    sender: mpsc::Sender<AdminRequest>,
    receiver: Mutex<mpsc::Receiver<AdminRequest>>,
    /// The program takes actions.
    is_taken: AtomicBool,
}

/// Why an action was not passed on.
#[derive(Debug)]
pub(crate) enum NotPassedOn {
    /// The program takes none.
    NotTaken,
    /// Another waits.
    Busy,
    /// The program ends.
    Ends,
}

impl Default for Actions {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(1);
        Self { sender, receiver: Mutex::new(receiver), is_taken: AtomicBool::new(false) }
    }
}

impl Actions {
    /// Passes an action on, and waits for what comes of it.
    pub(crate) async fn ask(&self, action: AdminAction) -> Result<Answer, NotPassedOn> {
        if !self.is_taken.load(Relaxed) {
            return Err(NotPassedOn::NotTaken);
        }
        let (answer, answered) = oneshot::channel();
        let request = AdminRequest { action, answer };
        self.sender.try_send(request).map_err(|_| NotPassedOn::Busy)?;
        answered.await.map_err(|_| NotPassedOn::Ends)
    }

    /// The next action. Dropped, it has taken none.
    pub(crate) async fn next(&self) -> AdminRequest {
        self.is_taken.store(true, Relaxed);
        match self.receiver.lock().await.recv().await {
            Some(request) => request,
            // The sender is `self`: this does not come.
            None => std::future::pending().await,
        }
    }
}
