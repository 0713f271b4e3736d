//! Insert logs: the container, the footer and pages of a parquet file, every type of column.

use arrow_array::{Array as _, ArrayRef};
use bytes::Bytes;
use datacoord::{
    binlog::{BinlogError, InsertLog, InsertLogWriter, LogIds},
    config::BinlogConfig,
    model::{CollectionId, Field, PartitionId, SegmentId, Timestamp},
};

use super::{choices::Choices, schema};

/// A footer may claim any number of rows, and a few bytes may really hold millions.
const MOST_ROWS: u64 = 4096;
const IDS: LogIds = LogIds { collection: CollectionId(1), partition: PartitionId(2), segment: SegmentId(3) };

/// Field, rows of an array, whether lengths are mended; the rest is the file.
pub(super) fn run(input: &[u8]) {
    let mut choices = Choices::new(input);
    let fields = schema::every_type().stored_fields();
    let field = choices.pick(&fields);
    let batch_rows = 1 + choices.below(200);
    let is_mended = choices.bool();
    let mut file = choices.rest().to_vec();
    if is_mended {
        mend(&mut file);
    }
    let file = Bytes::from(file);
    let log = match InsertLog::open(file.clone()) {
        Ok(log) => log,
        Err(error) => return check_error(&error, file.len()),
    };
    let Some(arrays) = read(&log, field, batch_rows, file.len()) else { return };
    let rows: u64 = arrays.iter().map(|array| array.len() as u64).sum();
    if rows < log.rows() {
        return;
    }
    assert_eq!(rows, log.rows(), "the footer's number of rows is that of the arrays");
    if let Ok(header) = log.readdress(IDS, 7) {
        let copy = InsertLog::open(header.join(&file).bytes).expect("a copied payload opens");
        assert_eq!(
            read(&copy, field, batch_rows, file.len()),
            Some(arrays.clone()),
            "a copied payload has the same rows"
        );
    }
    if rows > 0 {
        write_again(field, &arrays);
    }
}

/// All arrays, or the first ones of very many; none if a page is damaged.
fn read(log: &InsertLog, field: &Field, batch_rows: usize, len: usize) -> Option<Vec<ArrayRef>> {
    let mut arrays = Vec::new();
    let mut rows = 0;
    let reader = match log.read(field, batch_rows) {
        Ok(reader) => reader,
        Err(error) => {
            check_error(&error, len);
            return None;
        }
    };
    for array in reader {
        let array = match array {
            Ok(array) => array,
            Err(error) => {
                check_error(&error, len);
                return None;
            }
        };
        assert_eq!((array.data_type(), array.null_count()), (&field.arrow_type(), 0));
        assert!(array.len() <= batch_rows);
        rows += array.len() as u64;
        arrays.push(array);
        if rows > MOST_ROWS {
            break;
        }
    }
    Some(arrays)
}

/// Damage is an error that says where in the file it is.
fn check_error(error: &BinlogError, len: usize) {
    let BinlogError::Corrupt { offset, .. } = error else { panic!("{error}") };
    assert!(*offset <= len as u64, "{error} in a file of {len} bytes");
}

fn write_again(field: &Field, arrays: &[ArrayRef]) {
    let mut writer = InsertLogWriter::new(IDS, field, &BinlogConfig::default()).expect("the field has its parameters");
    for array in arrays {
        writer.write(array).expect("an array that was read can be written");
    }
    let written = writer.finish(Timestamp(1), Timestamp(2), 7).expect("rows of one log fit into one");
    let log = InsertLog::open(written.bytes).expect("a file of our own opens");
    let all = usize::try_from(log.rows()).expect("as many rows as were read");
    let again: Vec<ArrayRef> = log.read(field, all).expect("a field").collect::<Result<_, _>>().expect("own pages");
    let parts: Vec<&dyn arrow_array::Array> = arrays.iter().map(AsRef::as_ref).collect();
    let whole = arrow_select::concat::concat(&parts).expect("arrays of one type");
    let same = again.len() == 1 && again[0].to_data() == whole.to_data();
    assert!(same, "what was written is not what was read: {again:?}, {whole:?}");
}

/// Gives the two events of a file the lengths that they have, so that a change of a payload's length gets further than
/// the check of the container.
fn mend(file: &mut [u8]) {
    const DESCRIPTOR: usize = 4;
    let length_at = |event: usize| event + 9;
    let Some(length) = file.get(length_at(DESCRIPTOR)..length_at(DESCRIPTOR) + 4) else { return };
    let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
    let (event, end) = (DESCRIPTOR.saturating_add(length), file.len());
    put(file, length_at(DESCRIPTOR) + 4, event);
    put(file, length_at(event), end.saturating_sub(event));
    put(file, length_at(event) + 4, end);
}

fn put(file: &mut [u8], at: usize, number: usize) {
    if let (Some(place), Ok(number)) = (file.get_mut(at..at.saturating_add(4)), i32::try_from(number)) {
        place.copy_from_slice(&number.to_le_bytes());
    }
}

/// A log of each field, as it is and to be mended.
pub(super) fn seeds() -> Vec<Vec<u8>> {
    let (schema, rows) = (schema::every_type(), schema::rows());
    let mut seeds = Vec::new();
    for (at, field) in (0u8..).zip(schema.stored_fields()) {
        let Some(column) = rows.column_by_name(&field.column_name()) else { continue };
        let mut writer = InsertLogWriter::new(IDS, &field, &BinlogConfig::default()).expect("its parameters");
        writer.write(column).expect("rows of the field");
        let file = writer.finish(Timestamp(1), Timestamp(2), 7).expect("three rows").bytes;
        for is_mended in [0, 1] {
            seeds.push([&[at, 1, is_mended], &file[..]].concat());
        }
    }
    seeds
}
