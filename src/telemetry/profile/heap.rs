//! Samples of allocations: the allocator notes the stack of one in some hundred thousand bytes, until they are freed.

use std::{collections::HashMap, ffi::CString, io, os::unix::ffi::OsStrExt, time::Duration};

use tikv_jemalloc_ctl::raw;

use super::{error::ProfileError, pprof::ProfileBuilder, turn::ProfileTurn};

/// Functions of the allocator, where the stack of each sample ends.
const ALLOCATOR: &str = "_rjem_.*|[a-z_]*alloc|.*GlobalAlloc>::.*";

/// Samples for the length of the turn, unless the process samples from its start. Sampling ends with it, and when the caller
/// gives up.
pub(super) async fn profile(turn: ProfileTurn) -> Result<Vec<u8>, ProfileError> {
    let length = turn.length;
    // SAFETY: the allocator documents a bool.
    if !unsafe { raw::read(b"opt.prof\0") }.map_err(failed)? {
        return Err(ProfileError::NoHeap);
    }
    let sampling = Sampling::begin()?;
    if sampling.ends {
        #[expect(clippy::disallowed_methods, reason = "the caller asks for samples of this time")]
        tokio::time::sleep(length).await;
    }
    // It reads the symbols of the program, which takes a while.
    let encoded = tokio::task::spawn_blocking(move || {
        let dump = sampling.dump();
        drop((sampling, turn));
        let dump = dump?;
        encode(&dump, length).ok_or_else(|| ProfileError::Failed("the allocator's own format is another".to_owned()))
    });
    encoded.await.map_err(failed)?
}

fn failed(error: impl std::fmt::Display) -> ProfileError {
    ProfileError::Failed(error.to_string())
}

/// The allocator takes samples, until this is dropped.
struct Sampling {
    /// False: the process samples from its start.
    ends: bool,
}

impl Sampling {
    fn begin() -> Result<Self, ProfileError> {
        // SAFETY: the allocator documents a bool.
        let ends = !unsafe { raw::read::<bool>(b"opt.prof_active\0") }.map_err(failed)?;
        set_active(true).map_err(failed)?;
        Ok(Self { ends })
    }

    /// All samples whose memory is held, as the allocator writes them.
    fn dump(&self) -> Result<String, ProfileError> {
        let write = || -> io::Result<String> {
            let file = tempfile::NamedTempFile::new()?;
            let path = CString::new(file.path().as_os_str().as_bytes())?;
            // SAFETY: the allocator documents a pointer to text that ends with zero. It reads the text during the call.
            unsafe { raw::write(b"prof.dump\0", path.as_ptr()) }
                .map_err(|error| io::Error::other(error.to_string()))?;
            std::fs::read_to_string(file.path())
        };
        write().map_err(|error| ProfileError::Failed(format!("samples to a temporary file: {error}")))
    }
}

impl Drop for Sampling {
    fn drop(&mut self) {
        if !self.ends {
            return;
        }
        let end = || {
            set_active(false)?;
            // The samples, too: they would be part of the next profile. The number is the distance of samples, as it was.
            // SAFETY: the allocator documents a size_t for both.
            unsafe { raw::write(b"prof.reset\0", raw::read::<usize>(b"prof.lg_sample\0")?) }
        };
        if let Err(error) = end() {
            tracing::warn!(%error, "samples of allocations go on");
        }
    }
}

fn set_active(active: bool) -> Result<(), tikv_jemalloc_ctl::Error> {
    // SAFETY: the allocator documents a bool.
    unsafe { raw::write(b"prof.active\0", active) }
}

fn encode(dump: &str, length: Duration) -> Option<Vec<u8>> {
    let samples = Samples::read(dump)?;
    let mut profile = ProfileBuilder::new(
        [("inuse_objects", "count"), ("inuse_space", "bytes")],
        i64::try_from(samples.distance_bytes).ok()?,
        length,
    );
    profile.leave_out(ALLOCATOR);
    let mut calls = HashMap::new();
    for HeldStack { stack, objects, bytes } in &samples.held {
        let stack = stack
            .iter()
            .flat_map(|address| calls.entry(*address).or_insert_with(|| resolved(*address, &mut profile)).clone())
            .collect();
        profile.add(stack, [*objects, *bytes], None);
    }
    Some(profile.encode())
}

