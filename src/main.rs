//! The thin binary: hands the command line to the library and turns its outcome into an exit code.

// Merging allocates and frees large buffers from many threads; the system allocator keeps far more of them resident.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    datacoord::cli::main()
}
