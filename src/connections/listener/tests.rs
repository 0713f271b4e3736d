use std::sync::atomic::AtomicI64;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{super::HandshakeFault, *};
use crate::{
    config::{TlsConfig, TlsMode},
    kit::{authority::Authority, within},
    tls::{ClientTls, PemFile, ServerTls, Trust},
};

#[derive(Debug, Default)]
struct Counts {
    open: AtomicI64,
    refused: AtomicI64,
    failed: Mutex<Vec<HandshakeFault>>,
}

impl Watched for Counts {
    fn opened(&self) {
        self.open.fetch_add(1, Relaxed);
    }
    fn closed(&self) {
        self.open.fetch_sub(1, Relaxed);
    }
    fn refused(&self) {
        self.refused.fetch_add(1, Relaxed);
    }
    fn failed(&self, fault: HandshakeFault) {
        self.failed.lock().push(fault);
    }
}

async fn listener(limit: usize, protocol: RefusalProtocol) -> (Listener, std::net::SocketAddr, Arc<Counts>) {
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let counts = Arc::new(Counts::default());
    let watched = Arc::clone(&counts) as Arc<dyn Watched>;
    (Listener::new(socket, limit, Duration::from_secs(5), protocol, None, watched), address, counts)
}

#[tokio::test]
async fn one_connection_too_many_is_told_so_and_closed() {
    for (protocol, begins) in
        [(RefusalProtocol::Http1, &b"HTTP/1.1 503 "[..]), (RefusalProtocol::Http2, &[0, 0, 72, 7, 0][..])]
    {
        let (mut listener, address, counts) = listener(1, protocol).await;
        let first = TcpStream::connect(address).await.unwrap();
        let place = listener.accept().await;
        let mut second = TcpStream::connect(address).await.unwrap();
        let (mut answer, mut third) = (Vec::new(), None);
        tokio::select! {
            _ = listener.accept() => panic!("there is no place"),
            read = second.read_to_end(&mut answer) => { read.unwrap(); }
        }
        assert!(answer.starts_with(begins), "{answer:?}");
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert!(text.ends_with("too many connections, the limit is 1 (datacoord.connections.max)"), "{text}");
        assert_eq!((counts.open.load(Relaxed), counts.refused.load(Relaxed)), (1, 1));
        drop((first, place));
        third.replace(TcpStream::connect(address).await.unwrap());
        listener.accept().await;
        assert_eq!(counts.open.load(Relaxed), 0, "it was dropped at once");
    }
}

#[tokio::test]
async fn a_client_of_grpc_hears_why_it_is_refused() {
    let (mut listener, address, _) = listener(0, RefusalProtocol::Http2).await;
    let accepting = tokio::spawn(async move { listener.accept().await });
    let socket = TcpStream::connect(address).await.unwrap();
    let (send, connection) = h2::client::handshake(socket).await.unwrap();
    let error = connection.await.err();
    let text = error.map(|e| e.to_string()).unwrap_or_default();
    assert!(text.contains("too many connections"), "{text}");
    drop(send);
    accepting.abort();
}

/// A port with TLS, a client that trusts it, and what is counted.
struct Secured {
    listener: Listener,
    address: SocketAddr,
    counts: Arc<Counts>,
    client: ClientTls,
    _folder: tempfile::TempDir,
}

async fn secured(limit: usize, idle: Duration, protocol: RefusalProtocol) -> Secured {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("the authority");
    let (certificate, key) = authority.server().write(folder.path(), "server");
    let authorities = folder.path().join("ca.pem");
    std::fs::write(&authorities, authority.pem()).unwrap();
    let config = TlsConfig { mode: TlsMode::OneWay, certificate, key, ..TlsConfig::default() };
    let tls = ServerTls::load(&config, NOW_S).unwrap().unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let counts = Arc::new(Counts::default());
    let watched = Arc::clone(&counts) as Arc<dyn Watched>;
    let port = if protocol == RefusalProtocol::Http1 { tls.http() } else { tls.grpc() };
    let listener = Listener::new(socket, limit, idle, protocol, port.cloned(), watched);
    let client = ClientTls::new(&Trust::Authorities(PemFile::new("ca", authorities)), None, None, NOW_S).unwrap();
    Secured { listener, address, counts, client, _folder: folder }
}

