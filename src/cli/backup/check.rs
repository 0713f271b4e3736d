//! Reads a backup whole, and compares it with its checksums.

use super::folder::{BackupFolder, Manifest, Sum, compare, damaged};

/// Checks everything but the objects. Returns the manifest.
pub(super) fn check_records(folder: &BackupFolder) -> anyhow::Result<Manifest> {
    let manifest = folder.read_manifest()?;
    compare(&folder.catalog(), manifest.catalog)?;
    compare(&folder.names(), manifest.names)?;
    for file in &manifest.log {
        compare(&folder.log(file.first), file.sum)?;
    }
    let (mut objects, mut bytes) = (0, 0);
    for line in folder.lines()? {
        objects += 1;
        bytes += line?.bytes;
    }
    if (objects, bytes) != (manifest.objects, manifest.object_bytes) {
        let what =
            format!("{objects} objects of {bytes} bytes, {} of {} expected", manifest.objects, manifest.object_bytes);
        return Err(damaged(&folder.names(), &what));
    }
    Ok(manifest)
}

/// Checks all objects that are there.
pub(super) fn check_objects(folder: &BackupFolder) -> anyhow::Result<()> {
    for line in folder.lines()? {
        let line = line?;
        if let Some(checksum) = line.checksum {
            compare(&folder.object(&line.path), Sum { bytes: line.bytes, checksum })?;
        }
    }
    Ok(())
}
