//! The one way for a plan from one state to the next: the life cycle decides, the catalog keeps it, the job book shows it.
//!
//! A move has four parts: the transition, the record in a transaction ([`PlanMoves::stage`]), and, once that is durable,
//! the counters and the job book with its watchers ([`PlanMoves::fold`]). [`Core::move_plan`] and [`Core::move_plans`] do
//! all of it for moves that change no segment.
//!
//! Must never: choose an event.

use std::sync::Arc;

use tracing::info;

use super::{CoordinatorError, Core, steps::StepTxn};
use crate::{
    fault::{self, Planted},
    model::{Plan, PlanId, PlanState, RequestError},
    scheduler::{Event, IllegalTransition, transition},
};

/// Plans that one transaction moves, if the store takes so many.
const PLANS_PER_TXN: usize = 100;

/// Plans in a transaction, in their next states.
#[derive(Debug, Default)]
#[must_use = "moves that are in the transaction have to be folded"]
pub(super) struct PlanMoves(Vec<Plan>);

/// Result of moving several plans.
#[derive(Debug, Default)]
pub(super) struct Moved {
    pub(super) moved: Vec<PlanId>,
    /// Had ended before, and stay as they are.
    pub(super) ended_before: Vec<PlanId>,
}

impl PlanMoves {
    /// Puts the next state of a plan into the transaction.
    ///
    /// # Errors
    /// The event can't happen in the plan's state. Then nothing was put.
    pub(super) fn stage(&mut self, txn: &mut StepTxn, mut plan: Plan, event: Event) -> Result<(), IllegalTransition> {
        plan.state = transition(&plan.state, event)?;
        match &plan.state {
            _ if fault::planted(Planted::StateNotStored) => {}
            PlanState::Failed { kind, ended_at_ms, .. } if fault::planted(Planted::ReasonNotStored) => {
                let state = PlanState::Failed { kind: *kind, message: String::new(), ended_at_ms: *ended_at_ms };
                txn.put_plan(&Plan { state, ..plan.clone() });
            }
            _ => {
                txn.put_plan(&plan);
            }
        }
        self.0.push(plan);
        Ok(())
    }

    /// Counts and shows the moves. The transaction is durable.
    pub(super) fn fold(self, core: &Core) {
        for plan in self.0 {
            if plan.state.is_terminal() {
                core.metrics.compaction.ended.with([plan.kind.as_str(), plan.state.as_str()]).inc();
            }
            // No attempt is under way any more: its objects are named by the catalog now, or are garbage.
            if !matches!(plan.state, PlanState::Executing { .. }) {
                core.outputs_in_flight.release(plan.id);
            }
            core.jobs.update(plan);
        }
    }
}

impl Core {
    /// How many plans go into one transaction.
    fn plans_per_txn(&self) -> usize {
        self.catalog.max_operations().clamp(1, PLANS_PER_TXN)
    }

    /// Stores the plans of a new job that do not fit into the transaction of its record, and returns the others. Until
    /// the record is stored its plans do not count: a start drops plans that have no job.
    pub(super) async fn put_plans_ahead<'a>(&self, plans: &'a [Plan]) -> Result<&'a [Plan], CoordinatorError> {
        let limit = self.catalog.max_operations();
        let (ahead, with_job) = plans.split_at(plans.len().saturating_sub(limit.saturating_sub(1)));
        for chunk in ahead.chunks(limit) {
            let mut txn = self.catalog.txn();
            for plan in chunk {
                txn.put_plan(plan);
            }
            self.catalog.commit(txn, (), || ()).await?;
        }
        Ok(with_job)
    }

    /// Moves one plan, as the caller read it from the job book.
    pub(super) async fn move_plan(self: &Arc<Self>, plan: Plan, event: Event) -> Result<(), CoordinatorError> {
        let (mut txn, mut moves) = (self.catalog.txn(), PlanMoves::default());
        moves.stage(&mut txn, plan, event)?;
        let core = Arc::clone(self);
        self.catalog.commit(txn, (), move || moves.fold(&core)).await
    }

    /// Moves plans by the same event, in as few transactions as the store allows. Plans that have ended stay as they are.
    ///
    /// # Errors
    /// `PlanNotFound`, an event that can't happen, failures of the catalog. Plans of earlier transactions have moved then.
    pub(super) async fn move_plans(self: &Arc<Self>, ids: &[PlanId], event: &Event) -> Result<Moved, CoordinatorError> {
        let mut answer = Moved::default();
        for ids in ids.chunks(self.plans_per_txn()) {
            let (mut txn, mut moves, mut moved) = (self.catalog.txn(), PlanMoves::default(), Vec::new());
            for id in ids {
                let plan = self.jobs.plan(*id).ok_or(RequestError::PlanNotFound(*id))?;
                if plan.state.is_terminal() {
                    answer.ended_before.push(*id);
                    continue;
                }
                moves.stage(&mut txn, plan, event.clone())?;
                moved.push(*id);
            }
            if !moved.is_empty() {
                let core = Arc::clone(self);
                self.catalog.commit(txn, (), move || moves.fold(&core)).await?;
            }
            answer.moved.extend(moved);
        }
        Ok(answer)
    }

    /// [`Self::move_plans`] for one plan, with a line in the log.
    pub(super) async fn advance_plan(self: &Arc<Self>, id: PlanId, event: Event) -> Result<(), CoordinatorError> {
        let what = event.as_str();
        if !self.move_plans(&[id], &event).await?.moved.is_empty() {
            let job = self.jobs.plan(id).map(|plan| plan.job).unwrap_or_default();
            info!(plan = %id, %job, "plan {what}");
        }
        Ok(())
    }
}
