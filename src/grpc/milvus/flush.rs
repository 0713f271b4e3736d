//! Flush and its state.

use std::collections::HashSet;

use super::*;
use crate::{
    model::SegmentId,
    wire::proto::{
        milvus::flush_response::{CollFlushTsEntry, CollSealTimesEntry, CollSegIDsEntry, FlushCollSegIDsEntry},
        schema::LongArray,
    },
};

impl MilvusApi {
    /// Every map has an entry for each name, under the name as it was sent: clients look nowhere else.
    pub(super) async fn do_flush(&self, request: Request<FlushRequest>) -> Outcome<FlushResponse> {
        let (call, request) = self.read(request)?;
        let (mut cells, mut seen) = (Vec::new(), HashSet::new());
        // All names are looked up before anything is sealed: an unknown one leaves nothing half done. A repeated one has
        // one entry in a map: the answer has no more of them than there are collections and aliases.
        for name in &request.collection_names {
            if seen.insert(name.as_str()) {
                cells.push((name.clone(), self.collection(&call, &request.db_name, name)?));
            }
        }
        let database = CollectionName::new(call.database(&request.db_name), "").database;
        let mut answer = FlushResponse { db_name: database.to_owned(), ..Default::default() };
        for (name, cell) in cells {
            let done = self.standalone.flush(&cell).await?;
            let (key, value) = (name.clone(), Some(long_array(&done.sealed)));
            answer.coll_seg_i_ds.push(CollSegIDsEntry { key, value });
            let (key, value) = (name.clone(), Some(long_array(&done.flushed)));
            answer.flush_coll_seg_i_ds.push(FlushCollSegIDsEntry { key, value });
            let (key, value) = (name.clone(), (done.ts.physical_ms() / 1000) as i64);
            answer.coll_seal_times.push(CollSealTimesEntry { key, value });
            answer.coll_flush_ts.push(CollFlushTsEntry { key: name, value: done.ts.0 });
        }
        Ok(answer)
    }

    /// The segment ids decide; no ids count as flushed. A collection name is only checked.
    pub(super) async fn do_get_flush_state(
        &self,
        request: Request<GetFlushStateRequest>,
    ) -> Outcome<GetFlushStateResponse> {
        let (call, request) = self.read(request)?;
        if !request.collection_name.is_empty() {
            self.collection(&call, &request.db_name, &request.collection_name)?;
        }
        let segments: Vec<_> = request.segment_i_ds.iter().map(|id| SegmentId(*id)).collect();
        Ok(GetFlushStateResponse { flushed: self.standalone.is_flushed(&segments), ..Default::default() })
    }

    /// Flushes every collection of the database, or of all databases when the message names none. The header means
    /// nothing here: clients send it with every call.
    pub(super) async fn do_flush_all(&self, request: Request<FlushAllRequest>) -> Outcome<FlushAllResponse> {
        let (_, request) = self.read(request)?;
        let process = &self.standalone;
        let cells = match request.db_name.as_str() {
            "" => process.collections(None),
            name => process.collections(Some(&process.database(name)?.name)),
        };
        for cell in cells {
            self.standalone.flush(&cell).await?;
        }
        Ok(FlushAllResponse { flush_all_ts: self.standalone.timestamp().await?.0, ..Default::default() })
    }

    /// True once no row older than the timestamp waits in memory.
    pub(super) async fn do_get_flush_all_state(
        &self,
        request: Request<GetFlushAllStateRequest>,
    ) -> Outcome<GetFlushAllStateResponse> {
        let (_, request) = self.read(request)?;
        if !request.db_name.is_empty() {
            self.standalone.database(&request.db_name)?;
        }
        let flushed = self.standalone.is_flushed_until(crate::model::Timestamp(request.flush_all_ts));
        Ok(GetFlushAllStateResponse { flushed, ..Default::default() })
    }
}

fn long_array(ids: &[SegmentId]) -> LongArray {
    LongArray { data: ids.iter().map(|id| id.0).collect() }
}

#[cfg(test)]
mod tests;
