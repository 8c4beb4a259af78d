//! Random numbers that are the same in each run of the same job, operator and subtask. They serve
//! the hash maps of language runtimes and are no secret.

use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use weir_operator::TaskInfo;

use super::Wasi;
use crate::breach::Breach;

/// The most random bytes of one request.
const MAX_BYTES: u64 = 1 << 20;

/// A stream of numbers (SplitMix64: its state is a counter, its output a mix of it).
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(task: Option<&TaskInfo>) -> Self {
        let mut hasher = blake3::Hasher::new();
        if let Some(task) = task {
            // Names have no spaces, so that no two tasks make one text.
            let text = format!("{} {} {}", task.job, task.operator, task.subtask);
            hasher.update(text.as_bytes());
        }
        let mut seed = [0; 8];
        seed.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
        Self(u64::from_le_bytes(seed))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        if len > MAX_BYTES {
            let what = format!("{len} random bytes at once, {MAX_BYTES} is the most");
            return Err(wasmtime::Error::new(Breach::Excess { what }));
        }
        let len = len as usize;
        let mut bytes = Vec::with_capacity(len.next_multiple_of(8));
        while bytes.len() < len {
            bytes.extend_from_slice(&self.next().to_le_bytes());
        }
        bytes.truncate(len);
        Ok(bytes)
    }
}

impl random::Host for Wasi {
    fn get_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random.bytes(len)
    }

    fn get_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random.next())
    }
}

impl insecure::Host for Wasi {
    fn get_insecure_random_bytes(&mut self, len: u64) -> wasmtime::Result<Vec<u8>> {
        self.random.bytes(len)
    }

    fn get_insecure_random_u64(&mut self) -> wasmtime::Result<u64> {
        Ok(self.random.next())
    }
}

impl insecure_seed::Host for Wasi {
    fn insecure_seed(&mut self) -> wasmtime::Result<(u64, u64)> {
        Ok((self.random.next(), self.random.next()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_splitmix64() {
        // The reference outputs for the seed 1234567.
        let mut random = Random(1_234_567);
        let expected = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973];
        assert_eq!([random.next(), random.next()], expected);
        assert_eq!(random.bytes(13).unwrap().len(), 13);
        assert!(random.bytes(MAX_BYTES + 1).is_err());
    }
}
