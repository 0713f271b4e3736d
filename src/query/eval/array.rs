//! Array cells: each is a serialised protobuf `ScalarField`.
//!
//! The messages are declared here and not taken from `wire`, which this room must not use: it holds generated code of the
//! protocols.

use std::borrow::Cow;

use prost::Message;

use crate::query::expr::{
    num::Num,
    value::{ListKey, RowValue},
};

#[derive(Clone, PartialEq, Message)]
pub(super) struct ArrayCell {
    #[prost(oneof = "ArrayValues", tags = "1, 2, 3, 4, 5, 6")]
    values: Option<ArrayValues>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum ArrayValues {
    #[prost(message, tag = "1")]
    Bools(Bools),
    #[prost(message, tag = "2")]
    Ints(Ints),
    #[prost(message, tag = "3")]
    Longs(Longs),
    #[prost(message, tag = "4")]
    Floats(Floats),
    #[prost(message, tag = "5")]
    Doubles(Doubles),
    #[prost(message, tag = "6")]
    Strings(Strings),
}

#[derive(Clone, PartialEq, Message)]
struct Bools {
    #[prost(bool, repeated, tag = "1")]
    data: Vec<bool>,
}

#[derive(Clone, PartialEq, Message)]
struct Ints {
    #[prost(int32, repeated, tag = "1")]
    data: Vec<i32>,
}

#[derive(Clone, PartialEq, Message)]
struct Longs {
    #[prost(int64, repeated, tag = "1")]
    data: Vec<i64>,
}

#[derive(Clone, PartialEq, Message)]
struct Floats {
    #[prost(float, repeated, tag = "1")]
    data: Vec<f32>,
}

#[derive(Clone, PartialEq, Message)]
struct Doubles {
    #[prost(double, repeated, tag = "1")]
    data: Vec<f64>,
}

#[derive(Clone, PartialEq, Message)]
struct Strings {
    #[prost(string, repeated, tag = "1")]
    data: Vec<String>,
}

impl ArrayCell {
    /// Decodes a cell. Empty bytes are an empty array.
    ///
    /// # Errors
    /// Bytes that are not such a message.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, prost::DecodeError> {
        Self::decode(bytes)
    }

    pub(super) fn get(&self, index: usize) -> Option<RowValue<'_>> {
        Some(match self.values.as_ref()? {
            ArrayValues::Bools(list) => RowValue::Bool(*list.data.get(index)?),
            ArrayValues::Ints(list) => RowValue::Number(Num::Int(i64::from(*list.data.get(index)?))),
            ArrayValues::Longs(list) => RowValue::Number(Num::Int(*list.data.get(index)?)),
            ArrayValues::Floats(list) => RowValue::Number(Num::Float(f64::from(*list.data.get(index)?))),
            ArrayValues::Doubles(list) => RowValue::Number(Num::Float(*list.data.get(index)?)),
            ArrayValues::Strings(list) => RowValue::Text(Cow::Borrowed(list.data.get(index)?)),
        })
    }

    pub(super) fn len(&self) -> usize {
        match &self.values {
            None => 0,
            Some(ArrayValues::Bools(list)) => list.data.len(),
            Some(ArrayValues::Ints(list)) => list.data.len(),
            Some(ArrayValues::Longs(list)) => list.data.len(),
            Some(ArrayValues::Floats(list)) => list.data.len(),
            Some(ArrayValues::Doubles(list)) => list.data.len(),
            Some(ArrayValues::Strings(list)) => list.data.len(),
        }
    }

    /// Its elements, in the form in which lists are compared.
    pub(super) fn keys(&self) -> impl Iterator<Item = Option<ListKey<'_>>> {
        (0..self.len()).map(|index| self.get(index).and_then(ListKey::scalar))
    }
}

#[cfg(test)]
pub(in crate::query) mod fixture {
    use super::*;

    pub(in crate::query) fn longs(data: &[i64]) -> Vec<u8> {
        ArrayCell { values: Some(ArrayValues::Longs(Longs { data: data.to_vec() })) }.encode_to_vec()
    }

    pub(in crate::query) fn floats(data: &[f32]) -> Vec<u8> {
        ArrayCell { values: Some(ArrayValues::Floats(Floats { data: data.to_vec() })) }.encode_to_vec()
    }

    pub(in crate::query) fn strings(data: &[&str]) -> Vec<u8> {
        let data = data.iter().map(|&s| s.to_owned()).collect();
        ArrayCell { values: Some(ArrayValues::Strings(Strings { data })) }.encode_to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_milvus_are_read() {
        let empty = ArrayCell::read(&hex::decode("1a00").unwrap()).unwrap();
        assert_eq!((empty.len(), empty.get(0)), (0, None));
        let longs = ArrayCell::read(&hex::decode("1a0d0a0bffffffffffffffffff0100").unwrap()).unwrap();
        assert_eq!(longs.get(0), Some(RowValue::Number(Num::Int(-1))));
        assert_eq!(longs.get(1), Some(RowValue::Number(Num::Int(0))));
        assert_eq!(longs.get(2), None);
        let strings = ArrayCell::read(&hex::decode("32030a0161").unwrap()).unwrap();
        assert_eq!(strings.get(0), Some(RowValue::Text("a".into())));
        assert!(ArrayCell::read(&[0x1a, 0x7f]).is_err());
        assert_eq!(hex::encode(fixture::longs(&[-1, 0])), "1a0d0a0bffffffffffffffffff0100");
        assert_eq!(hex::encode(fixture::strings(&["a"])), "32030a0161");
    }
}
