//! Compacts a collection through `datacoord.v1`, our typed API, and follows the job to its end.
//!
//! ```sh
//! make demo                                                  # a server with the collection demo_books
//! cargo run --example compact -- 127.0.0.1:19530 demo_books
//! ```
//!
//! The messages come from this crate. A program of your own generates them from `proto/datacoord/v1/datacoord.proto`.

use std::{env, error::Error};

use datacoord::wire::proto::datacoord::{
    CollectionRef, JobState, ListSegmentsRequest, ManualCompactionRequest, PlanCompactionRequest, PlanPhase,
    WatchCompactionRequest, data_coord_client::DataCoordClient, plan_compaction_request::Trigger,
};
use tonic::transport::Endpoint;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (Some(endpoint), Some(name)) = (arguments.next(), arguments.next()) else {
        return Err("usage: compact HOST:PORT COLLECTION".into());
    };
    let channel = Endpoint::from_shared(format!("http://{endpoint}"))?.connect().await?;
    let mut client = DataCoordClient::new(channel);
    let collection = CollectionRef { collection_name: name, ..Default::default() };

    // The plans that a request would make. Nothing is changed.
    let request = ManualCompactionRequest { collection: Some(collection.clone()), ..Default::default() };
    let trigger = Some(Trigger::Manual(request.clone()));
    let dry_run = PlanCompactionRequest { trigger, ..Default::default() };
    let draft = client.plan_compaction(dry_run).await?.into_inner();
    for plan in &draft.plans {
        println!("would compact {} segments, {} rows: {}", plan.sources.len(), plan.input_rows, plan.reason);
    }

    let started = client.manual_compaction(request).await?.into_inner();
    if started.plans == 0 {
        println!("job {}: nothing to do: {}", started.job_id, started.reason);
    }

    // The last event has the job instead of a plan.
    let watch = WatchCompactionRequest { job_id: started.job_id, ..Default::default() };
    let mut events = client.watch_compaction(watch).await?.into_inner();
    while let Some(event) = events.message().await? {
        let phase = PlanPhase::try_from(event.phase).unwrap_or_default();
        if let Some(plan) = event.plan {
            let progress = plan.progress.unwrap_or_default();
            println!(
                "plan {}: {}, {} of {} rows",
                plan.plan_id,
                phase.as_str_name(),
                progress.done_rows,
                progress.total_rows
            );
        }
        if let Some(job) = event.job {
            println!("job {}: {}", job.job_id, job.state().as_str_name());
            if job.state() != JobState::Completed {
                return Err(format!("job {} did not complete: {}", job.job_id, job.reason).into());
            }
        }
    }

    let list = ListSegmentsRequest { collection: Some(collection), include_dropped: false, ..Default::default() };
    for segment in client.list_segments(list).await?.into_inner().segments {
        let (id, state, rows) = (segment.segment_id, segment.state, segment.rows);
        println!("segment {id}: {state}, {rows} rows. {}", segment.why_not_planned);
    }
    Ok(())
}
