//! States of connectors and tasks, in Connect's words.

use std::{fmt, str::FromStr};

/// State of a connector or task as the status topic and the REST API tell it (`AbstractStatus.State`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nobody runs it.
    Unassigned,
    /// It runs.
    Running,
    /// It has been told to pause, and has.
    Paused,
    /// It has been told to stop, and has; connectors only.
    Stopped,
    /// It failed; the trace says why.
    Failed,
    /// A restart was asked for and is under way.
    Restarting,
    /// It is gone; only ever seen on its way to a tombstone.
    Destroyed,
}

impl State {
    /// Connect's name of it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unassigned => "UNASSIGNED",
            Self::Running => "RUNNING",
            Self::Paused => "PAUSED",
            Self::Stopped => "STOPPED",
            Self::Failed => "FAILED",
            Self::Restarting => "RESTARTING",
            Self::Destroyed => "DESTROYED",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown state {0:?}")]
pub struct UnknownState(pub String);

impl FromStr for State {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        Ok(match text {
            "UNASSIGNED" => Self::Unassigned,
            "RUNNING" => Self::Running,
            "PAUSED" => Self::Paused,
            "STOPPED" => Self::Stopped,
            "FAILED" => Self::Failed,
            "RESTARTING" => Self::Restarting,
            "DESTROYED" => Self::Destroyed,
            _ => return Err(UnknownState(text.to_owned())),
        })
    }
}

/// What a connector has been told to be (`TargetState`); absent from the config topic means [`Started`](Self::Started).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TargetState {
    /// It shall run.
    #[default]
    Started,
    /// Its tasks shall rest, keeping their configurations.
    Paused,
    /// It shall have no tasks at all.
    Stopped,
}

impl TargetState {
    /// Connect's name of it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "STARTED",
            Self::Paused => "PAUSED",
            Self::Stopped => "STOPPED",
        }
    }
}

impl FromStr for TargetState {
    type Err = UnknownState;

    fn from_str(text: &str) -> Result<Self, UnknownState> {
        match text {
            "STARTED" => Ok(Self::Started),
            "PAUSED" => Ok(Self::Paused),
            "STOPPED" => Ok(Self::Stopped),
            _ => Err(UnknownState(text.to_owned())),
        }
    }
}
