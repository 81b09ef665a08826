//! How a command fails: the sentence for the person, and the exit code for the script.

use std::fmt;

use crate::actors::outcome::Error;
use crate::actors::supervision::StopReason;

/// What the process ends with, after `sysexits.h` where that has a word for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// Nobody holds the key, or nobody took the value.
    NotFound,
    /// The command line, or what it names, is not permitted.
    Usage,
    /// A setting, or the environment, is nothing that a node can work with. By the number it is `EX_USAGE`, which is taken:
    /// what reads a command line here says 2, as most programs do.
    Configuration,
    /// `EX_DATAERR`: what was found cannot be represented.
    Data,
    /// `EX_NOINPUT`: the file to read cannot be read.
    NoInput,
    /// `EX_UNAVAILABLE`: nobody answered, or not in time.
    Unavailable,
    /// `EX_SOFTWARE`: a part of the node failed.
    Internal,
    /// `EX_OSERR`: the port is in use, or the system refuses something else that a node needs.
    System,
    /// `EX_CANTCREAT`: the file to write cannot be written.
    CannotCreate,
    /// `EX_CANTCREAT` too: the store of a node cannot be used.
    Store,
    /// `EX_IOERR`: standard output cannot be written.
    Output,
    /// A signal ended the process before it was done (a second one, where the first only stops a node): 128 and the
    /// signal's number, as a shell has it.
    Signal(u8),
}

impl Exit {
    /// The number.
    pub(super) fn code(self) -> u8 {
        match self {
            Self::NotFound => 1,
            Self::Usage => 2,
            Self::Configuration => 64,
            Self::Data => 65,
            Self::NoInput => 66,
            Self::Unavailable => 69,
            Self::Internal => 70,
            Self::System => 71,
            Self::CannotCreate | Self::Store => 73,
            Self::Output => 74,
            Self::Signal(number) => 128 + number,
        }
    }
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) exit: Exit,
    text: String,
    /// Whether no answer came, so that another try may succeed.
    pub(super) unanswered: bool,
}

impl Failure {
    pub(super) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), unanswered: false }
    }

    /// No answer came: another try may succeed.
    pub(super) fn unanswered(text: impl Into<String>) -> Self {
        Self { exit: Exit::Unavailable, text: text.into(), unanswered: true }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::Config(_) => Exit::Configuration,
            Error::KeyTooLong { .. } | Error::ValueTooLarge { .. } | Error::AnswerTooLarge { .. } => Exit::Usage,
            Error::Resolve { .. }
            | Error::NobodyAnswered { .. }
            | Error::Silent { .. }
            | Error::Contact(_)
            | Error::NotJoined { .. }
            | Error::TookTooLong(_) => Exit::Unavailable,
            Error::Bind { .. } | Error::PortInUse { .. } | Error::Thread(_) | Error::Limit(_) => Exit::System,
            Error::UnsupportedValue { .. } => Exit::Data,
            Error::NotPublished { .. } => Exit::Usage,
            Error::NoArbiter | Error::Busy { .. } | Error::Store(_) | Error::Interrupted | Error::Stopped(_) => {
                Exit::Internal
            }
        };
        let unanswered = matches!(error, Error::NobodyAnswered { .. } | Error::NotJoined { .. } | Error::Silent { .. });
        Self { exit, text: error.to_string(), unanswered }
    }
}

impl From<StopReason> for Failure {
    fn from(reason: StopReason) -> Self {
        Self::new(Exit::Internal, format!("the node has stopped: {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::config::Config;
    use std::time::Duration;

    #[test]
    fn each_kind_of_error_has_its_exit_code() {
        let addr = "127.0.0.1:8000".parse().unwrap();
        let code = |error: Error| Failure::from(error).exit.code();
        let setting = Config::builder().k(0).build().unwrap_err();
        assert_eq!(code(Error::Config(setting)), 64);
        assert_eq!(code(Error::KeyTooLong { len: 2, max: 1 }), 2);
        assert_eq!(code(Error::ValueTooLarge { len: 2, max: 1 }), 2);
        assert_eq!(code(Error::NobodyAnswered { asked: 3 }), 69);
        assert_eq!(code(Error::NotJoined { outcome: Box::default() }), 69);
        assert_eq!(code(Error::Silent { addr, within: Duration::from_secs(2) }), 69);
        assert_eq!(code(Error::PortInUse { addr }), 71);
        assert_eq!(code(Error::Bind { addr, source: std::io::ErrorKind::PermissionDenied.into() }), 71);
        assert_eq!(code(Error::Interrupted), 70);
        assert_eq!(Exit::Signal(15).code(), 143);
    }

    #[test]
    fn a_spent_restart_budget_is_an_internal_failure_that_says_why() {
        let within = Duration::from_secs(60);
        let spent = StopReason::RestartBudgetSpent { actor: "dispatcher", panics: 6, within, last: "boom".into() };
        let failure = Failure::from(spent);
        assert_eq!(failure.exit.code(), 70);
        assert!(
            failure.to_string().contains("the dispatcher panicked 6 times within 60s, last with: boom"),
            "{failure}"
        );
    }
}
