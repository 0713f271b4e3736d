//! The query vectors of a search, from the message in which clients send them.

use bytes::{Buf, Bytes};
use prost::{
    DecodeError, Message,
    encoding::{self, DecodeContext, WireType, decode_key, skip_field},
};

use crate::{
    model::{DataType, Field, SearchError},
    wire::proto::common::{PlaceholderGroup, PlaceholderType},
};

/// The tag of the vectors of a search.
const TAG: &str = "$0";

/// Decodes query vectors for a field: whole vectors of its width, one after the other. There is at least one.
///
/// `claimed` is the number that the request gives; 0: none, then only the message counts. `most` is the limit of it.
///
/// # Errors
/// [`SearchError`]: a message that is none, another number of vectors, vectors of another type or length.
pub fn query_vectors(group: &Bytes, claimed: i64, field: &Field, most: u64) -> Result<Vec<u8>, SearchError> {
    let unreadable = |e: DecodeError| SearchError::Placeholders(e.to_string());
    // Counted before anything is decoded: an empty vector takes two bytes in the message, and thirty in memory.
    let count = count_vectors(group, most).map_err(unreadable)?;
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let claimed = if claimed == 0 { count } else { claimed };
    if let Some(got) =
        [claimed, count].into_iter().find(|number| *number > most as i64).or((claimed < 1).then_some(claimed))
    {
        return Err(SearchError::Queries { got, most });
    }
    let group = PlaceholderGroup::decode(group.clone()).map_err(unreadable)?;
    // Milvus looks at the first one only.
    let Some(placeholder) = group.placeholders.into_iter().next() else {
        return Err(SearchError::Placeholders("empty search request".to_owned()));
    };
    if placeholder.tag != TAG {
        return Err(SearchError::Placeholders(format!("the tag is not {TAG}")));
    }
    let vectors = placeholder.values;
    if usize::try_from(claimed) != Ok(vectors.len()) {
        return Err(SearchError::ClaimedQueries { claimed, got: vectors.len() });
    }
    let expected = match field.data_type {
        DataType::BinaryVector => PlaceholderType::BinaryVector,
        _ => PlaceholderType::FloatVector,
    };
    if placeholder.r#type != i32::from(expected) {
        let (expected, got) = (field.data_type.name(), placeholder.r#type);
        return Err(SearchError::OtherVectors { field: field.name.clone(), expected, got });
    }
    let expected = field.vector_bytes();
    if let Some(other) = vectors.iter().find(|vector| vector.len() != expected) {
        return Err(SearchError::Dimension { expected, got: other.len() });
    }
    Ok(vectors.concat())
}

/// Number of vectors in a message; of the lists of vectors, if there are more than `most`.
fn count_vectors(group: &Bytes, most: u64) -> Result<u64, DecodeError> {
    let (mut lists, mut count) = (0, 0);
    for_each_message(group.clone(), PLACEHOLDERS, |placeholder| {
        lists += 1;
        for_each_message(placeholder, VALUES, |_| {
            count += 1;
            Ok(())
        })
    })?;
    Ok(if lists > most { lists } else { count })
}

/// Numbers of fields of `PlaceholderGroup` and `PlaceholderValue`.
const PLACEHOLDERS: u32 = 1;
const VALUES: u32 = 3;

/// Calls with the bytes of every field of this number.
fn for_each_message(
    mut message: Bytes,
    field: u32,
    mut call: impl FnMut(Bytes) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    while message.has_remaining() {
        match decode_key(&mut message)? {
            (number, WireType::LengthDelimited) if number == field => {
                let mut value = Bytes::new();
                encoding::bytes::merge(WireType::LengthDelimited, &mut value, &mut message, DecodeContext::default())?;
                call(value)?;
            }
            (number, wire_type) => skip_field(wire_type, number, &mut message, DecodeContext::default())?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{kit::model, wire::proto::common::PlaceholderValue};

    fn group(tag: &str, r#type: i32, vectors: &[&[u8]]) -> PlaceholderValue {
        let values = vectors.iter().map(|vector| Bytes::copy_from_slice(vector)).collect();
        PlaceholderValue { tag: tag.to_owned(), r#type, values, ..Default::default() }
    }

    fn read(groups: Vec<PlaceholderValue>, claimed: i64) -> Result<Vec<u8>, String> {
        let message = PlaceholderGroup { placeholders: groups }.encode_to_vec().into();
        query_vectors(&message, claimed, &model::vector(101, "v", 2), 3).map_err(|error| error.to_string())
    }

    #[test]
    fn vectors_of_a_request() {
        let (one, two) = ([1u8; 8], [2u8; 8]);
        let both = [one, two].concat();
        assert_eq!(read(vec![group("$0", 101, &[&one, &two])], 2), Ok(both.clone()));
        // Old clients give no number.
        assert_eq!(read(vec![group("$0", 101, &[&one, &two])], 0), Ok(both));
        // Only the first of several is looked at.
        assert_eq!(read(vec![group("$0", 101, &[&one]), group("$1", 7, &[])], 1), Ok(one.to_vec()));
    }

    #[test]
    fn other_messages_are_refused() {
        let one: &[u8] = &[1; 8];
        let ok = || group("$0", 101, &[one]);
        for (groups, claimed, expected) in [
            (vec![], 0, "0 query vectors, expected 1 to 3"),
            (vec![], 1, "the query vectors can't be read: empty search request"),
            (vec![group("$0", 101, &[one; 2]), group("$1", 7, &[one; 2])], 2, "4 query vectors, expected 1 to 3"),
            (vec![group("", 0, &[]); 5], 1, "5 query vectors, expected 1 to 3"),
            (vec![ok()], -1, "-1 query vectors, expected 1 to 3"),
            (vec![ok()], 4, "4 query vectors, expected 1 to 3"),
            (vec![ok()], i64::MIN, "-9223372036854775808 query vectors, expected 1 to 3"),
            (vec![group("$0", 101, &[one; 4])], 0, "4 query vectors, expected 1 to 3"),
            (vec![ok()], 2, "nq is 2, and there are 1 query vectors"),
            (vec![ok(), ok()], 0, "nq is 2, and there are 1 query vectors"),
            (vec![group("$0", 101, &[])], 1, "nq is 1, and there are 0 query vectors"),
            (vec![group("$1", 101, &[one])], 1, "the query vectors can't be read: the tag is not $0"),
            (vec![group("$0", 100, &[one])], 1, "the query vectors are of type 100, field v is of type FloatVector"),
            (vec![group("$0", 101, &[&[1; 7]])], 1, "a query vector has 7 bytes, the vectors of the field have 8"),
            (vec![group("$0", 101, &[one, &[]])], 2, "a query vector has 0 bytes, the vectors of the field have 8"),
        ] {
            assert_eq!(read(groups.clone(), claimed), Err(expected.to_owned()), "{groups:?} {claimed}");
        }
        let garbage = query_vectors(&Bytes::from_static(b"\xff\xff"), 1, &model::vector(101, "v", 2), 3);
        assert!(matches!(garbage, Err(SearchError::Placeholders(_))), "{garbage:?}");
    }
}
