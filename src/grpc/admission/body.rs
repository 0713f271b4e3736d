//! The body of a call, whose messages take their memory before they are passed on.

use std::{
    pin::Pin,
    sync::{Arc, atomic::Ordering::Relaxed},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tonic::{Status, body::Body};

use super::{
    measure::BodyMeasure,
    requests::{CallMemory, Requests, UNMEASURED_BYTES, charge, refusal},
};
use crate::{
    connections::Deadline,
    error::{Classify as _, ErrorKind},
    memory::{Full, Reserved},
    wire::footprint::{Malformed, ShapeId},
};

/// Where the messages of a body begin: each has five bytes in front, a flag and the length of the message.
#[derive(Debug, Default)]
pub(super) struct Heads {
    head: [u8; 5],
    /// Bytes of the head that have arrived.
    known: usize,
    /// Bytes of the message that are still to come.
    rest: u64,
    pub(super) any: bool,
}

/// A part of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyPart<'b> {
    /// A message begins.
    Head { length: u64, is_compressed: bool },
    /// Bytes of the message that has begun last.
    Message(&'b [u8]),
}

impl Heads {
    /// Follows the bytes of the body, and tells the parts that they are.
    pub(super) fn pass<'b>(&mut self, mut bytes: &'b [u8], mut see: impl FnMut(BodyPart<'b>)) {
        while !bytes.is_empty() {
            if self.rest > 0 {
                let length = usize::try_from(self.rest).unwrap_or(usize::MAX).min(bytes.len());
                let (part, later) = bytes.split_at(length);
                self.rest -= length as u64;
                bytes = later;
                see(BodyPart::Message(part));
                continue;
            }
            let (now, later) = bytes.split_at(bytes.len().min(self.head.len() - self.known));
            for byte in now {
                if let Some(place) = self.head.get_mut(self.known) {
                    *place = *byte;
                }
                self.known += 1;
            }
            bytes = later;
            if self.known == self.head.len() {
                let [flag, a, b, c, d] = self.head;
                self.rest = u32::from_be_bytes([a, b, c, d]).into();
                (self.known, self.any) = (0, true);
                see(BodyPart::Head { length: self.rest, is_compressed: flag != 0 });
            }
        }
    }

    /// True between two messages.
    pub(super) fn is_between(&self) -> bool {
        self.any && self.rest == 0 && self.known == 0
    }
}

/// A body whose messages take their memory before they are passed on.
pub(super) struct Admitted {
    body: Body,
    requests: Requests,
    call: Arc<CallMemory>,
    heads: Heads,
    measure: BodyMeasure,
    /// Bytes that the messages so far were admitted with.
    admitted: u64,
    /// Bytes added to that.
    added: u64,
    /// A larger message is refused by the decoder.
    most: u64,
    /// A stream of messages may rest between them.
    is_stream: bool,
    idle: Deadline,
    /// Bytes that wait for memory.
    waiting: Option<(Bytes, BoxFuture<'static, Result<Reserved, Full>>)>,
    is_over: bool,
}

type Polled = Poll<Option<Result<Frame<Bytes>, Status>>>;

impl Admitted {
    /// `input` is the message of the method; `None`: it is not measured, and so it has few bytes.
    pub(super) fn new(
        body: Body,
        requests: Requests,
        call: Arc<CallMemory>,
        input: Option<ShapeId>,
        is_stream: bool,
    ) -> Self {
        let idle = Deadline::new(requests.idle_timeout);
        let most = if input.is_some() { requests.max_message_bytes } else { UNMEASURED_BYTES } as u64;
        Self {
            body,
            requests,
            call,
            heads: Heads::default(),
            measure: BodyMeasure::of(input),
            admitted: 0,
            added: 0,
            most,
            is_stream,
            idle,
            waiting: None,
            is_over: false,
        }
    }

    fn end(&mut self, status: Status) -> Polled {
        self.is_over = true;
        Poll::Ready(Some(Err(status)))
    }

    /// The call is refused for now.
    fn refuse(&mut self, full: &Full) -> Polled {
        self.call.is_refused.store(true, Relaxed);
        self.end(Status::resource_exhausted(refusal(full)))
    }

    fn admit(&mut self, held: Reserved) {
        let messages = &mut self.call.held.lock().messages;
        if self.is_stream {
            // The next message is asked for when those before it have been handled.
            messages.clear();
        }
        messages.push(held);
        self.idle.moved();
    }

    /// Follows bytes. Returns the summed lengths of the messages that begin in them, if one does.
    fn follow(&mut self, data: &[u8]) -> Result<Option<u64>, Malformed> {
        let (most, measure) = (self.most, &mut self.measure);
        let (mut begun, mut outcome) = (None, Ok(()));
        self.heads.pass(data, |part| match part {
            // The decoder refuses an oversized message by its head alone, so it takes no memory, and a compressed one too.
            BodyPart::Head { length, is_compressed } => {
                if length <= most {
                    begun = Some(begun.unwrap_or(0u64).saturating_add(length));
                }
                measure.begin(length, length <= most && !is_compressed);
            }
            BodyPart::Message(bytes) if outcome.is_ok() => outcome = measure.pass(bytes),
            BodyPart::Message(_) => {}
        });
        outcome.map(|()| begun)
    }

    /// Passes admitted bytes on, once there is memory for their decoded form.
    fn deliver(&mut self, frame: Frame<Bytes>) -> Polled {
        let excess = self.measure.excess();
        let more = excess.saturating_sub(self.added);
        if more > 0 {
            let (admitted, growth) = (self.admitted, self.requests.growth());
            let taken = {
                let mut held = self.call.held.lock();
                held.decoded.get_or_insert_with(|| growth.of_call(admitted)).take(more)
            };
            match taken {
                Ok(()) => self.added = excess,
                Err(full) if full.kind() == ErrorKind::Invalid => {
                    let text = format!("the message is too large once it is decoded: {full}");
                    return self.end(Status::resource_exhausted(text));
                }
                Err(full) => return self.refuse(&full),
            }
        }
        Poll::Ready(Some(Ok(frame)))
    }
}

impl HttpBody for Admitted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        let this = &mut *self;
        if this.is_over {
            return Poll::Ready(None);
        }
        if let Some((_, taking)) = &mut this.waiting {
            let taken = ready!(taking.as_mut().poll(cx));
            let data = this.waiting.take().map(|(data, _)| data).unwrap_or_default();
            return match taken {
                Ok(held) => {
                    this.admit(held);
                    this.deliver(Frame::data(data))
                }
                Err(full) => this.refuse(&full),
            };
        }
        let frame = match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Pending => {
                if this.is_stream && this.heads.is_between() {
                    return Poll::Pending;
                }
                ready!(this.idle.poll(cx));
                let after = this.requests.idle_timeout;
                return this.end(Status::deadline_exceeded(format!(
                    "nothing of the request arrived for {after:?} (datacoord.connections.idleTimeout)"
                )));
            }
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(other) => return Poll::Ready(other),
        };
        this.idle.moved();
        let begun = match frame.data_ref().map_or(Ok(None), |data| this.follow(data)) {
            Ok(begun) => begun,
            Err(fault) => return this.end(Status::invalid_argument(format!("grpc: bad request: {fault}"))),
        };
        let Some(bytes) = begun else {
            return this.deliver(frame);
        };
        this.admitted = this.admitted.saturating_add(charge(bytes));
        match this.requests.try_take(bytes) {
            Ok(held) => {
                this.admit(held);
                this.deliver(frame)
            }
            Err(_) => {
                let data = frame.into_data().unwrap_or_default();
                this.waiting = Some((data, Box::pin(this.requests.clone().take(bytes))));
                self.poll_frame(cx)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || (self.waiting.is_none() && self.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
