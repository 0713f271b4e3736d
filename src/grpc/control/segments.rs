//! The list of segments, whole or in pages.

use tonic::Status;

use super::{ControlApi, invalid};
use crate::{
    model::{Segment, SegmentId, SegmentState},
    wire::{proto::datacoord::*, segment},
};

const MAX_PAGE: i32 = 10_000;

impl ControlApi {
    pub(super) fn do_list_segments(&self, request: ListSegmentsRequest) -> Result<ListSegmentsResponse, Status> {
        let after = match request.page_token.as_str() {
            "" => None,
            token => Some(token.parse().map(SegmentId).map_err(|_| {
                invalid("page_token", format_args!("{token:?}"), "next_page_token of an earlier answer")
            })?),
        };
        let cell = self.collection(request.collection)?;
        let listed = |s: &Segment| segment::listed(s, self.coordinator.why_not_planned(s).unwrap_or_default());
        match request.page_size {
            0 if after.is_some() => {
                Err(invalid("page_size", 0, "that of the page before, because page_token is given"))
            }
            0 => {
                let all = self.coordinator.segments(&cell);
                let wanted = all.iter().filter(|s| request.include_dropped || s.state != SegmentState::Dropped);
                let segments: Vec<_> = wanted.map(listed).collect();
                let total_segments = segments.len() as i64;
                Ok(ListSegmentsResponse { segments, next_page_token: String::new(), total_segments })
            }
            size @ 1..=MAX_PAGE => {
                let page = self.coordinator.segment_page(&cell, after, size as usize, request.include_dropped);
                Ok(ListSegmentsResponse {
                    segments: page.segments.iter().map(listed).collect(),
                    next_page_token: page.next.map(|id| id.to_string()).unwrap_or_default(),
                    total_segments: page.total as i64,
                })
            }
            size => Err(invalid("page_size", size, "0 to 10000")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::*;

    fn ids(answer: &ListSegmentsResponse) -> Vec<i64> {
        answer.segments.iter().map(|segment| segment.segment_id).collect()
    }

    #[tokio::test]
    async fn pages_have_every_segment_once() {
        let world = World::new().await;
        let cell = world.collection("books").await;
        let mut expected = Vec::new();
        for n in 0..5 {
            expected.push(world.segment(&cell, n * 10..n * 10 + 10).await.0);
        }
        // One more in memory.
        world.standalone.insert(&cell, "", crate::standalone::tests::rows(90..95)).await.unwrap();
        let api = api(&world);
        let mut request = ListSegmentsRequest { collection: named(&cell), page_size: 2, ..Default::default() };
        let mut pages = Vec::new();
        loop {
            let page = api.list_segments(Request::new(request.clone())).await.unwrap().into_inner();
            assert_eq!(page.total_segments, 6);
            pages.push(ids(&page));
            if page.next_page_token.is_empty() {
                break;
            }
            request.page_token = page.next_page_token;
        }
        let last = pages[2][1];
        expected.push(last);
        assert_eq!(pages.concat(), expected);
        let all = ListSegmentsRequest { collection: named(&cell), ..Default::default() };
        let mut all = ids(&api.list_segments(Request::new(all)).await.unwrap().into_inner());
        all.sort_unstable();
        assert_eq!(all, expected);
    }

    #[tokio::test]
    async fn dropped_ones_are_on_the_pages_when_they_are_asked_for() {
        let world = World::new().await;
        let cell = world.collection("books").await;
        for n in 0..3 {
            world.segment(&cell, n * 10..n * 10 + 10).await;
        }
        world.ended(world.compact(&cell).await).await;
        let api = api(&world);
        let page = |include_dropped| ListSegmentsRequest {
            collection: named(&cell),
            include_dropped,
            page_size: 4,
            ..Default::default()
        };
        let with = api.list_segments(Request::new(page(true))).await.unwrap().into_inner();
        assert_eq!((with.segments.len(), with.total_segments, with.next_page_token.as_str()), (4, 4, ""));
        let without = api.list_segments(Request::new(page(false))).await.unwrap().into_inner();
        assert_eq!((without.segments.len(), without.total_segments), (1, 1));
    }

    #[tokio::test]
    async fn wrong_pages_are_refused_by_name() {
        let world = World::new().await;
        let cell = world.collection("books").await;
        let api = api(&world);
        for (page_size, page_token, message) in [
            (-1, "", "page_size: -1, expected 0 to 10000"),
            (10_001, "", "page_size: 10001, expected 0 to 10000"),
            (5, "x", "page_token: \"x\", expected next_page_token of an earlier answer"),
            (0, "7", "page_size: 0, expected that of the page before, because page_token is given"),
        ] {
            let page_token = page_token.to_owned();
            let request = ListSegmentsRequest { collection: named(&cell), page_size, page_token, ..Default::default() };
            let refused = api.list_segments(Request::new(request)).await.unwrap_err();
            assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, message));
        }
    }
}
