//! The one way a plan gets from one state to the next: the life cycle decides, the catalog keeps it, the book shows it.
//!
//! A plan that is put into a transaction is taken into the book by the fold of the same step, with everything that
//! follows from its new state. Nothing here chooses an event.

use std::sync::Arc;

use tracing::info;

use super::{CoordinatorError, Core, steps::StepTxn};
use crate::{
    model::{Plan, PlanId, PlanState},
    scheduler::{Event, IllegalTransition, transition},
};

/// A transaction of etcd has 128 operations at most.
pub(super) const PLANS_PER_TXN: usize = 100;

/// Plans in a transaction, in their next states.
#[derive(Debug, Default)]
#[must_use = "what is in the transaction has to be folded"]
pub(super) struct PlanMoves(Vec<Plan>);

impl PlanMoves {
    /// Puts the next state of a plan into the transaction.
    ///
    /// # Errors
    /// The event can't happen in the plan's state; nothing was put.
    pub(super) fn stage(&mut self, txn: &mut StepTxn, mut plan: Plan, event: Event) -> Result<(), IllegalTransition> {
        plan.state = transition(&plan.state, event)?;
        txn.put_plan(&plan);
        self.0.push(plan);
        Ok(())
    }

    pub(super) fn ids(&self) -> Vec<PlanId> {
        self.0.iter().map(|plan| plan.id).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The transaction is durable.
    pub(super) fn fold(self, core: &Core) {
        for plan in self.0 {
            if plan.state.is_terminal() {
                core.metrics.compaction.ended.with([plan.kind.as_str(), plan.state.as_str()]).inc();
            }
            // No attempt is under way any more: what it wrote is named by the catalog now, or is garbage.
            if !matches!(plan.state, PlanState::Executing { .. }) {
                core.outputs_in_flight.release(plan.id);
            }
            core.jobs.update(plan);
        }
    }
}

impl Core {
    /// Takes one plan to its next state without changing segments.
    pub(super) async fn move_plan(self: &Arc<Self>, plan: Plan, event: Event) -> Result<(), CoordinatorError> {
        let (mut txn, mut moves) = (self.catalog.txn(), PlanMoves::default());
        moves.stage(&mut txn, plan, event)?;
        let core = Arc::clone(self);
        self.catalog.commit(txn, (), move || moves.fold(&core)).await
    }

    /// The same, by id. A plan that has ended stays as it is.
    pub(super) async fn advance_plan(self: &Arc<Self>, id: PlanId, event: Event) -> Result<(), CoordinatorError> {
        let plan = self.jobs.plan(id).ok_or(CoordinatorError::PlanNotFound(id))?;
        if plan.state.is_terminal() {
            return Ok(());
        }
        let (job, what) = (plan.job, event.as_str());
        self.move_plan(plan, event).await?;
        info!(plan = %id, %job, "plan {what}");
        Ok(())
    }
}
