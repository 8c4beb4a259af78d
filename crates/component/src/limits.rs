//! What one instance of a component may use. Every limit has a key in the job file, which a failure
//! names together with its value.

use std::time::Duration;

use weir_model::Batch;

/// What a row costs the host beside its bytes, at least: where it ends, its origin, its timestamp.
const PER_ROW: usize = 16;

/// What an entry of state counts for beside its bytes. Of one without a byte the host still keeps
/// where it ends and where it belongs, for a map some 40 bytes.
pub(crate) const ENTRY: usize = 32;

/// The limits of one instance, `limits:` of an operator in the job file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `memory`: the most bytes of linear memory, all memories of the instance together.
    pub memory: usize,
    /// `time-per-call`: how long one call may take, in steps of 10 ms.
    pub time_per_call: Duration,
    /// `output`: the most bytes of rows and their keys that one call may emit, the most bytes that
    /// it may write to state, and the most bytes of raw state. Bounds the number of rows as well.
    pub output_bytes: usize,
}

impl Limits {
    /// The most bytes of a row (contract).
    pub const ROW: usize = 16 << 20;

    /// The most rows that one call may emit. However few bytes are allowed, each row of a full
    /// batch may become several.
    pub(crate) fn output_rows(&self) -> usize {
        const FLOOR: usize = 16 * Batch::MAX_ROWS;
        (self.output_bytes / PER_ROW).max(FLOOR)
    }

    /// What the host may allocate for what a guest hands over in one call or one import: the
    /// columns of the rows with their ends, origins, timestamps and keys, and as much for state.
    pub(crate) fn hostcall_fuel(&self) -> usize {
        // The end of its key and, for state, the end and the flag of a value.
        const REST: usize = 9;
        const FRAME: usize = 64 << 10;
        (self.output_bytes.saturating_mul(2))
            .saturating_add(self.output_rows().saturating_mul(PER_ROW + REST))
            .saturating_add(FRAME)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            memory: 64 << 20,
            time_per_call: Duration::from_secs(2),
            output_bytes: 64 << 20,
        }
    }
}

/// A number of bytes as the job file writes it: `64MiB`, or `bytes` where it is not a round number.
pub(crate) fn bytes_in_words(bytes: usize) -> String {
    const UNITS: [(u32, &str); 3] = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    for (shift, unit) in UNITS {
        if bytes >> shift != 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes} bytes")
}

/// A duration as the job file writes it: `2s`, `150ms`.
pub(crate) fn duration_in_words(duration: Duration) -> String {
    let ms = duration.as_millis();
    if ms != 0 && ms.is_multiple_of(1000) {
        format!("{}s", ms / 1000)
    } else {
        format!("{ms}ms")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_bytes_of_output_are_more_rows() {
        let rows = |output_bytes| {
            let limits = Limits {
                output_bytes,
                ..Limits::default()
            };
            limits.output_rows()
        };
        assert_eq!(rows(64 << 20), 4 << 20);
        assert_eq!(rows(128 << 20), 8 << 20);
        assert_eq!(rows(0), 65_536);
        assert_eq!(rows(usize::MAX), usize::MAX / 16);
    }

    #[test]
    fn what_is_within_the_limits_is_within_what_the_host_takes_over() {
        for output_bytes in [0, 1 << 10, 64 << 20] {
            let limits = Limits {
                output_bytes,
                ..Limits::default()
            };
            // Bytes of rows and keys, ends, origins, timestamps, ends of keys; bytes of state.
            let columns = output_bytes + limits.output_rows() * (4 + 4 + 8 + 4);
            assert!(limits.hostcall_fuel() > columns + output_bytes);
        }
    }

    #[test]
    fn limits_are_told_as_the_job_file_writes_them() {
        assert_eq!(bytes_in_words(64 << 20), "64MiB");
        assert_eq!(bytes_in_words(1 << 30), "1GiB");
        assert_eq!(bytes_in_words(1536 << 10), "1536KiB");
        assert_eq!(bytes_in_words(1000), "1000 bytes");
        assert_eq!(duration_in_words(Duration::from_secs(2)), "2s");
        assert_eq!(duration_in_words(Duration::from_millis(1500)), "1500ms");
    }
}
