//! The dry run, and why a segment is not compacted.

use std::collections::BTreeMap;

use tonic::Status;

use super::{BYTES_PER_MB, ControlApi, api::options, grpc_status, invalid};
use crate::{
    coordinator::control::{self, DryRun, Explanation as Explained, PlanDraft, SegmentVerdict},
    model::{Group, SegmentId},
    wire::{proto::datacoord::*, segment},
};

const DEFAULT_SEGMENTS: usize = 1000;
const MAX_SEGMENTS: i32 = 100_000;

impl ControlApi {
    pub(super) async fn do_plan_compaction(
        &self,
        request: PlanCompactionRequest,
    ) -> Result<PlanCompactionResponse, Status> {
        use plan_compaction_request::Trigger;
        let dry = match request.trigger {
            Some(Trigger::Manual(manual)) => {
                let collection = manual.collection.clone().or(request.collection);
                self.plan_manual(ManualCompactionRequest { collection, ..manual }).await?
            }
            Some(Trigger::Automatic(collection)) => {
                let cell = self.collection(Some(collection))?;
                self.coordinator.dry_run_automatic(&cell)
            }
            None => {
                self.plan_manual(ManualCompactionRequest { collection: request.collection, ..Default::default() })
                    .await?
            }
        };
        Ok(dry_run_message(&dry))
    }

    async fn plan_manual(&self, mut manual: ManualCompactionRequest) -> Result<DryRun, Status> {
        let cell = self.collection(manual.collection.take())?;
        let request = options(manual).parse().map_err(grpc_status)?;
        self.coordinator.dry_run_manual(&cell, &request).await.map_err(grpc_status)
    }

    pub(super) async fn do_explain_segment(
        &self,
        request: ExplainSegmentRequest,
    ) -> Result<ExplainSegmentResponse, Status> {
        let explained = self.coordinator.explain_segment(SegmentId(request.segment_id)).await.map_err(grpc_status)?;
        Ok(ExplainSegmentResponse { explanation: Some(explanation_message(&explained)) })
    }

    pub(super) async fn do_explain_collection(
        &self,
        request: ExplainCollectionRequest,
    ) -> Result<ExplainCollectionResponse, Status> {
        let most = match request.max_segments {
            0 => DEFAULT_SEGMENTS,
            most @ 1..=MAX_SEGMENTS => most as usize,
            most => return Err(invalid("max_segments", most, "0 to 100000")),
        };
        let cell = self.collection(request.collection)?;
        let all = self.coordinator.explain_collection(&cell).await.map_err(grpc_status)?;
        let mut counts: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
        for explained in &all {
            let (segments, bytes) = counts.entry(explained.automatic.code()).or_default();
            *segments += 1;
            *bytes += explained.segment.insert_bytes as i64;
        }
        let mut counts: Vec<_> = counts
            .into_iter()
            .map(|(code, (segments, bytes))| explain_collection_response::Count {
                code: code.to_owned(),
                segments,
                bytes,
            })
            .collect();
        counts.sort_by_key(|c| std::cmp::Reverse(c.segments));
        Ok(ExplainCollectionResponse {
            counts,
            segments: all.len() as i64,
            explanations: all.iter().take(most).map(explanation_message).collect(),
        })
    }
}

fn dry_run_message(dry: &DryRun) -> PlanCompactionResponse {
    PlanCompactionResponse {
        plans: dry.plans.iter().map(|p| draft_message(&p.group, &p.draft, p.estimated_seconds)).collect(),
        shared_plans: dry.shared.iter().map(|id| id.0).collect(),
        skipped: dry
            .skipped
            .iter()
            .map(|(id, reason)| SkippedSegment { segment_id: id.0, reason: Some(skip_message(reason)) })
            .collect(),
        reason: dry.nothing_to_do.clone().unwrap_or_default(),
        estimated_seconds: dry.estimated_seconds,
        merge_mb_per_second: dry.bytes_per_second.map(|rate| rate / BYTES_PER_MB),
    }
}

fn draft_message(group: &Group, draft: &PlanDraft, estimated_seconds: Option<f64>) -> DraftPlan {
    DraftPlan {
        collection_id: group.collection.0,
        partition_id: group.partition.0,
        channel: group.channel.to_string(),
        kind: draft.kind.as_str().to_owned(),
        reason: draft.reason.to_string(),
        reason_code: draft.reason.code().to_owned(),
        sources: draft.inputs.iter().map(|i| i.segment.0).collect(),
        input_rows: draft.inputs.iter().map(|i| i.rows as i64).sum(),
        input_bytes: draft.inputs.iter().map(|i| i.bytes as i64).sum(),
        estimated_output_bytes: draft.estimated_output_bytes as i64,
        estimated_seconds,
    }
}

fn skip_message(reason: &control::SkipReason) -> SkipReason {
    let measure = reason.measure();
    SkipReason {
        code: reason.code().to_owned(),
        text: reason.to_string(),
        value: measure.map(|m| m.value),
        threshold: measure.and_then(|m| m.threshold),
        unit: measure.map(|m| m.unit.to_owned()).unwrap_or_default(),
    }
}

fn explanation_message(explained: &Explained) -> Explanation {
    let verdict = |verdict| verdict_message(&explained.segment.group, verdict);
    let automatic = verdict(&explained.automatic);
    Explanation {
        segment: Some(segment::listed(&explained.segment, automatic.text.clone())),
        automatic: Some(automatic),
        on_request: Some(verdict(&explained.on_request)),
        next_look_ms: explained.next_look_ms.map_or(0, |ms| ms as i64),
        held: explained.held.clone().unwrap_or_default(),
        compaction_to: explained.segment.compaction_to.iter().map(|id| id.0).collect(),
        indexes: explained.indexes.iter().map(index_message).collect(),
    }
}

fn index_message(explained: &control::IndexExplanation) -> IndexExplanation {
    let standing = &explained.standing;
    let plan_id = if let control::IndexStanding::Building(plan) = standing { plan.0 } else { 0 };
    IndexExplanation {
        index_name: explained.index.clone(),
        field_name: explained.field.clone(),
        code: standing.code().to_owned(),
        text: standing.to_string(),
        plan_id,
    }
}

fn verdict_message(group: &Group, verdict: &SegmentVerdict) -> ExplainVerdict {
    let mut message = ExplainVerdict {
        code: verdict.code().to_owned(),
        remedy: verdict.remedy().unwrap_or_default(),
        ..ExplainVerdict::default()
    };
    match verdict {
        SegmentVerdict::Planned(draft) => {
            message.text = format!("it would be compacted: {}", draft.reason);
            message.plan = Some(draft_message(group, draft, None));
        }
        SegmentVerdict::InPlan(plan) => {
            message.text = format!("it is in plan {plan}");
            message.plan_id = plan.0;
        }
        SegmentVerdict::Skipped(reason) => {
            message.text = reason.to_string();
            message.skipped = Some(skip_message(reason));
        }
        SegmentVerdict::NotFlushed => message.text = "its rows are not in files yet".to_owned(),
        SegmentVerdict::Dropped => message.text = "it has been replaced or dropped".to_owned(),
    }
    message
}

#[cfg(test)]
mod tests;
