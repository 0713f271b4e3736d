//! Standing orders of an operator, which outlive restarts: pauses and the throttle. Stored as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CollectionId, JobId};

/// One pause: its author and its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Name that the operator gave.
    pub by: String,
    /// Milliseconds since 1970.
    pub at_ms: u64,
}

/// All pauses. Queued plans of a paused collection or job wait; executing plans continue.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Pauses {
    #[serde(default)]
    pub everything: Option<Pause>,
    #[serde(default)]
    pub collections: BTreeMap<CollectionId, Pause>,
    #[serde(default)]
    pub jobs: BTreeMap<JobId, Pause>,
}

impl Pauses {
    /// The pause that holds up a collection, if any.
    pub fn of_collection(&self, id: CollectionId) -> Option<&Pause> {
        self.everything.as_ref().or_else(|| self.collections.get(&id))
    }

    /// The pause that holds up a job, if any: the widest one first.
    pub fn of_job(&self, id: JobId, collection: CollectionId) -> Option<&Pause> {
        self.of_collection(collection).or_else(|| self.jobs.get(&id))
    }
}

/// All standing orders. The default is none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Controls {
    #[serde(default)]
    pub pauses: Pauses,
    /// Bytes that all merges together may read and write per second; 0: no limit. None: as configured.
    #[serde(default)]
    pub throttle_bytes_per_second: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_read_as_it_was_written() {
        let pause = || Pause { by: "me".into(), at_ms: 5 };
        let controls = Controls {
            pauses: Pauses {
                everything: None,
                collections: [(CollectionId(7), pause())].into(),
                jobs: [(JobId(8), pause())].into(),
            },
            throttle_bytes_per_second: Some(9),
        };
        let json = r#"{"pauses":{"everything":null,"collections":{"7":{"by":"me","at_ms":5}},"jobs":{"8":{"by":"me","at_ms":5}}},"throttle_bytes_per_second":9}"#;
        assert_eq!(serde_json::to_string(&controls).unwrap(), json);
        assert_eq!(serde_json::from_str::<Controls>(json).unwrap(), controls);
        assert_eq!(serde_json::from_str::<Controls>("{}").unwrap(), Controls::default());
    }

    #[test]
    fn the_widest_pause_is_reported() {
        let pause = |by: &str| Pause { by: by.into(), at_ms: 0 };
        let mut pauses = Pauses { jobs: [(JobId(1), pause("job"))].into(), ..Pauses::default() };
        let by = |p: &Pauses| p.of_job(JobId(1), CollectionId(2)).map(|p| p.by.clone());
        assert_eq!(by(&pauses).as_deref(), Some("job"));
        assert_eq!(pauses.of_collection(CollectionId(2)), None);
        pauses.collections.insert(CollectionId(2), pause("collection"));
        assert_eq!(by(&pauses).as_deref(), Some("collection"));
        pauses.everything = Some(pause("all"));
        assert_eq!(by(&pauses).as_deref(), Some("all"));
        assert_eq!(pauses.of_job(JobId(9), CollectionId(9)).map(|p| p.by.as_str()), Some("all"));
    }
}
