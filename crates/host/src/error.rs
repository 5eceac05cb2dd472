// SPDX-License-Identifier: BSD-3-Clause
//! Everything that can go wrong with a loaded plugin. What can go wrong while loading one is
//! [`LoadError`].
//!
//! `Display` says what failed with which value; `hint` what to try.

use becket_abi::NrStatus;

use crate::{body::Body, load::LoadError};

/// Why a call has no response.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum CallError {
    /// `handle` returned this instead of `Ok`.
    #[error("the plugin refused the call: {status}")]
    Refused {
        /// What it returned.
        status: NrStatus,
    },
    /// No answer came in time; the plugin was notified.
    #[error("no answer before the deadline")]
    DeadlineExceeded,
    /// The plugin has no such entry.
    #[error(transparent)]
    UnknownEntry(Box<UnknownEntry>),
    /// A bound of the plugin is reached.
    #[error("quota `{quota}` of {limit} is used up")]
    Quota {
        /// The field of [`crate::Limits`], or `calls of the process`.
        quota: &'static str,
        /// Its value.
        limit: u64,
    },
    /// The payload is longer than the plugin's limit.
    #[error("payload of {len} bytes above the limit of {len_max}")]
    PayloadTooLarge {
        /// Its length.
        len: u64,
        /// The limit.
        len_max: u64,
    },
    /// `call_now`: the plugin did not answer inside `handle`.
    #[error("the plugin did not answer at once")]
    NotAnswered,
    /// `call_now`: the plugin runs in another process, whose answer would have to be waited for. It
    /// got nothing of the call.
    #[error("the plugin runs in another process, and answers no call at once")]
    NotInline,
    /// Too many threads are stuck inside the plugin.
    #[error("the plugin is quarantined: too many of its calls block")]
    Quarantined,
    /// The plugin is gone, or went while the call waited.
    #[error("the plugin was unloaded")]
    Unloaded,
    /// The process that ran the call has ended, or nothing was heard of its node (placement
    /// `cluster`). The call may have had effects; it is not repeated.
    #[error("the process or the node that ran the call has ended")]
    Crashed,
    /// Nothing runs the plugin: its processes have ended too often, and calls fail until one is
    /// started again, or no node offers it (placement `cluster`). The call had no effects.
    #[error("nothing runs the plugin: its processes have ended too often, or no node offers it")]
    PluginFailed,
    /// Too many calls are nested in one another on this thread.
    #[error("more than {depth_max} plugin calls nested in one another")]
    TooDeep {
        /// The limit.
        depth_max: usize,
    },
    /// The future was polled after it was ready.
    #[error("the call is over")]
    Over,
}

/// A plugin has no entry of a name. Boxed in [`CallError`], so that a call's result stays small.
#[derive(Debug, Clone, thiserror::Error)]
#[error("plugin `{plugin}` has no entry `{entry}`")]
pub struct UnknownEntry {
    /// The plugin.
    pub plugin: String,
    /// The entry asked for.
    pub entry: String,
    /// The entries it has.
    pub known: Vec<String>,
}

impl CallError {
    /// What to try, if there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Refused { status: NrStatus::Unsupported } => {
                "the entry may not exist; `becket plugin inspect` lists the entries".to_owned()
            }
            Self::UnknownEntry(unknown) if !unknown.known.is_empty() => {
                format!("it has: {}", unknown.known.join(", "))
            }
            Self::DeadlineExceeded => {
                "raise `deadline_ms` of the plugin, or the timeout of the call".to_owned()
            }
            Self::Quota { quota: "calls of the process", .. } => "call less at once".to_owned(),
            Self::Quota { quota, .. } => format!("raise `{quota}` of the plugin, or call less"),
            Self::PayloadTooLarge { .. } => "raise `payload_bytes_max` of the plugin".to_owned(),
            Self::NotAnswered => "await `call` or `call_raw` instead".to_owned(),
            Self::NotInline => {
                "await `call` or `call_raw` instead, or load it with `placement = \"inline\"`"
                    .to_owned()
            }
            Self::Quarantined => "reload the plugin".to_owned(),
            Self::Crashed => {
                "`becket plugin crashes` shows how it ended; a new one starts by itself".to_owned()
            }
            Self::PluginFailed => "`becket plugin crashes` shows why; reload the plugin".to_owned(),
            _ => return None,
        })
    }
}

