//! Writes the parts that a server sends into a folder.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write as _},
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail};
use futures::StreamExt as _;

use super::folder::{BackupFolder, FORMAT, LogSum, Manifest, ObjectLine, Sum, damaged};
use crate::{
    cli::{
        args::BackupFlags,
        operator::Session,
        show::{self, WrittenBackup},
    },
    storage::LogPath,
    wire::proto::datacoord::{BackupLogPart, BackupObjectPart, BackupRequest, backup_part::Part},
};

pub(in crate::cli) async fn run(session: Session, flags: BackupFlags) -> anyhow::Result<()> {
    let folder = BackupFolder(flags.folder);
    make_empty(&folder.0)?;
    let request = BackupRequest { without_objects: flags.without_objects };
    let mut parts = session.client.backup(request).await?;
    let mut writer = BackupWriter::begin(folder.clone(), !flags.without_objects)?;
    while let Some(part) = parts.next().await {
        let Some(part) = part?.part else {
            bail!("the server sent a part of an unknown kind: it is of a later version")
        };
        if writer.add(part)? {
            let manifest = writer.finish()?;
            let written = WrittenBackup {
                folder: folder.0.display().to_string(),
                at_ms: manifest.at_ms,
                segments: manifest.segments,
                objects: manifest.objects,
                object_bytes: manifest.object_bytes,
                with_objects: manifest.with_objects,
                log_bytes: manifest.log.iter().map(|file| file.sum.bytes).sum(),
                catalog_bytes: manifest.catalog.bytes,
            };
            return session.output().answer(&written, show::backup);
        }
    }
    bail!("the server ended the backup before it was complete; {} is no backup", folder.0.display())
}

/// Makes a folder, or takes one that is empty.
fn make_empty(folder: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    if fs::read_dir(folder).with_context(|| folder.display().to_string())?.next().is_some() {
        bail!("{} is not empty: a backup needs a folder of its own", folder.display());
    }
    Ok(())
}

/// A file that is being written.
struct UnclosedFile {
    path: PathBuf,
    file: BufWriter<File>,
    sum: Sum,
}

impl UnclosedFile {
    fn create(path: PathBuf) -> anyhow::Result<Self> {
        let create = || {
            path.parent().map_or(Ok(()), fs::create_dir_all)?;
            File::create_new(&path)
        };
        let file = create().with_context(|| path.display().to_string())?;
        Ok(Self { file: BufWriter::new(file), path, sum: Sum::default() })
    }

    fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.sum.add(bytes);
        self.file.write_all(bytes).with_context(|| self.path.display().to_string())
    }

    /// Durable when it returns.
    fn close(self) -> anyhow::Result<Sum> {
        let Self { path, file, sum } = self;
        let close = || file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all();
        close().with_context(|| path.display().to_string())?;
        Ok(sum)
    }
}

/// A folder that becomes a backup.
pub(super) struct BackupWriter {
    folder: BackupFolder,
    manifest: Manifest,
    catalog: UnclosedFile,
    names: UnclosedFile,
    /// The file of the log or the object whose next part is expected.
    current: Option<(u64, UnclosedFile)>,
}

impl BackupWriter {
    pub(super) fn begin(folder: BackupFolder, with_objects: bool) -> anyhow::Result<Self> {
        let manifest = Manifest {
            format: FORMAT,
            version: String::new(),
            at_ms: 0,
            segments: 0,
            with_objects,
            objects: 0,
            object_bytes: 0,
            catalog: Sum::default(),
            names: Sum::default(),
            log: Vec::new(),
        };
        let (catalog, names) = (UnclosedFile::create(folder.catalog())?, UnclosedFile::create(folder.names())?);
        Ok(Self { folder, manifest, catalog, names, current: None })
    }

    /// True after the last part.
    pub(super) fn add(&mut self, part: Part) -> anyhow::Result<bool> {
        match part {
            Part::Head(head) => {
                self.manifest.version = head.version;
                self.manifest.at_ms = head.at_ms;
                self.manifest.segments = head.segments;
            }
            Part::Records(bytes) => self.catalog.write(&bytes)?,
            Part::Log(part) => self.add_log(&part)?,
            Part::Object(part) => self.add_object(part)?,
            Part::End(_) => return Ok(true),
        }
        Ok(false)
    }

    fn add_log(&mut self, part: &BackupLogPart) -> anyhow::Result<()> {
        let path = self.folder.log(part.first);
        if let Some(sum) = self.append(path, part.offset, part.file_bytes, &part.data)? {
            self.manifest.log.push(LogSum { first: part.first, sum });
        }
        Ok(())
    }

    fn add_object(&mut self, part: BackupObjectPart) -> anyhow::Result<()> {
        let path: LogPath = part.name.parse().with_context(|| format!("the server sent object {:?}", part.name))?;
        let mut line = ObjectLine { path, bytes: part.object_bytes, checksum: part.checksum };
        if self.manifest.with_objects {
            let file = self.folder.object(&path);
            let Some(sum) = self.append(file.clone(), part.offset, part.object_bytes, &part.data)? else {
                return Ok(());
            };
            if let Some(expected) = part.checksum.filter(|expected| *expected != sum.checksum) {
                return Err(damaged(
                    &file,
                    &format!("checksum {expected:08x} expected, {:08x} received", sum.checksum),
                ));
            }
            line.checksum = Some(sum.checksum);
        }
        self.manifest.objects += 1;
        self.manifest.object_bytes += part.object_bytes;
        self.names.write(line.text().as_bytes())
    }

    /// Writes a part of a file. With the last one the sum of all.
    fn append(&mut self, path: PathBuf, at: u64, whole: u64, bytes: &[u8]) -> anyhow::Result<Option<Sum>> {
        let (expected, mut open) = match self.current.take() {
            None => (0, UnclosedFile::create(path.clone())?),
            Some(current) => current,
        };
        if open.path != path || at != expected || at + bytes.len() as u64 > whole {
            bail!(
                "the server sent {} bytes of {} at {at}, expected at {expected} of {whole}",
                bytes.len(),
                path.display()
            );
        }
        open.write(bytes)?;
        let end = at + bytes.len() as u64;
        if end == whole {
            return open.close().map(Some);
        }
        if bytes.is_empty() {
            bail!("the server sent nothing of {} at {at} of {whole}", path.display());
        }
        self.current = Some((end, open));
        Ok(None)
    }

    /// Makes everything durable, the manifest last.
    pub(super) fn finish(self) -> anyhow::Result<Manifest> {
        let Self { folder, mut manifest, catalog, names, current } = self;
        if let Some((at, open)) = current {
            bail!("the server ended the backup at {at} of {}", open.path.display());
        }
        manifest.catalog = catalog.close()?;
        manifest.names = names.close()?;
        let mut file = UnclosedFile::create(folder.0.join("manifest.new"))?;
        file.write(&serde_json::to_vec_pretty(&manifest).context("writing JSON")?)?;
        let unfinished = file.path.clone();
        file.close()?;
        let name = || {
            fs::rename(&unfinished, folder.manifest())?;
            File::open(&folder.0)?.sync_all()
        };
        name().with_context(|| folder.manifest().display().to_string())?;
        Ok(manifest)
    }
}
