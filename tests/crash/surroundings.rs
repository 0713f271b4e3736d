//! The real process in bad surroundings: a directory that is full, read-only, in use, copied or damaged, a clock that goes
//! back, SIGTERM under load. It ends or refuses with a sentence that names the thing, and shows exact rows or an error.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::Ordering::Relaxed,
};

use anyhow::{Context, Result, ensure};
use rand::{RngExt, SeedableRng, rngs::StdRng};

use crate::{
    disk::Disk,
    journal::{Doubt, Journal},
    mixed::{Round, Seat},
    requests::{self, check},
    server::{Launched, Server},
    workload::{self, COLLECTION},
};

/// The log of a server that has to refuse the start, without a panic.
async fn refused(data: &Path, settings: &[(&str, &str)], through: &[String]) -> Result<String> {
    match Server::launch(data, settings, through).await? {
        Launched::Serving(_) => anyhow::bail!("the server serves, and must not"),
        Launched::Ended(status, log) => {
            ensure!(status.code() == Some(1), "{status}:\n{log}");
            ensure!(!log.contains("panicked"), "{log}");
            Ok(log)
        }
    }
}

/// A collection with rows in segments, deletes in delta logs, and rows in the log alone.
async fn filled(server: &Server) -> Result<Journal> {
    let (mut client, mut journal) = (server.client(), Journal::default());
    workload::create(&mut client).await?;
    for part in 0..3 {
        let rows: Vec<(i64, i64)> = journal.fresh_keys(100).into_iter().map(|key| (key, key + part)).collect();
        check(client.insert(requests::insert(COLLECTION, &rows)).await?.into_inner().status, "insert")?;
        journal.acknowledge(Doubt::Insert(rows));
        check(client.flush(requests::flush(COLLECTION)).await?.into_inner().status, "flush")?;
    }
    let gone: Vec<i64> = journal.live_keys().into_iter().step_by(7).collect();
    let delete = requests::delete(COLLECTION, requests::keys_filter(&gone));
    check(client.delete(delete).await?.into_inner().status, "delete")?;
    journal.acknowledge(Doubt::Delete(gone));
    check(client.flush(requests::flush(COLLECTION)).await?.into_inner().status, "flush")?;
    for _ in 0..3 {
        let rows: Vec<(i64, i64)> = journal.fresh_keys(50).into_iter().map(|key| (key, -key)).collect();
        check(client.insert(requests::insert(COLLECTION, &rows)).await?.into_inner().status, "insert")?;
        journal.acknowledge(Doubt::Insert(rows));
    }
    Ok(journal)
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        } else {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    Ok(files)
}

