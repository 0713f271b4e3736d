//! The default value of a field: stored with the schema, and filled in for rows that don't give a value.

use serde::{Deserialize, Serialize};

/// A value of the kind that its field's type needs; the builder of a schema checks it. Written as JSON: floating-point
/// numbers as their bits, because not every text format knows NaN and infinity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum DefaultValue {
    Bool(bool),
    /// Of Int8, Int16 and Int32.
    Int(i32),
    /// Of Int64.
    Long(i64),
    Float(#[serde(with = "bits_of_f32")] f32),
    Double(#[serde(with = "super::scalar::float_bits")] f64),
    /// Of VarChar.
    Text(String),
}

mod bits_of_f32 {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f32, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u32(value.to_bits())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<f32, D::Error> {
        u32::deserialize(from).map(f32::from_bits)
    }
}
