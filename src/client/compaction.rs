//! Compaction as any client of Milvus asks for it.

use super::{
    Client, ClientError,
    connection::{answered, poll, succeeded},
};
use crate::wire::proto::milvus::{GetCompactionStateRequest, GetCompactionStateResponse, ManualCompactionRequest};

/// Milvus' state of a compaction whose plans have all ended.
const COMPLETED: i32 = 2;

impl Client {
    /// Starts a compaction of a collection; the id of the job.
    ///
    /// # Errors
    /// Those of a call.
    pub async fn compact(&self, collection: &str) -> Result<i64, ClientError> {
        let call = "ManualCompaction";
        let request = ManualCompactionRequest { collection_name: collection.to_owned(), ..Default::default() };
        let answer = answered(call, self.milvus.clone().manual_compaction(request).await)?;
        succeeded(call, answer.status)?;
        Ok(answer.compaction_id)
    }

    /// Follows a compaction to its end.
    ///
    /// # Errors
    /// Those of a call, and `TooLong`.
    pub async fn wait_compacted(&self, job: i64) -> Result<GetCompactionStateResponse, ClientError> {
        poll("the compaction", || {
            let mut milvus = self.milvus.clone();
            async move {
                let call = "GetCompactionState";
                let request = GetCompactionStateRequest { compaction_id: job };
                let answer = answered(call, milvus.get_compaction_state(request).await)?;
                succeeded(call, answer.status.clone())?;
                Ok((answer.state == COMPLETED).then_some(answer))
            }
        })
        .await
    }
}
