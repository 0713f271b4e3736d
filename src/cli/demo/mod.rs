//! `datacoord demo`: makes a collection of many small, partly deleted segments through the public API, compacts it,
//! and checks that exactly the right rows are left.
//!
//! Uses nothing but gRPC calls that every client has, plus the typed API for listings. It never touches a collection
//! that it has not made itself, and it must be right also while the server compacts by itself.

mod books;
mod client;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail, ensure};

use self::{books::Books, client::Client};
use super::{args::DemoFlags, table};
use crate::{
    server::ready::Addresses,
    wire::proto::datacoord::{Plan, PlanState, Segment},
};

const COLLECTION: &str = "demo_books";
/// Marks the collection as ours: another one of the same name is left alone.
const DESCRIPTION: &str = "made by datacoord demo, may be dropped";
/// Each compaction may find what the one before it made possible, or what automatic compaction left.
const MAX_ROUNDS: usize = 10;
/// Keys asked for at once when checking, below the server's limit of rows of one answer.
const CHECK_ROWS: i64 = 10_000;
/// So that a line of segment ids fits a terminal.
const IDS_PER_LINE: usize = 4;

/// Runs all steps; an error says which check did not hold.
pub(super) async fn run(flags: DemoFlags, found: Addresses) -> anyhow::Result<()> {
    let began = Instant::now();
    let (grpc, http) = (flags.endpoint.unwrap_or(found.grpc), flags.http.unwrap_or(found.http));
    let mut client = Client::connect(&grpc).await?;
    println!("datacoord {} at {grpc}", client.version().await?);

    step("1", &format!("Collection {COLLECTION}: id, title, 8-d vector; one shard, automatic compaction off"));
    client.recreate(COLLECTION, DESCRIPTION, &books::schema(COLLECTION, DESCRIPTION)).await?;

    let (flushes, rows) = (u32::from(flags.flushes), flags.rows);
    step("2", &format!("{flushes} small flushes of {rows} rows, deletes and upserts in between"));
    let written = write(&mut client, flushes, rows).await?;
    println!(
        "  {} rows written, {} keys deleted, {} upserted, {} rows must be left",
        written.inserted,
        written.deleted,
        written.upserted,
        written.live.len()
    );
    let before = live(client.segments(COLLECTION).await?);
    print!("\n{}", segments_table(&before));

    step("3", "ManualCompaction, as any Milvus client would ask for it");
    let after = compact(&mut client, &before, flushes as usize).await?;
    print!("{}", segments_table(&after));
    println!("{}", difference(&before, &after));

    step("4", "Every surviving row, by query");
    check(&mut client, &written).await?;

    println!("\nDone in {:.1} s. Next:", began.elapsed().as_secs_f64());
    println!("{}", next_commands(&grpc, &http));
    Ok(())
}

fn step(number: &str, what: &str) {
    println!("\n{number}. {what}");
}

/// Inserts, deletes and upserts in such an order that a lost or a revived row shows.
async fn write(client: &mut Client, flushes: u32, rows: u32) -> anyhow::Result<Books> {
    let mut books = Books::default();
    for flush in 0..flushes {
        let first = i64::from(flush) * i64::from(rows);
        let keys: Vec<i64> = (first..first + i64::from(rows)).collect();
        client.insert(COLLECTION, books.insert(&keys)).await?;
        if flush > 0 {
            // Of the flush before: its segment is fixed already, so these become delta logs.
            let previous = first - i64::from(rows);
            let deleted: Vec<i64> = (previous..first).filter(|key| key % 5 == 0).collect();
            client.delete(COLLECTION, &deleted).await?;
            books.delete(&deleted);
            // Deleted and written again: the new row must stay.
            let again: Vec<i64> = deleted.iter().copied().filter(|key| key % 50 == 0).collect();
            client.upsert(COLLECTION, books.upsert(&again)).await?;
        }
        client.flush(COLLECTION).await.with_context(|| format!("flush {}", flush + 1))?;
    }
    Ok(books)
}

/// Asks for compactions until one finds nothing to do, prints their plans, and returns the live segments.
async fn compact(client: &mut Client, before: &[Segment], flushes: usize) -> anyhow::Result<Vec<Segment>> {
    for round in 1..=MAX_ROUNDS {
        let began = Instant::now();
        let job = client.compact(COLLECTION).await?;
        let counts = client.wait_compacted(job).await?;
        let plans = client.plans(job).await?;
        let seconds = began.elapsed().as_secs_f64();
        if plans.is_empty() {
            println!("  compaction {job}: Completed, there was nothing left to do");
        } else {
            println!(
                "  compaction {job}: Completed in {seconds:.2} s; plans completed {}, failed {}, timed out {}",
                counts.completed_plan_no, counts.failed_plan_no, counts.timeout_plan_no
            );
        }
        for plan in &plans {
            println!("{}", plan_lines(plan));
        }
        // Outdated is how a plan ends when something else was faster; the next round plans again.
        let broken = |plan: &&Plan| plan.state() != PlanState::Completed && plan.failure_kind != "outdated";
        if let Some(failed) = plans.iter().find(broken) {
            bail!("plan {} is {}: {}", failed.plan_id, failed.state().as_str_name(), failed.failure_reason);
        }
        if !plans.is_empty() {
            continue;
        }
        let after = live(client.segments(COLLECTION).await?);
        // Nothing to do may also mean that automatic compaction has the segments just now.
        if after.len() < flushes && after.len() <= before.len() {
            println!();
            return Ok(after);
        }
        ensure!(round < MAX_ROUNDS, "{} segments are left of {} flushes", after.len(), flushes);
        client::pause(Duration::from_millis(500)).await;
    }
    bail!("there was still something to compact after {MAX_ROUNDS} compactions")
}

