//! The thin binary: hands the command line to the library and turns its outcome into an exit code.

// Merging allocates and frees large buffers from many threads; the system allocator keeps far more of them resident.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

unsafe extern "C" {
    /// Of mimalloc: gives an option a value, unless the environment has set it.
    fn mi_option_set_default(option: std::ffi::c_int, value: std::ffi::c_long);
}

/// Number of mimalloc's `purge_delay`: how long memory that was freed stays resident, in ms.
const PURGE_DELAY: std::ffi::c_int = 15;
/// Its own value is a second, which leaves the buffers of a flush or a merge resident beside those of the next. Much less
/// costs a merge a third of its speed: it would get the same memory anew again and again.
const PURGE_DELAY_MS: std::ffi::c_long = 100;

fn main() -> std::process::ExitCode {
    // SAFETY: the function is in the library that the allocator above links, takes two numbers, checks the range of the
    // first and keeps neither. It writes without a lock, and no other thread has been started yet.
    unsafe { mi_option_set_default(PURGE_DELAY, PURGE_DELAY_MS) };
    datacoord::cli::main()
}
