//! `datacoord demo`: makes a collection of many small, partly deleted segments through the public API, compacts it,
//! and checks that exactly the right rows are left. The same searches before and after it show its effect.
//!
//! Uses the calls of stock clients, and the typed API for listings alone. Must never touch a collection that an earlier
//! demo has not made, and must be right while the server compacts by itself too.

mod books;
mod searches;

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, bail, ensure};
use tokio::time::Instant;

use self::{
    books::{Book, Books},
    searches::Searches,
};
use super::{
    args::{DemoFlags, PlaceFlags, ReachFlags, flag_words},
    show,
};
use crate::{
    client::{Access, Client},
    model::properties::AUTO_COMPACTION,
    server::ready::Addresses,
    wire::proto::{
        datacoord::{CollectionRef, GetCompactionRequest, ListSegmentsRequest, Plan, PlanState, Segment},
        schema::CollectionSchema,
    },
};

const COLLECTION: &str = "demo_books";
/// Marks the collection as made by a demo: another one of the same name is left alone.
const DESCRIPTION: &str = "made by datacoord demo, may be dropped";
/// A compaction may make another one possible, and automatic compaction may hold some of the segments.
const MAX_ROUNDS: usize = 10;
/// Keys asked for at once when checking, below the server's limit of rows of one answer.
const CHECK_ROWS: i64 = 10_000;
/// Pause before a compaction is asked for again because automatic compaction had the segments.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Runs all steps; an error says which check did not hold.
pub(super) async fn run(place: &PlaceFlags, flags: DemoFlags, found: Addresses, access: Access) -> anyhow::Result<()> {
    let began = Instant::now();
    let grpc_tls = access.tls.is_some();
    let grpc = flags.endpoint.as_ref().unwrap_or(&found.grpc).clone();
    let client = Client::connect(&grpc, access).await?;
    println!("datacoord {} at {grpc}", client.version().await?);

    step(
        "1",
        &format!("Collection {COLLECTION}: id, title, 8-d vector with HNSW; one shard, automatic compaction off"),
    );
    recreate(&client, &books::schema(COLLECTION, DESCRIPTION)).await?;

    let (flushes, rows) = (u32::from(flags.flushes), flags.rows);
    step("2", &format!("{flushes} small flushes of {rows} rows, deletes and upserts in between"));
    let written = write(&client, flushes, rows).await?;
    println!(
        "  {} rows written, {} keys deleted, {} upserted, {} rows must be left",
        written.inserted,
        written.deleted,
        written.upserted,
        written.live.len()
    );
    let before = live(listed(&client).await?);
    print!("\n{}", show::segments_table(&before));
    let searches = Searches::of(&written);
    println!("  {}", searches.run(&client, COLLECTION, &written, before.len()).await?);

    step("3", "ManualCompaction, as any Milvus client would ask for it");
    let after = compact(&client, &before, flushes as usize).await?;
    print!("{}", show::segments_table(&after));
    println!("{}", show::difference(&before, &after));
    client.wait_indexed(COLLECTION).await?;
    println!("  {}", searches.run(&client, COLLECTION, &written, after.len()).await?);

    step("4", "Every surviving row, by query");
    check(&client, &written).await?;

    println!("\nDone in {:.1} s. Next:", began.elapsed().as_secs_f64());
    let next = Next {
        program: std::env::args().next().unwrap_or_else(|| "datacoord".to_owned()),
        server: place.words() + &flag_words("endpoint", flags.endpoint.as_ref()) + &flags.reach.words(),
        http_tls: if flags.http.is_some() { grpc_tls } else { found.http_tls },
        http: flags.http.as_deref().unwrap_or(&found.http),
        reach: &flags.reach,
    };
    println!("{}", next.commands());
    Ok(())
}

fn step(number: &str, title: &str) {
    println!("\n{number}. {title}");
}

