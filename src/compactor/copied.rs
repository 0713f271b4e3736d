//! A column whose objects are copied: the payload of an input, behind the header of the output.
//!
//! Must never: copy an object that Milvus' readers would refuse, or whose header is of another field.

use super::{
    CompactError,
    cut::BatchPart,
    inputs::Inputs,
    merge_run::{MergeRun, SMALL_BYTES},
    piece_work::PieceWork,
    sink::add_keys,
};
use crate::{
    binlog::{BinlogError, Encoded, Readdressed},
    storage::{Fetched, StoredObject},
};

/// A finished column.
pub(super) enum ColumnObject {
    Encoded(Encoded),
    /// The payload of this input behind another header.
    Readdressed(StoredObject, Readdressed),
}

/// The object of a whole batch under the output's header; None if it is not fit for that and has to be written anew.
/// Only pages of keys and of small objects are decoded. Damage in other pages is carried over, and a later read finds it by
/// the checksum of the copy. The store moves the pages, so they are not in memory, unless the object is so small that it is
/// written together with others.
pub(super) async fn copy(
    exec: &MergeRun<'_>,
    inputs: &Inputs,
    work: &PieceWork,
    part: &BatchPart,
    field: usize,
) -> Result<Option<ColumnObject>, CompactError> {
    let column = inputs.column(part.batch, field)?;
    let is_small = column.file.bytes < SMALL_BYTES;
    let fetched = match field == inputs.key || is_small {
        true => exec.fetch(column.object()).await?,
        false => exec.look_into(column.path).await?,
    };
    let keys = (field == inputs.key).then(|| work.keys.clone());
    let (ids, stop, now_ms) = (work.ids, exec.stop.clone(), exec.task.now_ms);
    exec.cores
        .run(move || {
            let whole = match &fetched {
                Fetched::Whole { bytes, .. } if is_small => Some(bytes.clone()),
                _ => None,
            };
            let open = column.open(fetched)?;
            // A header of another field or type would be copied too. Decoding takes or refuses it with a reason.
            let header = open.log.header();
            if header.field != column.field.id || header.data_type != column.field.data_type.number() {
                return Ok(None);
            }
            let copy = match open.log.readdress(ids, now_ms) {
                Ok(copy) => copy,
                Err(BinlogError::NotCopyable(_)) => return Ok(None),
                Err(error) => return Err(column.corrupt(error)),
            };
            // The checksum of the copy is computed from that of all bytes that were written.
            if column.file.checksum.is_some() && copy.payload.end != column.file.bytes {
                let (end, bytes) = (copy.payload.end, column.file.bytes);
                return Err(column.mismatch(format!("ends at byte {end}, metadata says {bytes}")));
            }
            if let Some(keys) = keys {
                column.scan(&open, &stop, |_, array| add_keys(&keys, &column.field, array))?;
            }
            Ok(Some(match whole {
                Some(whole) => ColumnObject::Encoded(copy.join(&whole)),
                None => ColumnObject::Readdressed(column.object(), copy),
            }))
        })
        .await
}
