//! The binary: passes the command line to the library and returns its exit code. Sets the allocator.

use std::ffi::{CStr, c_char};

// Hundreds of threads and tasks allocate and free vectors, rows and whole files. Of the allocators that were tried, this
// one keeps the least resident beside them: docs/benchmarks.md has the figures.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// Options of the allocator.
///
/// - Freed memory goes back to the system after a second, whether or not a thread allocates. A merge requests the same
///   buffers again and again.
/// - Buffers of 8 MiB and more are treated like others: by default they go back at once.
/// - Memory comes in huge pages, unless the process turns them off (`datacoord.memory.hugePages`).
/// - Samples for a profile of the heap are taken on request.
const OPTIONS: &CStr = c"background_thread:true,dirty_decay_ms:1000,muzzy_decay_ms:0,oversize_threshold:0,thp:always,prof:true,prof_active:false";

/// A pointer to text, as the allocator reads it.
#[repr(transparent)]
pub struct OptionsPointer(*const c_char);

// SAFETY: the text that it points to is constant.
unsafe impl Sync for OptionsPointer {}

/// The allocator looks for a symbol with this name. `MALLOC_CONF` of the environment has precedence.
// SAFETY: the allocator declares it as a pointer to constant text that ends with zero, which it is. Nothing else in the
// program has a symbol of this name.
#[unsafe(no_mangle)]
pub static malloc_conf: OptionsPointer = OptionsPointer(OPTIONS.as_ptr());

fn main() -> std::process::ExitCode {
    datacoord::cli::main()
}
