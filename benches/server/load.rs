//! Many inserts at once, encoded beforehand.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use anyhow::Result;
use bytes::{Buf, BufMut, Bytes};
use datacoord::wire::proto::milvus::MutationResult;
use prost::Message;
use tonic::{
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::{
    Options,
    api::{Server, UNLIMITED, channel, check},
    shape::Shape,
};

impl Server {
    /// Requests of this many rows of 768 floats, four in flight on as many connections.
    pub async fn insert_rate(&self, options: &Options, figure: &str, rows: usize, requests: u64) -> Result<()> {
        let name = "bench_insert";
        let shape = Shape::vectors(768, &[]);
        self.create(name, &shape).await?;
        let encoded: Vec<Bytes> =
            (0..8).map(|i| Bytes::from(shape.insert(name, i * rows as i64, rows).encode_to_vec())).collect();
        let encoded = Arc::new(encoded);
        let sent = Arc::new(AtomicU64::new(0));
        let bytes = Arc::new(AtomicU64::new(0));
        let mut tasks = Vec::new();
        let start = Instant::now();
        for _ in 0..4 {
            let channel = channel(&self.endpoint).await?;
            let (encoded, sent, bytes) = (Arc::clone(&encoded), Arc::clone(&sent), Arc::clone(&bytes));
            tasks.push(tokio::spawn(async move {
                let mut grpc = Grpc::new(channel).max_encoding_message_size(UNLIMITED);
                let mut times = Vec::new();
                loop {
                    let turn = sent.fetch_add(1, Ordering::Relaxed);
                    if turn >= requests {
                        return anyhow::Ok(times);
                    }
                    let body = encoded[turn as usize % encoded.len()].clone();
                    bytes.fetch_add(body.len() as u64, Ordering::Relaxed);
                    let begun = Instant::now();
                    grpc.ready().await?;
                    let path = http::uri::PathAndQuery::from_static("/milvus.proto.milvus.MilvusService/Insert");
                    let answer: tonic::Response<MutationResult> =
                        grpc.unary(tonic::Request::new(body), path, RawCodec).await?;
                    check(answer.into_inner().status, "insert")?;
                    times.push(begun.elapsed());
                }
            }));
        }
        let mut times = Vec::new();
        for task in tasks {
            times.extend(task.await??);
        }
        let seconds = start.elapsed().as_secs_f64();
        times.sort();
        options.report(figure, bytes.load(Ordering::Relaxed) as f64 / 1e6 / seconds, "MB/s");
        options.report(&format!("{figure}_p50"), times[times.len() / 2].as_secs_f64() * 1000.0, "ms");
        self.drop(name).await
    }
}

/// Sends bytes as they are and decodes the answer as usual.
#[derive(Clone, Copy)]
struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = MutationResult;
    type Encoder = RawEncoder;
    type Decoder = AnswerDecoder;

    fn encoder(&mut self) -> RawEncoder {
        RawEncoder
    }

    fn decoder(&mut self) -> AnswerDecoder {
        AnswerDecoder
    }
}

struct RawEncoder;

impl Encoder for RawEncoder {
    type Item = Bytes;
    type Error = tonic::Status;

    fn encode(&mut self, item: Bytes, into: &mut EncodeBuf<'_>) -> Result<(), tonic::Status> {
        into.reserve(item.len());
        into.put(item);
        Ok(())
    }
}

struct AnswerDecoder;

impl Decoder for AnswerDecoder {
    type Item = MutationResult;
    type Error = tonic::Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<MutationResult>, tonic::Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        MutationResult::decode(bytes).map(Some).map_err(|e| tonic::Status::internal(e.to_string()))
    }
}