/// Creates the collection. Drops one that an earlier demo made, and refuses to touch any other of the name.
async fn recreate(client: &Client, schema: &CollectionSchema) -> anyhow::Result<()> {
    if let Some(existing) = client.schema(COLLECTION).await? {
        if existing.description != DESCRIPTION {
            bail!("a collection {COLLECTION} exists that this demo has not made: rename or drop it first");
        }
        client.drop_collection(COLLECTION).await?;
    }
    client.create_collection(schema, &[(AUTO_COMPACTION, "false")]).await?;
    client.create_index(COLLECTION, books::VECTOR).await?;
    Ok(client.load(COLLECTION).await?)
}

/// Inserts, deletes and upserts in such an order that a lost or a revived row shows.
async fn write(client: &Client, flushes: u32, rows: u32) -> anyhow::Result<Books> {
    let mut books = Books::default();
    for flush in 0..flushes {
        let first = i64::from(flush) * i64::from(rows);
        let keys: Vec<i64> = (first..first + i64::from(rows)).collect();
        client.insert(COLLECTION, keys.len(), books::columns(books.insert(&keys))).await?;
        if flush > 0 {
            // Keys of the flush before: its segment is fixed already, so these deletes become delta logs.
            let previous = first - i64::from(rows);
            let deleted: Vec<i64> = (previous..first).filter(|key| key % 5 == 0).collect();
            client.delete(COLLECTION, one_of(&deleted)).await?;
            books.delete(&deleted);
            // Deleted and written again: the new row must stay.
            let again: Vec<i64> = deleted.iter().copied().filter(|key| key % 50 == 0).collect();
            if !again.is_empty() {
                client.upsert(COLLECTION, again.len(), books::columns(books.upsert(&again))).await?;
            }
        }
        client.flush(COLLECTION).await.with_context(|| format!("flush {}", flush + 1))?;
    }
    Ok(books)
}

/// Asks for compactions until one finds nothing to do, prints their plans, and returns the live segments.
async fn compact(client: &Client, before: &[Segment], flushes: usize) -> anyhow::Result<Vec<Segment>> {
    for round in 1..=MAX_ROUNDS {
        let began = Instant::now();
        let job = client.compact(COLLECTION).await?;
        let counts = client.wait_compacted(job).await?;
        let plans = client.get_compaction(GetCompactionRequest { job_id: job }).await?.plans;
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
            println!("{}", show::plan_lines(plan));
        }
        // A plan ends as outdated when automatic compaction was faster; the next round plans again.
        let broken = |plan: &&Plan| plan.state() != PlanState::Completed && plan.failure_kind != "outdated";
        if let Some(failed) = plans.iter().find(broken) {
            bail!("plan {} is {}: {}", failed.plan_id, failed.state().as_str_name(), failed.failure_reason);
        }
        if !plans.is_empty() {
            continue;
        }
        let after = live(listed(client).await?);
        // Nothing to do may also mean that automatic compaction has the segments just now.
        if after.len() < flushes && after.len() <= before.len() {
            println!();
            return Ok(after);
        }
        ensure!(round < MAX_ROUNDS, "{} segments are left of {} flushes", after.len(), flushes);
        #[expect(clippy::disallowed_methods, reason = "a bounded wait; tests move tokio's clock")]
        tokio::time::sleep(RETRY_PAUSE).await;
    }
    bail!("there was still something to compact after {MAX_ROUNDS} compactions")
}

/// Compares `count(*)`, all keys and some whole rows with the rows written.
async fn check(client: &Client, books: &Books) -> anyhow::Result<()> {
    let count = count(client).await?;
    let expected = books.live.len() as i64;
    ensure!(count == expected, "count(*) is {count}, must be {expected}");

    let mut found = BTreeSet::new();
    let mut from = 0;
    while from < books.inserted as i64 {
        let keys = keys(client, from, from + CHECK_ROWS).await?;
        let (asked, answered) = (keys.len(), found.len());
        found.extend(keys);
        ensure!(found.len() == answered + asked, "a key came twice in {from}..{}", from + CHECK_ROWS);
        from += CHECK_ROWS;
    }
    compare_keys(books, &found)?;

    let sample: Vec<i64> = books.live.keys().copied().step_by(books.live.len().div_ceil(200).max(1)).collect();
    let rows = rows(client, &sample).await?;
    ensure!(rows.len() == sample.len(), "{} rows came for {} keys", rows.len(), sample.len());
    for row in &rows {
        let edition = books.live.get(&row.id).copied().unwrap_or_default();
        let wanted = books::row(row.id, edition);
        ensure!(*row == wanted, "row {} is {row:?}, must be {wanted:?}", row.id);
    }
    println!("  ok: count(*) {count}, {} keys exactly as expected, {} whole rows compared", found.len(), rows.len());
    Ok(())
}

