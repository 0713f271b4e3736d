//! Looking into JSON cells without building what is not asked for.
//!
//! A path works like a JSON pointer, as in Milvus: a key of digits also indexes a list. Of equal keys the first counts.
//! A cell that is not JSON has no keys: rows are checked when they are written, and a reader must not fail on them.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value as Json;

use super::{
    ast::Step,
    bound::{Item, Num},
    value::{Elements, Value},
};

/// What `path` reaches in `text`.
pub(super) fn lookup(text: &[u8], path: &[Step]) -> Option<Json> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    Walk { path }.deserialize(&mut reader).ok().flatten()
}

/// Numbers beyond 64 bits count as doubles.
pub(super) fn scalar(json: &Json) -> Option<Value<'_>> {
    Some(match json {
        Json::Bool(value) => Value::Bool(*value),
        Json::Number(value) => Value::Number(match value.as_i64() {
            Some(int) => Num::Int(int),
            None => Num::Float(value.as_f64()?),
        }),
        Json::String(value) => Value::Text(value),
        Json::Null | Json::Array(_) | Json::Object(_) => return None,
    })
}

impl Elements for Vec<Json> {
    fn len(&self) -> usize {
        self.as_slice().len()
    }

    fn is(&self, index: usize, item: &Item) -> bool {
        match (self.get(index), item) {
            (Some(Json::Array(list)), Item::List(items)) => list.equals(items),
            (Some(json), Item::Literal(literal)) => scalar(json).is_some_and(|value| value.equals(literal)),
            _ => false,
        }
    }
}

/// Descends `path` in whatever is read next.
struct Walk<'p> {
    path: &'p [Step],
}

impl<'de> DeserializeSeed<'de> for Walk<'_> {
    type Value = Option<Json>;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Self::Value, D::Error> {
        if self.path.is_empty() {
            return serde::Deserialize::deserialize(reader).map(Some);
        }
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk<'_> {
    type Value = Option<Json>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("any value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some((step, path)) = self.path.split_first() else { return Ok(None) };
        let mut found = None;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            let wanted = match step {
                Step::Key(name) => *name == key,
                Step::Index(index) => index.to_string() == key,
            };
            if wanted && found.is_none() {
                found = Some(map.next_value_seed(Walk { path })?);
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found.flatten())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let Some((step, path)) = self.path.split_first() else { return Ok(None) };
        let wanted = match step {
            Step::Index(index) => Some(*index),
            Step::Key(key) => key.parse().ok().filter(|index: &u64| index.to_string() == *key),
        };
        let mut found = None;
        let mut index = 0;
        loop {
            if wanted == Some(index) {
                match seq.next_element_seed(Walk { path })? {
                    Some(value) => found = value,
                    None => return Ok(found),
                }
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                return Ok(found);
            }
            index += 1;
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Step {
        Step::Key(name.to_owned())
    }

    #[test]
    fn paths() {
        let text = br#"{"a":[1,{"b":"x"}],"n":null,"0":true,"a":2,"e\u0301":3}"#;
        for (path, expected) in [
            (vec![key("a")], Some(serde_json::json!([1, {"b": "x"}]))),
            (vec![key("a"), Step::Index(0)], Some(serde_json::json!(1))),
            (vec![key("a"), key("0")], Some(serde_json::json!(1))),
            (vec![key("a"), key("00")], None),
            (vec![key("a"), Step::Index(1), key("b")], Some(serde_json::json!("x"))),
            (vec![key("a"), Step::Index(2)], None),
            (vec![key("a"), Step::Index(0), key("b")], None),
            (vec![key("n")], Some(Json::Null)),
            (vec![key("n"), key("x")], None),
            (vec![Step::Index(0)], Some(Json::Bool(true))),
            (vec![key("e\u{301}")], Some(serde_json::json!(3))),
            (vec![key("missing")], None),
        ] {
            assert_eq!(lookup(text, &path), expected, "{path:?}");
        }
    }

    #[test]
    fn broken_text_has_no_keys() {
        for text in [&b""[..], b"{", b"{\"a\":1", b"\xff", &[b'['; 100_000], b"nan"] {
            assert_eq!(lookup(text, &[key("a")]), None);
        }
    }
}
