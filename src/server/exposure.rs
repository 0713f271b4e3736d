//! The ports and who may reach them: one line of the log for each port at the start, and a warning about each port that
//! lets strangers in.

use std::net::SocketAddr;

use crate::config::TlsMode;

/// One port, as it is served.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exposed {
    /// `gRPC` or `HTTP`.
    pub(super) port: &'static str,
    pub(super) address: SocketAddr,
    pub(super) tls: TlsMode,
    /// Calls need a login.
    pub(super) users: bool,
    /// Key of the address.
    pub(super) address_key: &'static str,
    /// Key of the mode of TLS.
    pub(super) tls_key: &'static str,
}

impl Exposed {
    /// Says it in the log.
    pub(super) fn report(&self) {
        let Self { port, address, tls, users, .. } = *self;
        let users = if users { "on" } else { "off" };
        tracing::info!(port, %address, tls = tls.as_str(), users, "listening");
        if let Some(text) = self.warning() {
            tracing::warn!(port, %address, "{text}");
        }
    }

    /// The rights of others, and the keys that change them. Nothing where only this machine can connect.
    fn warning(&self) -> Option<String> {
        if self.address.ip().is_loopback() {
            return None;
        }
        let Self { address_key, tls_key, .. } = self;
        match (self.users, self.tls) {
            (false, TlsMode::Mutual) => None,
            (false, _) => Some(format!(
                "everyone who reaches this address may read and change everything, because there are no users: set \
                 common.security.authorizationEnabled, or {tls_key} to mutual TLS, or listen elsewhere with {address_key}"
            )),
            (true, TlsMode::Off) => Some(format!(
                "passwords and rows travel in clear text on this address, because there is no TLS: set {tls_key} and \
                 tls.serverPemPath, or listen elsewhere with {address_key}"
            )),
            (true, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::this_machine_alone("127.0.0.1:1", TlsMode::Off, false, None)]
    #[case::open("0.0.0.0:1", TlsMode::Off, false, Some("no users"))]
    #[case::open_on_one_address("[2001:db8::1]:1", TlsMode::OneWay, false, Some("no users"))]
    #[case::clear_text("10.0.0.1:1", TlsMode::Off, true, Some("clear text"))]
    #[case::users_and_tls("10.0.0.1:1", TlsMode::OneWay, true, None)]
    #[case::certificates_instead_of_users("10.0.0.1:1", TlsMode::Mutual, false, None)]
    fn the_rights_of_others_are_named(
        #[case] address: &str,
        #[case] tls: TlsMode,
        #[case] users: bool,
        #[case] expected: Option<&str>,
    ) {
        let (address, address_key, tls_key) = (address.parse().unwrap(), "datacoord.grpc.address", "some.tls");
        let warning = Exposed { port: "gRPC", address, tls, users, address_key, tls_key }.warning();
        assert_eq!(warning.is_some(), expected.is_some(), "{warning:?}");
        if let (Some(warning), Some(part)) = (warning, expected) {
            assert!([part, address_key, tls_key].iter().all(|part| warning.contains(part)), "{warning}");
        }
    }
}
