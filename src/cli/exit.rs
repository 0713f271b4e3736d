//! Exit codes, and the advice that follows an error.
//!
//! Scripts compare these numbers, so a number never changes its meaning. docs/cli.md lists them.

use std::error::Error;

use crate::{
    client::{ClientError, ClientErrorKind},
    config::ConfigError,
};

/// Why the process ends with another code than 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// The server refused the call, or the work failed.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// No server answers.
    Unreachable = 3,
    /// The server has nothing of this name or id.
    NotFound = 4,
    /// The time was over before the work was done.
    TooLong = 5,
    /// A check found damage.
    Damaged = 6,
    /// The server wants a login, or another one.
    NotAllowed = 7,
    /// The configuration is wrong (`EX_CONFIG` of sysexits.h).
    Configuration = 78,
    /// The user has interrupted the command, as a shell tells it.
    Interrupted = 130,
}

/// A failure that the command itself has found.
#[derive(Debug, thiserror::Error)]
#[error("{text}")]
pub(super) struct CommandFailure {
    pub(super) exit: Exit,
    pub(super) text: String,
}

impl CommandFailure {
    pub(super) fn error(exit: Exit, text: impl Into<String>) -> anyhow::Error {
        Self { exit, text: text.into() }.into()
    }
}

impl Exit {
    /// The code of an error: that of the first cause that has one.
    pub(super) fn of(error: &anyhow::Error) -> Self {
        error.chain().find_map(Self::of_cause).unwrap_or(Self::Failed)
    }

    fn of_cause(cause: &(dyn Error + 'static)) -> Option<Self> {
        if let Some(failure) = cause.downcast_ref::<CommandFailure>() {
            return Some(failure.exit);
        }
        if cause.is::<ConfigError>() {
            return Some(Self::Configuration);
        }
        Some(match cause.downcast_ref::<ClientError>()?.kind() {
            ClientErrorKind::Address => Self::Usage,
            ClientErrorKind::Unreachable => Self::Unreachable,
            ClientErrorKind::NotAllowed => Self::NotAllowed,
            ClientErrorKind::NotFound => Self::NotFound,
            ClientErrorKind::TooLong => Self::TooLong,
            ClientErrorKind::Refused => Self::Failed,
        })
    }

    /// The next step after a failed call to a server; none where the error says it.
    pub(super) fn advice(self) -> Option<&'static str> {
        match self {
            Self::Unreachable => {
                Some("is the server running? `--endpoint HOST:PORT` names another one, `--tls` speaks TLS")
            }
            Self::NotFound => Some(
                "`datacoord status` lists the collections, `datacoord jobs` the jobs; `--database` names another database",
            ),
            Self::NotAllowed => Some(
                "log in with `--user NAME` and `--password-file FILE` or DATACOORD_PASSWORD; orders need the role admin",
            ),
            Self::TooLong => Some("`--timeout TIME` gives it more time"),
            Self::Failed | Self::Usage | Self::Damaged | Self::Configuration | Self::Interrupted => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;
    use rstest::rstest;
    use tonic::Status;

    use super::*;

    fn failed(status: Status) -> ClientError {
        ClientError::Failed { call: "ListSegments", status: Box::new(status) }
    }

    /// A status that was made on this side.
    fn cut_off(code: tonic::Code) -> Status {
        let mut status = Status::new(code, "h2 protocol error");
        status.set_source(std::sync::Arc::new(std::io::Error::other("connection error")));
        status
    }

    fn refused(code: i32) -> ClientError {
        ClientError::Refused { call: "ShowPartitions", code, reason: String::new() }
    }

    #[rstest]
    #[case(failed(Status::not_found("x")), 4)]
    #[case(failed(Status::unauthenticated("x")), 7)]
    #[case(failed(Status::permission_denied("x")), 7)]
    #[case(failed(Status::deadline_exceeded("x")), 5)]
    #[case(failed(Status::cancelled("Timeout expired")), 5)]
    #[case(failed(Status::unavailable("the bucket is away")), 1)]
    #[case(failed(Status::from_error(Box::new(std::io::Error::other("broken pipe")))), 3)]
    #[case::of_a_port_with_tls_only(failed(cut_off(tonic::Code::PermissionDenied)), 3)]
    #[case(failed(Status::invalid_argument("x")), 1)]
    #[case(refused(100), 4)]
    #[case(refused(200), 4)]
    #[case(refused(800), 4)]
    #[case(refused(65535), 1)]
    fn codes_of_calls(#[case] error: ClientError, #[case] code: u8) {
        let error = Err::<(), _>(error).context("the first of two calls").unwrap_err();
        assert_eq!(Exit::of(&error) as u8, code, "{error:#}");
    }

    #[test]
    fn the_page_lists_every_code() {
        use Exit as E;
        let codes = [E::Failed, E::Usage, E::Unreachable, E::NotFound, E::TooLong, E::Damaged, E::NotAllowed];
        let all = codes.into_iter().chain([E::Configuration, E::Interrupted]).map(|exit| exit as u8);
        let cell = |line: &str| line.strip_prefix("| ")?.split(' ').next()?.parse::<u8>().ok();
        let listed: Vec<u8> = include_str!("../../docs/cli.md").lines().filter_map(cell).collect();
        assert_eq!(listed, [0].into_iter().chain(all).collect::<Vec<_>>());
    }

    #[test]
    fn codes_of_the_command_itself() {
        assert_eq!(Exit::of(&CommandFailure::error(Exit::Damaged, "x")) as u8, 6);
        assert_eq!(Exit::of(&ConfigError::Contradiction("x".to_owned()).into()) as u8, 78);
        assert_eq!(Exit::of(&anyhow::anyhow!("x")) as u8, 1);
    }
}
