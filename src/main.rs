//! The thin binary: hands the command line to the library and turns its outcome into an exit code.

use libmimalloc_sys::{_mi_option_last, mi_option_set_default, mi_option_t, mi_option_use_numa_nodes};

// Merging allocates and frees large buffers from many threads; the system allocator keeps far more of them resident.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// mimalloc's `purge_delay`: how long memory that was freed stays resident, in ms. Its binding names the option behind it,
/// and not itself.
const PURGE_DELAY: mi_option_t = mi_option_use_numa_nodes - 1;
// The list of options is the one that this was looked up in.
const _: () = assert!(_mi_option_last == 47);
/// Its own value is a second, which leaves the buffers of a flush or a merge resident beside those of the next. With none
/// at all a merge loses a third of its speed, because it gets the same memory anew again and again; with this, a
/// twentieth.
const PURGE_DELAY_MS: std::ffi::c_long = 10;

fn main() -> std::process::ExitCode {
    // SAFETY: it takes two numbers, checks the range of the first and keeps neither. It writes without a lock, and no
    // other thread has been started yet. A variable of the environment wins over it.
    unsafe { mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS) };
    datacoord::cli::main()
}
