//! How a command reaches a server: TLS and login, from flags, the environment, and what a running server has written
//! down.
//!
//! A password comes from a file or the variable `DATACOORD_PASSWORD`. There is no flag for it: others on the machine can
//! read the arguments of a process.

use std::io::Read as _;

use anyhow::{Context as _, bail};

use super::args::{PlaceFlags, ReachFlags};
use crate::{
    client::{Access, Login},
    clock::{Clock as _, SystemClock},
    config::{Secret, layers},
    server::ready::Addresses,
    tls::{ClientTls, PemFile, Trust},
};

/// The variable of the password.
const PASSWORD: &str = "DATACOORD_PASSWORD";
/// A longer file is no password.
const MAX_PASSWORD_BYTES: u64 = 4096;

/// Knowledge of a server's port before the server is asked.
#[derive(Debug, Clone, Default)]
pub(super) struct KnownPort {
    pub(super) tls: bool,
    /// SHA-256 of the certificates that it may show. Empty: not known.
    pub(super) certificates: Vec<String>,
}

/// Addresses of the server to ask: those of the server that runs over the data directory; without such a server, those of
/// the configuration.
///
/// # Errors
/// A wrong configuration.
pub(super) fn addresses(place: &PlaceFlags) -> anyhow::Result<Addresses> {
    let config = layers::load(&place.sources(&Default::default()))?.config;
    let configured =
        || Addresses::new(config.server.grpc_listen, config.server.http_listen).with_tls(&config.tls, None);
    Ok(Addresses::of_running(&config.server.data_dir).unwrap_or_else(configured))
}

/// Whether a server has left its addresses in the data directory: it runs, or was killed.
pub(super) fn is_running(place: &PlaceFlags) -> bool {
    let loaded = layers::load(&place.sources(&Default::default()));
    loaded.is_ok_and(|loaded| Addresses::of_running(&loaded.config.server.data_dir).is_some())
}

/// Knowledge of the server at `endpoint`: none unless it is the one that was found at `own`.
pub(super) fn known(endpoint: &str, own: &str, tls: bool, found: &Addresses) -> KnownPort {
    if endpoint == own { KnownPort { tls, certificates: found.certificates.clone() } } else { KnownPort::default() }
}

/// TLS as the flags say, or as the server is known to speak it.
///
/// # Errors
/// A file that can't be used.
pub(super) fn tls(flags: &ReachFlags, known: &KnownPort) -> anyhow::Result<Option<ClientTls>> {
    if !known.tls && !flags.say_tls() {
        return Ok(None);
    }
    let trust = match &flags.ca_file {
        Some(path) => Trust::Authorities(PemFile::new("--ca-file", path)),
        None if !known.certificates.is_empty() => Trust::Exactly(known.certificates.clone()),
        None => Trust::Machine,
    };
    let own = match (&flags.cert_file, &flags.key_file) {
        (Some(certificate), Some(key)) => {
            Some((PemFile::new("--cert-file", certificate), PemFile::new("--key-file", key)))
        }
        // The parser refuses one without the other.
        _ => None,
    };
    let own = own.as_ref().map(|(certificate, key)| (certificate, key));
    let now_s = SystemClock::new().now_ms() / 1000;
    let tls = ClientTls::new(&trust, own, flags.server_name.clone(), now_s);
    Ok(Some(tls.context("TLS of this command (--ca-file names the authority of the server)")?))
}

/// TLS and login for the gRPC port.
///
/// # Errors
/// A file that can't be used, or a user without a password.
pub(super) fn access(
    flags: &ReachFlags,
    environment: &[(String, String)],
    known: &KnownPort,
    endpoint: &str,
) -> anyhow::Result<Access> {
    let access = Access { tls: tls(flags, known)?, login: login(flags, environment)?, patience: None };
    if access.login.is_some() && access.tls.is_none() && !is_loopback(endpoint) {
        eprintln!("datacoord: the password travels to {endpoint} in clear text: use --tls");
    }
    Ok(access)
}

fn login(flags: &ReachFlags, environment: &[(String, String)]) -> anyhow::Result<Option<Login>> {
    let Some(user) = flags.user.clone() else {
        if flags.password_file.is_some() {
            bail!("--password-file needs --user");
        }
        return Ok(None);
    };
    let password = match &flags.password_file {
        Some(path) => {
            let read = || {
                let mut text = String::new();
                std::fs::File::open(path)?.take(MAX_PASSWORD_BYTES).read_to_string(&mut text)?;
                Ok::<_, std::io::Error>(text)
            };
            let text = Secret::new(read().with_context(|| format!("--password-file {}", path.display()))?);
            // An editor ends the file with a line.
            Secret::new(text.expose().trim_end_matches(['\r', '\n']))
        }
        None => match environment.iter().find(|(name, _)| name == PASSWORD) {
            Some((_, password)) => Secret::new(password.as_str()),
            None => bail!("--user {user} needs a password: give --password-file or the variable {PASSWORD}"),
        },
    };
    Ok(Some(Login { user, password }))
}

/// Whether `host:port` is on this machine.
fn is_loopback(endpoint: &str) -> bool {
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    let address: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    address.map_or(host == "localhost", |address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(password_file: Option<std::path::PathBuf>) -> ReachFlags {
        ReachFlags { user: Some("root".to_owned()), password_file, ..ReachFlags::default() }
    }

    #[test]
    fn the_password_is_from_a_file_or_the_environment() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "of the file\n").unwrap();
        let variables = [("DATACOORD_PASSWORD".to_owned(), "of the environment".to_owned())];
        let password = |flags: &ReachFlags, variables: &[_]| {
            login(flags, variables).map(|login| login.unwrap().password.expose().to_owned())
        };
        assert_eq!(password(&user(Some(file)), &variables).unwrap(), "of the file");
        assert_eq!(password(&user(None), &variables).unwrap(), "of the environment");
        let error = password(&user(None), &[]).unwrap_err().to_string();
        assert!(error.contains("--password-file") && error.contains(PASSWORD), "{error}");
        assert!(login(&ReachFlags::default(), &variables).unwrap().is_none(), "a variable alone is no user");
        assert!(login(&ReachFlags { user: None, ..user(Some("x".into())) }, &[]).is_err());
    }

    #[test]
    fn tls_is_on_when_a_flag_or_the_server_says_so() {
        let known = KnownPort { tls: true, certificates: vec!["00".to_owned()] };
        assert!(tls(&ReachFlags::default(), &KnownPort::default()).unwrap().is_none());
        assert!(tls(&ReachFlags::default(), &known).unwrap().is_some());
        let flags = ReachFlags { ca_file: Some("/nowhere/ca.pem".into()), ..ReachFlags::default() };
        let error = format!("{:#}", tls(&flags, &KnownPort::default()).unwrap_err());
        assert!(error.contains("--ca-file is /nowhere/ca.pem: "), "{error}");
    }

    #[test]
    fn addresses_of_this_machine() {
        for (endpoint, expected) in
            [("127.0.0.1:1", true), ("[::1]:1", true), ("localhost:1", true), ("10.0.0.1:1", false), ("db:1", false)]
        {
            assert_eq!(is_loopback(endpoint), expected, "{endpoint}");
        }
    }
}
