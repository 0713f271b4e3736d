//! State calls, as many as the server answers, from a generator that takes little of the cores it shares with the server:
//! one thread that speaks HTTP/2 itself, with messages encoded beforehand.
//!
//! Every answer is looked at: its status has to be OK, that of gRPC and that in the message.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use datacoord::wire::proto::milvus::{GetCompactionStateRequest, GetCompactionStateResponse};
use h2::client::SendRequest;
use http::{Request, header::CONTENT_TYPE};
use prost::Message;
use tokio::net::TcpStream;

use crate::{
    Options,
    api::{Server, check},
    shape::Shape,
};

const CONNECTIONS: usize = 4;
const IN_FLIGHT: usize = 50;
const SECONDS: Duration = Duration::from_secs(3);
/// Large enough that no call waits for flow control.
const WINDOW_BYTES: u32 = 8 << 20;

impl Server {
    /// GetCompactionState on four connections with fifty calls in flight each, for three seconds.
    pub async fn state_calls(&self, options: &Options) -> Result<()> {
        let name = "bench_state";
        let shape = Shape::vectors(8, &[]);
        self.create(name, &shape).await?;
        self.insert(name, &shape, 0, 100).await?;
        self.flush(name).await?;
        let compaction_id = self.start_compaction(name).await?;
        let call = Call::new(&self.endpoint, compaction_id)?;
        let endpoint = self.endpoint.clone();
        let rate = tokio::task::spawn_blocking(move || {
            tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(rate(&endpoint, call))
        });
        options.report("state_calls", rate.await??, "1/s");
        Ok(())
    }
}

/// Calls a second.
async fn rate(endpoint: &str, call: Call) -> Result<f64> {
    let call = Arc::new(call);
    let stop = Arc::new(AtomicBool::new(false));
    let calls = Arc::new(AtomicU64::new(0));
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let socket = TcpStream::connect(endpoint).await?;
        socket.set_nodelay(true)?;
        let (client, connection) = h2::client::Builder::new()
            .initial_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES)
            .handshake(socket)
            .await?;
        // Its error is the error of every call on it.
        tokio::spawn(connection);
        for _ in 0..IN_FLIGHT {
            let (client, call) = (client.clone(), Arc::clone(&call));
            let (stop, calls) = (Arc::clone(&stop), Arc::clone(&calls));
            tasks.push(tokio::spawn(async move {
                let mut client = client;
                while !stop.load(Ordering::Relaxed) {
                    client = call.send(client).await?;
                    calls.fetch_add(1, Ordering::Relaxed);
                }
                anyhow::Ok(())
            }));
        }
    }
    let begun = Instant::now();
    tokio::time::sleep(SECONDS).await;
    let rate = calls.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    for task in tasks {
        task.await??;
    }
    Ok(rate)
}

/// One state call, encoded.
struct Call {
    head: Request<()>,
    body: Bytes,
}

/// Of a message in gRPC: whether it is compressed, and its length.
const PREFIX_BYTES: usize = 5;

impl Call {
    fn new(endpoint: &str, compaction_id: i64) -> Result<Self> {
        let head = Request::post(format!("http://{endpoint}/milvus.proto.milvus.MilvusService/GetCompactionState"))
            .header(CONTENT_TYPE, "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let message = GetCompactionStateRequest { compaction_id };
        let mut body = BytesMut::new();
        body.put_u8(0);
        body.put_u32(message.encoded_len().try_into()?);
        message.encode(&mut body)?;
        Ok(Self { head, body: body.freeze() })
    }

    /// Reads the answer, and returns the sender of the next call.
    async fn send(&self, client: SendRequest<Bytes>) -> Result<SendRequest<Bytes>> {
        let mut client = client.ready().await?;
        let (answer, mut body) = client.send_request(self.head.clone(), false)?;
        body.send_data(self.body.clone(), true)?;
        let mut answer = answer.await?.into_body();
        let mut message = BytesMut::new();
        while let Some(part) = answer.data().await {
            let part = part?;
            answer.flow_control().release_capacity(part.len())?;
            message.extend_from_slice(&part);
        }
        let trailers = answer.trailers().await?.context("an answer without trailers")?;
        ensure!(trailers.get("grpc-status").is_some_and(|status| status == "0"), "{trailers:?}");
        let message = message.get(PREFIX_BYTES..).context("an answer without a message")?;
        let answer = GetCompactionStateResponse::decode(message)?;
        check(answer.status, "state")?;
        Ok(client)
    }
}
