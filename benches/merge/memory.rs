//! The memory of a merge while its input grows to a thousand times the memory limit.
//!
//! Every merge runs in a process of its own. It takes two figures: the most bytes allocated, and the most
//! bytes resident, each less the value before the merge. The process is put into a memory control group
//! (version 1 or 2, which takes a superuser) that ends it above [`LEFT_MIB`] beside the limit; the page cache of the files
//! counts too, and gives way. Without the right to make a group only the figures are taken.
//!
//! The segments of the input are one segment, linked: the merge knows no difference, and the disk need not hold it. It is
//! written before, by the process that starts the others.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::Instant,
};

use datacoord::{
    compactor::{CompactionInput, CompactionTask, Compactor, ProgressSink},
    config::{BinlogConfig, CompactionConfig, StorageConfig, StorageKind, WorkerConfig},
    model::{FieldId, LogFile, LogId, SegmentId, SegmentLogs, Timestamp},
    storage::SegmentStore,
};
use tokio_util::sync::CancellationToken;

use crate::{
    counting,
    data::{group, paths, remove, rows_of, schema, segment, task},
    kit::model,
};

pub const CHILD: &str = "memory-of-one";
/// Room of the control group beside the limit: the program, its threads, and pages of files on their way to the disk.
const LEFT_MIB: u64 = 64;
/// Of one segment. The smallest limit there is, too: with one segment the input is as large as that.
const SEGMENT_MIB: usize = 16;
const TIMES: [u64; 4] = [1, 10, 100, 1000];
const LIMITS_MIB: [u64; 2] = [16, 256];
const SHAPES: [&str; 3] = ["clean", "deleted", "whole"];

