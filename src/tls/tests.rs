use std::{io, path::PathBuf};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::{
    config::{TlsConfig, TlsMode},
    kit::authority::{Authority, Pair},
};

/// In the year 2026.
const NOW_S: u64 = 1_790_000_000;

/// A folder with the files of one server.
struct World {
    folder: tempfile::TempDir,
    authority: Authority,
    config: TlsConfig,
}

fn world(mode: TlsMode) -> World {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("the authority");
    let (certificate, key) = authority.server().write(folder.path(), "server");
    let authorities = folder.path().join("ca.pem");
    std::fs::write(&authorities, authority.pem()).unwrap();
    let config = TlsConfig { mode, certificate, key, authorities, ..TlsConfig::default() };
    World { folder, authority, config }
}

impl World {
    fn load(&self) -> Result<ServerTls, TlsError> {
        ServerTls::load(&self.config, NOW_S).map(|tls| tls.unwrap())
    }

    fn refusal(&self) -> String {
        self.load().unwrap_err().to_string()
    }

    fn put(&self, pair: &Pair) {
        pair.write(self.folder.path(), "server");
    }

    fn trust(&self) -> Trust {
        Trust::Authorities(PemFile::new("--ca-file", &self.config.authorities))
    }

    /// A client with a certificate of this authority.
    fn client_with(&self, pair: &Pair) -> ClientTls {
        let (certificate, key) = pair.write(self.folder.path(), "client");
        let own = (PemFile::new("--cert-file", certificate), PemFile::new("--key-file", key));
        ClientTls::new(&self.trust(), Some((&own.0, &own.1)), None, NOW_S).unwrap()
    }
}

fn client(trust: &Trust, server_name: Option<&str>) -> ClientTls {
    ClientTls::new(trust, None, server_name.map(str::to_owned), NOW_S).unwrap()
}

/// A handshake and one byte in each direction. `Ok` holds whether the server saw a certificate of the client.
async fn shake(port: &PortTls, client: &ClientTls, host: &str, alpn: &'static [u8]) -> Result<bool, io::Error> {
    let (near, far): (DuplexStream, DuplexStream) = duplex(1 << 16);
    let acceptor = TlsAcceptor::from(port.current());
    let server = async move {
        let mut stream = acceptor.accept(far).await?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn));
        let byte = stream.read_u8().await?;
        stream.write_u8(byte + 1).await?;
        stream.flush().await?;
        Ok::<_, io::Error>(stream.get_ref().1.peer_certificates().is_some())
    };
    let asking = async move {
        let mut stream = client.connect(host, alpn, near).await.map_err(io::Error::other)?;
        stream.write_u8(41).await?;
        stream.flush().await?;
        assert_eq!(stream.read_u8().await?, 42);
        Ok::<_, io::Error>(())
    };
    let (served, asked) = tokio::join!(server, asking);
    asked?;
    served
}