/// Flips one bit in the middle of a file.
fn damage(file: &Path, at: usize) -> Result<()> {
    let mut bytes = fs::read(file)?;
    let byte = bytes.get_mut(at).with_context(|| format!("{} has no byte {at}", file.display()))?;
    *byte ^= 1;
    Ok(fs::write(file, bytes)?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_in_use_is_refused() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(dir.path()).await?;
    let mut journal = filled(&server).await?;
    // Not the same folder of the test: it has the ready file and the log of the first one.
    let second = tempfile::tempdir()?;
    std::os::unix::fs::symlink(dir.path().join("data"), second.path().join("data"))?;
    let log = refused(second.path(), &[], &[]).await?;
    ensure!(log.contains("meta.redb") && log.contains("another process"), "{log}");
    journal.verify(&mut server.client()).await?;
    server.stop().await
}

/// A copy of the whole directory is a server of its own. A copy that shares the store with the original is refused while that
/// runs and after it has.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copied_directory_never_shares_a_store() -> Result<()> {
    let (first, whole, sharing) = (tempfile::tempdir()?, tempfile::tempdir()?, tempfile::tempdir()?);
    let server = Server::start(first.path()).await?;
    let mut journal = filled(&server).await?;
    server.stop().await?;
    for twin in [&whole, &sharing] {
        copy(&first.path().join("data"), &twin.path().join("data"))?;
    }
    let store = sharing.path().join("data/files");
    fs::remove_dir_all(&store)?;
    std::os::unix::fs::symlink(first.path().join("data/files"), &store)?;

    let (server, twin) = (Server::start(first.path()).await?, Server::start(whole.path()).await?);
    let log = refused(sharing.path(), &[], &[]).await?;
    ensure!(log.contains("--take-over"), "{log}");
    workload::compact_to_the_end(&mut twin.client(), &mut Journal::default()).await?;
    journal.verify(&mut server.client()).await?;
    twin.stop().await?;
    server.stop().await?;
    let log = refused(sharing.path(), &[], &[]).await?;
    ensure!(log.contains("--take-over"), "{log}");
    let server = Server::start(first.path()).await?;
    journal.verify(&mut server.client()).await?;
    server.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_directory_is_refused_by_name() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let Some(disk) = Disk::new(&data, 64)? else { return Ok(()) };
    let through = disk.through();
    disk.make("ro")?;
    let log = refused(dir.path(), &[], &through).await?;
    ensure!(log.contains(&data.display().to_string()) && log.contains("Read-only file system"), "{log}");

    disk.make("rw")?;
    let server = Server::start_in(dir.path(), &[], &through).await?;
    let mut journal = filled(&server).await?;
    server.stop().await?;
    disk.make("ro")?;
    let log = refused(dir.path(), &[], &through).await?;
    ensure!(log.contains(&data.display().to_string()) && log.contains("Read-only file system"), "{log}");
    disk.make("rw")?;
    let server = Server::start_in(dir.path(), &[], &through).await?;
    journal.verify(&mut server.client()).await?;
    server.stop().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_costs_nothing_that_was_acknowledged() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let data = dir.path().join("data");
    let Some(disk) = Disk::new(&data, 96)? else { return Ok(()) };
    let through = disk.through();
    let mut server = Server::start_in(dir.path(), &[], &through).await?;
    let mut journal = filled(&server).await?;
    for round in 0..3 {
        disk.fill()?;
        // Until a write is refused: the rest of the newest page of the log may hold a few.
        let mut client = server.client();
        let why = loop {
            let rows: Vec<(i64, i64)> = journal.fresh_keys(500).into_iter().map(|key| (key, key)).collect();
            let status = client.insert(requests::insert(COLLECTION, &rows)).await?.into_inner().status;
            if let Err(error) = check(status, "insert") {
                journal.doubt(Doubt::Insert(rows));
                break error.to_string();
            }
            journal.acknowledge(Doubt::Insert(rows));
        };
        ensure!(why.contains("No space left"), "{why}");
        // Stored rows can be read, and nothing dies.
        requests::count(&mut client, COLLECTION).await.context("a query on a full disk")?;
        let flushed = client.flush(requests::flush(COLLECTION)).await?.into_inner().status;
        ensure!(check(flushed, "flush").is_err(), "a flush cannot have succeeded");
        server.check_alive(dir.path())?;
        if round == 1 {
            server.kill()?;
            // A start needs a little space, and says so; it must not make things worse.
            if let Launched::Ended(status, log) = Server::launch(dir.path(), &[], &through).await? {
                ensure!(status.code() == Some(1) && log.contains("No space left"), "{status}: {log}");
            }
        } else {
            server.terminate()?;
            server.gone().await?;
        }
        disk.free()?;
        server = Server::start_in(dir.path(), &[], &through).await.context("with space again")?;
        journal.verify(&mut server.client()).await.with_context(|| format!("after full disk {round}"))?;
    }
    workload::compact_to_the_end(&mut server.client(), &mut journal).await?;
    journal.verify(&mut server.client()).await?;
    server.stop().await
}

