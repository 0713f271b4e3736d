//! Members of requests: from the query string of a GET, from the JSON body of a POST. A member that is not known is refused.
//!
//! An id is a number or a text of digits, because browsers round numbers above 2^53.

use std::fmt;

use axum::{
    extract::Query,
    http::{HeaderMap, Uri, header},
};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeOwned, Error, Visitor},
};

use super::call::PageFault;
use crate::{
    http::{bounds::MAX_BODY_BYTES, request::ReceivedBody},
    wire::proto::datacoord::{CollectionRef, PauseScope, pause_scope::Scope},
};

/// Most segments of a page, and their number unless the request says.
pub(super) const SEGMENTS: i32 = 500;
const MOST_SEGMENTS: i32 = 2000;
/// The same of jobs.
const JOBS: i32 = 20;
const MOST_JOBS: i32 = 100;

/// Reads the query string.
pub(super) fn of_query<T: DeserializeOwned>(uri: &Uri) -> Result<T, PageFault> {
    match Query::<T>::try_from_uri(uri) {
        Ok(Query(params)) => Ok(params),
        // The source has the reason.
        Err(error) => Err(PageFault::Unreadable(format!("the query string: {}", error.body_text()))),
    }
}

/// Reads a body. Its type must be JSON: a page of another site can send other types without being asked.
pub(super) fn of_body<T: DeserializeOwned>(headers: &HeaderMap, body: ReceivedBody) -> Result<T, PageFault> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return Err(PageFault::NotJson);
    }
    let body = body.map_err(|_| PageFault::Unreadable(format!("the body is larger than {MAX_BODY_BYTES} bytes")))?;
    serde_json::from_slice(&body).map_err(|error| PageFault::Unreadable(format!("the body: {error}")))
}

/// A size of a page, within its limits.
fn page_size(asked: i32, usual: i32, most: i32) -> Result<i32, PageFault> {
    match asked {
        0 => Ok(usual),
        size if (1..=most).contains(&size) => Ok(size),
        size => Err(PageFault::Unreadable(format!("page_size: {size}, expected 0 to {most}"))),
    }
}

pub(super) fn collection(collection_id: i64) -> CollectionRef {
    CollectionRef { collection_id, ..CollectionRef::default() }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SegmentsParams {
    #[serde(deserialize_with = "id")]
    pub(super) collection_id: i64,
    pub(super) include_dropped: bool,
    page_size: i32,
    pub(super) page_token: String,
}

impl SegmentsParams {
    pub(super) fn page_size(&self) -> Result<i32, PageFault> {
        page_size(self.page_size, SEGMENTS, MOST_SEGMENTS)
    }
}

/// One of both.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ExplainParams {
    #[serde(deserialize_with = "id")]
    pub(super) segment_id: i64,
    #[serde(deserialize_with = "id")]
    pub(super) collection_id: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct SegmentParams {
    #[serde(deserialize_with = "id")]
    pub(super) segment_id: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct JobsParams {
    #[serde(deserialize_with = "id")]
    pub(super) collection_id: i64,
    page_size: i32,
    pub(super) page_token: String,
}

impl JobsParams {
    pub(super) fn page_size(&self) -> Result<i32, PageFault> {
        page_size(self.page_size, JOBS, MOST_JOBS)
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct JobParams {
    #[serde(deserialize_with = "id")]
    pub(super) job_id: i64,
}

/// A request for a compaction, or for its dry run.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CompactParams {
    #[serde(deserialize_with = "id")]
    pub(super) collection_id: i64,
    pub(super) target_size_mb: i64,
    pub(super) is_clustering: bool,
    pub(super) priority: i32,
}

/// A job or a plan.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CancelParams {
    #[serde(deserialize_with = "id")]
    pub(super) job_id: i64,
    #[serde(deserialize_with = "id")]
    pub(super) plan_id: i64,
}

/// One of the three.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ScopeParams {
    everything: bool,
    #[serde(deserialize_with = "id")]
    collection_id: i64,
    #[serde(deserialize_with = "id")]
    job_id: i64,
}

impl ScopeParams {
    pub(super) fn scope(&self) -> Result<PauseScope, PageFault> {
        let scope = match (self.everything, self.collection_id, self.job_id) {
            (true, 0, 0) => Scope::Everything(true),
            (false, id, 0) if id != 0 => Scope::Collection(collection(id)),
            (false, 0, id) if id != 0 => Scope::JobId(id),
            _ => {
                let text = "expected one of everything: true, collection_id and job_id".to_owned();
                return Err(PageFault::Unreadable(text));
            }
        };
        Ok(PauseScope { scope: Some(scope) })
    }
}

/// Null: as configured. There is no default: a body without the member would lift a limit by accident.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ThrottleParams {
    #[serde(deserialize_with = "Option::deserialize")]
    pub(super) mb_per_second: Option<f64>,
}

/// An id as a number or as a text of digits.
fn id<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    struct Id;

    impl Visitor<'_> for Id {
        type Value = i64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an id: a whole number, or a text of digits")
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
            Ok(number)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
            i64::try_from(number).map_err(|_| E::custom(format!("{number} is no id: it exceeds 2^63")))
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<i64, E> {
            text.parse().map_err(|_| E::custom(format!("{text:?} is no id")))
        }
    }

    deserializer.deserialize_any(Id)
}