#[test]
fn files_that_cannot_be_used_are_named_with_the_setting_and_the_reason() {
    let named = |world: &World, setting: &str, path: PathBuf, reason: &str| {
        let text = world.refusal();
        assert!(text.starts_with(&format!("{setting} is {}: ", path.display())) && text.contains(reason), "{text}");
    };
    let mut world = world(TlsMode::Mutual);
    let (certificate, key) = (world.config.certificate.clone(), world.config.key.clone());
    world.load().unwrap();

    world.config.key = PathBuf::from("/nowhere/server.key");
    named(&world, "tls.serverKeyPath", world.config.key.clone(), "No such file");
    world.config.key.clone_from(&certificate);
    named(&world, "tls.serverKeyPath", certificate.clone(), "no private key in PEM");
    world.config.key.clone_from(&key);
    world.config.certificate.clone_from(&key);
    named(&world, "tls.serverPemPath", key.clone(), "no certificate in PEM");
    world.config.certificate.clone_from(&certificate);

    let other = world.authority.server();
    std::fs::write(&key, &other.key).unwrap();
    named(
        &world,
        "tls.serverKeyPath",
        key.clone(),
        &format!("not the key of the certificate in {}", certificate.display()),
    );
    std::fs::write(&key, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIB\n-----END ENCRYPTED PRIVATE KEY-----\n").unwrap();
    named(&world, "tls.serverKeyPath", key.clone(), "the key is encrypted");

    world.put(&world.authority.server_for((2020, 2021)));
    named(&world, "tls.serverPemPath", certificate.clone(), "expired at 2021-01-01T00:00:00Z");
    world.put(&world.authority.server_for((2100, 2101)));
    named(&world, "tls.serverPemPath", certificate, "valid from 2100-01-01T00:00:00Z on");

    world.put(&world.authority.server());
    std::fs::write(&world.config.authorities, "nothing").unwrap();
    named(&world, "tls.caPemPath", world.config.authorities.clone(), "no certificate in PEM");
}

#[test]
fn no_error_repeats_a_line_of_the_key() {
    let world = world(TlsMode::OneWay);
    let pair = world.authority.server();
    let mark = "MARKEDMARKEDMARKED";
    for text in [
        pair.key.replacen("-----END", &format!("{mark}!\n-----END"), 1),
        format!("-----BEGIN {mark}\n{mark}\n"),
        pair.key.replace('A', mark),
        format!("{mark}\n{mark}"),
    ] {
        std::fs::write(&world.config.key, text).unwrap();
        let error = world.load().unwrap_err();
        assert!(!format!("{error} {error:?}").contains(mark), "{error:?}");
    }
}

#[test]
fn without_a_port_that_speaks_tls_no_file_is_read() {
    let config = TlsConfig { certificate: "/nowhere".into(), key: "/nowhere".into(), ..TlsConfig::default() };
    assert!(ServerTls::load(&config, NOW_S).unwrap().is_none());
    // One port alone is enough.
    let world = world(TlsMode::Off);
    let config = TlsConfig { http_mode: Some(TlsMode::OneWay), ..world.config.clone() };
    let tls = ServerTls::load(&config, NOW_S).unwrap().unwrap();
    assert!(tls.grpc().is_none() && tls.http().is_some());
}

#[tokio::test]
async fn a_client_trusts_an_authority_a_fingerprint_and_nothing_else() {
    let world = world(TlsMode::OneWay);
    let tls = world.load().unwrap();
    let grpc = tls.grpc().unwrap();
    let exactly = |fingerprint: &str| Trust::Exactly(vec![fingerprint.to_owned()]);
    assert!(!shake(grpc, &client(&world.trust(), None), "localhost", b"h2").await.unwrap());
    shake(grpc, &client(&world.trust(), None), "127.0.0.1", b"h2").await.unwrap();
    shake(grpc, &client(&world.trust(), Some("localhost")), "10.9.8.7", b"h2").await.unwrap();
    shake(grpc, &client(&exactly(&tls.in_use().fingerprint), None), "10.9.8.7", b"h2").await.unwrap();

    let stranger = world.folder.path().join("stranger.pem");
    std::fs::write(&stranger, Authority::new("another one").pem()).unwrap();
    let stranger = Trust::Authorities(PemFile::new("--ca-file", stranger));
    for (refusing, host, part) in [
        (client(&stranger, None), "localhost", "UnknownIssuer"),
        (client(&world.trust(), None), "elsewhere.example", "not valid for name"),
        (client(&exactly("00"), None), "localhost", "ApplicationVerificationFailure"),
    ] {
        let error = shake(grpc, &refusing, host, b"h2").await.unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[tokio::test]
async fn with_mutual_tls_only_http_admits_clients_without_a_certificate() {
    let world = world(TlsMode::Mutual);
    let tls = world.load().unwrap();
    let (grpc, http) = (tls.grpc().unwrap(), tls.http().unwrap());
    let (known, nameless) = (world.client_with(&world.authority.client()), client(&world.trust(), None));
    assert!(shake(grpc, &known, "localhost", b"h2").await.unwrap());
    assert!(shake(http, &known, "localhost", b"http/1.1").await.unwrap());
    assert!(!shake(http, &nameless, "localhost", b"http/1.1").await.unwrap());
    assert!(shake(grpc, &nameless, "localhost", b"h2").await.is_err());
    // A certificate of another authority, or one of a server, is worse than none.
    for pair in [Authority::new("another one").client(), world.authority.server()] {
        let stranger = world.client_with(&pair);
        assert!(shake(grpc, &stranger, "localhost", b"h2").await.is_err());
        assert!(shake(http, &stranger, "localhost", b"http/1.1").await.is_err());
    }
}

#[tokio::test]
async fn new_files_are_used_by_the_next_handshake_and_bad_ones_never() {
    let world = world(TlsMode::OneWay);
    let tls = world.load().unwrap();
    let first = tls.in_use();
    let pinned = |fingerprint: &str| client(&Trust::Exactly(vec![fingerprint.to_owned()]), None);
    assert!(matches!(tls.look(NOW_S), FileChange::Same));

    let next = world.authority.server();
    std::fs::write(&world.config.certificate, &next.certificate).unwrap();
    // The key is still the old one.
    assert!(matches!(tls.look(NOW_S), FileChange::Unusable(TlsError::Mismatch { .. })));
    assert_eq!(tls.in_use(), first);
    shake(tls.grpc().unwrap(), &pinned(&first.fingerprint), "localhost", b"h2").await.unwrap();

    std::fs::write(&world.config.key, &next.key).unwrap();
    let FileChange::New(candidate) = tls.look(NOW_S) else { panic!("the files are new") };
    let second = candidate.shown().clone();
    assert_eq!(tls.in_use(), first, "not before it is said");
    tls.replace(candidate).unwrap();
    assert_eq!(tls.in_use(), second);
    assert_ne!(first.fingerprint, second.fingerprint);
    shake(tls.grpc().unwrap(), &pinned(&second.fingerprint), "localhost", b"h2").await.unwrap();
    assert!(shake(tls.grpc().unwrap(), &pinned(&first.fingerprint), "localhost", b"h2").await.is_err());
    shake(tls.http().unwrap(), &pinned(&second.fingerprint), "localhost", b"http/1.1").await.unwrap();
    // The end of the certificate in use changes nothing; an expired one never comes into use.
    assert!(matches!(tls.look(u64::MAX / 2), FileChange::Same));
    world.put(&world.authority.server_for((2020, 2021)));
    assert!(matches!(tls.look(NOW_S), FileChange::Unusable(TlsError::Expired { .. })));
}
