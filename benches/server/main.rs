//! The figures a user notices, measured over gRPC against any server that speaks Milvus' protocol.
//!
//! `cargo bench --bench server -- --endpoint HOST:PORT [--pid PID] [--case NAME …] [--label NAME]`; `tools/bench.py`
//! starts the servers and runs it against datacoord and, when asked, stock Milvus 2.3.5. Prints one JSON line a figure.
//!
//! Requests of the insert cases are encoded beforehand: the client's encoding is not the server's speed.

mod api;
mod control;
#[path = "../../tests/kit/mod.rs"]
mod kit;
mod load;
mod memory;
mod shape;
mod state;

use anyhow::{Context, Result, bail};

use crate::{
    api::{Compacted, Memory, Server},
    shape::Shape,
};

const MIB: usize = 1 << 20;
/// Fewest calls that a 99th percentile is taken of: a single compaction of 512 MB leaves time for some 250, and the third
/// slowest of them differs from run to run by a factor of two.
const STATE_CALLS: usize = 2_500;

pub struct Options {
    endpoint: String,
    pid: Option<u32>,
    cases: Vec<String>,
    label: String,
}

impl Options {
    fn parse() -> Result<Self> {
        let mut options =
            Self { endpoint: "127.0.0.1:19530".into(), pid: None, cases: Vec::new(), label: "datacoord".into() };
        let mut args = std::env::args().skip(1);
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--endpoint" => options.endpoint = value()?,
                "--pid" => options.pid = Some(value()?.parse()?),
                "--case" => options.cases.push(value()?),
                "--label" => options.label = value()?,
                // `cargo bench` adds it.
                "--bench" => {}
                other => bail!("unknown argument {other}"),
            }
        }
        Ok(options)
    }

    fn wants(&self, case: &str) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|c| c == case)
    }

    pub fn report(&self, figure: &str, value: f64, unit: &str) {
        println!(
            "{}",
            serde_json::json!({"server": self.label, "figure": figure, "value": (value * 1000.0).round() / 1000.0, "unit": unit})
        );
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let options = Options::parse()?;
    let server = Server::connect(&options.endpoint, options.pid).await?;
    if options.wants("flush") {
        flush_small(&server, &options).await?;
    }
    if options.wants("compact-small") {
        let done = server.compact(&Shape::vectors(128, &[1000; 10])).await?;
        report_compactions(&options, "10k_rows", &[done]);
    }
    if options.wants("state") {
        server.state_calls(&options).await?;
    }
    if options.wants("insert") {
        server.insert_rate(&options, "insert_29MB", 9_600, 40).await?;
        server.insert_rate(&options, "insert_300kB", 98, 2_000).await?;
    }
    if options.wants("compact-large") {
        compact_often(&server, &options, "512MB", &Shape::of_bytes(512 * MIB, 4)).await?;
    }
    if options.wants("compact-clean") {
        let clean = Shape { deleted: 0, ..Shape::of_bytes(512 * MIB, 4) };
        compact_often(&server, &options, "512MB_nothing_deleted", &clean).await?;
    }
    if options.wants("flush-large") {
        server.flush_large(&options).await?;
    }
    if options.wants("control") {
        control::control(&server, &options).await?;
    }
    if options.wants("query") {
        server.queries(&options).await?;
    }
    if options.wants("collections") {
        server.collections(&options).await?;
    }
    if options.wants("shapes") {
        let mut state_ms = Vec::new();
        for (name, shape) in shapes() {
            let done = [server.compact(&shape).await?];
            report_compactions(&options, name, &done);
            state_ms.extend(done.into_iter().flat_map(|done| done.state_ms));
        }
        report_state_calls(&options, "compact_shapes", state_ms);
    }
    if options.wants("growth") {
        growth(&server, &options).await?;
    }
    Ok(())
}

/// About 128 MB each, to see a cliff.
fn shapes() -> Vec<(&'static str, Shape)> {
    let vectors = Shape::of_bytes(128 * MIB, 4);
    let narrow = |text, json| Shape { dim: 8, text, json, ..Shape::vectors(8, &[0; 4]) };
    let fill = |shape: Shape| Shape { segments: vec![128 * MIB / shape.row_bytes() / 4; 4], ..shape };
    vec![
        ("varchar", fill(narrow(200, 0))),
        ("json", fill(narrow(0, 400))),
        ("sparse_delete", Shape { deleted: 1, ..vectors.clone() }),
        ("delete_heavy", Shape { deleted: 900, ..vectors }),
        ("few_huge", Shape::of_bytes(256 * MIB, 2)),
        ("many_tiny", Shape::vectors(16, &[1000; 1000])),
    ]
}

