//! The life of a plan as one total function: every state with every event is either the next state or refused.
//!
//! Pure. The scheduler and the coordinator raise the events; only the coordinator's commits apply them, and no other code
//! sets a state.

use crate::{
    error::{Classify, ErrorKind},
    model::{FailureKind, PlanState, SegmentId},
};

/// An event in the life of a plan. Times are milliseconds since 1970.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A slot took it.
    Begin { at_ms: u64 },
    /// Its outcome was committed.
    Commit { targets: Vec<SegmentId>, rows_out: u64, bytes_out: u64, at_ms: u64 },
    /// An attempt failed, died or hung and will be repeated.
    Retry { not_before_ms: u64 },
    /// It failed for good: while executing, or because its inputs were gone when it was to be dispatched.
    Fail { kind: FailureKind, message: String, at_ms: u64 },
    /// No progress for too long, and no attempt left.
    TimeOut { message: String, at_ms: u64 },
    /// A caller asked for its end.
    Cancel { by: String, at_ms: u64 },
    /// The process starts again: nothing executes any more.
    Restart,
}

impl Event {
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Begin { .. } => "begin",
            Self::Commit { .. } => "commit",
            Self::Retry { .. } => "retry",
            Self::Fail { .. } => "fail",
            Self::TimeOut { .. } => "time out",
            Self::Cancel { .. } => "cancel",
            Self::Restart => "restart",
        }
    }
}

/// The event can't happen in this state: it came too late.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a plan that is {state} can't {event}")]
pub struct IllegalTransition {
    pub state: &'static str,
    pub event: &'static str,
}

impl Classify for IllegalTransition {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Precondition
    }
}