/// Control groups by version: their directory, the file of the limit, and the file of the processes.
const GROUPS: [(&str, &str); 2] =
    [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")];

struct ControlGroup(PathBuf);

impl ControlGroup {
    fn new(limit_mib: u64) -> Option<Self> {
        GROUPS.iter().find_map(|(root, limit)| {
            let group = Self(Path::new(root).join(format!("datacoord-bench-{}", std::process::id())));
            fs::create_dir(&group.0).ok()?;
            fs::write(group.0.join(limit), (limit_mib << 20).to_string()).ok()?;
            Some(group)
        })
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// Prints a line for each shape, limit and size of input.
pub fn all(directory: &Path) {
    println!("shape    limit MiB   input MiB   held at most   resident at most   group MiB   seconds");
    for shape in SHAPES {
        let written = directory.join(shape);
        crate::runtime().block_on(write(&written, shape));
        for limit_mib in LIMITS_MIB {
            for times in TIMES {
                let group_mib = limit_mib + LEFT_MIB;
                let group = ControlGroup::new(group_mib);
                let place = group.as_ref().map_or_else(String::new, |group| group.0.display().to_string());
                let status = Command::new(std::env::current_exe().unwrap())
                    // As the server has it, and as docs/operations.md has it where memory is short.
                    .env("MIMALLOC_PURGE_DELAY", "10")
                    .env("MIMALLOC_ALLOW_THP", if limit_mib == LIMITS_MIB[0] { "0" } else { "1" })
                    .arg(CHILD)
                    .arg(&written)
                    .args([shape, &limit_mib.to_string(), &times.to_string(), &place])
                    .status()
                    .unwrap();
                if !status.success() {
                    let input = times * SEGMENT_MIB as u64;
                    println!("{shape:<8} {limit_mib:>9} {input:>11}   {status}, group {group_mib}");
                }
            }
        }
        fs::remove_dir_all(&written).unwrap();
    }
}

fn store(directory: &Path) -> SegmentStore {
    let kind = StorageKind::Local { root: Some(directory.to_path_buf()) };
    SegmentStore::open(&StorageConfig { kind, ..StorageConfig::default() }, directory).unwrap()
}

/// Resident memory in MiB now and at most since the last call; 0 where the system does not tell.
fn resident_mib() -> (u64, u64) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let value = |key: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|l| l.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or(0) / 1024
    };
    let _ = fs::write("/proc/self/clear_refs", "5");
    (value("VmRSS:"), value("VmHWM:"))
}

pub fn child(args: &[String]) {
    let [directory, shape, limit_mib, times, group] = args else { panic!("arguments of a child: {args:?}") };
    let (limit_mib, times): (u64, i64) = (limit_mib.parse().unwrap(), times.parse().unwrap());
    if !group.is_empty() {
        fs::write(Path::new(group).join("cgroup.procs"), std::process::id().to_string()).unwrap();
    }
    crate::runtime().block_on(merge(Path::new(directory), shape, limit_mib, times));
}

async fn merge(directory: &Path, shape: &str, limit_mib: u64, times: i64) {
    let store = store(directory);
    let mut task = linked(directory, times);
    task.plan.max_output_bytes = CompactionConfig::default().max_segment_bytes;
    let worker = WorkerConfig { memory_limit_bytes: limit_mib << 20, ..WorkerConfig::default() };
    let compactor = Compactor::new(store.clone(), BinlogConfig::default(), &worker);
    let (resident, _) = resident_mib();
    counting::take_most();
    let held = counting::held();
    let begun = Instant::now();
    let outcome = compactor.run(&task, &ProgressSink::new(), &CancellationToken::new()).await.unwrap();
    let seconds = begun.elapsed().as_secs_f64();
    let (_, most_resident) = resident_mib();
    let most_held = counting::take_most() - held;
    println!(
        "{shape:<8} {limit_mib:>9} {:>11} {:>10} MiB {:>14} MiB {:>11} {seconds:>9.2}",
        task.plan.input_bytes() >> 20,
        most_held >> 20,
        most_resident - resident,
        limit_mib + LEFT_MIB,
    );
    for output in &outcome.outputs {
        remove(&store, output.id, &output.logs).await;
    }
}

const MANIFEST: &str = "manifest";
const SEGMENT: SegmentId = SegmentId(1);

/// Writes one segment and a list of its logs.
async fn write(directory: &Path, shape: &str) {
    let config = match shape {
        "whole" => BinlogConfig { max_bytes: 1 << 30, ..BinlogConfig::default() },
        _ => BinlogConfig::default(),
    };
    let (store, rows) = (store(directory), rows_of(SEGMENT_MIB));
    let CompactionInput { logs, .. } = segment(&store, &schema(), SEGMENT.0, rows, shape != "clean", &config).await;
    let insert = logs.insert.iter().flat_map(|(field, files)| files.iter().map(|file| line("insert", field.0, file)));
    let stats = logs.stats.iter().flat_map(|(field, files)| files.iter().map(|file| line("stats", field.0, file)));
    let delta = logs.delta.iter().map(|file| line("delta", 0, file));
    fs::write(directory.join(MANIFEST), insert.chain(stats).chain(delta).collect::<String>()).unwrap();
}

fn line(kind: &str, field: i64, file: &LogFile) -> String {
    let LogFile { id, rows, ts_from, ts_to, bytes, memory_bytes, checksum } = file;
    let checksum = checksum.unwrap_or_default();
    format!("{kind} {field} {} {rows} {} {} {bytes} {memory_bytes} {checksum}\n", id.0, ts_from.0, ts_to.0)
}

fn logs(directory: &Path) -> SegmentLogs {
    let mut logs = SegmentLogs::default();
    for line in fs::read_to_string(directory.join(MANIFEST)).unwrap().lines() {
        let (kind, numbers) = line.split_once(' ').unwrap();
        let numbers: Vec<u64> = numbers.split(' ').map(|number| number.parse().unwrap()).collect();
        let [field, id, rows, ts_from, ts_to, bytes, memory_bytes, checksum] = numbers[..] else { panic!("{line}") };
        let (field, id) = (FieldId(field as i64), LogId(id as i64));
        let (ts_from, ts_to) = (Timestamp(ts_from), Timestamp(ts_to));
        let checksum = Some(checksum as u32);
        let file = LogFile { id, rows, ts_from, ts_to, bytes, memory_bytes, checksum };
        let of_kind = match kind {
            "insert" => &mut logs.insert,
            "stats" => &mut logs.stats,
            _ => {
                logs.delta.push(file);
                continue;
            }
        };
        match of_kind.iter_mut().find(|(id, _)| *id == field) {
            Some((_, files)) => files.push(file),
            None => of_kind.push((field, vec![file])),
        }
    }
    logs
}

/// The segment so many times.
fn linked(directory: &Path, times: i64) -> CompactionTask {
    let logs = logs(directory);
    let mut inputs = Vec::new();
    for id in (0..times).map(|number| SegmentId(SEGMENT.0 + number)) {
        for (from, to) in paths(SEGMENT, &logs).into_iter().zip(paths(id, &logs)) {
            let (from, to) = (directory.join(from.to_string()), directory.join(to.to_string()));
            if !to.exists() {
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::hard_link(from, to).unwrap();
            }
        }
        let mut segment = model::segment(id.0, &Arc::new(group()));
        segment.summarise(&logs);
        inputs.push(CompactionInput { segment, logs: logs.clone() });
    }
    task(&schema(), inputs)
}
