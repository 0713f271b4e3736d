//! The pairs of a definition, with those inside `params`.

use std::collections::BTreeMap;

use serde_json::Value;

use super::fault::IndexFault;
use crate::model::properties::MAX_VALUE_BYTES;

/// The type that leaves the choice to the server.
pub const AUTO_INDEX: &str = "AUTOINDEX";
/// Keys of the pairs.
pub(super) const INDEX_TYPE: &str = "index_type";
pub(super) const METRIC_TYPE: &str = "metric_type";
pub(super) const DIM: &str = "dim";

/// The key whose value is a JSON object with more pairs.
const PARAMS: &str = "params";
/// The choice of the server for AUTOINDEX: the defaults of Milvus' `autoIndex.params.build`.
const AUTO: [(&str, &str); 3] = [(INDEX_TYPE, "HNSW"), ("M", "18"), ("efConstruction", "240")];
const AUTO_METRIC: &str = "IP";

/// Values by key; the last one of a key counts.
pub(super) struct Pairs(BTreeMap<String, String>);

impl Pairs {
    pub(super) fn of(given: &[(String, String)]) -> Result<Self, IndexFault> {
        let mut pairs = BTreeMap::new();
        for (key, value) in given {
            if key == PARAMS {
                pairs.extend(inner(value)?);
            } else {
                pairs.insert(key.clone(), value.clone());
            }
        }
        Ok(Self(pairs))
    }

    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The server's choice; the client's metric stays.
    pub(super) fn fill_auto(&mut self) {
        debug_assert!(self.get(INDEX_TYPE).is_none_or(|given| given == AUTO_INDEX));
        self.0.extend(AUTO.map(|(key, value)| (key.to_owned(), value.to_owned())));
        self.0.entry(METRIC_TYPE.to_owned()).or_insert_with(|| AUTO_METRIC.to_owned());
    }
}

fn inner(text: &str) -> Result<BTreeMap<String, String>, IndexFault> {
    // Read as a tree, which takes many times the memory of its text.
    if text.len() > MAX_VALUE_BYTES {
        let length = text.len();
        return Err(IndexFault::Params(format!("they have {length} bytes, the limit is {MAX_VALUE_BYTES}")));
    }
    let object: Option<BTreeMap<String, Value>> =
        serde_json::from_str(text).map_err(|error| IndexFault::Params(error.to_string()))?;
    Ok(object.unwrap_or_default().into_iter().map(|(key, value)| (key, plain(&value))).collect())
}

/// A value as text: a whole number without its fraction, whichever way it is written.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_i64() && !number.is_u64() && float.fract() == 0.0 && float.abs() < 1e15 => {
                format!("{float:.0}")
            }
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}