/// How the time grows with bytes, segments, fields and deletes, one of them at a time.
async fn growth(server: &Server, options: &Options) -> Result<()> {
    for mib in [32, 64, 128, 256, 512] {
        growth_point(server, options, &format!("growth_bytes_{mib}"), &Shape::of_bytes(mib * MIB, 4)).await?;
    }
    for segments in [2, 8, 32, 128] {
        growth_point(server, options, &format!("growth_segments_{segments}"), &Shape::of_bytes(64 * MIB, segments))
            .await?;
    }
    for integers in [0, 8, 24, 56] {
        let shape = Shape { integers, ..Shape::vectors(8, &[50_000; 4]) };
        growth_point(server, options, &format!("growth_fields_{}", integers + 2), &shape).await?;
    }
    for deleted in [0, 10, 100, 500, 900] {
        let shape = Shape { deleted, ..Shape::of_bytes(128 * MIB, 4) };
        growth_point(server, options, &format!("growth_deletes_{deleted}"), &shape).await?;
    }
    Ok(())
}

async fn growth_point(server: &Server, options: &Options, figure: &str, shape: &Shape) -> Result<()> {
    options.report(&format!("compact_{figure}"), server.compact(shape).await?.seconds, "s");
    Ok(())
}

/// Compactions of one shape, as many as it takes to have made enough state calls beside them.
async fn compact_often(server: &Server, options: &Options, figure: &str, shape: &Shape) -> Result<()> {
    let mut done = Vec::new();
    let mut state_ms = Vec::new();
    while state_ms.len() < STATE_CALLS {
        let mut one = server.compact(shape).await?;
        state_ms.append(&mut one.state_ms);
        done.push(one);
    }
    report_compactions(options, figure, &done);
    report_state_calls(options, &format!("compact_{figure}"), state_ms);
    Ok(())
}

/// Compactions of one shape: medians of the time, and the most memory of all.
fn report_compactions(options: &Options, figure: &str, done: &[Compacted]) {
    options.report(&format!("compact_{figure}"), median(done.iter().map(|one| one.seconds)), "s");
    let flush = median(done.iter().map(|one| one.flush_seconds));
    options.report(&format!("compact_{figure}_flush_of_one_segment"), flush, "s");
    let memory = done.iter().filter_map(|one| one.memory_mb.as_ref()).copied().reduce(Memory::most_of);
    if let Some(memory) = memory {
        options.report(&format!("compact_{figure}_peak_memory_filling"), memory.filled, "MB");
        options.report(&format!("compact_{figure}_memory_before"), memory.before, "MB");
        options.report(&format!("compact_{figure}_peak_memory"), memory.most, "MB");
    }
}

/// State calls made beside compactions, in ms.
fn report_state_calls(options: &Options, figure: &str, mut state_ms: Vec<f64>) {
    state_ms.sort_by(f64::total_cmp);
    let at = |part: usize| state_ms.get(state_ms.len() * part / 100).copied().unwrap_or_default();
    options.report(&format!("{figure}_state_call_p50"), at(50), "ms");
    options.report(&format!("{figure}_state_call_p99"), at(99), "ms");
}

/// The median of at least one value; for an even number, the higher one of the middle two.
fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values = values.collect::<Vec<_>>();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// insert 1,000 rows of 128 floats, flush: the flush alone, median of ten.
async fn flush_small(server: &Server, options: &Options) -> Result<()> {
    let (name, shape) = ("bench_flush", Shape::vectors(128, &[]));
    server.create(name, &shape).await?;
    let mut times = Vec::new();
    for round in 0..10 {
        server.insert(name, &shape, round * 1000, 1000).await?;
        times.push(server.flush(name).await?);
    }
    options.report("flush_1000_rows_median", median(times.into_iter()) * 1000.0, "ms");
    Ok(())
}