/// How a stream ended badly.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum StreamError {
    /// The plugin ended it with this status and these bytes.
    #[error("the plugin ended the stream: {status}")]
    Failed {
        /// The terminal frame's status.
        status: NrStatus,
        /// The terminal frame's bytes.
        body: Body,
    },
    /// The stream took longer than its deadline.
    #[error("the stream's deadline passed")]
    DeadlineExceeded,
    /// Nothing moved for longer than the idle limit.
    #[error("the stream was idle for too long")]
    Idle,
    /// The plugin went away.
    #[error("the plugin was unloaded")]
    Unloaded,
    /// The process that ran the stream has ended, nothing was heard of its node, or a frame was lost
    /// on the way from there or to it.
    #[error("the process or the node that ran the stream has ended")]
    Crashed,
    /// Nothing runs the plugin: its processes have ended too often, and calls fail until one is
    /// started again, or no node offers it.
    #[error("nothing runs the plugin: its processes have ended too often, or no node offers it")]
    PluginFailed,
}

/// Why data did not reach a plugin's stream. It is still the caller's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SendError {
    /// The plugin takes no more right now.
    #[error("the plugin takes no more right now")]
    Backpressure,
    /// The stream is over.
    #[error("the stream is over")]
    Closed,
    /// The plugin refused it.
    #[error("the plugin refused the data: {status}")]
    Refused {
        /// What it answered.
        status: NrStatus,
    },
    /// The plugin takes no data on streams.
    #[error("the plugin takes no data on streams")]
    Unsupported,
    /// The data is longer than the plugin's limit.
    #[error("payload of {len} bytes above the limit of {len_max}")]
    PayloadTooLarge {
        /// Its length.
        len: u64,
        /// The limit.
        len_max: u64,
    },
    /// Too many calls are nested in one another on this thread.
    #[error("more than {depth_max} plugin calls nested in one another")]
    TooDeep {
        /// The limit.
        depth_max: usize,
    },
}

/// Why a plugin was not reloaded; the one that ran still runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The new file does not load.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The plugin is part of this binary, was loaded in place, or brings a runtime that never ends.
    #[error("plugin `{name}` cannot be reloaded: {reason}")]
    Fixed {
        /// The plugin.
        name: String,
        /// Why.
        reason: &'static str,
        /// What to do instead.
        hint: &'static str,
    },
    /// The state could not be handed over.
    #[error("plugin `{name}` did not hand its state over: {status}")]
    HandOver {
        /// The plugin.
        name: String,
        /// What `reload_export` or `reload_import` answered.
        status: NrStatus,
    },
    /// It hands over state, so that it cannot run in two versions at once.
    #[error("plugin `{name}` cannot be rolled out: it hands its state over")]
    Stateful {
        /// The plugin.
        name: String,
    },
    /// Calls were in flight for too long to ask the plugin for its state.
    #[error("plugin `{name}` still had calls in flight after {drain_ms} ms")]
    StillBusy {
        /// The plugin.
        name: String,
        /// How long they were waited for.
        drain_ms: u64,
    },
    /// The plugin is gone.
    #[error("plugin `{name}` was unloaded")]
    Unloaded {
        /// The plugin.
        name: String,
    },
    /// Another reload of this plugin is under way.
    #[error("plugin `{name}` is being reloaded already")]
    Busy {
        /// The plugin.
        name: String,
    },
}

impl ReloadError {
    /// Why, beyond what `Display` says.
    #[must_use]
    pub fn cause(&self) -> Option<String> {
        match self {
            Self::Load(error) => error.cause(),
            Self::StillBusy { .. } => {
                Some("a plugin that hands its state over is asked when its calls have ended".into())
            }
            Self::Stateful { .. } => Some(
                "of two versions that take calls, each would have a state that lacks the other's"
                    .into(),
            ),
            Self::HandOver { status: NrStatus::Backpressure, .. } => {
                Some("it takes one call at a time, and a thread was inside all the while".into())
            }
            _ => None,
        }
    }

    /// What to try, if there is something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Load(error) => error.hint(),
            Self::Fixed { hint, .. } => Some((*hint).to_owned()),
            Self::Stateful { .. } => {
                Some("reload it without a rollout: its state goes with it".to_owned())
            }
            Self::Busy { .. } => Some("wait for it to end".to_owned()),
            Self::StillBusy { .. } => Some(
                "raise `drain_ms` of the plugin, or lower `deadline_ms`, so that calls end in time"
                    .to_owned(),
            ),
            Self::HandOver { .. } | Self::Unloaded { .. } => None,
        }
    }
}

/// Why a plugin was not unloaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UnloadError {
    /// The host has no plugin of this name.
    #[error("no plugin named `{name}`")]
    Unknown {
        /// The name.
        name: String,
    },
}
