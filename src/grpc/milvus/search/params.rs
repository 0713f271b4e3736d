//! The parameters of a search, which clients send as pairs of texts: checked, and with the texts of Milvus where they are
//! wrong.

use crate::{
    grpc::milvus::{api::Outcome, call_error::refused, query::go_bool},
    json::tree,
    model::{CollectionSchema, Field, SearchError},
    standalone::{AskedEffort, AskedNumber, IteratorPage, Range},
    wire::proto::common::KeyValuePair,
};

/// Most rows of a query vector, those that the offset skips included, as in Milvus.
const MOST_ROWS: u64 = 16_384;
/// Most rows of a group, as in Milvus unless it is configured.
const MOST_MEMBERS: u64 = 10;
/// The parameters of a search.
#[derive(Debug, PartialEq)]
pub(in crate::grpc::milvus) struct SearchParams<'r> {
    /// Empty: the only vector field.
    anns_field: &'r str,
    /// Empty: that of the index.
    pub(in crate::grpc::milvus) metric: &'r str,
    pub(in crate::grpc::milvus) limit: u64,
    pub(super) offset: u64,
    /// None: scores are not rounded.
    pub(super) decimals: Option<u32>,
    pub(in crate::grpc::milvus) range: Option<Range>,
    pub(in crate::grpc::milvus) ignore_growing: bool,
    /// Empty: rows are not grouped.
    group: &'r str,
    /// Most rows of a group.
    pub(super) group_size: u64,
    /// The search is for a page of an iterator.
    pub(super) iterator: Option<Iteration<'r>>,
    pub(in crate::grpc::milvus) asked: AskedEffort,
}

/// An iterator of clients of 2.5 and later. Nothing of it is kept here: each page says where the page before ended.
#[derive(Debug, PartialEq)]
pub(super) struct Iteration<'r> {
    /// The name of the iterator; empty: this is its first page.
    pub(super) token: &'r str,
    pub(super) page: IteratorPage,
}

impl<'r> Iteration<'r> {
    /// The iterator, and the number of rows of its page.
    fn read(pairs: &'r [KeyValuePair]) -> Result<Option<(Self, u64)>, SearchError> {
        let get = |key: &str| value(pairs, key);
        let is_set = |key: &str| get(key).and_then(go_bool).unwrap_or(false);
        if !is_set("search_iter_v2") {
            return Ok(None);
        }
        if !is_set("iterator") {
            return Err(SearchError::IteratorFlag);
        }
        if get("group_by_field").is_some_and(|field| !field.is_empty()) {
            return Err(SearchError::InIterator("group_by_field"));
        }
        if offset(pairs)? > 0 {
            return Err(SearchError::InIterator("an offset"));
        }
        const SIZE: &str = "search_iter_batch_size";
        let size = window(SIZE, number(SIZE, get(SIZE).ok_or(SearchError::Missing(SIZE))?)?)?;
        let after = get("search_iter_last_bound").filter(|bound| !bound.is_empty()).map(|bound| {
            let number = bound.parse::<f32>().ok().filter(|number| number.is_finite());
            number.ok_or_else(|| SearchError::LastBound(bound.to_owned()))
        });
        let iterator =
            Self { token: get("search_iter_id").unwrap_or(""), page: IteratorPage { after: after.transpose()? } };
        Ok(Some((iterator, size)))
    }
}

impl<'r> SearchParams<'r> {
    pub(super) fn of(pairs: &'r [KeyValuePair]) -> Outcome<Self> {
        Self::read(pairs).map_err(refused)
    }

    pub(in crate::grpc::milvus) fn read(pairs: &'r [KeyValuePair]) -> Result<Self, SearchError> {
        let get = |key: &str| value(pairs, key);
        let ignore_growing = ignore_growing(pairs)?.unwrap_or(false);
        // Groups have all the rows that they can have, so `strict_group_size` changes nothing.
        let group_size = match get("group_size") {
            None => 1,
            Some(size) => {
                let got = number("group_size", size)?;
                let size = u64::try_from(got).ok().filter(|size| (1..=MOST_MEMBERS).contains(size));
                size.ok_or(SearchError::GroupSize { got, most: MOST_MEMBERS })?
            }
        };
        let group = get("group_by_field").unwrap_or("");
        let (iterator, size) = Iteration::read(pairs)?.unzip();
        let limit = match size {
            Some(size) => size,
            None => window("topk", number("topk", get("topk").ok_or(SearchError::Missing("topk"))?)?)?,
        };
        let offset = offset(pairs)?;
        window("offset+topk", (limit + offset) as i64)?;
        let decimals = decimals(pairs)?;
        let metric = get("metric_type").unwrap_or("");
        let inner = get("params").filter(|text| !text.is_empty()).map(json).transpose()?;
        let range = inner.as_ref().map_or(Ok(None), range)?;
        let asked = inner.as_ref().map(effort).unwrap_or_default();
        let anns_field = get("anns_field").unwrap_or("");
        Ok(Self {
            anns_field,
            metric,
            limit,
            offset,
            decimals,
            range,
            ignore_growing,
            group,
            group_size,
            iterator,
            asked,
        })
    }

