//! The memory that the messages of a body need beyond their admission, measured as they arrive.

use super::requests::charge;
use crate::wire::footprint::{Malformed, MessageReading, ShapeId};

/// Follows the messages of a body.
#[derive(Debug)]
pub(super) struct BodyMeasure {
    /// `None`: a method of no service of ours. Health and reflection have short messages.
    input: Option<ShapeId>,
    /// The message that is arriving, if it is going to be decoded.
    reading: Option<MessageReading>,
    /// Bytes that the decoded message may take.
    admitted: u64,
    /// Beyond the admission of the messages before.
    before: u64,
}

impl BodyMeasure {
    pub(super) fn of(input: Option<ShapeId>) -> Self {
        Self { input, reading: None, admitted: 0, before: 0 }
    }

    /// A message of `length` bytes begins. `is_decoded`: its head is one that the decoder accepts.
    pub(super) fn begin(&mut self, length: u64, is_decoded: bool) {
        self.before = self.excess();
        self.admitted = charge(length).saturating_sub(length);
        self.reading = self.input.filter(|_| is_decoded).map(|input| MessageReading::of(input, length));
    }

    /// The next bytes of the message.
    ///
    /// # Errors
    /// [`Malformed`]: the decoder must not get them.
    pub(super) fn pass(&mut self, bytes: &[u8]) -> Result<(), Malformed> {
        self.reading.as_mut().map_or(Ok(()), |reading| reading.pass(bytes))
    }

    /// Bytes beyond the admission of all messages so far. Grows only.
    pub(super) fn excess(&self) -> u64 {
        let now = self.reading.as_ref().map_or(0, |reading| reading.bytes().saturating_sub(self.admitted));
        self.before.saturating_add(now)
    }
}
