use std::time::Duration;

use futures::{FutureExt as _, StreamExt as _, channel::mpsc};
use rstest::rstest;

use super::{
    body::{BodyPart, Heads},
    requests::*,
    *,
};
use crate::{
    config::Config,
    kit::rpc,
    wire::proto::{
        milvus::{GetFlushStateRequest, InsertRequest},
        schema::FieldData,
    },
};

const MIB: u64 = 1 << 20;

fn requests(bytes: u64) -> Requests {
    let mut config = Config::default();
    config.budget.requests = bytes;
    config.server.admission_timeout = Duration::from_secs(10);
    config.server.idle_timeout = Duration::from_secs(30);
    Requests::new(&config)
}

/// A message of `bytes` bytes, with its head: an unknown field of bytes, which takes no memory when it is decoded.
fn message(bytes: usize) -> Vec<u8> {
    let mut message = Vec::new();
    if let Some(value) = bytes.checked_sub(7) {
        // Five bytes of length whatever it is.
        message.extend_from_slice(&[0xFA, 0x7F]);
        message.extend((0..5).map(|place| (value >> (7 * place)) as u8 & 0x7f | if place < 4 { 0x80 } else { 0 }));
    }
    message.resize(bytes, 0);
    framed(&message)
}

/// A message with its head.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = vec![0];
    framed.extend_from_slice(&(message.len() as u32).to_be_bytes());
    framed.extend_from_slice(message);
    framed
}

/// Answers once it has read the whole body, or says why it could not.
#[derive(Clone)]
struct Reader;

impl Service<Request<Body>> for Reader {
    type Response = Response<Body>;
    type Error = std::convert::Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut body = request.into_body();
            loop {
                match std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
                    Some(Ok(_)) => {}
                    Some(Err(status)) => return Ok(status.into_http()),
                    None => return Ok(Response::new(Body::empty())),
                }
            }
        })
    }
}

/// A body that is sent bit by bit.
struct Sent(mpsc::UnboundedReceiver<Vec<u8>>);

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        self.0.poll_next_unpin(cx).map(|bytes| bytes.map(|bytes| Ok(Frame::data(bytes.into()))))
    }
}

type Answer = Pin<Box<dyn Future<Output = Result<Response<Body>, std::convert::Infallible>> + Send>>;

/// Begins a call whose body is fed through the returned sender.
fn begin(requests: &Requests, method: &str) -> (mpsc::UnboundedSender<Vec<u8>>, Answer) {
    begin_at(requests, &format!("/milvus.proto.milvus.MilvusService/{method}"))
}

fn begin_at(requests: &Requests, path: &str) -> (mpsc::UnboundedSender<Vec<u8>>, Answer) {
    let (send, receive) = mpsc::unbounded();
    let mut service = AdmissionLayer { requests: requests.clone() }.layer(Reader);
    let request = Request::builder().uri(path).body(Body::new(Sent(receive))).unwrap();
    (send, service.call(request))
}

fn code(response: &Response<Body>) -> tonic::Code {
    Status::from_header_map(response.headers()).map_or(tonic::Code::Ok, |status| status.code())
}

async fn decoded<M: Message + Default>(response: Response<Body>) -> M {
    let mut body = response.into_body();
    let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await.unwrap().unwrap();
    M::decode(&frame.into_data().unwrap()[5..]).unwrap()
}

#[rstest]
#[case::whole(vec![message(10)], &[Some(10)])]
#[case::two_in_one(vec![[message(10), message(20)].concat()], &[Some(30)])]
#[case::head_in_pieces(cut(&message(9), &[3, 5]), &[None, Some(9), None])]
#[case::empty_message(vec![message(0)], &[Some(0)])]
#[case::nothing(vec![Vec::new()], &[None])]
#[case::next_begins_in_the_middle(cut(&[message(9), message(5)].concat(), &[8]), &[Some(9), Some(5)])]
fn heads_of_messages(#[case] pieces: Vec<Vec<u8>>, #[case] expected: &[Option<u64>]) {
    let mut heads = Heads::default();
    let pass = |piece: &Vec<u8>| {
        let mut begun = None;
        heads.pass(piece, |part| {
            if let BodyPart::Head { length, is_compressed: false } = part {
                begun = Some(begun.unwrap_or(0) + length);
            }
        });
        begun
    };
    let found: Vec<_> = pieces.iter().map(pass).collect();
    assert_eq!(found, expected);
    assert_eq!(heads.is_between(), heads.any);
}

