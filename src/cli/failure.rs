//! How a command fails: the text for the user, and the exit code for scripts.

use std::fmt::Display;

use crate::actors::outcome::Error;
use crate::actors::supervision::StopReason;
use crate::causes::Causes;

/// An exit code of the process, from `sysexits.h` where one fits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exit(u8);

impl Exit {
    /// No node holds the key, or none accepted the value.
    pub(super) const NOT_FOUND: Self = Self(1);
    /// The command line, or what it names, is not permitted.
    pub(super) const USAGE: Self = Self(2);
    /// A setting, or the environment, is not permitted. The number is that of `EX_USAGE`: for wrong usage itself most programs
    /// exit with 2.
    pub(super) const CONFIGURATION: Self = Self(64);
    /// `EX_DATAERR`: the value that was found cannot be represented.
    pub(super) const DATA: Self = Self(65);
    /// `EX_NOINPUT`: the file to read cannot be read.
    pub(super) const NO_INPUT: Self = Self(66);
    /// `EX_UNAVAILABLE`: no node answered, or not in time.
    pub(super) const UNAVAILABLE: Self = Self(69);
    /// `EX_SOFTWARE`: a part of the node failed.
    pub(super) const INTERNAL: Self = Self(70);
    /// `EX_OSERR`: the port is in use, or the system refuses something else that a node needs.
    pub(super) const SYSTEM: Self = Self(71);
    /// `EX_CANTCREAT`: the file to write cannot be written, or the store of a node cannot be used.
    pub(super) const CANNOT_CREATE: Self = Self(73);
    /// `EX_IOERR`: standard output cannot be written.
    pub(super) const OUTPUT: Self = Self(74);

    /// `EX_NOPERM`: the token for a node is missing or wrong.
    pub(super) const DENIED: Self = Self(77);

    /// Signal `number` ended the process before it was done: 128 and the number, as a shell has it.
    pub(super) const fn signal(number: u8) -> Self {
        Self(128 + number)
    }

    /// The number.
    pub(super) const fn code(self) -> u8 {
        self.0
    }
}

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub(super) struct Failure {
    pub(super) exit: Exit,
    text: String,
    /// Whether no answer came, so that another attempt may succeed.
    pub(super) unanswered: bool,
}

impl Failure {
    pub(super) fn new(exit: Exit, text: impl Into<String>) -> Self {
        Self { exit, text: text.into(), unanswered: false }
    }

    /// For `map_err`: `what` failed, and the error says why.
    pub(super) fn of<E: Display>(exit: Exit, what: impl Display) -> impl FnOnce(E) -> Self {
        move |error| Self::new(exit, format!("{what}: {error}"))
    }

    /// No answer came: another attempt may succeed.
    pub(super) fn unanswered(text: impl Into<String>) -> Self {
        Self { exit: Exit::UNAVAILABLE, text: text.into(), unanswered: true }
    }

    /// A contact answered, and then none of the `asked` nodes that it named.
    pub(super) fn network_silent(asked: usize) -> Self {
        Self::unanswered(format!(
            "no node answered: {asked} asked, after a contact had answered\n\
             The network may be busy or cut off. Try again, or through another --bootstrap HOST:PORT."
        ))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let exit = match &error {
            Error::NoneAnswered { asked } => return Self::network_silent(*asked),
            Error::Config(_) => Exit::CONFIGURATION,
            Error::KeyTooLong { .. } | Error::ValueTooLarge { .. } | Error::AnswerTooLarge { .. } => Exit::USAGE,
            Error::UnsupportedValue { .. } => Exit::DATA,
            Error::Bind { .. } | Error::PortInUse { .. } | Error::Thread(_) | Error::Limit(_) => Exit::SYSTEM,
            Error::NotJoined { .. } | Error::Silent { .. } => return Self::unanswered(error.to_string()),
            Error::Resolve { .. } | Error::Contact(_) | Error::TookTooLong(_) => Exit::UNAVAILABLE,
            _ => Exit::INTERNAL,
        };
        Self::new(exit, Causes(&error).to_string())
    }
}

impl From<StopReason> for Failure {
    fn from(reason: StopReason) -> Self {
        Self::new(Exit::INTERNAL, format!("the node has stopped: {reason}"))
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
        assert_eq!(code(Error::NoneAnswered { asked: 3 }), 69);
        assert_eq!(code(Error::NotJoined { outcome: Box::default() }), 69);
        assert_eq!(code(Error::Silent { addr, within: Duration::from_secs(2) }), 69);
        assert_eq!(code(Error::PortInUse { addr }), 71);
        assert_eq!(code(Error::Bind { addr, source: std::io::ErrorKind::PermissionDenied.into() }), 71);
        assert_eq!(code(Error::Interrupted), 70);
        assert_eq!(Exit::signal(15).code(), 143);
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
