use super::*;
use crate::{kit::model, model::PlanInput};

/// More than two pages.
const MANY: i64 = 2 * PAGE as i64 + 1;

fn job(id: i64, collection: i64, plans: &[i64]) -> Job {
    Job { created_at_ms: id as u64, ..model::job(id, collection, plans) }
}

fn plan(id: i64, job: i64, state: PlanState) -> Plan {
    let inputs = vec![PlanInput { segment: SegmentId(10 * id), rows: 1, bytes: 1, delta_rows: 0 }];
    Plan { max_output_bytes: 1, state, ..model::plan(id, job, model::group(1, 1, "c_1v0"), inputs) }
}

const QUEUED: PlanState = PlanState::Queued { not_before_ms: 0 };

fn done() -> PlanState {
    PlanState::Cancelled { by: "a test".to_owned(), ended_at_ms: 1 }
}

/// P7: a restart finds the same jobs and plans.
#[test]
fn a_recovered_book_is_the_one_that_was_filled() {
    let jobs = vec![job(1, 7, &[11, 12]), job(2, 8, &[]), job(3, 7, &[12, 13])];
    let plans = vec![plan(11, 1, done()), plan(12, 1, QUEUED), plan(13, 3, QUEUED)];
    let filled = JobBook::default();
    for job in &jobs {
        filled.add(job.clone(), plans.iter().filter(|p| p.job == job.id).cloned().collect());
    }
    let recovered = JobBook::recovered(jobs, plans.clone());
    for book in [&filled, &recovered] {
        let counts = |id| book.counts(JobId(id)).map(|c| (c.total, c.executing, c.cancelled));
        assert_eq!(
            [counts(1), counts(2), counts(3), counts(4)],
            [Some((2, 1, 1)), Some((0, 0, 0)), Some((2, 2, 0)), None]
        );
        assert_eq!(book.job(JobId(3)).unwrap().plans, [plans[1].clone(), plans[2].clone()]);
        assert_eq!(book.unfinished(), [plans[1].clone(), plans[2].clone()]);
        assert_eq!(book.executing(), 2);
        let reserved = [110, 120, 130].map(|id| book.reserved_by(SegmentId(id)));
        assert_eq!(reserved, [None, Some(PlanId(12)), Some(PlanId(13))]);
        let of_7: Vec<i64> = book.of_collection(CollectionId(7)).iter().map(|v| v.job.id.0).collect();
        assert_eq!(of_7, [3, 1], "newest first");
    }
}

#[test]
fn pages_lose_and_repeat_nothing() {
    let book = JobBook::default();
    let plans: Vec<i64> = (1..=MANY).collect();
    book.add(job(1000, 1, &plans), plans.iter().map(|id| plan(*id, 1000, QUEUED)).collect());
    for id in 1001..1000 + MANY {
        book.add(job(id, 1, &[]), Vec::new());
        book.add(job(id + MANY, 2, &[]), Vec::new());
    }
    assert_eq!(book.unfinished().iter().map(|p| p.id.0).collect::<Vec<_>>(), plans);
    let ids: Vec<i64> = book.of_collection(CollectionId(1)).iter().map(|v| v.job.id.0).collect();
    assert_eq!(ids, (1000..1000 + MANY).rev().collect::<Vec<_>>());
    assert_eq!(book.executing(), 1);
}

#[test]
fn history_goes_oldest_first_and_takes_its_plans_along() {
    let book = JobBook::default();
    for id in 1..=MANY {
        let state = if id == 2 { QUEUED } else { done() };
        book.add(job(id, 1, &[1000 + id]), vec![plan(1000 + id, id, state)]);
    }
    // The newest job has adopted a plan of an older one.
    book.add(job(MANY + 1, 1, &[1003]), Vec::new());
    let surplus = |older, keep, limit| book.surplus(older, keep, limit).iter().map(|id| id.0).collect::<Vec<_>>();
    assert_eq!(surplus(5, 1_000, 100), [1, 3, 4], "too old, and not running");
    assert_eq!(surplus(0, MANY as u64 - 2, 100), [1, 3], "too many");
    assert_eq!(surplus(5, 1_000, 2), [1, 3], "no more than asked for");
    let all: Vec<JobId> = (1..=MANY + 1).filter(|id| *id != 2).map(JobId).collect();
    book.forget(&all[all.len() - 1..]);
    assert!(book.plan(PlanId(1003)).is_some(), "it belongs to the job that made it");
    book.forget(&all);
    assert_eq!(book.len(), 1);
    assert_eq!(book.of_collection(CollectionId(1)).len(), 1);
    assert_eq!(book.plan(PlanId(1001)), None);
    assert!(book.plan(PlanId(1002)).is_some());
}
