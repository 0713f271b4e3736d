//! Bytes from strangers, disks and older releases: one target for each kind.
//!
//! A target takes any bytes and must end without a panic, within a stated amount of memory, and with a value that survives
//! being written and read again where there is one to write. Two runners share the targets: `cargo test --test fuzz` on the
//! stable compiler, and `cargo fuzz` in `fuzz/` (docs/guides/fuzz.md).
//!
//! A target must give the same answer for the same bytes: no clock, no chance.

mod catalog;
mod choices;
mod configuration;
mod definitions;
mod delta;
mod expression;
mod insert;
mod json;
mod log;
pub(super) mod memory;
mod panics;
mod rest;
mod rows;
mod schema;
mod statistics;
mod world;

/// One kind of bytes.
#[derive(Clone, Copy)]
pub(crate) struct Target {
    /// Also the name of its folder of inputs, and of its program for `cargo fuzz`.
    pub(crate) name: &'static str,
    run: fn(&[u8]),
    /// Valid inputs to begin from.
    pub(crate) seeds: fn() -> Vec<Vec<u8>>,
    bound: Bound,
}

/// The most memory that a run may hold: so much, and so many times the length of its input.
#[derive(Clone, Copy)]
struct Bound {
    bytes: usize,
    per_byte: usize,
}

const MIB: usize = 1 << 20;

pub(crate) const ALL: [Target; 11] = [
    // A page may claim what the footer says of its column, which is 512 MB at most in a hostile file, and the decoder sets
    // that aside before it finds both untrue.
    Target { name: "insert", run: insert::run, seeds: insert::seeds, bound: Bound { bytes: 600 * MIB, per_byte: 64 } },
    Target { name: "delta", run: delta::run, seeds: delta::seeds, bound: Bound { bytes: 600 * MIB, per_byte: 64 } },
    Target {
        name: "statistics",
        run: statistics::run,
        seeds: statistics::seeds,
        bound: Bound { bytes: MIB, per_byte: 64 },
    },
    // A part of a frame declares the length of its messages, and Arrow sets aside up to 64 MB before it finds it short.
    Target { name: "log", run: log::run, seeds: log::seeds, bound: Bound { bytes: 80 * MIB, per_byte: 256 } },
    Target {
        name: "catalog",
        run: catalog::run,
        seeds: catalog::seeds,
        bound: Bound { bytes: 4 * MIB, per_byte: 256 },
    },
    Target {
        name: "expression",
        run: expression::run,
        seeds: expression::seeds,
        bound: Bound { bytes: 4 * MIB, per_byte: 1024 },
    },
    Target {
        name: "configuration",
        run: configuration::run,
        seeds: configuration::seeds,
        bound: Bound { bytes: 4 * MIB, per_byte: 1024 },
    },
    Target { name: "json", run: json::run, seeds: json::seeds, bound: Bound { bytes: MIB, per_byte: 64 } },
    Target {
        name: "definitions",
        run: definitions::run,
        seeds: definitions::seeds,
        bound: Bound { bytes: 4 * MIB, per_byte: 256 },
    },
    Target { name: "rows", run: rows::run, seeds: rows::seeds, bound: Bound { bytes: 4 * MIB, per_byte: 256 } },
    Target { name: "rest", run: rest::run, seeds: rest::seeds, bound: Bound { bytes: 8 * MIB, per_byte: 64 } },
];

/// The target of this name.
///
/// # Panics
/// There is none.
pub(crate) fn named(name: &str) -> Target {
    let found = ALL.iter().find(|target| target.name == name);
    *found.unwrap_or_else(|| panic!("there is no target {name}"))
}

impl Target {
    /// Makes the state that all runs share, so that it does not count as memory of the first one.
    pub(crate) fn prepare(self) {
        panics::watch();
        if self.name == "rest" {
            world::warm_up();
        }
    }

    /// Runs one input.
    ///
    /// # Panics
    /// The target failed, a thread behind it panicked, or it held more memory than its bound.
    pub(crate) fn check(self, input: &[u8]) {
        let watch = memory::Watch::begin();
        (self.run)(input);
        let held = watch.peak();
        if let Some(panic) = panics::of_other_threads() {
            panic!("{}: a thread behind the target panicked: {panic}", self.name);
        }
        let most = self.bound.bytes + self.bound.per_byte * input.len();
        assert!(held <= most, "{}: held {held} bytes for an input of {}, the bound is {most}", self.name, input.len());
    }
}