/// Bytes in pieces that end at these places, and the rest.
fn cut(bytes: &[u8], ends: &[usize]) -> Vec<Vec<u8>> {
    let (mut pieces, mut from) = (Vec::new(), 0);
    for end in ends.iter().chain([&bytes.len()]) {
        pieces.push(bytes[from..*end].to_vec());
        from = *end;
    }
    pieces
}

#[test]
fn shares_of_the_limit() {
    for bytes in [16 * MIB, 29 * MIB, 66 * MIB, 512 * MIB, 4096 * MIB] {
        let requests = requests(bytes);
        let windows = u64::from(requests.window_bytes()) * requests.waiting.available_permits() as u64;
        assert!(windows + requests.small.limit_bytes() + requests.large.limit_bytes() + bytes / 16 <= bytes, "{bytes}");
        assert!(requests.max_message_bytes() as u64 * COPIES <= requests.large.limit_bytes(), "{bytes}");
    }
    assert_eq!(requests(512 * MIB).max_message_bytes() as u64, 64 * MIB, "as configured, where there is room");
}

#[tokio::test]
async fn messages_that_are_never_finished_hold_no_more_than_the_limit() {
    let requests = requests(64 * MIB);
    let mut calls: Vec<_> = (0..16).map(|_| begin(&requests, "Insert")).collect();
    for (send, answer) in &mut calls {
        send.unbounded_send(message(20 * MIB as usize)[..1000].to_vec()).unwrap();
        assert!(answer.now_or_never().is_none(), "it waits for memory, or for the rest of the message");
    }
    assert!(requests.used_bytes() <= 64 * MIB, "{}", requests.used_bytes());
    assert_eq!(requests.waiting.available_permits(), WAITING as usize - 15);
    drop(calls);
    assert_eq!(requests.used_bytes(), 0);
}

#[tokio::test]
async fn small_calls_pass_large_ones_that_wait() {
    let requests = requests(64 * MIB);
    let large: Vec<_> = (0..4)
        .map(|_| {
            let (send, mut answer) = begin(&requests, "Insert");
            send.unbounded_send(message(20 * MIB as usize)[..100].to_vec()).unwrap();
            assert!((&mut answer).now_or_never().is_none());
            (send, answer)
        })
        .collect();
    for _ in 0..100 {
        let (send, answer) = begin(&requests, "GetCompactionState");
        send.unbounded_send(message(100)).unwrap();
        drop(send);
        assert_eq!(code(&answer.now_or_never().expect("at once").unwrap()), tonic::Code::Ok);
    }
    drop(large);
}

