//! The machine that the process runs on, as far as it is neither time nor storage: threads, cores, and chance.
//!
//! A server uses the real one. A simulation puts a [`Machine`] of its own in place for the threads that it owns: then all
//! work runs one piece at a time, in an order and with names that follow from a seed. Without that, where a piece of work
//! runs would decide what the next one sees.
//!
//! Must never tell the rest of the program which machine is in place: only `background` and `ids` ask.

use std::{cell::RefCell, fmt, io, pin::Pin, sync::Arc};

/// A piece of work for a thread.
pub type Work = Box<dyn FnOnce() + Send>;

/// A machine in place of the real one.
pub trait Machine: Send + Sync + fmt::Debug {
    /// Cores that work is divided among.
    fn cores(&self) -> usize;

    /// Begins work on a thread of its own, which may block. A panic of the work ends nothing but the work.
    ///
    /// # Errors
    /// There is no thread left.
    fn begin(&self, work: Work) -> io::Result<()>;

    /// Blocks the calling thread until the future is ready. [`Machine::begin`] has begun the thread.
    fn wait(&self, future: Pin<&mut dyn Future<Output = ()>>);

    /// Bits that no other process has.
    fn unique(&self) -> u128;
}

thread_local! {
    static IN_PLACE: RefCell<Option<Arc<dyn Machine>>> = const { RefCell::new(None) };
}

/// While it lives, its thread has a machine in place of the real one.
#[must_use = "the real machine is back when it is dropped"]
#[derive(Debug)]
pub struct InPlace {
    before: Option<Arc<dyn Machine>>,
    /// It belongs to its thread.
    _thread: std::marker::PhantomData<*const ()>,
}

/// Puts a machine in place of the real one, for everything that the calling thread does from now on.
pub fn put_in_place(machine: Arc<dyn Machine>) -> InPlace {
    let before = IN_PLACE.with(|own| own.replace(Some(machine)));
    InPlace { before, _thread: std::marker::PhantomData }
}

impl Drop for InPlace {
    fn drop(&mut self) {
        IN_PLACE.with(|own| *own.borrow_mut() = self.before.take());
    }
}

/// The machine in place on the calling thread; None: the real one.
pub(crate) fn in_place() -> Option<Arc<dyn Machine>> {
    IN_PLACE.with(|own| own.borrow().clone())
}
