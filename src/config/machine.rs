//! Finds out how much memory the process may use: the limits of its cgroups and a share of the machine.
//!
//! Reads files of the kernel. A file that is missing or unreadable counts as no limit. Must never: fail a start.

use std::path::{Path, PathBuf};

/// Share of the machine's memory; the rest is for the system and other processes.
const MACHINE_SHARE: (u64, u64) = (3, 4);

/// The memory that the process may use, and the file that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Memory {
    pub bytes: u64,
    /// The file of the kernel.
    pub from: PathBuf,
}

/// The smallest limit of the process' cgroups, up to the root, and of the machine. `None`: no limit is known.
pub fn memory() -> Option<Memory> {
    memory_of(&|path| std::fs::read_to_string(path).ok())
}

fn memory_of(read: &dyn Fn(&Path) -> Option<String>) -> Option<Memory> {
    let machine = Path::new("/proc/meminfo");
    let total = read(machine).and_then(|text| meminfo(&text));
    let share = total.map(|bytes| Memory { bytes: bytes / MACHINE_SHARE.1 * MACHINE_SHARE.0, from: machine.into() });
    let groups = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let files = groups.lines().flat_map(limit_files);
    let limits = files.filter_map(|file| {
        let bytes = read(&file)?.trim().parse().ok()?;
        // The first version of cgroups reports a missing limit as a number larger than any machine.
        total.is_none_or(|total| bytes < total).then_some(Memory { bytes, from: file })
    });
    limits.chain(share).min_by_key(|memory| memory.bytes)
}

/// MemTotal in bytes.
fn meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Files with the limits for a line of `/proc/self/cgroup` (`number:controllers:path`): those of each folder from the
/// process' own to the root. In a container the path may be that of the machine; then only the root exists.
fn limit_files(line: &str) -> Vec<PathBuf> {
    let mut parts = line.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { return Vec::new() };
    let (mount, names): (&str, &[&str]) = if controllers.is_empty() {
        ("/sys/fs/cgroup", &["memory.max", "memory.high"])
    } else if controllers.split(',').any(|name| name == "memory") {
        ("/sys/fs/cgroup/memory", &["memory.limit_in_bytes"])
    } else {
        return Vec::new();
    };
    let own = Path::new(mount).join(path.trim_start_matches('/'));
    let folders = own.ancestors().take_while(|folder| folder.starts_with(mount));
    folders.flat_map(|folder| names.iter().map(|name| folder.join(name))).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rstest::rstest;

    use super::*;

    const MIB: u64 = 1 << 20;
    const MACHINE: (&str, &str) = ("/proc/meminfo", "MemTotal:       16384000 kB\nMemFree: 1 kB\n");
    const MACHINE_BYTES: u64 = 16_384_000 * 1024 / 4 * 3;

    #[rstest]
    #[case::nothing_known(&[], None)]
    #[case::machine_alone(&[MACHINE], Some((MACHINE_BYTES, "/proc/meminfo")))]
    #[case::no_limit(
        &[MACHINE, ("/proc/self/cgroup", "0::/\n"), ("/sys/fs/cgroup/memory.max", "max\n")],
        Some((MACHINE_BYTES, "/proc/meminfo"))
    )]
    #[case::container(
        &[MACHINE, ("/proc/self/cgroup", "0::/\n"), ("/sys/fs/cgroup/memory.max", "536870912\n")],
        Some((512 * MIB, "/sys/fs/cgroup/memory.max"))
    )]
    #[case::the_smallest_of_the_path(
        &[
            MACHINE,
            ("/proc/self/cgroup", "0::/pods/one/app\n"),
            ("/sys/fs/cgroup/pods/one/app/memory.max", "max\n"),
            ("/sys/fs/cgroup/pods/one/memory.max", "268435456\n"),
            ("/sys/fs/cgroup/pods/memory.max", "1073741824\n"),
        ],
        Some((256 * MIB, "/sys/fs/cgroup/pods/one/memory.max"))
    )]
    #[case::slowed_down_before_it_is_killed(
        &[
            MACHINE,
            ("/proc/self/cgroup", "0::/app\n"),
            ("/sys/fs/cgroup/app/memory.max", "536870912\n"),
            ("/sys/fs/cgroup/app/memory.high", "402653184\n"),
        ],
        Some((384 * MIB, "/sys/fs/cgroup/app/memory.high"))
    )]
    #[case::first_version(
        &[
            MACHINE,
            ("/proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/a/b\n1:name=systemd:/\n0::/\n"),
            ("/sys/fs/cgroup/memory/a/b/memory.limit_in_bytes", "9223372036854771712\n"),
            ("/sys/fs/cgroup/memory/a/memory.limit_in_bytes", "536870912\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ],
        Some((512 * MIB, "/sys/fs/cgroup/memory/a/memory.limit_in_bytes"))
    )]
    #[case::a_path_of_the_machine_seen_from_a_container(
        &[
            MACHINE,
            ("/proc/self/cgroup", "4:memory:/docker/0123\n"),
            ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n"),
        ],
        Some((256 * MIB, "/sys/fs/cgroup/memory/memory.limit_in_bytes"))
    )]
    #[case::more_than_the_machine_has(
        &[MACHINE, ("/proc/self/cgroup", "0::/\n"), ("/sys/fs/cgroup/memory.max", "99999999999999\n")],
        Some((MACHINE_BYTES, "/proc/meminfo"))
    )]
    #[case::nonsense(&[("/proc/meminfo", "MemTotal: lots"), ("/proc/self/cgroup", "x\n:\n0::\n")], None)]
    fn the_smallest_limit_of_the_kernel_counts(#[case] files: &[(&str, &str)], #[case] expected: Option<(u64, &str)>) {
        let files: BTreeMap<&Path, &str> = files.iter().map(|(path, text)| (Path::new(*path), *text)).collect();
        let found = memory_of(&|path| files.get(path).map(|text| (*text).to_owned()));
        assert_eq!(found, expected.map(|(bytes, from)| Memory { bytes, from: from.into() }));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_says_something() {
        assert!(memory().is_some_and(|memory| memory.bytes > 0));
    }
}