/// The calls at an address, the innermost first: more than one where functions are inlined.
fn resolved(address: usize, profile: &mut ProfileBuilder) -> Vec<u64> {
    let mut calls = Vec::new();
    // A return address is behind its call, and may be that of another line.
    let call = address.saturating_sub(1) as *mut std::ffi::c_void;
    backtrace::resolve(call, |symbol| {
        let name = symbol.name().map_or_else(|| format!("{address:#x}"), |name| format!("{name:#}"));
        let file = symbol.filename().map(|file| file.to_string_lossy().into_owned()).unwrap_or_default();
        calls.push(profile.location(&name, &file, symbol.lineno().unwrap_or(0)));
    });
    if calls.is_empty() {
        calls.push(profile.location(&format!("{address:#x}"), "", 0));
    }
    calls
}

/// The samples of a dump.
#[derive(Debug, PartialEq)]
struct Samples {
    /// The mean distance of two samples, in bytes that are allocated.
    distance_bytes: u64,
    held: Vec<HeldStack>,
}

/// Memory of one stack, estimated from its samples.
#[derive(Debug, PartialEq)]
struct HeldStack {
    /// Return addresses, the innermost call first.
    stack: Vec<usize>,
    objects: i64,
    bytes: i64,
}

impl Samples {
    /// Reads the format `heap_v2`: its distance, then each stack (`@ 0x1 0x2`) with its sums of all threads
    /// (`t*: objects: bytes [objects ever: bytes ever]`) and those of each thread, then the mapped files.
    fn read(dump: &str) -> Option<Self> {
        let mut lines = dump.lines();
        let distance_bytes = lines.next()?.strip_prefix("heap_v2/")?.parse().ok()?;
        let mut held = Vec::new();
        while let Some(line) = lines.next() {
            let Some(addresses) = line.strip_prefix('@') else { continue };
            let address = |text: &str| usize::from_str_radix(text.strip_prefix("0x")?, 16).ok();
            let stack = addresses.split_ascii_whitespace().map(address).collect::<Option<_>>()?;
            let mut sums = lines.next()?.trim().strip_prefix("t*:")?.split([':', '[']);
            let mut sum = || sums.next()?.trim().parse::<f64>().ok();
            let (objects, bytes) = (sum()?, sum()?);
            held.push(HeldStack::estimated(stack, objects, bytes, distance_bytes as f64));
        }
        Some(Self { distance_bytes, held })
    }
}

impl HeldStack {
    /// An allocation of `size` bytes is sampled with the probability `1 - exp(-size / distance)`.
    fn estimated(stack: Vec<usize>, objects: f64, bytes: f64, distance: f64) -> Self {
        let probability = if objects > 0.0 { -(-bytes / objects / distance).exp_m1() } else { 1.0 };
        let all = |sampled: f64| (sampled / probability).round() as i64;
        Self { stack, objects: all(objects), bytes: all(bytes) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DUMP: &str = "heap_v2/524288
  t*: 3: 1573888 [5: 9999]
  t0: 3: 1573888 [5: 9999]
@ 0x10 0x20
  t*: 2: 1024 [0: 0]
  t0: 1: 512 [0: 0]
  t7: 1: 512 [0: 0]
@ 0x30
  t*: 1: 53687091200 [4: 9]
  t0: 1: 53687091200 [4: 9]

MAPPED_LIBRARIES:
55d0c0000000-55d0c1000000 r--p 00000000 fe:00 1 /datacoord
";

    #[test]
    fn small_allocations_stand_for_those_that_no_sample_hit() {
        let samples = Samples::read(DUMP).unwrap();
        assert_eq!(samples.distance_bytes, 524_288);
        let [small, large] = &samples.held[..] else { panic!("{samples:?}") };
        // One allocation of 512 bytes in 1,024.5 is sampled: 1 / (1 - exp(-1/1024)).
        assert_eq!(small, &HeldStack { stack: vec![0x10, 0x20], objects: 2_049, bytes: 1_049_088 });
        assert_eq!(large, &HeldStack { stack: vec![0x30], objects: 1, bytes: 53_687_091_200 });
    }

    #[test]
    fn another_format_is_no_profile() {
        for dump in [
            "",
            "heap_v3/1\n",
            "heap_v2/x\n",
            "heap_v2/1\n@ 10\n",
            "heap_v2/1\n@ 0x10\n",
            "heap_v2/1\n@ 0x10\n t*: 1\n",
        ] {
            assert_eq!(Samples::read(dump), None, "{dump:?}");
        }
    }
}
