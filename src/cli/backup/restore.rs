//! Makes a data directory, and a store, out of a backup.

use std::{fs::File, io::Read as _, path::Path};

use anyhow::Context as _;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    check::{check_objects, check_records},
    folder::{BackupFolder, ObjectLine, Sum, damaged},
};
use crate::{
    cli::{
        args::{PlaceFlags, RestoreFlags},
        output::OutputForm,
        show::{self, RestoredBackup},
    },
    config::layers,
    model::Lsn,
    standalone::RestoredStore,
};

/// Bytes of the catalog that are read at once. A record may be larger.
const RECORDS_BYTES: usize = 1 << 20;
/// Objects that are written at once, to hide the latency of a bucket. Each is in memory.
const AT_ONCE: usize = 4;

pub(in crate::cli) async fn run(place: &PlaceFlags, flags: RestoreFlags) -> anyhow::Result<()> {
    let folder = BackupFolder(flags.folder);
    let manifest = check_records(&folder)?;
    let config = layers::load(&place.sources(&Default::default()))?.config;
    if flags.verify {
        if manifest.with_objects {
            check_objects(&folder)?;
        }
    } else {
        let mut restored = RestoredStore::begin(&config, manifest.with_objects).await?;
        add_records(&restored, &folder.catalog()).await?;
        for file in &manifest.log {
            let path = folder.log(file.first);
            let bytes = File::open(&path).with_context(|| path.display().to_string())?;
            restored.add_log(Lsn(file.first), bytes)?;
        }
        if manifest.with_objects {
            let puts = folder.lines()?.map(|line| put(&restored, &folder, line));
            stream::iter(puts).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        }
        restored.finish().await?;
    }
    let answer = RestoredBackup {
        restored: !flags.verify,
        data_dir: config.server.data_dir.display().to_string(),
        at_ms: manifest.at_ms,
        version: manifest.version,
        segments: manifest.segments,
        objects: manifest.objects,
        object_bytes: manifest.object_bytes,
        with_objects: manifest.with_objects,
    };
    OutputForm::of(flags.json).answer(&answer, show::restored)
}

/// Adds all records, which may lie across the parts that are read.
async fn add_records(restored: &RestoredStore, path: &Path) -> anyhow::Result<()> {
    let mut file = File::open(path).with_context(|| path.display().to_string())?;
    let mut left = BytesMut::new();
    loop {
        let mut more = Vec::with_capacity(RECORDS_BYTES);
        (&mut file).take(RECORDS_BYTES as u64).read_to_end(&mut more).with_context(|| path.display().to_string())?;
        let is_last = more.is_empty();
        left.extend_from_slice(&more);
        let mut bytes = left.freeze();
        let taken = restored.add_records(&bytes).await?;
        let _done = bytes.split_to(taken);
        if is_last {
            return if bytes.is_empty() { Ok(()) } else { Err(damaged(path, "its last record is not whole")) };
        }
        left = BytesMut::from(bytes);
    }
}

async fn put(restored: &RestoredStore, folder: &BackupFolder, line: anyhow::Result<ObjectLine>) -> anyhow::Result<()> {
    let line = line?;
    let path = folder.object(&line.path);
    let mut file = File::open(&path).map_err(|error| damaged(&path, &error.to_string()))?;
    let found = file.metadata().with_context(|| path.display().to_string())?.len();
    if found != line.bytes {
        return Err(damaged(&path, &format!("{} bytes expected, {found} found", line.bytes)));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).with_context(|| path.display().to_string())?;
    let mut sum = Sum::default();
    sum.add(&bytes);
    if let Some(expected) = line.checksum.filter(|expected| *expected != sum.checksum) {
        return Err(damaged(&path, &format!("checksum {expected:08x} expected, {:08x} found", sum.checksum)));
    }
    Ok(restored.add_object(&line.path, Bytes::from(bytes)).await?)
}
