//! Samples of the processor: a signal a few times a second of processor time, at which a thread notes its own stack.

use std::{ffi::c_int, time::Duration};

use pprof::{ProfilerGuardBuilder, Report};

use super::{error::ProfileError, pprof::ProfileBuilder, turn::ProfileTurn};

/// Samples in a second of processor time. It has no common factor with the timers of the server, which tick in round numbers.
const FREQUENCY_HZ: c_int = 99;
const SECOND_NS: i64 = 1_000_000_000;

/// Samples for the length of the turn. Sampling ends with it, and when the caller gives up.
pub(super) async fn profile(turn: ProfileTurn) -> Result<Vec<u8>, ProfileError> {
    let length = turn.length;
    let failed = |error: pprof::Error| ProfileError::Failed(error.to_string());
    let sampling = ProfilerGuardBuilder::default().frequency(FREQUENCY_HZ).build().map_err(failed)?;
    #[expect(clippy::disallowed_methods, reason = "the caller asks for samples of this time")]
    tokio::time::sleep(length).await;
    // It reads the symbols of the program, which takes a while.
    let encoded = tokio::task::spawn_blocking(move || {
        let report = sampling.report().build().map_err(failed);
        drop((sampling, turn));
        Ok(encode(&report?, length))
    });
    encoded.await.map_err(|error| ProfileError::Failed(error.to_string()))?
}

fn encode(report: &Report, length: Duration) -> Vec<u8> {
    let period_ns = SECOND_NS / i64::from(FREQUENCY_HZ);
    let mut profile = ProfileBuilder::new([("samples", "count"), ("cpu", "nanoseconds")], period_ns, length);
    for (sampled, count) in &report.data {
        let calls = sampled.frames.iter().flatten();
        let stack = calls.map(|call| profile.location(&call.name(), &call.filename(), call.lineno())).collect();
        let count = *count as i64;
        profile.add(stack, [count, count.saturating_mul(period_ns)], Some(&sampled.thread_name));
    }
    profile.encode()
}