/// One bit of each kind of file. The server refuses the start and names the file, or it answers exactly or with an error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_of_any_file_is_found_or_harmless() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut server = Server::start(dir.path()).await?;
    let mut journal = filled(&server).await?;
    server.kill()?;
    let mut rng = StdRng::seed_from_u64(0x5eed);
    let (mut refusals, mut errors, mut exact) = (0, 0, 0);
    let whole = dir.path().join("data");
    for file in files_below(&whole)? {
        let name = file.strip_prefix(&whole)?.to_owned();
        let bytes = fs::metadata(&file)?.len() as usize;
        if bytes == 0 || name.starts_with("datacoord.json") {
            continue;
        }
        let twin = tempfile::tempdir()?;
        copy(&whole, &twin.path().join("data"))?;
        // The last frame of a log that is broken can't be told from one that was never finished.
        let most = if name.starts_with("wal") { bytes / 2 } else { bytes };
        let at = rng.random_range(0..most.max(1));
        damage(&twin.path().join("data").join(&name), at)?;
        let what = format!("byte {at} of {}", name.display());
        match Server::launch(twin.path(), &[], &[]).await? {
            Launched::Ended(status, log) => {
                ensure!(status.code() == Some(1) && !log.contains("panicked"), "{what}: {status}\n{log}");
                let place = twin.path().join("data").join(name.parent().context("a folder")?);
                ensure!(log.contains(&place.display().to_string()), "{what}: the place is not named:\n{log}");
                refusals += 1;
            }
            Launched::Serving(server) => match requests::read(&mut server.client(), COLLECTION, 0..i64::MAX).await {
                Ok(_) => {
                    journal.verify(&mut server.client()).await.with_context(|| what.clone())?;
                    exact += 1;
                }
                Err(error) => {
                    let text = error.to_string();
                    ensure!(text.contains("damaged") || text.contains("object "), "{what}: {text}");
                    errors += 1;
                }
            },
        }
    }
    eprintln!("{refusals} starts refused, {errors} reads refused, {exact} exact");
    ensure!(refusals > 0 && errors > 0, "nothing was found: {refusals}, {errors}, {exact}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sigterm_under_load_ends_in_order_and_loses_nothing() -> Result<()> {
    let seed: u64 = rand::random();
    let mut rng = StdRng::seed_from_u64(seed);
    let dir = tempfile::tempdir()?;
    let mut server = Server::start(dir.path()).await?;
    workload::create(&mut server.client()).await?;
    let mut seats: Vec<Seat> = (0..8)
        .map(|n| Seat::new(COLLECTION.to_owned(), false, n * 1_000_000..(n + 1) * 1_000_000, rng.random()))
        .collect();
    for stop in 0..4 {
        let round = Round::new(rng.random_range(1..200), false);
        let mut tasks = crate::begin(&server, seats, &round)?;
        crate::unless_one_fails(&mut tasks, round.fuse.burnt())
            .await
            .with_context(|| format!("before stop {stop}, seed {seed}"))?;
        // Calls that come after the signal are refused, in any way.
        round.killing.store(true, Relaxed);
        server.stop().await.with_context(|| format!("stop {stop}, seed {seed}"))?;
        seats = crate::end(tasks).await?;
        server = Server::start(dir.path()).await?;
        crate::settle(&mut seats, &server).await.with_context(|| format!("after stop {stop}, seed {seed}"))?;
    }
    server.stop().await
}

/// Later writes win over earlier ones although the clock says otherwise.
#[cfg(feature = "planted-faults")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_goes_back_brings_no_row_back() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut rng = StdRng::seed_from_u64(1);
    let mut journal = Journal::default();
    let mut server = Server::start(dir.path()).await?;
    workload::create(&mut server.client()).await?;
    for hours in [0, -1, -30, 2, -24 * 365 * 60] {
        let shift = (hours * 3_600_000_i64).to_string();
        server.kill()?;
        server = Server::start_with(dir.path(), &[(datacoord::fault::CLOCK_SHIFT_MS, &shift)]).await?;
        workload::run_until_killed(&mut server, workload::Work::Compact, 20, &mut rng, &mut journal).await?;
        server = Server::start_with(dir.path(), &[(datacoord::fault::CLOCK_SHIFT_MS, &shift)]).await?;
        journal.verify(&mut server.client()).await.with_context(|| format!("with a clock moved by {hours} h"))?;
        // A delete and an upsert of old rows have to win.
        let (mut client, live) = (server.client(), journal.live_keys());
        let gone: Vec<i64> = live.iter().copied().step_by(3).collect();
        let delete = requests::delete(COLLECTION, requests::keys_filter(&gone));
        check(client.delete(delete).await?.into_inner().status, "delete")?;
        journal.acknowledge(Doubt::Delete(gone));
        let rows: Vec<(i64, i64)> = journal.live_keys().into_iter().step_by(2).map(|key| (key, hours)).collect();
        check(client.upsert(requests::upsert(COLLECTION, &rows)).await?.into_inner().status, "upsert")?;
        journal.acknowledge(Doubt::Upsert(rows));
        workload::compact_to_the_end(&mut client, &mut journal).await?;
        journal.verify(&mut client).await.with_context(|| format!("after a compaction, moved by {hours} h"))?;
    }
    server.stop().await
}
