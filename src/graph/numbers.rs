//! A long row of numbers in memory, on huge pages where the kernel gives them: a walk reaches them in no order, and the
//! processor remembers where few pages are.

use arrow_buffer::{ArrowNativeType, Buffer, ScalarBuffer, ToByteSlice};
use bytes::Bytes;
use memmap2::MmapMut;

use super::GraphError;

/// PagedNumbers that are written one behind the other.
#[derive(Debug)]
pub(super) struct PagedNumbers {
    pages: MmapMut,
    /// Bytes of them that are written.
    length: usize,
}

impl PagedNumbers {
    /// Room for so many bytes. Memory is taken as it is written.
    ///
    /// # Errors
    /// No memory.
    pub(super) fn new(bytes: usize) -> Result<Self, GraphError> {
        let pages = MmapMut::map_anon(bytes.max(1)).map_err(GraphError::engine)?;
        #[cfg(target_os = "linux")]
        if let Err(error) = pages.advise(memmap2::Advice::HugePage) {
            tracing::debug!(%error, "a graph is on small pages");
        }
        Ok(Self { pages, length: 0 })
    }

    /// False: there is no room for them.
    pub(super) fn push<T: ArrowNativeType>(&mut self, numbers: &[T]) -> bool {
        let bytes = numbers.to_byte_slice();
        let Some(room) = self.pages.get_mut(self.length..).and_then(|room| room.get_mut(..bytes.len())) else {
            return false;
        };
        room.copy_from_slice(bytes);
        self.length += bytes.len();
        true
    }

    /// The numbers written.
    ///
    /// # Errors
    /// The kernel refuses to make them unchangeable.
    pub(super) fn finish<T: ArrowNativeType>(self) -> Result<ScalarBuffer<T>, GraphError> {
        let pages = self.pages.make_read_only().map_err(GraphError::engine)?;
        let bytes = Bytes::from_owner(pages).slice(..self.length);
        Ok(ScalarBuffer::from(Buffer::from(bytes)))
    }
}
