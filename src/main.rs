//! The binary: passes the command line to the library and returns its exit code. Sets the allocator.

use libmimalloc_sys::{_mi_option_last, mi_option_set_default, mi_option_t, mi_option_use_numa_nodes};

// Merges allocate and free large buffers on many threads; the system allocator keeps far more of them resident.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// mimalloc's option `purge_delay`: how long freed memory stays resident, in ms. The binding has no name for it, but for
/// the option that follows it.
const PURGE_DELAY: mi_option_t = mi_option_use_numa_nodes - 1;
// Fails to compile when the list of options changes, because `PURGE_DELAY` may then be another option.
const _: () = assert!(_mi_option_last == 47);
/// The default of one second keeps the buffers of a flush or a merge resident beside those of the next. Without any delay a
/// merge loses a third of its speed, because it requests the same memory again and again; with this delay, a twentieth.
const PURGE_DELAY_MS: std::ffi::c_long = 10;

fn main() -> std::process::ExitCode {
    // SAFETY: the call takes two numbers, checks the range of the first, and keeps no pointer. It writes without a lock, and
    // no other thread runs yet. A variable of the environment overrides the value.
    unsafe { mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS) };
    datacoord::cli::main()
}