/// In the year 2026.
const NOW_S: u64 = 1_790_000_000;
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_client_that_does_not_shake_hands_delays_no_other() {
    let Secured { mut listener, address, counts, client, _folder } = secured(8, LONG, RefusalProtocol::Http2).await;
    // One sends nothing, one half of its first message.
    let _silent = TcpStream::connect(address).await.unwrap();
    let mut half = TcpStream::connect(address).await.unwrap();
    half.write_all(&[22, 3, 1, 2, 0, 1]).await.unwrap();
    let connecting = tokio::spawn(async move {
        let stream = TcpStream::connect(address).await.unwrap();
        let mut stream = client.connect("localhost", b"h2", stream).await.unwrap();
        stream.write_all(b"hello").await.unwrap();
        stream.flush().await.unwrap();
        stream
    });
    let mut connection = within("the third connection", listener.accept()).await;
    let mut bytes = [0; 5];
    connection.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"hello");
    assert_eq!(connection.peer().address, connecting.await.unwrap().get_ref().0.local_addr().unwrap());
    assert_eq!(counts.open.load(Relaxed), 3, "each has its place from the first moment on");
}

#[tokio::test]
async fn a_handshake_that_fails_frees_its_place_and_is_counted_by_its_fault() {
    for (fault, sent) in [
        (HandshakeFault::Late, &[22, 3, 1][..]),
        (HandshakeFault::Closed, &[]),
        (HandshakeFault::Protocol, &[22, 3, 1, 0, 4, 9, 9, 9, 9]),
        (HandshakeFault::Plain, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    ] {
        let idle = if fault == HandshakeFault::Late { Duration::from_millis(50) } else { LONG };
        let Secured { mut listener, address, counts, .. } = secured(1, idle, RefusalProtocol::Http2).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        if fault == HandshakeFault::Closed {
            stream.shutdown().await.unwrap();
        }
        let ended = async {
            let mut answer = Vec::new();
            // The server may close with bytes that it has not read.
            let _ = stream.read_to_end(&mut answer).await;
            answer
        };
        let answer = tokio::select! {
            _ = listener.accept() => panic!("{fault:?}"),
            answer = within("the end of the connection", ended) => answer,
        };
        if fault == HandshakeFault::Plain {
            let text = String::from_utf8_lossy(&answer).into_owned();
            assert!(text.ends_with("this port speaks TLS only (common.security.tlsMode)"), "{text}");
        }
        // The task of the handshake may still be ending.
        let freed = async {
            while counts.open.load(Relaxed) > 0 {
                tokio::task::yield_now().await;
            }
        };
        within("the place", freed).await;
        assert_eq!(*counts.failed.lock(), [fault]);
    }
}

#[tokio::test]
async fn the_limit_holds_before_the_handshake() {
    let Secured { mut listener, address, counts, client, _folder } = secured(1, LONG, RefusalProtocol::Http2).await;
    let _silent = TcpStream::connect(address).await.unwrap();
    let refused = async {
        let stream = TcpStream::connect(address).await.unwrap();
        client.connect("localhost", b"h2", stream).await.unwrap_err().to_string()
    };
    let text = tokio::select! {
        _ = listener.accept() => panic!("there is no place"),
        text = within("the refusal", refused) => text,
    };
    assert!(text.contains("InternalError"), "an alert says it: {text}");
    assert_eq!((counts.open.load(Relaxed), counts.refused.load(Relaxed)), (1, 1));
}

#[tokio::test]
async fn a_browser_without_tls_is_told_so() {
    let Secured { mut listener, address, .. } = secured(1, LONG, RefusalProtocol::Http1).await;
    let asking = async {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: here\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    let answer = tokio::select! {
        _ = listener.accept() => panic!("it speaks no TLS"),
        answer = within("the answer", asking) => answer,
    };
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("this port speaks TLS only"), "{answer}");
}
