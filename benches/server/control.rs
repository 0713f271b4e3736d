//! How soon a running merge follows a new throttle, a cancellation, a resumption. Only datacoord has these calls.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use datacoord::wire::proto::datacoord::{data_coord_client::DataCoordClient, *};
use tonic::transport::Channel;

use crate::{
    MIB, Options,
    api::{Server, channel},
    shape::Shape,
};

const NAME: &str = "bench_control";
/// A new throttle has to hold after this long,
const SETTLING: Duration = Duration::from_secs(2);
/// and is averaged over so much time from then on.
const WINDOW: Duration = Duration::from_secs(5);
/// How often an event is looked for.
const LOOK: Duration = Duration::from_millis(1);
const CANCELLATIONS: usize = 10;

struct Control {
    client: DataCoordClient<Channel>,
    pid: u32,
}

impl Control {
    async fn throttle(&self, mb_per_second: Option<f64>) -> Result<()> {
        self.client.clone().set_throttle(SetThrottleRequest { mb_per_second }).await?;
        Ok(())
    }

    /// Bytes that the process has read and written, in all files and sockets.
    fn moved(&self) -> Result<u64> {
        let text = std::fs::read_to_string(format!("/proc/{}/io", self.pid)).context("the server's /proc/…/io")?;
        let value = |key: &str| text.lines().find_map(|line| line.strip_prefix(key)?.trim().parse::<u64>().ok());
        Ok(value("rchar:").context("rchar")? + value("wchar:").context("wchar")?)
    }

    async fn plan(&self, job_id: i64) -> Result<Plan> {
        let job = self.client.clone().get_compaction(GetCompactionRequest { job_id }).await?.into_inner();
        job.plans.into_iter().next().context("the job has no plan")
    }

    /// Waits until its plan has read rows.
    async fn running(&self, job: i64) -> Result<()> {
        loop {
            let plan = self.plan(job).await?;
            ensure!(plan.ended_at_ms == 0, "the plan has ended: {:?}", plan.state());
            if plan.progress.is_some_and(|progress| progress.done_rows > 0) {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Objects of dropped segments, and objects of no segment.
    async fn unnamed_files(&self) -> Result<i64> {
        let request = CollectGarbageRequest { dry_run: true, max_items: 1 };
        let garbage = self.client.clone().collect_garbage(request).await?.into_inner();
        Ok([garbage.collected, garbage.pinned].into_iter().flatten().filter_map(|sum| sum.files).sum())
    }
}

/// Reports for each throttle how far the average is from it, in percent, and how long the rest takes in milliseconds.
pub async fn control(server: &Server, options: &Options) -> Result<()> {
    let pid = options.pid.context("--case control needs --pid")?;
    let control = Control { client: DataCoordClient::new(channel(&server.endpoint).await?), pid };
    let shape = Shape::of_bytes(512 * MIB, 4);
    throttle(&control, server, options, "copying_throttle", &Shape { deleted: 0, ..shape.clone() }).await?;
    server.drop(NAME).await?;
    throttle(&control, server, options, "throttle", &shape).await?;

    let (mut answered, mut reaped, mut begun) = (Vec::new(), Vec::new(), Vec::new());
    let files = control.unnamed_files().await?;
    for _ in 0..CANCELLATIONS {
        let everything = Some(PauseScope { scope: Some(pause_scope::Scope::Everything(true)) });
        let pause = PauseCompactionRequest { scope: everything.clone(), by: String::new() };
        control.client.clone().pause_compaction(pause).await?;
        let job = server.start_compaction(NAME).await?;
        ensure!(control.plan(job).await?.state() == PlanState::Queued, "a plan began during a pause");
        let resumed = Instant::now();
        control.client.clone().resume_compaction(ResumeCompactionRequest { scope: everything }).await?;
        while control.plan(job).await?.state() == PlanState::Queued {
            tokio::time::sleep(LOOK).await;
        }
        begun.push(resumed.elapsed());
        control.running(job).await?;
        let cancelled = Instant::now();
        cancel(&control, job).await?;
        answered.push(cancelled.elapsed());
        while control.unnamed_files().await? > files {
            tokio::time::sleep(LOOK).await;
        }
        reaped.push(cancelled.elapsed());
    }
    for (figure, times) in [("resume_to_executing", begun), ("cancel", answered), ("cancel_to_outputs_gone", reaped)] {
        let longest = times.into_iter().max().unwrap_or_default();
        options.report(&format!("control_{figure}_longest"), longest.as_secs_f64() * 1000.0, "ms");
    }
    server.drop(NAME).await
}

/// Changes the throttle while a merge of this shape runs, which is cancelled then; its segments stay.
async fn throttle(control: &Control, server: &Server, options: &Options, figure: &str, shape: &Shape) -> Result<()> {
    server.fill(NAME, shape).await?;

    control.throttle(Some(30.0)).await?;
    let job = server.start_compaction(NAME).await?;
    control.running(job).await?;
    for mb_per_second in [20.0, 10.0, 40.0] {
        control.throttle(Some(mb_per_second)).await?;
        tokio::time::sleep(SETTLING).await;
        let (begun, before) = (Instant::now(), control.moved()?);
        tokio::time::sleep(WINDOW).await;
        let rate = (control.moved()? - before) as f64 / MIB as f64 / begun.elapsed().as_secs_f64();
        let off = (rate / mb_per_second - 1.0) * 100.0;
        options.report(&format!("control_{figure}_{mb_per_second}_MB/s_off_by"), off, "%");
    }
    let plan = control.plan(job).await?;
    ensure!(plan.ended_at_ms == 0, "the merge ended while it was measured");
    cancel(control, job).await?;
    control.throttle(None).await
}

/// Returns when the plan has ended.
async fn cancel(control: &Control, job: i64) -> Result<()> {
    let target = Some(cancel_compaction_request::Target::JobId(job));
    let request = CancelCompactionRequest { target, by: "the benchmark".to_owned() };
    let answer = control.client.clone().cancel_compaction(request).await?.into_inner();
    ensure!(answer.cancelled.len() == 1, "not cancelled: {answer:?}");
    ensure!(control.plan(job).await?.state() == PlanState::Cancelled, "cancelled, and yet not");
    Ok(())
}
