//! Checks of parameters that several calls share.

use tonic::Status;

/// Bytes of a megabyte, as Milvus counts them.
pub(super) const BYTES_PER_MB: f64 = 1_048_576.0;

/// A wrong parameter, by its name.
pub(super) fn invalid(field: &str, value: impl std::fmt::Display, expected: &str) -> Status {
    Status::invalid_argument(format!("{field}: {value}, expected {expected}"))
}

/// Milliseconds since 1970; 0 is none.
pub(super) fn time(field: &str, ms: i64) -> Result<Option<u64>, Status> {
    match u64::try_from(ms) {
        Ok(ms) => Ok((ms != 0).then_some(ms)),
        Err(_) => Err(invalid(field, ms, "milliseconds since 1970, or 0")),
    }
}

/// Longest `by` of an order, bytes.
const MAX_BY: usize = 1000;

/// The name that an order is recorded under.
pub(super) fn orderer(by: &str) -> Result<&str, Status> {
    match by.len() {
        0 => Ok("a client"),
        1..=MAX_BY => Ok(by),
        bytes => Err(invalid("by", format_args!("{bytes} bytes"), "at most 1000 bytes")),
    }
}
