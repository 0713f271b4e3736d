//! Parameters as pairs of texts, which messages carry, and as JSON.

use serde_json::{Map, Value as Tree, json};

use super::{
    answer::Fault,
    members::{Members, not_json, text_of},
};
use crate::{
    json::{self, TreeFault, Value},
    wire::proto::{common::KeyValuePair, milvus::IndexDescription},
};

pub(super) fn pair(key: &str, value: impl Into<String>) -> KeyValuePair {
    KeyValuePair { key: key.to_owned(), value: value.into() }
}

/// Pairs as Milvus describes them.
pub(super) fn pairs(pairs: &[KeyValuePair]) -> Vec<Tree> {
    pairs.iter().map(|pair| json!({"key": pair.key, "value": pair.value})).collect()
}

/// A parameter of an index; empty: it has none of that name.
pub(super) fn param<'i>(index: &'i IndexDescription, key: &str) -> &'i str {
    index.params.iter().find(|pair| pair.key == key).map_or("", |pair| pair.value.as_str())
}

pub(super) fn metric(index: &IndexDescription) -> &str {
    param(index, "metric_type")
}

/// The parameters of an index: its type, its metric, and all others as JSON.
pub(super) fn extra_params(index: &Members<'_>) -> Result<Vec<KeyValuePair>, Fault> {
    let params = index.object("params", "params")?;
    let named = index.text("indexType")?;
    let inner = params.as_ref().and_then(|params| params.value("index_type")).map(|value| text_of(value).into_owned());
    let kind = if named.is_empty() { inner.unwrap_or_default() } else { named };
    let metric = index.text("metricType")?;
    let mut pairs = Vec::new();
    pairs.extend(Some(kind).filter(|kind| !kind.is_empty()).map(|kind| pair("index_type", kind)));
    pairs.extend(Some(metric).filter(|metric| !metric.is_empty()).map(|metric| pair("metric_type", metric)));
    if let Some(value) = index.value("params") {
        let tree = tree(value).map_err(|error| not_json(&error.to_string()))?;
        if !tree.is_empty() {
            pairs.push(pair("params", Tree::Object(tree).to_string()));
        }
    }
    Ok(pairs)
}

/// The members of an object as a tree, for parameters that are stored as JSON.
fn tree(value: Value<'_>) -> Result<Map<String, Tree>, TreeFault> {
    json::tree(value.raw())
}
