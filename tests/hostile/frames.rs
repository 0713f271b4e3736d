//! HTTP/2 by hand: floods and half-sent things that no client library sends.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use datacoord::wire::proto::{
    milvus::QueryRequest,
    schema::{DataType, StringArray, scalar_field},
};
use prost::Message as _;

use crate::{
    kit::{numbers::Numbers, rpc, within},
    memory,
    served::{PATIENCE, Served, panics, query},
};

pub const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// Initial window of streams, a setting.
const INITIAL_WINDOW: u16 = 4;
/// A peer that asks to be left alone.
const ENHANCE_YOUR_CALM: u32 = 11;
/// Memory that a flood may make the server and this test hold.
const MOST_MEMORY: usize = 64 << 20;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

/// Headers of a call, spelled without compression.
fn head(path: &str) -> Vec<u8> {
    // POST and http of the static table; path, authority and content type by their names in it.
    let mut block = vec![0x83, 0x86];
    for (name, value) in [(&[0x04][..], path), (&[0x01], "here"), (&[0x0F, 0x10], "application/grpc")] {
        block.extend_from_slice(name);
        block.push(u8::try_from(value.len()).expect("a short value"));
        block.extend_from_slice(value.as_bytes());
    }
    block.extend_from_slice(b"\x00\x02te\x08trailers");
    block
}

/// The frame that begins a call and does not end it.
fn begin(stream: u32, head: &[u8]) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, head)
}

const VERSION: &str = "/milvus.proto.milvus.MilvusService/GetVersion";
const QUERY: &str = "/milvus.proto.milvus.MilvusService/Query";

/// A connection after the preface.
struct Raw(TcpStream);

impl Raw {
    async fn connect(served: &Served, settings: &[(u16, u32)]) -> Result<Self> {
        let mut raw = Self(TcpStream::connect(served.grpc).await?);
        raw.0.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await?;
        let payload: Vec<u8> =
            settings.iter().flat_map(|(key, value)| [&key.to_be_bytes()[..], &value.to_be_bytes()].concat()).collect();
        raw.0.write_all(&frame(SETTINGS, 0, 0, &payload)).await?;
        Ok(raw)
    }

    /// Begins a call with an empty message.
    async fn call(&mut self, stream: u32, path: &str, message: &[u8]) -> std::io::Result<()> {
        let mut body = vec![0];
        body.extend((message.len() as u32).to_be_bytes());
        body.extend_from_slice(message);
        self.0.write_all(&frame(HEADERS, END_HEADERS, stream, &head(path))).await?;
        self.0.write_all(&frame(DATA, END_STREAM, stream, &body)).await
    }

    /// Sends the frames of `next`, until it makes no more or the server has had enough. True: the server closed.
    async fn flood(&mut self, mut next: impl FnMut() -> Option<Vec<u8>>) -> Result<bool> {
        let flood = async {
            while let Some(bytes) = next() {
                if self.0.write_all(&bytes).await.is_err() {
                    return true;
                }
            }
            false
        };
        tokio::time::timeout(PATIENCE, flood).await.context("the server neither reads nor closes")
    }

    /// The code with which the server says goodbye; None: it just closed.
    async fn goodbye(mut self) -> Result<Option<u32>> {
        let mut bytes = Vec::new();
        match tokio::time::timeout(PATIENCE, self.0.read_to_end(&mut bytes)).await {
            Ok(Ok(_) | Err(_)) => {}
            Err(_elapsed) => bail!("the server keeps the connection"),
        }
        let mut rest = &bytes[..];
        while let Some((header, behind)) = rest.split_at_checked(9) {
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            let Some((payload, behind)) = behind.split_at_checked(length) else { break };
            rest = behind;
            if header[3] == GOAWAY {
                let code = payload.get(4..8).context("a short GOAWAY")?;
                return Ok(Some(u32::from_be_bytes(code.try_into()?)));
            }
        }
        Ok(None)
    }
}

