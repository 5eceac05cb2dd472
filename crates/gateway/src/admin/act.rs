// SPDX-License-Identifier: BSD-3-Clause
//! What the admin listener does, beside showing: `POST`, with the token.
//!
//! | path | what happens |
//! |---|---|
//! | `/reload` | the program reads its configuration again |
//! | `/drain` | the program ends, once requests in progress have ended |
//! | `/upgrade` | the program starts its successor, which takes over |
//! | `/plugins/NAME/quarantine-off` | a quarantined plugin is loaded again |
//!
//! # Invariants
//!
//! 1. The token is checked before anything about the gateway is looked at or said: without it, a path of an action and
//!    one of no plugin have the same answer.
//! 2. The token is compared in constant time, and is in no log, no answer and no `Debug`.

use becket_host::PluginState;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use serde_json::{Value, json};
use subtle::ConstantTimeEq;

use super::{Admin, page};
use crate::TARGET;
use crate::actions::{AdminAction, Answer, NotPassedOn};
use crate::config::{Complaint, admin_token_key, read_token};
use crate::problem::Problem;
use crate::serve::Body;

/// An action, as its path has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action<'a> {
    Reload,
    Drain,
    Upgrade,
    QuarantineOff(&'a str),
}

impl<'a> Action<'a> {
    pub(super) fn of(path: &'a str) -> Option<Self> {
        match path {
            "/reload" => Some(Self::Reload),
            "/drain" => Some(Self::Drain),
            "/upgrade" => Some(Self::Upgrade),
            path => {
                let plugin = path.strip_prefix("/plugins/")?.strip_suffix("/quarantine-off")?;
                Some(Self::QuarantineOff(plugin))
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Reload => "reload",
            Self::Drain => "drain",
            Self::Upgrade => "upgrade",
            Self::QuarantineOff(_) => "quarantine-off",
        }
    }
}

impl Admin {
    /// Does what is asked for, if the asker may ask.
    pub(super) async fn act(
        &self,
        action: Action<'_>,
        head: &Parts,
    ) -> Result<Response<Body>, Problem> {
        if head.method != Method::POST {
            return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this is an action")
                .hint("use POST")
                .allow(HeaderValue::from_static("POST")));
        }
        self.check_token(head).await.inspect_err(|_| {
            if let Some(before) = self.refused.pass() {
                let action = action.name();
                tracing::warn!(target: TARGET, action, not_logged = before, "an action on the admin listener was refused");
            }
        })?;
        let done = match action {
            Action::Reload => self.pass_on(AdminAction::Reload).await,
            Action::Drain => self.pass_on(AdminAction::Drain).await,
            Action::Upgrade => self.pass_on(AdminAction::Upgrade).await,
            Action::QuarantineOff(plugin) => self.quarantine_off(plugin).await,
        };
        let name = action.name();
        match &done {
            Ok(_) => tracing::info!(target: TARGET, action = name, "done for the admin listener"),
            Err(problem) => {
                let error = problem.to_text(false);
                tracing::error!(target: TARGET, action = name, error, "not done for the admin listener");
            }
        }
        let mut answer = done?;
        if let Value::Object(answer) = &mut answer {
            answer.insert("done".to_owned(), name.into());
        }
        let status = if action == Action::Drain { StatusCode::ACCEPTED } else { StatusCode::OK };
        Ok(page(status, "application/json", format!("{answer}\n")))
    }

    async fn check_token(&self, head: &Parts) -> Result<(), Problem> {
        let Some(secret) = self.token.clone() else {
            return Err(Problem::new(StatusCode::FORBIDDEN, "there are no actions here")
                .cause("the gateway has no token for them")
                .hint("set `token` in [admin], such as \"file:admin.token\""));
        };
        // Read each time, so that another token is in force when it is written. A file may block.
        let read = move || read_token(&admin_token_key(), &secret);
        let token = match tokio::task::spawn_blocking(read).await {
            Ok(token) => token.map_err(unreadable)?,
            Err(stopped) => std::panic::resume_unwind(stopped.into_panic()),
        };
        let mut given = head.headers.get_all(AUTHORIZATION).iter();
        let (one, more) = (given.next(), given.next());
        let bearer = one.filter(|_| more.is_none()).and_then(|value| {
            let (scheme, token) = value.as_bytes().split_at_checked("Bearer ".len())?;
            scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
        });
        match bearer {
            Some(given) if bool::from(given.ct_eq(token.as_bytes())) => Ok(()),
            given => {
                let what = match given {
                    Some(_) => "the token is another one",
                    None => "an action needs the token",
                };
                Err(Problem::new(StatusCode::UNAUTHORIZED, what)
                    .hint("send `authorization: Bearer TOKEN`")
                    .authenticate())
            }
        }
    }

    async fn pass_on(&self, action: AdminAction) -> Result<Value, Problem> {
        match self.actions.ask(action).await {
            Ok(Answer::Done(report)) => Ok(json!({ "report": report })),
            Ok(Answer::Upgraded(pid)) => Ok(json!({ "pid": pid })),
            Ok(Answer::Failed { error, cause, hint }) => {
                let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error);
                let problem = cause.into_iter().fold(problem, Problem::cause);
                Err(problem.maybe_hint(hint))
            }
            Err(NotPassedOn::NotTaken) => Err(Problem::new(
                StatusCode::NOT_IMPLEMENTED,
                "this program does not take this action",
            )
            .hint("`becket serve` takes it, and programs that ask for `Gateway::next_action`")),
            Err(NotPassedOn::Busy) => {
                Err(Problem::new(StatusCode::CONFLICT, "another action is in progress")
                    .hint("try again when it is done"))
            }
            Err(NotPassedOn::Ends) => {
                Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the gateway ends"))
            }
        }
    }

    async fn quarantine_off(&self, name: &str) -> Result<Value, Problem> {
        let plugins = self.shared.plugins();
        let Some(plugin) = plugins.get(name) else {
            let known: Vec<_> = plugins.keys().map(String::as_str).collect();
            return Err(Problem::new(StatusCode::NOT_FOUND, "there is no plugin of this name")
                .hint(format!("known here: {}", known.join(", "))));
        };
        let state = plugin.state();
        if state != PluginState::Quarantined {
            let what = format!("the plugin is not quarantined: it is {}", state.name());
            return Err(Problem::new(StatusCode::CONFLICT, what));
        }
        self.control.load_again(name).await.map_err(|error| {
            let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string());
            let problem = error.cause().into_iter().fold(problem, Problem::cause);
            problem.maybe_hint(error.hint())
        })?;
        Ok(json!({ "plugin": name }))
    }
}

/// The token was there at the start.
fn unreadable(complaint: Complaint) -> Problem {
    let error = complaint.without_text();
    tracing::error!(target: TARGET, %error, cause = error.cause(), "the admin token cannot be read");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the token cannot be read").hint("see the log")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_have_their_paths() {
        assert_eq!(Action::of("/reload"), Some(Action::Reload));
        assert_eq!(Action::of("/drain"), Some(Action::Drain));
        assert_eq!(Action::of("/upgrade"), Some(Action::Upgrade));
        assert_eq!(Action::of("/plugins/a/quarantine-off"), Some(Action::QuarantineOff("a")));
        for path in ["/", "/plugins", "/reload/", "/plugins//", "/plugins/a"] {
            assert_eq!(Action::of(path), None, "{path}");
        }
    }
}
