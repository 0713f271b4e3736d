//! Changes of an input that follow from a seed.

use crate::kit::numbers::Numbers;

/// Longest input that a change makes.
const MOST_BYTES: usize = 64 << 10;
/// Numbers that reach the ends of ranges.
const OUTER: [u64; 8] = [0, 1, 0x7F, 0x80, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, u64::MAX];
/// Pieces of the languages that are read.
const WORDS: [&str; 24] = [
    "\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "null",
    "1e999",
    "-9223372036854775808",
    "\\u0000",
    "\u{feff}",
    "\r\n",
    "''",
    "&a",
    "*a",
    "!!",
    "**",
    " and ",
    " not ",
    " in [",
    "(((((((((",
    "[[[[[[[[",
    "%00",
];

/// One of the inputs, changed in a few places.
pub(crate) fn changed(numbers: &mut Numbers, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut input = numbers.pick(inputs).cloned().unwrap_or_default();
    for _ in 0..1 + numbers.below(6) {
        change(numbers, &mut input, inputs);
    }
    input.truncate(MOST_BYTES);
    input
}

fn change(numbers: &mut Numbers, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
    let at = place(numbers, input.len());
    match numbers.below(9) {
        0 => {
            if let Some(byte) = input.get_mut(at) {
                *byte ^= 1 << numbers.below(8);
            }
        }
        1 => {
            if let Some(byte) = input.get_mut(at) {
                *byte = numbers.next() as u8;
            }
        }
        // A number of one, two, four or eight bytes, in either order.
        2 => {
            let width = 1 << numbers.below(4);
            let number = *numbers.pick(&OUTER).unwrap_or(&0);
            let bytes = if numbers.percent(50) { number.to_le_bytes() } else { number.to_be_bytes() };
            let bytes = if numbers.percent(50) { &bytes[..width] } else { &bytes[8 - width..] };
            let end = (at + width).min(input.len());
            if let Some(room) = input.get_mut(at..end) {
                room.copy_from_slice(&bytes[..room.len()]);
            }
        }
        3 => {
            let end = (at + 1 + numbers.below(16) as usize).min(input.len());
            input.drain(at.min(end)..end);
        }
        4 => input.truncate(at),
        5 => {
            let end = (at + 1 + numbers.below(32) as usize).min(input.len());
            let piece = input[at.min(end)..end].to_vec();
            let times = 1 + numbers.below(64) as usize;
            input.splice(at..at, piece.repeat(times));
        }
        6 => {
            let word = numbers.pick(&WORDS).copied().unwrap_or_default();
            input.splice(at..at, word.bytes());
        }
        7 => {
            let count = 1 + numbers.below(8);
            let bytes: Vec<u8> = (0..count).map(|_| numbers.next() as u8).collect();
            input.splice(at..at, bytes);
        }
        // The beginning of this one and the end of another one.
        _ => {
            let other = numbers.pick(inputs).cloned().unwrap_or_default();
            let from = place(numbers, other.len());
            input.truncate(at);
            input.extend_from_slice(&other[from..]);
        }
    }
}

/// Heads and footers are a small part of the bytes and most of the structure.
fn place(numbers: &mut Numbers, len: usize) -> usize {
    let near = (len as u64 + 1).min(160);
    match numbers.below(3) {
        0 => numbers.below(near) as usize,
        1 => len - numbers.below(near) as usize,
        _ => numbers.below(len as u64 + 1) as usize,
    }
}
