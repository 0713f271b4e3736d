//! The numbers that the standard library draws for the order of its hash maps: always the same, in this test program only.
//!
//! `std` asks the C library's `getrandom`, and the linker prefers this one. Code that needs names which no other process
//! has does not come here: it asks the machine (`datacoord::machine`).

use std::ffi::{c_uint, c_void};

/// # Safety
/// `buffer` is valid for writes of `length` bytes, as for the function of the C library.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn getrandom(buffer: *mut c_void, length: usize, _flags: c_uint) -> isize {
    // SAFETY: the caller's promise.
    let bytes = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), length) };
    bytes.fill(0x5A);
    length.cast_signed()
}