#[tokio::test]
async fn a_call_waits_for_the_memory_of_those_before_it() {
    let requests = requests(64 * MIB);
    let (first, first_answer) = begin(&requests, "Insert");
    let (second, mut second_answer) = begin(&requests, "Insert");
    let mut first_answer = first_answer;
    first.unbounded_send(message(20 * MIB as usize)).unwrap();
    assert!((&mut first_answer).now_or_never().is_none(), "the body is not at its end");
    second.unbounded_send(message(20 * MIB as usize)).unwrap();
    drop(second);
    assert!((&mut second_answer).now_or_never().is_none());
    drop(first);
    first_answer.await.unwrap();
    assert_eq!(code(&second_answer.await.unwrap()), tonic::Code::Ok);
    assert_eq!(requests.used_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_too_long_is_refused_with_the_key() {
    let requests = requests(64 * MIB);
    let (first, mut first_answer) = begin(&requests, "Insert");
    first.unbounded_send(message(20 * MIB as usize)[..100].to_vec()).unwrap();
    assert!((&mut first_answer).now_or_never().is_none());
    let late = |method: &str| {
        let (send, answer) = begin(&requests, method);
        send.unbounded_send(message(20 * MIB as usize)).unwrap();
        answer
    };
    // Those that clients of Milvus wait out and try again.
    let insert: MutationResult = decoded(late("Insert").await.unwrap()).await;
    let query: QueryResults = decoded(late("Query").await.unwrap()).await;
    for status in [insert.status.unwrap(), query.status.unwrap()] {
        assert_eq!((status.code, status.error_code, status.retriable), (8, 49, true));
        assert!(status.reason.contains("(datacoord.grpc.memoryLimit)"), "{}", status.reason);
    }
    let other = late("ManualCompaction").await.unwrap();
    assert_eq!(code(&other), tonic::Code::ResourceExhausted);
    let text = Status::from_header_map(other.headers()).unwrap().message().to_owned();
    assert!(text.contains("(datacoord.grpc.memoryLimit)"), "{text}");
    drop(first_answer);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_get_on_ends_its_call() {
    let requests = requests(64 * MIB);
    for sent in [0, 3, 5, 50, 105] {
        let (send, answer) = begin(&requests, "Insert");
        send.unbounded_send(message(100)[..sent].to_vec()).unwrap();
        let begun = tokio::time::Instant::now();
        let response = answer.await.unwrap();
        assert_eq!((code(&response), begun.elapsed()), (tonic::Code::DeadlineExceeded, Duration::from_secs(30)));
        drop(send);
    }
    assert_eq!(requests.used_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_that_gets_on_is_read_to_its_end() {
    let requests = requests(64 * MIB);
    let (send, answer) = begin(&requests, "Insert");
    let answer = tokio::spawn(answer);
    for byte in message(20) {
        send.unbounded_send(vec![byte]).unwrap();
        tokio::time::sleep(Duration::from_secs(29)).await;
    }
    drop(send);
    assert_eq!(code(&answer.await.unwrap().unwrap()), tonic::Code::Ok);
}

/// A million columns in two megabytes, which take two hundred when they are decoded.
fn amplified() -> Vec<u8> {
    // Field 5, length 0.
    framed(&[0x2a, 0].repeat(1 << 20))
}

fn refusal_of(response: &Response<Body>) -> String {
    Status::from_header_map(response.headers()).unwrap().message().to_owned()
}

#[tokio::test]
async fn a_message_that_grows_beyond_all_memory_is_refused_for_good() {
    let requests = requests(64 * MIB);
    let (send, answer) = begin(&requests, "Insert");
    send.unbounded_send(amplified()).unwrap();
    let response = answer.now_or_never().expect("at once").unwrap();
    assert_eq!(code(&response), tonic::Code::ResourceExhausted, "no rate limit: trying again can't help");
    let text = refusal_of(&response);
    assert!(text.starts_with("the message is too large once it is decoded"), "{text}");
    assert!(text.ends_with("(datacoord.grpc.memoryLimit)"), "{text}");
    assert_eq!(requests.used_bytes(), 0);
}

#[tokio::test]
async fn a_message_takes_what_it_becomes_and_gives_it_back() {
    let requests = requests(64 * MIB);
    let (send, mut answer) = begin(&requests, "GetFlushState");
    let segment_i_ds = vec![1; 1 << 20];
    let message = framed(&GetFlushStateRequest { segment_i_ds, ..Default::default() }.encode_to_vec());
    send.unbounded_send(message).unwrap();
    assert!((&mut answer).now_or_never().is_none(), "the body is not at its end");
    assert!(requests.used_bytes() >= 9 * MIB, "{}", requests.used_bytes());
    drop(send);
    assert_eq!(code(&answer.await.unwrap()), tonic::Code::Ok);
    assert_eq!(requests.used_bytes(), 0);
}

#[tokio::test]
async fn a_message_that_finds_no_memory_to_grow_is_refused_for_now() {
    let requests = requests(64 * MIB);
    let (other, mut other_answer) = begin(&requests, "Insert");
    other.unbounded_send(message(20 * MIB as usize)).unwrap();
    assert!((&mut other_answer).now_or_never().is_none());
    let longs =
        || framed(&GetFlushStateRequest { segment_i_ds: vec![1; 1 << 20], ..Default::default() }.encode_to_vec());
    let columns = || {
        let keys = rpc::longs("id", vec![1; 1 << 20]);
        framed(&InsertRequest { fields_data: vec![keys], ..Default::default() }.encode_to_vec())
    };
    let (send, answer) = begin(&requests, "Insert");
    send.unbounded_send(columns()).unwrap();
    let refused: MutationResult = decoded(answer.now_or_never().expect("at once").unwrap()).await;
    let status = refused.status.unwrap();
    assert_eq!((status.code, status.retriable), (8, true));
    assert!(status.reason.contains("(datacoord.grpc.memoryLimit)"), "{}", status.reason);
    let (send, answer) = begin(&requests, "GetFlushState");
    send.unbounded_send(longs()).unwrap();
    assert_eq!(code(&answer.now_or_never().expect("at once").unwrap()), tonic::Code::ResourceExhausted);
    drop((other, other_answer));
    let (send, answer) = begin(&requests, "Insert");
    send.unbounded_send(columns()).unwrap();
    drop(send);
    assert_eq!(code(&answer.now_or_never().expect("at once").unwrap()), tonic::Code::Ok);
    assert_eq!(requests.used_bytes(), 0);
}

/// Ordinary rows need no memory beyond their admission, so those that are being read never fail while others wait.
#[tokio::test]
async fn vectors_need_no_growth() {
    let requests = requests(64 * MIB);
    let columns: Vec<FieldData> = (0..8).map(|n| rpc::vectors(&format!("v{n}"), 64, vec![0.5; 1 << 17])).collect();
    let message = InsertRequest { fields_data: columns, ..Default::default() }.encode_to_vec();
    let (send, mut answer) = begin(&requests, "Insert");
    send.unbounded_send(framed(&message)).unwrap();
    assert!((&mut answer).now_or_never().is_none());
    assert_eq!(requests.growth.used_bytes(), 0);
    assert!(requests.used_bytes() <= charge(message.len() as u64).next_multiple_of(1024), "{}", requests.used_bytes());
}

#[tokio::test]
async fn a_broken_message_never_reaches_the_decoder() {
    let requests = requests(64 * MIB);
    for bytes in [&[0x2a, 9][..], &[0x2a, 2, 0x12, 100, 0, 0], &[0x0f]] {
        let (send, answer) = begin(&requests, "Insert");
        send.unbounded_send(framed(bytes)).unwrap();
        let response = answer.now_or_never().expect("at once").unwrap();
        assert_eq!(code(&response), tonic::Code::InvalidArgument);
        let text = refusal_of(&response);
        assert!(text.starts_with("grpc: bad request: ") && text.ends_with(" of the message"), "{text}");
    }
}

/// A frame in which a small message ends and a large one begins: the large one is admitted too.
#[tokio::test]
async fn each_message_of_a_frame_is_admitted() {
    let requests = requests(64 * MIB);
    let (send, mut answer) = begin(&requests, "Insert");
    let most = requests.max_message_bytes();
    send.unbounded_send([message(1000), message(most)[..100].to_vec()].concat()).unwrap();
    assert!((&mut answer).now_or_never().is_none());
    assert!(requests.used_bytes() >= 2 * most as u64, "{}", requests.used_bytes());
}

/// Anyone may open such streams, and leave them open.
#[tokio::test]
async fn a_stream_holds_the_memory_of_its_last_message() {
    let requests = requests(64 * MIB);
    let (send, mut answer) = begin_at(&requests, "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo");
    for _ in 0..2000 {
        send.unbounded_send(message(100)).unwrap();
        assert!((&mut answer).now_or_never().is_none(), "the stream goes on");
    }
    assert!(requests.used_bytes() <= charge(100).next_multiple_of(1024), "{}", requests.used_bytes());
    drop(send);
    assert_eq!(code(&answer.await.unwrap()), tonic::Code::Ok);
    assert_eq!(requests.used_bytes(), 0);
}

#[tokio::test]
async fn a_message_that_is_not_measured_is_short() {
    let requests = requests(64 * MIB);
    for method in ["grpc.health.v1.Health/Check", "grpc.reflection.v1.ServerReflection/ServerReflectionInfo"] {
        let (send, mut answer) = begin_at(&requests, &format!("/{method}"));
        // The decoder refuses it by its head.
        send.unbounded_send(message(UNMEASURED_BYTES + 1)[..100].to_vec()).unwrap();
        assert!((&mut answer).now_or_never().is_none());
        assert_eq!(requests.used_bytes(), 0);
    }
}
