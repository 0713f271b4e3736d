//! The process as the system sees it: processor time, memory, descriptors, age. For the metrics alone.
//!
//! A system without `/proc` leaves these metrics at 0. Must never: fail, or be read to decide something.

use rustix::{param, process::Resource};

use crate::telemetry::Metrics;

/// The fields of `/proc/self/stat` that are shown. Times are in ticks of the system's clock.
#[derive(Debug, PartialEq, Eq)]
struct ProcessStat {
    busy: u64,
    threads: u64,
    /// Since the boot of the machine.
    started: u64,
    virtual_bytes: u64,
    resident_pages: u64,
}

/// Brings the metrics of the process up to date.
pub(super) fn show(metrics: &Metrics) {
    let shown = &metrics.process;
    let ticks = param::clock_ticks_per_second() as f64;
    if let Some(stat) = read("/proc/self/stat").as_deref().and_then(parse_stat) {
        // Readers of the metrics may take turns: an older reading must not count back.
        shown.cpu.inc_by((stat.busy as f64 / ticks - shown.cpu.get()).max(0.0));
        shown.threads.set(stat.threads as i64);
        shown.virtual_bytes.set(stat.virtual_bytes as i64);
        let resident = stat.resident_pages.saturating_mul(param::page_size() as u64);
        shown.resident_bytes.set(resident as i64);
        metrics.memory.used.with(["total"]).set(resident as i64);
        if let Some(booted) = read("/proc/stat").as_deref().and_then(parse_boot) {
            shown.started.set(booted as f64 + stat.started as f64 / ticks);
        }
    }
    if let Ok(open) = std::fs::read_dir("/proc/self/fd") {
        // Less the one that reads the folder.
        shown.open_fds.set(open.count().saturating_sub(1) as i64);
    }
    let most = rustix::process::getrlimit(Resource::Nofile).current;
    shown.max_fds.set(most.map_or(i64::MAX, |most| i64::try_from(most).unwrap_or(i64::MAX)));
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

/// The members that are shown, by their places in proc_pid_stat(5).
fn parse_stat(text: &str) -> Option<ProcessStat> {
    // The second member is the name of the program in parentheses, which may hold spaces and parentheses.
    let (_, rest) = text.rsplit_once(')')?;
    let members: Vec<&str> = rest.split_ascii_whitespace().collect();
    let member = |place: usize| members.get(place.checked_sub(3)?)?.parse::<u64>().ok();
    Some(ProcessStat {
        busy: member(14)?.checked_add(member(15)?)?,
        threads: member(20)?,
        started: member(22)?,
        virtual_bytes: member(23)?,
        resident_pages: member(24)?,
    })
}

/// The boot of the machine, in seconds since 1970.
fn parse_boot(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use std::time::{SystemTime, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_program_may_have_any_name() {
        let text =
            "7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 250 30 0 0 20 0 9 0 12345 1000000 2000 18446744073709551615";
        let stat =
            ProcessStat { busy: 280, threads: 9, started: 12_345, virtual_bytes: 1_000_000, resident_pages: 2000 };
        assert_eq!(parse_stat(text), Some(stat));
        assert_eq!(parse_stat("7 (a) S 1 2"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn the_process_shows_itself() {
        let metrics = Metrics::new(prometheus::Registry::new()).unwrap();
        show(&metrics);
        let process = &metrics.process;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        // The clock of the machine may have been set since it booted.
        assert!(process.started.get() > 1e9 && process.started.get() < now + 86_400.0, "{}", process.started.get());
        assert!(process.resident_bytes.get() > 1 << 20 && process.virtual_bytes.get() > process.resident_bytes.get());
        assert!(process.threads.get() >= 1 && process.max_fds.get() >= process.open_fds.get());
        let before = process.open_fds.get();
        let _opened: Vec<_> = (0..50).map(|_| std::fs::File::open("/proc/self/stat").unwrap()).collect();
        show(&metrics);
        assert!(process.open_fds.get() >= before + 25, "{} after {before}", process.open_fds.get());
    }
}
