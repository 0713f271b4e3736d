//! Reads decisions from the bytes of an input, so that an input of any bytes describes something valid enough to get far.

/// Bytes that have not been read. At their end every decision is the first one, every number 0 and every list empty.
pub(super) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn u8(&mut self) -> u8 {
        self.array::<1>()[0]
    }

    pub(super) fn bool(&mut self) -> bool {
        self.u8() & 1 == 1
    }

    pub(super) fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }

    /// From 0 up to but not `limit`, which is 256 at most.
    pub(super) fn below(&mut self, limit: usize) -> usize {
        usize::from(self.u8()) % limit.max(1)
    }

    /// One of the elements.
    pub(super) fn pick<'e, T>(&mut self, from: &'e [T]) -> &'e T {
        &from[self.below(from.len())]
    }

    /// As many bytes as two length bytes say.
    pub(super) fn bytes(&mut self) -> &'a [u8] {
        let length = usize::from(u16::from_le_bytes(self.array()));
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Everything that is left.
    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let mut read = [0; N];
        let taken = self.0.len().min(N);
        read[..taken].copy_from_slice(&self.0[..taken]);
        self.0 = &self.0[taken..];
        read
    }
}

/// The bytes that [`Choices::bytes`] reads back.
pub(super) fn counted(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a seed is short");
    [&length.to_le_bytes()[..], bytes].concat()
}
