// SPDX-License-Identifier: BSD-3-Clause
//! A failure as a message for people: what failed with which value, why, and what to try.

use std::borrow::Cow;
use std::fmt;
use std::io;
use std::path::Path;

use becket_gateway::{ConfigError, GatewayError};
use becket_host::{CallError, LoadError, ReloadError, SendError, StreamError, UnloadError};
use clap::error::ErrorKind;
use serde::Serialize;
use serde_json::Value;

use crate::commands::pick::nearest;
use crate::exit::Exit;

/// The failure of a command. The exit code is for scripts, the rest for people.
#[derive(Debug, Serialize)]
pub(crate) struct Failure {
    error: Cow<'static, str>,
    /// The line of a file in question, with carets under the mistake.
    #[serde(skip)]
    excerpt: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cause: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<Cow<'static, str>>,
    #[serde(flatten, serialize_with = "exit_fields")]
    exit: Exit,
}

impl Failure {
    /// A failure that ends the process with `exit`.
    pub(crate) fn new(exit: Exit, error: impl Into<Cow<'static, str>>) -> Self {
        Self { error: error.into(), excerpt: None, cause: None, hint: None, exit }
    }

    /// Adds why it failed.
    pub(crate) fn cause(mut self, cause: impl Into<Cow<'static, str>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// Adds what to try.
    pub(crate) fn hint(mut self, hint: impl Into<Cow<'static, str>>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A file or directory that could not be `verb`ed ("read", "written").
    pub(crate) fn file(verb: &str, path: &Path, error: &io::Error) -> Self {
        Self::new(Exit::Failure, format!("{} cannot be {verb}", path.display()))
            .cause(error.to_string())
    }

    /// A failure that a child of this command has reported as JSON.
    pub(crate) fn of_json(said: &Value) -> Option<Self> {
        let text = |key| said.get(key).and_then(Value::as_str).map(str::to_owned);
        let exit = Exit::of_word(said.get("kind")?.as_str()?)?;
        Some(Self::from_parts(exit, text("error")?, text("cause"), text("hint")))
    }

    /// An error of clap about the arguments, in this project's three lines.
    pub(crate) fn usage(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let first = text.split("\n\n").next().unwrap_or_default();
        let first = one_line(first.strip_prefix("error: ").unwrap_or(first));
        // The error of a value's own parser follows the last colon after the argument's name.
        let failure = match (error.kind(), first.split_once("': ")) {
            (ErrorKind::ValueValidation, Some((what, why))) => {
                Self::new(Exit::Usage, format!("{what}'")).cause(why.to_owned())
            }
            _ => Self::new(Exit::Usage, first),
        };
        let tips: Vec<&str> =
            text.lines().filter_map(|line| line.trim().strip_prefix("tip: ")).collect();
        let usage = text.lines().find_map(|line| line.strip_prefix("Usage: "));
        match (tips.is_empty(), usage) {
            (false, _) => failure.hint(tips.join("; ")),
            (true, Some(usage)) => failure.hint(format!("usage: {usage}")),
            (true, None) => failure.hint("`--help` says what is expected"),
        }
    }

    /// The exit code's meaning.
    pub(crate) fn exit(&self) -> Exit {
        self.exit
    }

    /// The line in question, if there is one.
    pub(crate) fn excerpt(&self) -> Option<&str> {
        self.excerpt.as_deref()
    }

    /// Why it failed, if known.
    pub(crate) fn why(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// What to try, if known.
    pub(crate) fn advice(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// True if the failure is not printed: the reader of stdout has closed it.
    pub(crate) fn is_silent(&self) -> bool {
        self.exit == Exit::Ok
    }

    fn from_parts(exit: Exit, error: String, cause: Option<String>, hint: Option<String>) -> Self {
        Self {
            error: error.into(),
            excerpt: None,
            cause: cause.map(Cow::Owned),
            hint: hint.map(Cow::Owned),
            exit,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.error)
    }
}

impl std::error::Error for Failure {}

/// Writing to stdout failed. A reader that left early (`| head`) is no failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(Exit::Ok, "");
        }
        Self::new(Exit::Failure, "the output cannot be written").cause(error.to_string())
    }
}

impl From<LoadError> for Failure {
    fn from(error: LoadError) -> Self {
        Self::from_parts(Exit::Load, error.to_string(), error.cause(), error.hint())
    }
}

impl From<ReloadError> for Failure {
    fn from(error: ReloadError) -> Self {
        Self::from_parts(Exit::Load, error.to_string(), error.cause(), error.hint())
    }
}

impl From<UnloadError> for Failure {
    fn from(error: UnloadError) -> Self {
        Self::new(Exit::Failure, error.to_string())
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        let exit = match error {
            CallError::DeadlineExceeded => Exit::Deadline,
            _ => Exit::Call,
        };
        let hint = nearest_entry(&error).or_else(|| error.hint());
        Self::from_parts(exit, error.to_string(), None, hint)
    }
}

impl From<StreamError> for Failure {
    fn from(error: StreamError) -> Self {
        let exit = match error {
            StreamError::DeadlineExceeded | StreamError::Idle => Exit::Deadline,
            _ => Exit::Call,
        };
        Self::new(exit, error.to_string())
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        let cause = error.cause().map(str::to_owned);
        let hint = error.hint().map(str::to_owned);
        let mut failure = Self::from_parts(Exit::Config, error.to_string(), cause, hint);
        failure.excerpt = error.excerpt();
        failure
    }
}

impl From<GatewayError> for Failure {
    fn from(error: GatewayError) -> Self {
        let exit = match error {
            GatewayError::Config(error) => return error.into(),
            GatewayError::NotLinked { .. } | GatewayError::NoSuchEntry { .. } => Exit::Config,
            GatewayError::Load { .. } => Exit::Load,
            _ => Exit::Failure,
        };
        Self::from_parts(exit, error.to_string(), error.cause(), error.hint())
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        Self::new(Exit::Call, error.to_string())
    }
}

/// The entry with the most similar name, if the plugin has a similar one.
fn nearest_entry(error: &CallError) -> Option<String> {
    let CallError::UnknownEntry(unknown) = error else { return None };
    let near = nearest(&unknown.entry, unknown.known.iter().map(String::as_str))?;
    Some(format!("did you mean `{near}`?"))
}

/// Line breaks inside clap's lists become spaces, so that a failure's `error:` is one line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn exit_fields<S: serde::Serializer>(exit: &Exit, serializer: S) -> Result<S::Ok, S::Error> {
    use serde::ser::SerializeMap;
    let mut map = serializer.serialize_map(Some(2))?;
    map.serialize_entry("kind", exit.word())?;
    map.serialize_entry("exit_code", &exit.code())?;
    map.end()
}
