//! How many plans run at once.
//!
//! A value; it knows nothing of what an execution is.

/// A fixed number of places, at least one.
#[derive(Debug)]
pub(super) struct Slots {
    limit: usize,
    taken: usize,
}

impl Slots {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), taken: 0 }
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn has_free(&self) -> bool {
        self.taken < self.limit
    }

    /// False, and nothing taken, if all are.
    pub(super) fn take(&mut self) -> bool {
        let free = self.has_free();
        self.taken += usize::from(free);
        free
    }

    pub(super) fn give_back(&mut self) {
        self.taken = self.taken.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_more_than_the_limit() {
        let mut slots = Slots::new(2);
        assert_eq!([slots.take(), slots.take(), slots.take()], [true, true, false]);
        slots.give_back();
        assert_eq!([slots.take(), slots.take()], [true, false]);
    }

    #[test]
    fn there_is_always_one() {
        assert_eq!([Slots::new(0).take(), Slots::new(0).has_free()], [true, true]);
    }
}
