//! Checks of a running server: version, health, clock, garbage.

use super::check::{Check, CheckResult};
use crate::{
    cli::{
        exit::Exit,
        operator::{Session, now_ms},
        show::units::{bytes, seconds},
    },
    client::{ClientError, ClientErrorKind},
    wire::proto::datacoord::CollectGarbageRequest,
};

/// Clocks of healthy machines differ by less.
const CLOCK_TOLERANCE_MS: u64 = 5000;

/// No server answers. `is_expected` if a flag names one, or a server has left its addresses.
pub(super) fn silent(error: &anyhow::Error, is_expected: bool) -> Check {
    if !is_expected && Exit::of(error) == Exit::Unreachable {
        return Check::ok("server", "none runs over this data directory");
    }
    let advice = Exit::of(error).advice().unwrap_or("start it, and look at the end of its log");
    Check::new("server", CheckResult::Problem, format!("{error:#}"), advice)
}

/// The server's report about itself.
pub(super) async fn checks(session: &Session) -> Vec<Check> {
    vec![version(session).await, health(session).await, clock(session).await, garbage(session).await]
}

/// A call that failed: not being allowed is no problem of the server.
fn failed(name: &'static str, error: &ClientError) -> Check {
    let (verdict, advice) = match error.kind() {
        ClientErrorKind::NotAllowed => (CheckResult::Skipped, "log in as a user with the role admin"),
        _ => (CheckResult::Problem, "look at the end of the server's log"),
    };
    Check::new(name, verdict, error.to_string(), advice)
}

async fn version(session: &Session) -> Check {
    let name = "version";
    match session.client.version().await {
        Ok(version) => same_version(name, &version, env!("CARGO_PKG_VERSION")),
        Err(error) => failed(name, &error),
    }
}

/// `of_server` ends with the version of its program.
pub(super) fn same_version(name: &'static str, of_server: &str, own: &str) -> Check {
    if of_server.ends_with(&format!("-{own}")) {
        return Check::ok(name, of_server);
    }
    let text = format!("the server is {of_server}, this program is {own}");
    Check::new(name, CheckResult::Warning, text, "use the program that the server was started from")
}

async fn health(session: &Session) -> Check {
    let name = "health";
    match session.client.health().await {
        Ok(health) if !health.is_healthy => {
            let advice = "writes may be refused until a restart; docs/operations.md, Watch, has the conditions";
            Check::new(name, CheckResult::Problem, health.reasons.join("; "), advice)
        }
        Ok(health) if !health.reasons.is_empty() => {
            let advice = "writes are logged, flushes and merges may wait; a restart would not help";
            Check::new(name, CheckResult::Warning, health.reasons.join("; "), advice)
        }
        Ok(_) => Check::ok(name, "OK"),
        Err(error) => failed(name, &error),
    }
}

async fn clock(session: &Session) -> Check {
    let name = "clock";
    match session.client.time_ms().await {
        Ok(of_server) => apart(name, of_server, now_ms()),
        Err(error) => failed(name, &error),
    }
}

pub(super) fn apart(name: &'static str, of_server_ms: i64, own_ms: i64) -> Check {
    let apart_ms = of_server_ms.abs_diff(own_ms);
    let text = format!("{} apart from that of this machine", seconds(apart_ms as f64 / 1000.0));
    if apart_ms <= CLOCK_TOLERANCE_MS {
        return Check::ok(name, text);
    }
    Check::new(name, CheckResult::Warning, text, "set both clocks by NTP: deadlines and times to live are read by them")
}

async fn garbage(session: &Session) -> Check {
    let name = "garbage";
    match session.client.collect_garbage(CollectGarbageRequest { dry_run: true, max_items: 1 }).await {
        Ok(answer) => {
            let (free, pinned) = (answer.collected.unwrap_or_default(), answer.pinned.unwrap_or_default());
            let text = format!(
                "{} can be collected, {} are pinned",
                bytes(free.bytes.unwrap_or_default()),
                bytes(pinned.bytes.unwrap_or_default())
            );
            Check::ok(name, text)
        }
        Err(error) => failed(name, &error),
    }
}
