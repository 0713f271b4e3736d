//! The figures a user notices, measured over gRPC against any server that speaks Milvus' protocol.
//!
//! `cargo bench --bench server -- --endpoint HOST:PORT [--pid PID] [--case NAME …] [--label NAME]`; `tools/bench.py`
//! starts the servers and runs it against datacoord and, when asked, stock Milvus 2.3.5. Prints one JSON line a figure.
//!
//! Requests of the insert cases are encoded beforehand: the client's encoding is not the server's speed.

mod api;
mod control;
mod load;
mod memory;
mod shape;
mod state;

use anyhow::{Context, Result, bail};

use crate::{api::Server, shape::Shape};

const MIB: usize = 1 << 20;

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
        compact(&server, &options, "10k_rows", &Shape::vectors(128, &[1000; 10])).await?;
    }
    if options.wants("state") {
        server.state_calls(&options).await?;
    }
    if options.wants("insert") {
        server.insert_rate(&options, "insert_29MB", 9_600, 40).await?;
        server.insert_rate(&options, "insert_300kB", 98, 2_000).await?;
    }
    if options.wants("compact-large") {
        compact(&server, &options, "512MB", &Shape::of_bytes(512 * MIB, 4)).await?;
    }
    if options.wants("compact-clean") {
        let clean = Shape { deleted: 0, ..Shape::of_bytes(512 * MIB, 4) };
        compact(&server, &options, "512MB_nothing_deleted", &clean).await?;
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
        for (name, shape) in shapes() {
            compact(&server, &options, name, &shape).await?;
        }
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
        compact(server, options, &format!("growth_bytes_{mib}"), &Shape::of_bytes(mib * MIB, 4)).await?;
    }
    for segments in [2, 8, 32, 128] {
        compact(server, options, &format!("growth_segments_{segments}"), &Shape::of_bytes(64 * MIB, segments)).await?;
    }
    for integers in [0, 8, 24, 56] {
        let shape = Shape { integers, ..Shape::vectors(8, &[50_000; 4]) };
        compact(server, options, &format!("growth_fields_{}", integers + 2), &shape).await?;
    }
    for deleted in [0, 10, 100, 500, 900] {
        let shape = Shape { deleted, ..Shape::of_bytes(128 * MIB, 4) };
        compact(server, options, &format!("growth_deletes_{deleted}"), &shape).await?;
    }
    Ok(())
}

/// One compaction: seconds, and around it the flush of a segment, the calls meanwhile, and memory.
async fn compact(server: &Server, options: &Options, figure: &str, shape: &Shape) -> Result<()> {
    let done = server.compact(shape).await?;
    options.report(&format!("compact_{figure}"), done.seconds, "s");
    if figure.starts_with("growth") {
        return Ok(());
    }
    options.report(&format!("compact_{figure}_flush_of_one_segment"), done.flush_seconds, "s");
    options.report(&format!("compact_{figure}_state_call_p99"), done.state_p99_ms, "ms");
    if let Some(memory) = done.memory_mb {
        options.report(&format!("compact_{figure}_peak_memory_filling"), memory.filled, "MB");
        options.report(&format!("compact_{figure}_memory_before"), memory.before, "MB");
        options.report(&format!("compact_{figure}_peak_memory"), memory.most, "MB");
    }
    Ok(())
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
    times.sort_by(f64::total_cmp);
    options.report("flush_1000_rows_median", times[times.len() / 2] * 1000.0, "ms");
    Ok(())
}
