//! `datacoord doctor`: looks for causes why a server does not work: on this machine, in the store, and in the server itself.
//!
//! Each check gives a verdict and, if it is not well, the next step. Changes nothing: the object that it writes into the store
//! is deleted again. Must never take the store or the catalog, so it can run beside the server.

mod check;
mod machine;
mod server;
mod store;

#[cfg(test)]
mod tests;

use serde::Serialize;

use self::check::{Check, CheckResult};
use super::{
    args::{DoctorFlags, PlaceFlags},
    exit::{CommandFailure, Exit},
    operator::Session,
    output::OutputForm,
    reach, show,
};
use crate::config::layers;

#[derive(Debug, Serialize)]
struct Findings {
    checks: Vec<Check>,
}

pub(super) async fn run(place: &PlaceFlags, flags: DoctorFlags) -> anyhow::Result<()> {
    let output = OutputForm::of(flags.server.json);
    let findings = Findings { checks: checks(place, flags).await };
    output.answer(&findings, |findings| {
        let lines = findings
            .checks
            .iter()
            .map(|check| (check.name, check.verdict.as_str(), check.text.as_str(), check.advice.as_str()));
        show::checks(lines)
    })?;
    match findings.checks.iter().filter(|check| check.verdict == CheckResult::Problem).count() {
        0 => Ok(()),
        1 => Err(CommandFailure::error(Exit::Damaged, "1 problem")),
        problems => Err(CommandFailure::error(Exit::Damaged, format!("{problems} problems"))),
    }
}

async fn checks(place: &PlaceFlags, flags: DoctorFlags) -> Vec<Check> {
    let loaded = match layers::load(&place.sources(&Default::default())) {
        Ok(loaded) => loaded,
        Err(error) => {
            let advice = "`datacoord config --example` lists every key";
            return vec![Check::new("configuration", CheckResult::Problem, error.to_string(), advice)];
        }
    };
    let config = &loaded.config;
    let mut checks = vec![machine::configuration(&loaded), machine::folder(&config.server.data_dir)];
    checks.push(machine::disk(&config.server.data_dir));
    checks.push(store::check(config).await);
    let is_named = flags.server.endpoint().is_some();
    match Session::open(place, flags.server).await {
        Ok(session) => checks.extend(server::checks(&session).await),
        Err(error) => {
            let is_expected = is_named || reach::is_running(place);
            checks.push(server::silent(&error, is_expected));
            if !is_expected {
                checks.extend(machine::ports(&config.server));
            }
        }
    }
    checks
}
