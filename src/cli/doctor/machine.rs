//! Checks of this machine: configuration, data directory, disk, ports.

use std::{io, net::TcpListener, path::Path};

use super::check::{Check, CheckResult};
use crate::{
    cli::show::units::bytes,
    config::{LoadedConfig, ServerConfig},
    ids::unique_name,
};

/// With less, a flush or a merge may find the disk full.
const LITTLE_BYTES: u64 = 1 << 30;
/// With less, the write-ahead log may not grow by another file.
const NO_BYTES: u64 = 100 << 20;

/// The configuration as the server would read it.
pub(super) fn configuration(loaded: &LoadedConfig) -> Check {
    let name = "configuration";
    if let Some((given, known)) = loaded.misspelt.first() {
        let text = format!("key {given} means nothing here");
        return Check::new(name, CheckResult::Warning, text, format!("is it meant to be {known}?"));
    }
    if let Some(path) = &loaded.unused_local_path {
        let text = format!("localStorage.path is {path} and not used, because --data-dir is given");
        return Check::new(name, CheckResult::Warning, text, "leave one of both out");
    }
    if !loaded.without_effect.is_empty() {
        let text = format!("without effect here: {}", loaded.without_effect.join(", "));
        return Check::new(name, CheckResult::Warning, text, "leave them out, or expect nothing of them");
    }
    match loaded.ignored.len() {
        0 => Check::ok(name, "every key is known"),
        count => Check::ok(name, format!("{count} keys of the file mean nothing here")),
    }
}

/// Whether the data directory can be written.
pub(super) fn folder(data_dir: &Path) -> Check {
    let (name, place) = ("data directory", data_dir.display());
    let Some(existing) = data_dir.ancestors().find(|folder| folder.exists() || folder.as_os_str().is_empty()) else {
        return Check::new(
            name,
            CheckResult::Problem,
            format!("{place} has no parent"),
            "name another one by --data-dir",
        );
    };
    // The empty path is the current folder.
    let existing = if existing.as_os_str().is_empty() { Path::new(".") } else { existing };
    match write_and_remove(existing) {
        Ok(()) if data_dir.exists() => Check::ok(name, format!("{place} can be written")),
        Ok(()) => Check::ok(name, format!("{place} is not there yet, and can be made")),
        Err(error) => {
            let text = format!("{} can't be written: {error}", existing.display());
            Check::new(
                name,
                CheckResult::Problem,
                text,
                "give it to the user of the server, or name another by --data-dir",
            )
        }
    }
}

fn write_and_remove(folder: &Path) -> io::Result<()> {
    let file = folder.join(format!(".datacoord-doctor-{}", unique_name()));
    std::fs::write(&file, b"doctor")?;
    std::fs::remove_file(file)
}

/// Whether the disk of the data directory has room.
pub(super) fn disk(data_dir: &Path) -> Check {
    let name = "disk";
    let existing = data_dir.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("."));
    match rustix::fs::statvfs(existing) {
        Err(error) => Check::new(name, CheckResult::Skipped, format!("{}: {error}", existing.display()), ""),
        Ok(disk) => {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            let text = format!("{} free", bytes(i64::try_from(free).unwrap_or(i64::MAX)));
            room(name, free, text)
        }
    }
}

pub(super) fn room(name: &'static str, free: u64, text: String) -> Check {
    let advice = "make room: writes are refused, and flushes and merges wait, when the disk is full";
    match free {
        0..NO_BYTES => Check::new(name, CheckResult::Problem, text, advice),
        NO_BYTES..LITTLE_BYTES => Check::new(name, CheckResult::Warning, text, advice),
        _ => Check::ok(name, text),
    }
}

/// Whether a server could take its ports. Only where none runs.
pub(super) fn ports(server: &ServerConfig) -> Vec<Check> {
    let addresses =
        [("gRPC port", server.grpc_listen, "--grpc-listen"), ("HTTP port", server.http_listen, "--http-listen")];
    addresses
        .into_iter()
        .map(|(name, address, flag)| match TcpListener::bind(address) {
            Ok(_) => Check::ok(name, format!("{address} is free")),
            Err(error) => {
                let advice = format!("end the program that has it, or give another one by {flag}");
                Check::new(name, CheckResult::Problem, format!("{address}: {error}"), advice)
            }
        })
        .collect()
}
