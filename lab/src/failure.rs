//! How a command fails: a sentence for the person, and an exit code for the script.

use std::fmt;

use crate::experiment::ExperimentError;

/// What the process ends with, after `sysexits.h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// What the command line says is not permitted.
    Usage,
    /// `EX_SOFTWARE`: a node failed.
    Internal,
    /// `EX_OSERR`: the system refuses something that is needed.
    System,
    /// `EX_CANTCREAT`: a chart cannot be written.
    CannotCreate,
    /// `EX_IOERR`: standard output cannot be written.
    Output,
    /// A signal ended the command early: 128 and the signal's number.
    Signal(u8),
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    text: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into() }
    }

    pub(crate) fn code(&self) -> u8 {
        match self.exit {
            Exit::Usage => 2,
            Exit::Internal => 70,
            Exit::System => 71,
            Exit::CannotCreate => 73,
            Exit::Output => 74,
            Exit::Signal(number) => 128 + number,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<ExperimentError> for Failure {
    fn from(error: ExperimentError) -> Self {
        let exit = match error {
            ExperimentError::Network(_) | ExperimentError::Node(_) => Exit::Internal,
            ExperimentError::OutOfRange { .. } | ExperimentError::DurationOutOfRange { .. } => Exit::Usage,
        };
        Self::new(exit, error.to_string())
    }
}
