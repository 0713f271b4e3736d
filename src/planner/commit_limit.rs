//! The inputs and outputs that fit into the commit of a plan, which is one transaction of the metadata store.
//!
//! Pure. Must never: let a plan through whose commit the store is sure to refuse.

/// Records that a commit writes of each input: the segment, which is dropped.
const OF_INPUT: u64 = 1;
/// Of each output: the segment, and its lists of logs.
const OF_OUTPUT: u64 = 2;
/// The plan, and the write statistics of the collection.
const OF_PLAN: u64 = 2;
/// Fewer inputs are no merge.
const LEAST_INPUTS: u32 = 2;

/// The limit of the metadata store on the records of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitLimit {
    records: u64,
}

impl CommitLimit {
    pub const NONE: Self = Self { records: u64::MAX };

    /// `operations`: the most that a transaction may have.
    pub fn of(operations: usize) -> Self {
        Self { records: operations as u64 }
    }

    /// Most inputs of a plan that makes as many outputs.
    pub fn inputs(self) -> u32 {
        let fits = self.records.saturating_sub(OF_PLAN) / (OF_INPUT + OF_OUTPUT);
        u32::try_from(fits).unwrap_or(u32::MAX).max(LEAST_INPUTS)
    }

    /// Most outputs of a plan that has so many inputs.
    pub fn outputs(self, inputs: usize) -> u64 {
        let others = OF_PLAN + OF_INPUT.saturating_mul(inputs as u64);
        (self.records.saturating_sub(others) / OF_OUTPUT).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_at_the_limit_fits() {
        for operations in 8..300 {
            let limit = CommitLimit::of(operations);
            let records = |inputs: u64, outputs: u64| OF_PLAN + OF_INPUT * inputs + OF_OUTPUT * outputs;
            let most = u64::from(limit.inputs());
            assert!(records(most, most) <= operations as u64 && records(most + 1, most + 1) > operations as u64);
            for inputs in 1..=limit.inputs() as usize {
                let outputs = limit.outputs(inputs);
                assert!(records(inputs as u64, outputs) <= operations as u64, "{operations}: {inputs}, {outputs}");
                assert!(records(inputs as u64, outputs + 1) > operations as u64, "{operations}: {inputs}, {outputs}");
            }
        }
        assert_eq!((CommitLimit::NONE.inputs(), CommitLimit::of(0).inputs()), (u32::MAX, LEAST_INPUTS));
    }
}