async fn count(client: &Client) -> anyhow::Result<i64> {
    let columns = client.query(COLLECTION, String::new(), &["count(*)"]).await?;
    match books::longs(&columns, "count(*)") {
        Some([count]) => Ok(*count),
        other => bail!("count(*) answered {other:?}"),
    }
}

/// Keys from `from` up to, not including, `to`.
async fn keys(client: &Client, from: i64, to: i64) -> anyhow::Result<Vec<i64>> {
    let columns = client.query(COLLECTION, format!("id >= {from} and id < {to}"), &["id"]).await?;
    Ok(books::longs(&columns, "id").context("the answer has no column id")?.to_vec())
}

async fn rows(client: &Client, keys: &[i64]) -> anyhow::Result<Vec<Book>> {
    let columns = client.query(COLLECTION, one_of(keys), &["id", "title", "vector"]).await?;
    books::from_columns(&columns).context("the answer does not have the columns id, title and vector")
}

/// `id in [1, 2, 3]`
fn one_of(keys: &[i64]) -> String {
    format!("id in [{}]", keys.iter().map(i64::to_string).collect::<Vec<_>>().join(", "))
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

async fn listed(client: &Client) -> anyhow::Result<Vec<Segment>> {
    let collection = CollectionRef { collection_name: COLLECTION.to_owned(), ..CollectionRef::default() };
    let request = ListSegmentsRequest { collection: Some(collection), include_dropped: false, ..Default::default() };
    Ok(client.list_segments(request).await?.segments)
}

/// Segments that a reader sees, ascending by id.
fn live(segments: Vec<Segment>) -> Vec<Segment> {
    let mut live: Vec<Segment> = segments.into_iter().filter(|segment| segment.state != "Dropped").collect();
    live.sort_by_key(|segment| segment.segment_id);
    live
}

/// The server, for commands to try next.
struct Next<'a> {
    /// This program, as it was called.
    program: String,
    /// Flags by which it finds the server again.
    server: String,
    http: &'a str,
    http_tls: bool,
    reach: &'a ReachFlags,
}

impl Next<'_> {
    /// Commands for a terminal, none of which says a password.
    fn commands(&self) -> String {
        let Self { program, server, http, .. } = self;
        let scheme = if self.http_tls { "https" } else { "http" };
        let curl = self.curl();
        format!(
            "  {program} segments {COLLECTION}{server}\n  \
             {program} explain {COLLECTION}{server}\n  \
             {program} compact {COLLECTION} --dry-run{server}\n  \
             {program} watch{server}\n  \
             {curl} -X POST '{scheme}://{http}/api/v1/compaction?collection_name={COLLECTION}'\n  \
             {curl} {scheme}://{http}/metrics\n\
             A page for the browser: {scheme}://{http}/"
        )
    }

    fn curl(&self) -> String {
        let ReachFlags { ca_file, cert_file, key_file, user, .. } = self.reach;
        let mut tls = String::new();
        if self.http_tls {
            // The program knows the certificate of a server on this machine; curl does not.
            tls += if ca_file.is_none() { " --insecure" } else { "" };
            tls += &[("cacert", ca_file), ("cert", cert_file), ("key", key_file)]
                .map(|(flag, path)| flag_words(flag, path.as_ref().map(|path| path.display())))
                .concat();
        }
        format!("curl{tls}{}", flag_words("user", user.as_ref()))
    }
}

#[cfg(test)]
mod tests;