/// The state after `event`.
///
/// # Errors
/// A plan that has ended stays as it is; one in the queue can't commit, be retried or time out; one that executes can't
/// begin again.
pub fn transition(state: &PlanState, event: Event) -> Result<PlanState, IllegalTransition> {
    use PlanState::{Executing, Queued};
    let refused = IllegalTransition { state: state.as_str(), event: event.as_str() };
    Ok(match (state, event) {
        (Queued { .. }, Event::Begin { at_ms }) => Executing { started_at_ms: at_ms },
        (Executing { .. }, Event::Commit { targets, rows_out, bytes_out, at_ms }) => {
            PlanState::Completed { targets, rows_out, bytes_out, ended_at_ms: at_ms }
        }
        (Executing { .. }, Event::Retry { not_before_ms }) => Queued { not_before_ms },
        (Executing { .. }, Event::TimeOut { message, at_ms }) => PlanState::TimedOut { message, ended_at_ms: at_ms },
        (Queued { .. } | Executing { .. }, Event::Fail { kind, message, at_ms }) => {
            PlanState::Failed { kind, message, ended_at_ms: at_ms }
        }
        (Queued { .. } | Executing { .. }, Event::Cancel { by, at_ms }) => {
            PlanState::Cancelled { by, ended_at_ms: at_ms }
        }
        // A pause between attempts outlasts the restart; an execution that was cut off begins at once.
        (Queued { not_before_ms }, Event::Restart) => Queued { not_before_ms: *not_before_ms },
        (Executing { .. }, Event::Restart) => Queued { not_before_ms: 0 },
        (Queued { .. }, Event::Commit { .. } | Event::Retry { .. } | Event::TimeOut { .. })
        | (Executing { .. }, Event::Begin { .. })
        | (
            PlanState::Completed { .. }
            | PlanState::Failed { .. }
            | PlanState::TimedOut { .. }
            | PlanState::Cancelled { .. },
            _,
        ) => return Err(refused),
    })
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn states() -> Vec<PlanState> {
        let (message, ended_at_ms) = (String::new(), 9);
        vec![
            PlanState::Queued { not_before_ms: 5 },
            PlanState::Executing { started_at_ms: 6 },
            PlanState::Completed { targets: vec![], rows_out: 0, bytes_out: 0, ended_at_ms },
            PlanState::Failed { kind: FailureKind::Corrupt, message: message.clone(), ended_at_ms },
            PlanState::TimedOut { message: message.clone(), ended_at_ms },
            PlanState::Cancelled { by: message, ended_at_ms },
        ]
    }

    fn events() -> Vec<Event> {
        let (message, at_ms) = ("m".to_owned(), 7);
        vec![
            Event::Begin { at_ms },
            Event::Commit { targets: vec![SegmentId(1)], rows_out: 2, bytes_out: 3, at_ms },
            Event::Retry { not_before_ms: 8 },
            Event::Fail { kind: FailureKind::Internal, message: message.clone(), at_ms },
            Event::TimeOut { message: message.clone(), at_ms },
            Event::Cancel { by: message, at_ms },
            Event::Restart,
        ]
    }

    #[test]
    fn every_state_with_every_event() {
        let mut matrix = String::new();
        for state in states() {
            for event in events() {
                let name = event.as_str();
                let next = transition(&state, event);
                let next = next.as_ref().map_or("-", PlanState::as_str);
                writeln!(matrix, "{:<10} {name:<9} {next}", state.as_str()).unwrap();
            }
        }
        insta::assert_snapshot!(matrix, @r"
        queued     begin     executing
        queued     commit    -
        queued     retry     -
        queued     fail      failed
        queued     time out  -
        queued     cancel    cancelled
        queued     restart   queued
        executing  begin     -
        executing  commit    completed
        executing  retry     queued
        executing  fail      failed
        executing  time out  timeout
        executing  cancel    cancelled
        executing  restart   queued
        completed  begin     -
        completed  commit    -
        completed  retry     -
        completed  fail      -
        completed  time out  -
        completed  cancel    -
        completed  restart   -
        failed     begin     -
        failed     commit    -
        failed     retry     -
        failed     fail      -
        failed     time out  -
        failed     cancel    -
        failed     restart   -
        timeout    begin     -
        timeout    commit    -
        timeout    retry     -
        timeout    fail      -
        timeout    time out  -
        timeout    cancel    -
        timeout    restart   -
        cancelled  begin     -
        cancelled  commit    -
        cancelled  retry     -
        cancelled  fail      -
        cancelled  time out  -
        cancelled  cancel    -
        cancelled  restart   -
        ");
    }

    #[test]
    fn a_state_keeps_the_data_of_its_event() {
        let [queued, executing, ..] = &states()[..] else { unreachable!() };
        let next = |state, event: usize| transition(state, events().remove(event)).unwrap();
        assert_eq!(next(queued, 0), PlanState::Executing { started_at_ms: 7 });
        let completed = PlanState::Completed { targets: vec![SegmentId(1)], rows_out: 2, bytes_out: 3, ended_at_ms: 7 };
        assert_eq!(next(executing, 1), completed);
        assert_eq!(next(executing, 2), PlanState::Queued { not_before_ms: 8 });
        let failed = PlanState::Failed { kind: FailureKind::Internal, message: "m".into(), ended_at_ms: 7 };
        assert_eq!(next(executing, 3), failed);
        assert_eq!(next(executing, 4), PlanState::TimedOut { message: "m".into(), ended_at_ms: 7 });
        assert_eq!(next(queued, 5), PlanState::Cancelled { by: "m".into(), ended_at_ms: 7 });
        assert_eq!(next(queued, 6), PlanState::Queued { not_before_ms: 5 });
        assert_eq!(next(executing, 6), PlanState::Queued { not_before_ms: 0 });
    }

    #[test]
    fn a_refusal_names_both() {
        let error = transition(&states()[2], Event::Cancel { by: "me".into(), at_ms: 1 }).unwrap_err();
        assert_eq!(error.to_string(), "a plan that is completed can't cancel");
    }
}
