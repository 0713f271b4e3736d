//! `watch`: plans while they run.

use futures::StreamExt as _;

use super::{
    outcome::check,
    session::{Session, given},
};
use crate::{
    cli::{
        args::WatchFlags,
        exit::{CommandFailure, Exit},
        output::{self, OutputForm},
        progress::{Board, Screen},
    },
    wire::proto::datacoord::{GetCompactionRequest, WatchCompactionRequest},
};

/// Most events that are taken before the screen is drawn again.
const BATCH: usize = 256;

pub(in crate::cli) async fn watch(session: Session, flags: WatchFlags) -> anyhow::Result<()> {
    let request = WatchCompactionRequest {
        job_id: flags.job.unwrap_or_default(),
        interval_ms: flags.interval.unwrap_or_default(),
    };
    match session.output {
        OutputForm::Json => print_events(&session, request).await?,
        OutputForm::People => {
            let screen = Screen::whole(format!("datacoord at {}", session.endpoint));
            follow(&session, request, screen).await?;
        }
    }
    // A watch of everything has no good end, so this was one of a job.
    let ended = session.client.get_compaction(GetCompactionRequest { job_id: request.job_id }).await?;
    check(&given(ended.job, "job")?, &ended.plans)
}

/// Shows plans until the job that is watched has ended.
///
/// # Errors
/// Those of the calls, and the end of the watch before that of a job.
pub(super) async fn follow(
    session: &Session,
    request: WatchCompactionRequest,
    mut screen: Screen,
) -> anyhow::Result<()> {
    let mut batches = session.client.watch_compaction(request).await?.ready_chunks(BATCH);
    let mut board = Board::default();
    let mut has_ended = false;
    screen.show(&board, &[])?;
    while let Some(events) = batches.next().await {
        let mut news = Vec::new();
        for event in events {
            let event = event?;
            has_ended |= event.job.is_some();
            news.extend(board.take(&event));
        }
        screen.show(&board, &news)?;
    }
    if has_ended { Ok(()) } else { Err(stopped()) }
}

/// Prints the events themselves, one in a line.
async fn print_events(session: &Session, request: WatchCompactionRequest) -> anyhow::Result<()> {
    let mut events = session.client.watch_compaction(request).await?;
    let mut has_ended = false;
    while let Some(event) = events.next().await {
        let event = event?;
        output::line(&event)?;
        has_ended |= event.job.is_some();
    }
    if has_ended { Ok(()) } else { Err(stopped()) }
}

fn stopped() -> anyhow::Error {
    CommandFailure::error(Exit::Unreachable, "the server has ended the watch, because it stops")
}
