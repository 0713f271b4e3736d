//! Turns panics of the library over a damaged file into errors.
//!
//! redb checks the pages it reads only when it repairs a file, so a damaged page may make it panic. A panic must not end
//! the process: a server that starts has to name the damaged file, and one that runs has to go on answering.

use std::{
    any::Any,
    cell::Cell,
    fs::File,
    io,
    os::unix::fs::FileExt,
    panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook},
    path::Path,
    sync::Once,
};

thread_local! {
    /// A panic of this thread becomes an error that carries its text, so the hook prints nothing.
    static WATCHED: Cell<bool> = const { Cell::new(false) };
}

/// Runs a call of the library; the error is the text of its panic. Values of a call that panicked are not used again: a
/// database that has panicked is not told to write, and reads change nothing.
pub(super) fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let others = take_hook();
        set_hook(Box::new(move |panic| {
            if !WATCHED.get() {
                others(panic);
            }
        }));
    });
    let before = WATCHED.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(call));
    WATCHED.set(before);
    outcome.map_err(|panic| format!("what is in it makes no sense ({})", text(&*panic)))
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no reason given")
}

/// Positions in the header of redb's format 3: flags, and the two slots of commits, each with the number of its
/// transaction.
const FLAGS_AT: usize = 9;
const SLOTS_AT: [usize; 2] = [64, 192];
const TRANSACTION_AT: usize = 104;
const HEADER_BYTES: usize = 320;
/// Which slot is the valid one.
const SECOND_SLOT: u8 = 1;
/// Set while the file is open: both slots may be valid.
const NOT_CLOSED: u8 = 2;
/// Set by our kind of commit, after which the older slot is never the valid one.
const TWO_PHASES: u8 = 4;

/// Why the valid slot of a file is not the newest one, if it is not. After an orderly end the valid slot is that of the
/// newest transaction, which redb does not check: one flipped bit would take the last transaction back unseen.
pub(super) fn takes_back(file: &Path) -> io::Result<Option<String>> {
    let mut header = [0; HEADER_BYTES];
    match File::open(file)?.read_exact_at(&mut header, 0) {
        Ok(()) => Ok(is_older(&header)),
        // Too short for a database: redb refuses it.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_older(header: &[u8; HEADER_BYTES]) -> Option<String> {
    let flags = header[FLAGS_AT];
    if flags & NOT_CLOSED != 0 || flags & TWO_PHASES == 0 {
        return None;
    }
    let [first, second] = SLOTS_AT.map(|at| {
        let bytes = header[at + TRANSACTION_AT..].first_chunk().copied().unwrap_or_default();
        u64::from_le_bytes(bytes)
    });
    let (valid, other) = if flags & SECOND_SLOT == 0 { (first, second) } else { (second, first) };
    (valid < other).then(|| format!("its header names transaction {valid} as the last one, there is number {other}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_with_its_text() {
        assert_eq!(caught(|| 5), Ok(5));
        let error = caught(|| {
            if WATCHED.get() {
                panic!("page {} is odd", 7)
            }
        })
        .unwrap_err();
        assert_eq!(error, "what is in it makes no sense (page 7 is odd)");
        assert!(!WATCHED.get());
    }

    #[test]
    fn the_valid_slot_is_the_newest() {
        let header = |flags: u8, first: u64, second: u64| {
            let mut header = [0; HEADER_BYTES];
            header[FLAGS_AT] = flags;
            for (at, id) in SLOTS_AT.iter().zip([first, second]) {
                header[at + TRANSACTION_AT..at + TRANSACTION_AT + 8].copy_from_slice(&id.to_le_bytes());
            }
            is_older(&header).is_some()
        };
        assert!(!header(TWO_PHASES, 8, 7) && header(TWO_PHASES | SECOND_SLOT, 8, 7));
        assert!(header(TWO_PHASES, 7, 8) && !header(TWO_PHASES | SECOND_SLOT, 7, 8));
        assert!(!header(TWO_PHASES, 1, 1));
        assert!(!header(TWO_PHASES | NOT_CLOSED, 7, 8), "a crash may leave it so");
    }
}