/// Compares `count(*)`, all keys and some whole rows with what was written.
async fn check(client: &mut Client, books: &Books) -> anyhow::Result<()> {
    let count = client.count(COLLECTION).await?;
    let expected = books.live.len() as i64;
    ensure!(count == expected, "count(*) is {count}, must be {expected}");

    let mut found = BTreeSet::new();
    let mut from = 0;
    while from < books.inserted as i64 {
        let keys = client.keys(COLLECTION, from, from + CHECK_ROWS).await?;
        let (asked, answered) = (keys.len(), found.len());
        found.extend(keys);
        ensure!(found.len() == answered + asked, "a key came twice in {from}..{}", from + CHECK_ROWS);
        from += CHECK_ROWS;
    }
    compare_keys(books, &found)?;

    let sample: Vec<i64> = books.live.keys().copied().step_by(books.live.len().div_ceil(200).max(1)).collect();
    let rows = client.rows(COLLECTION, &sample).await?;
    ensure!(rows.len() == sample.len(), "{} rows came for {} keys", rows.len(), sample.len());
    for row in &rows {
        let edition = books.live.get(&row.id).copied().unwrap_or_default();
        let wanted = books::row(row.id, edition);
        ensure!(*row == wanted, "row {} is {row:?}, must be {wanted:?}", row.id);
    }
    println!("  ok: count(*) {count}, {} keys exactly as expected, {} whole rows compared", found.len(), rows.len());
    Ok(())
}

/// Fails if a key is missing, or one is there that must not be.
fn compare_keys(books: &Books, found: &BTreeSet<i64>) -> anyhow::Result<()> {
    let wanted: BTreeSet<i64> = books.live.keys().copied().collect();
    if let Some(first) = wanted.difference(found).next() {
        bail!("{} keys are lost, the first is {first}", wanted.difference(found).count());
    }
    if let Some(first) = found.difference(&wanted).next() {
        bail!("{} deleted keys are back, the first is {first}", found.difference(&wanted).count());
    }
    Ok(())
}

/// Segments that a reader sees, ascending by id.
fn live(segments: Vec<Segment>) -> Vec<Segment> {
    let mut live: Vec<Segment> = segments.into_iter().filter(|segment| segment.state != "Dropped").collect();
    live.sort_by_key(|segment| segment.segment_id);
    live
}

fn segments_table(segments: &[Segment]) -> String {
    const SHOWN: usize = 20;
    let mut rows: Vec<Vec<String>> = segments
        .iter()
        .take(SHOWN)
        .map(|segment| {
            vec![
                segment.segment_id.to_string(),
                segment.state.clone(),
                segment.rows.to_string(),
                table::bytes(segment.bytes),
                segment.delta_rows.to_string(),
                match segment.compaction_from.len() {
                    0 => "flush".to_owned(),
                    sources => format!("{sources} segments"),
                },
            ]
        })
        .collect();
    if segments.len() > SHOWN {
        rows.push(vec![format!("and {} more", segments.len() - SHOWN)]);
    }
    let totals = totals(segments);
    rows.push(vec![
        format!("total {}", segments.len()),
        String::new(),
        totals.rows.to_string(),
        table::bytes(totals.bytes),
        totals.delta_rows.to_string(),
    ]);
    table::table(&["segment", "state", "rows", "bytes", "delta rows", "made from"], &rows)
}

#[derive(Default)]
struct Totals {
    rows: i64,
    bytes: i64,
    delta_rows: i64,
}

fn totals(segments: &[Segment]) -> Totals {
    segments.iter().fold(Totals::default(), |sum, segment| Totals {
        rows: sum.rows + segment.rows,
        bytes: sum.bytes + segment.bytes,
        delta_rows: sum.delta_rows + segment.delta_rows,
    })
}

fn difference(before: &[Segment], after: &[Segment]) -> String {
    let (was, is) = (totals(before), totals(after));
    format!(
        "  segments {} -> {}, rows stored {} -> {}, bytes {} -> {}, delta rows {} -> {}",
        before.len(),
        after.len(),
        was.rows,
        is.rows,
        table::bytes(was.bytes),
        table::bytes(is.bytes),
        was.delta_rows,
        is.delta_rows
    )
}

fn plan_lines(plan: &Plan) -> String {
    let ids = |ids: &[i64]| {
        let lines = ids.chunks(IDS_PER_LINE).map(|line| line.iter().map(i64::to_string).collect::<Vec<_>>().join(", "));
        lines.collect::<Vec<_>>().join(",\n               ")
    };
    let targets = if plan.targets.is_empty() { "nothing".to_owned() } else { ids(&plan.targets) };
    format!(
        "    plan {} ({})\n      why:     {}\n      sources: {}\n      target:  {targets}",
        plan.plan_id,
        plan.kind,
        plan.reason,
        ids(&plan.sources)
    )
}

fn next_commands(grpc: &str, http: &str) -> String {
    format!(
        "  grpcurl -plaintext -d '{{\"collection\":{{\"collection_name\":\"{COLLECTION}\"}}}}' {grpc} \
         datacoord.v1.DataCoord/ListSegments\n  \
         grpcurl -plaintext {grpc} list\n  \
         curl -X POST 'http://{http}/api/v1/compaction?collection_name={COLLECTION}'\n  \
         curl http://{http}/metrics"
    )
}

#[cfg(test)]
mod tests;