    pub(in crate::grpc::milvus) fn is_grouped(&self) -> bool {
        !self.group.is_empty()
    }

    pub(super) fn group<'s>(&self, schema: &'s CollectionSchema) -> Outcome<Option<&'s Field>> {
        match self.group {
            "" => Ok(None),
            name => schema.field(name).map(Some).ok_or_else(|| refused(SearchError::NoGroup(name.to_owned()))),
        }
    }

    pub(in crate::grpc::milvus) fn field<'s>(&self, schema: &'s CollectionSchema) -> Outcome<&'s Field> {
        let vectors = || schema.fields.iter().find(|field| field.data_type.is_vector());
        let field = match self.anns_field {
            "" => vectors().ok_or(SearchError::NoVectorField),
            name => schema.field(name).ok_or_else(|| SearchError::NoField(name.to_owned())),
        };
        let field = field.map_err(refused)?;
        if field.data_type.is_vector() { Ok(field) } else { Err(refused(SearchError::NotAVector(field.name.clone()))) }
    }
}

pub(in crate::grpc::milvus) fn value<'r>(pairs: &'r [KeyValuePair], key: &str) -> Option<&'r str> {
    pairs.iter().find(|pair| pair.key == key).map(|pair| pair.value.as_str())
}

/// None: the request does not say.
pub(in crate::grpc::milvus) fn ignore_growing(pairs: &[KeyValuePair]) -> Result<Option<bool>, SearchError> {
    let flag = |value: &str| go_bool(value).ok_or_else(|| SearchError::GrowingFlag(value.to_owned()));
    value(pairs, "ignore_growing").map(flag).transpose()
}

pub(in crate::grpc::milvus) fn offset(pairs: &[KeyValuePair]) -> Result<u64, SearchError> {
    match value(pairs, "offset").map(|value| number("offset", value)).transpose()? {
        None | Some(0) => Ok(0),
        Some(offset) => window("offset", offset),
    }
}

/// Places that scores are rounded to. None: they are not rounded.
pub(in crate::grpc::milvus) fn decimals(pairs: &[KeyValuePair]) -> Result<Option<u32>, SearchError> {
    match value(pairs, "round_decimal") {
        None | Some("-1") => Ok(None),
        Some(value) => {
            let decimals = value.parse().ok().filter(|decimals| *decimals <= 6);
            decimals.map(Some).ok_or_else(|| SearchError::RoundDecimal(value.to_owned()))
        }
    }
}

pub(in crate::grpc::milvus) fn number(key: &'static str, value: &str) -> Result<i64, SearchError> {
    value.parse().map_err(|_| SearchError::NotANumber { key, value: value.to_owned() })
}

/// A number of rows.
pub(in crate::grpc::milvus) fn window(what: &'static str, got: i64) -> Result<u64, SearchError> {
    let rows = u64::try_from(got).ok().filter(|rows| (1..=MOST_ROWS).contains(rows));
    rows.ok_or(SearchError::OutOfRange { what, got, most: MOST_ROWS })
}

/// The parameters of the index.
fn json(text: &str) -> Result<serde_json::Value, SearchError> {
    tree(text.as_bytes()).map_err(|e| SearchError::Params(e.to_string()))
}

/// How thoroughly the index is to be searched.
fn effort(params: &serde_json::Value) -> AskedEffort {
    let number = |key| match params.get(key) {
        None => AskedNumber::Absent,
        Some(serde_json::Value::String(text)) => text.trim().parse().map_or(AskedNumber::Text, AskedNumber::Number),
        Some(value) if value.is_u64() => AskedNumber::Number(value.as_i64().unwrap_or(i64::MAX)),
        Some(value) => value.as_i64().map_or(AskedNumber::Other, AskedNumber::Number),
    };
    let [ef, nprobe, reorder_k, search_list] = ["ef", "nprobe", "reorder_k", "search_list"].map(number);
    AskedEffort { ef, nprobe, reorder_k, search_list }
}

/// The bounds among the parameters of the index. Without a radius there are none.
fn range(params: &serde_json::Value) -> Result<Option<Range>, SearchError> {
    let bound = |key: &'static str| match params.get(key) {
        None => Ok(None),
        Some(value) => {
            let wrong = || SearchError::Bound { key, value: value.to_string() };
            value.as_f64().map(|number| Some(number as f32)).ok_or_else(wrong)
        }
    };
    let Some(radius) = bound("radius")? else { return Ok(None) };
    Ok(Some(Range { radius, near: bound("range_filter")? }))
}

#[cfg(test)]
mod tests;