async fn server() -> Served {
    Served::with_rows(|config| config.server.idle_timeout = Duration::from_secs(2)).await
}

async fn check(served: Served, watch: memory::Watch) -> Result<()> {
    served.is_well().await;
    let peak = watch.peak();
    ensure!(peak < MOST_MEMORY, "{peak} bytes were held at once");
    ensure!(panics() == 0, "a thread panicked");
    served.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_of_other_protocols_end_their_connection() -> Result<()> {
    let served = server().await;
    let watch = memory::Watch::begin();
    let mut numbers = Numbers::new(3);
    let noise: Vec<u8> = (0..65_536).map(|_| numbers.next() as u8).collect();
    let hello = b"\x16\x03\x01\x00\xC0\x01\x00\x00\xBC\x03\x03".repeat(40);
    let get = b"GET /healthz HTTP/1.1\r\nhost: here\r\n\r\n".to_vec();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00".to_vec();
    let header = [b"GET / HTTP/1.1\r\nx: ", &b"a".repeat(1 << 20)[..]].concat();
    let smuggled = b"POST /api/v1/compaction HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\nGET /x".to_vec();
    for address in [served.grpc, served.http] {
        for bytes in [&noise, &hello, &get, &preface, &header, &smuggled] {
            let mut stream = TcpStream::connect(address).await?;
            // The server may close before it has read everything.
            let _ = stream.write_all(bytes).await;
            let _ = stream.shutdown().await;
            let mut answer = Vec::new();
            let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
            ensure!(read.is_ok(), "{address} keeps a connection");
        }
    }
    check(served, watch).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_reset_at_once_cost_their_sender_the_connection() -> Result<()> {
    let served = server().await;
    let watch = memory::Watch::begin();
    let mut raw = Raw::connect(&served, &[]).await?;
    let mut streams = (1..100_000u32).step_by(2);
    let reset = |stream| [begin(stream, &head(VERSION)), frame(RST_STREAM, 0, stream, &[0, 0, 0, 8])];
    let closed = raw.flood(|| streams.next().map(|stream| reset(stream).concat())).await?;
    ensure!(closed || raw.goodbye().await? == Some(ENHANCE_YOUR_CALM), "50,000 resets were taken");
    check(served, watch).await
}

/// Each of these makes the server reset the call; it does not do so for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_the_server_has_to_reset_cost_their_sender_the_connection() -> Result<()> {
    type Offence = fn(u32) -> Vec<u8>;
    let overflow: Offence =
        |stream| [begin(stream, &head(VERSION)), frame(WINDOW_UPDATE, 0, stream, &[0x7F, 0xFF, 0xFF, 0xFF])].concat();
    let longer_than_it_says: Offence = |stream| {
        // content-length by its name in the static table.
        let head = [&head(VERSION)[..], b"\x0F\x0D\x011"].concat();
        [begin(stream, &head), frame(DATA, END_STREAM, stream, &[0; 5])].concat()
    };
    let too_many_at_once: Offence = |stream| begin(stream, &head(VERSION));
    let served = server().await;
    for (what, offence) in [
        ("windows that overflow", overflow),
        ("bodies that are longer than they say", longer_than_it_says),
        ("calls above the limit", too_many_at_once),
    ] {
        let watch = memory::Watch::begin();
        let mut raw = Raw::connect(&served, &[]).await?;
        let mut streams = (1..100_000u32).step_by(2);
        let closed = raw.flood(|| streams.next().map(offence)).await.context(what)?;
        let code = if closed { None } else { raw.goodbye().await.context(what)? };
        ensure!(closed || code == Some(ENHANCE_YOUR_CALM), "50,000 {what} were taken: {code:?}");
        let peak = watch.peak();
        ensure!(peak < MOST_MEMORY, "{what}: {peak} bytes were held at once");
    }
    check(served, memory::Watch::begin()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_that_never_end_are_cut_off() -> Result<()> {
    let served = server().await;
    let watch = memory::Watch::begin();
    let mut raw = Raw::connect(&served, &[]).await?;
    raw.0.write_all(&frame(HEADERS, 0, 1, &head(VERSION))).await?;
    // A header of 16 KB, again and again.
    let mut block = b"\x00\x01x\x7F\xF0\x7E".to_vec();
    block.resize(16_000, b'a');
    let mut left = 20_000;
    let closed = raw
        .flood(|| {
            left -= 1;
            (left > 0).then(|| frame(CONTINUATION, 0, 1, &block))
        })
        .await?;
    ensure!(closed || raw.goodbye().await?.is_some(), "320 MB of headers were taken");
    check(served, watch).await
}

/// Each of these asks for an answer, and the sender reads none.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_whose_answers_are_not_read_fill_no_memory() -> Result<()> {
    let served = server().await;
    for question in [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[0, 4, 0, 1, 0, 0])] {
        let watch = memory::Watch::begin();
        let mut raw = Raw::connect(&served, &[]).await?;
        let many = question.repeat(1000);
        let mut left = 20_000;
        let closed = raw
            .flood(|| {
                left -= 1;
                (left > 0).then(|| many.clone())
            })
            .await?;
        ensure!(closed, "20,000,000 questions were taken");
        let peak = watch.peak();
        ensure!(peak < MOST_MEMORY, "{peak} bytes were held at once");
    }
    check(served, memory::Watch::begin()).await
}

/// A client says how much of an answer it is ready to take. One that is ready for nothing gets nothing, and others wait for
/// the memory of its answers no longer than for any silent client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_that_their_client_gives_no_window_for_hold_up_no_query() -> Result<()> {
    const ROWS: usize = 40;
    const LENGTH: usize = 60_000;
    let served = Served::with_rows(|config| {
        config.server.idle_timeout = Duration::from_secs(2);
        config.budget.queries = 16 << 20;
    })
    .await;
    let mut api = served.client().await;
    let text = rpc::field("s", DataType::VarChar, &[("max_length", "65535")]);
    let creation = rpc::creation("wide", vec![rpc::id_field(), rpc::vector_field("v", 2), text]);
    ensure!(api.create_collection(creation).await?.into_inner().code == 0);
    served.load("wide", "v").await;
    let texts = scalar_field::Data::StringData(StringArray { data: vec!["x".repeat(LENGTH); ROWS] });
    let columns = vec![
        rpc::longs("id", (0..ROWS as i64).collect()),
        rpc::vectors("v", 2, vec![0.5; 2 * ROWS]),
        rpc::scalars("s", DataType::VarChar, texts),
    ];
    let answer = api.insert(rpc::insertion("wide", ROWS, columns)).await?.into_inner();
    ensure!(answer.status.unwrap_or_default().code == 0);
    let watch = memory::Watch::begin();
    let mut raw = Raw::connect(&served, &[(INITIAL_WINDOW, 0)]).await?;
    let all = QueryRequest { collection_name: "wide".into(), output_fields: vec!["s".into()], ..query("id >= 0") };
    for stream in (1..60).step_by(2) {
        raw.call(stream, QUERY, &all.encode_to_vec()).await?;
    }
    within("answers that hold memory", async {
        while query_memory(&served) < 4 << 20 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    within("their end", async {
        while query_memory(&served) > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // It is the answers that were given up, and not the connection.
    raw.0.write_all(&frame(PING, 0, 0, &[7; 8])).await?;
    check(served, watch).await
}

fn query_memory(served: &Served) -> u64 {
    served.standalone.refresh_metrics();
    let text = served.metrics.render();
    let value = text.lines().find_map(|line| line.strip_prefix("datacoord_memory_used_bytes{part=\"queries\"} "));
    value.and_then(|value| value.parse().ok()).expect("a gauge")
}
